/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A small base image, made once, and what any tree must survive. */
#include "apply.h"
#include "checkpoint.h"
#include "store_fixture.h"

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);           \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static struct store base_store;
static struct image *base_image;

static inline const struct image *fuzz_image(void)
{
	if (base_image)
		return base_image;
	store_init(&base_store);
	base_image =
		store_image(&base_store, store_sample_tree(&base_store, "read me\n"), NULL, "img");
	MUST(io_mkdir(base_store.dir, "ckp", 0700) == 0);
	return base_image;
}

static inline void fuzz_base_release(void)
{
	if (base_image)
		store_release(&base_store);
	image_close(base_image);
}

static inline int fuzz_checkpoints(void)
{
	int dir = openat(base_store.dir, "ckp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	MUST(dir >= 0);
	return dir;
}

static inline void fuzz_tree_init(struct tree *t)
{
	MUST(tree_init(t, fuzz_image(), 1000, 1000) == 0);
	t->track = true;
}

/* Walks the whole tree; every name is found again, under the path that its node has. Appends all of
 * it to `out`. */
static inline void fuzz_walk(const struct tree *t, uint64_t dir, int depth, struct buf *out)
{
	uint64_t cookie = 0, last = 0, id, again;
	const char *name;
	size_t len;

	while (depth < 64 && tree_readdir(t, dir, cookie, &cookie, &id, &name, &len) > 0) {
		struct buf path = BUF_INIT;
		struct node_attr a;

		MUST(cookie > last);
		MUST(tree_lookup(t, dir, name, len, &again) == 0 && again == id);
		MUST(tree_attr(t, id, &a) == 0 && a.nlink);
		MUST(tree_path_child(t, dir, name, len, &path) == 0);
		MUST(!tree_is_below(t, dir, id));
		last = cookie;
		MUST(buf_addf(out, "%s %lx %o %u %lu %lu\n", path.data, (unsigned long)id, a.mode,
			      a.nlink, (unsigned long)a.size, (unsigned long)cookie) == 0);
		if (S_ISDIR(a.mode))
			fuzz_walk(t, id, depth + 1, out);
		buf_release(&path);
	}
}

/* Removes everything that the walk finds, as an agent would, from the bottom up. */
static inline void fuzz_remove_all(struct tree *t, uint64_t dir, int depth)
{
	uint64_t cookie = 0, id;
	const char *p;
	size_t len;

	while (depth < 64 && tree_readdir(t, dir, cookie, &cookie, &id, &p, &len) > 0) {
		struct record rec = {.type = RECORD_OP, .seq = t->seq + 1, .time = 1};
		char name[256];

		memcpy(name, p, len);
		rec.op = tree_is_dir(t, id) ? OP_RMDIR : OP_UNLINK;
		if (rec.op == OP_RMDIR)
			fuzz_remove_all(t, id, depth + 1);
		RECORD_SET(&rec, parent, F_PARENT, dir);
		RECORD_SET(&rec, name, F_NAME, ((struct bytes){name, len}));
		RECORD_SET(&rec, node, F_NODE, id);
		MUST(depth >= 60 || apply_replay(t, &rec) == 0);
		if (depth < 60 && id % 2)
			apply_drop_orphan(t, id);
	}
}
