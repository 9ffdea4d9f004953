/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint.v1 (a full one, over the image that store_sample_tree() gives) and checkpoint-delta.v1
 * (what followed): written by format 1, read by every later version. checkpoint-seeds.v1: with seeds. */
#include "apply.h"
#include "checkpoint.h"
#include "seed.h"
#include "store_fixture.h"

static const char *folder;
static const uint8_t view_id[16] = {7, 7, 7};

struct made {
	struct store store;
	struct image *image;
	struct tree tree;
};

static void made_init(struct made *m)
{
	store_init(&m->store);
	m->image = store_image(&m->store, store_sample_tree(&m->store, "read me\n"), NULL, "img");
	assert_int_equal(tree_init(&m->tree, m->image, 1000, 1000), 0);
	m->tree.track = true;
}

static void made_release(struct made *m)
{
	tree_release(&m->tree);
	image_close(m->image);
	store_release(&m->store);
}

static struct bytes word(const char *s)
{
	return (struct bytes){s, strlen(s)};
}

static struct record op(struct tree *t, enum record_op what)
{
	struct record rec = {
		.type = RECORD_OP, .seq = t->seq + 1, .time = FIXTURE_TIME_NS + t->seq};

	RECORD_SET(&rec, op, F_OP, what);
	return rec;
}

static uint64_t make(struct tree *t, enum record_op what, uint64_t dir, const char *name,
		     const char *target)
{
	struct record rec = op(t, what);

	RECORD_SET(&rec, parent, F_PARENT, dir);
	RECORD_SET(&rec, name, F_NAME, word(name));
	RECORD_SET(&rec, node, F_NODE, t->next_upper);
	RECORD_SET(&rec, mode, F_MODE, what == OP_MKDIR ? 0755 : S_IFREG | 0644);
	RECORD_SET(&rec, owner, F_OWNER, 1000);
	RECORD_SET(&rec, group, F_GROUP, 1000);
	if (target)
		RECORD_SET(&rec, value, F_VALUE, word(target));
	assert_int_equal(apply_replay(t, &rec), 0);
	return rec.node;
}

static void name_op(struct tree *t, enum record_op what, uint64_t dir, const char *name)
{
	struct record rec = op(t, what);

	assert_int_equal(tree_lookup(t, dir, name, strlen(name), &rec.node), 0);
	RECORD_SET(&rec, parent, F_PARENT, dir);
	RECORD_SET(&rec, name, F_NAME, word(name));
	rec.present |= F_BIT(F_NODE);
	if (what == OP_RENAME) {
		RECORD_SET(&rec, parent2, F_PARENT2, NODE_ROOT);
		RECORD_SET(&rec, name2, F_NAME2, word("moved"));
	}
	assert_int_equal(apply_replay(t, &rec), 0);
}

static void write_op(struct tree *t, uint64_t id, uint64_t off, uint64_t len, uint64_t place)
{
	struct record rec = op(t, OP_WRITE);

	RECORD_SET(&rec, node, F_NODE, id);
	RECORD_SET(&rec, offset, F_OFFSET, off);
	RECORD_SET(&rec, length, F_LENGTH, len);
	RECORD_SET(&rec, place, F_PLACE, place);
	assert_int_equal(apply_replay(t, &rec), 0);
}

static void first_part(struct tree *t)
{
	struct record rec;
	uint64_t dir, id;

	dir = make(t, OP_MKDIR, NODE_ROOT, "dir", NULL);
	id = make(t, OP_MKNOD, dir, "file", NULL);
	write_op(t, id, 5, 100, UINT64_C(1) << 32 | 128);
	write_op(t, id, UINT64_C(5) << 32, 7, UINT64_C(1) << 32 | 500);
	(void)make(t, OP_SYMLINK, dir, "symlink", "some/where");
	rec = op(t, OP_SETXATTR);
	RECORD_SET(&rec, node, F_NODE, id);
	RECORD_SET(&rec, name, F_NAME, word("user.word"));
	RECORD_SET(&rec, value, F_VALUE, word("value"));
	assert_int_equal(apply_replay(t, &rec), 0);
	assert_int_equal(tree_lookup(t, NODE_ROOT, "README", 6, &id), 0);
	write_op(t, id, 2, 3, UINT64_C(1) << 32 | 600);
	name_op(t, OP_UNLINK, NODE_ROOT, "a.c");
}

static void second_part(struct tree *t)
{
	uint64_t dir;

	name_op(t, OP_RENAME, NODE_ROOT, "deep");
	assert_int_equal(tree_lookup(t, NODE_ROOT, "dir", 3, &dir), 0);
	name_op(t, OP_UNLINK, dir, "file");
	apply_drop_orphan(t, NODE_UPPER_FIRST + 1);
	(void)make(t, OP_MKNOD, dir, "later", NULL);
}

static void seed_op(struct tree *t, uint32_t kind, uint64_t node, const char *path,
		    const struct buf *value)
{
	struct record rec = op(t, OP_SEED);

	RECORD_SET(&rec, mask, F_MASK, kind);
	RECORD_SET(&rec, node, F_NODE, node);
	RECORD_SET(&rec, node2, F_NODE2, t->next_upper);
	RECORD_SET(&rec, path, F_PATH, word(path));
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){value->data, value->len}));
	RECORD_SET(&rec, size, F_SIZE, 7);
	RECORD_SET(&rec, mtime, F_MTIME, 12345);
	assert_int_equal(apply_replay(t, &rec), 0);
}

/* A file that was taken over, one that was not, a symlink, a folder that nobody looked into. */
static void seeds_part(struct tree *t)
{
	const struct seed_name names[] = {
		{.name = word(".env"), .mode = S_IFREG | 0600, .size = 7, .ino = 77, .mtime = 1},
		{.name = word("large"), .mode = S_IFREG | 0644, .size = 5000, .ctime = 9},
		{.name = word("a-link"), .target = word("a/b"), .mode = S_IFLNK | 0777},
		{.name = word("node_modules"), .mode = S_IFDIR | 0755, .ino = 78},
	};
	struct buf b = BUF_INIT;
	uint64_t id;

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(seed_encode(&b, &names[i]), 0);
	seed_op(t, SEED_NAMES, NODE_ROOT, "", &b);
	assert_int_equal(tree_lookup(t, NODE_ROOT, ".env", 4, &id), 0);
	buf_clear(&b);
	assert_int_equal(seed_encode_piece(&b, &(struct seed_piece){0, 7, UINT64_C(1) << 32 | 640}),
			 0);
	seed_op(t, SEED_BYTES, id, "", &b);
	buf_clear(&b);
	seed_op(t, SEED_DONE, NODE_ROOT, "", &b);
	buf_release(&b);
}

static void picture(const struct tree *t, uint64_t dir, struct buf *out)
{
	uint64_t cookie = 0, id;
	const char *name;
	size_t len;

	while (tree_readdir(t, dir, cookie, &cookie, &id, &name, &len) > 0) {
		const struct node *n = tree_node(t, id);
		struct node_attr a;

		assert_int_equal(tree_attr(t, id, &a), 0);
		assert_int_equal(buf_addf(out, "%.*s %lx %lx %o %u %u %lu %ld %ld", (int)len, name,
					  (unsigned long)cookie, (unsigned long)id, a.mode, a.uid,
					  a.nlink, (unsigned long)a.size, (long)a.mtime,
					  (long)a.ctime),
				 0);
		for (uint32_t i = 0; n && S_ISREG(n->mode) && i < n->extents.n; i++)
			assert_int_equal(buf_addf(out, " %lx+%lx@%lx:%lx",
						  (unsigned long)n->extents.v[i].off,
						  (unsigned long)n->extents.v[i].len,
						  (unsigned long)n->extents.v[i].node,
						  (unsigned long)n->extents.v[i].place),
					 0);
		for (const struct xattr *x = n ? n->xattrs : NULL; x; x = x->next)
			assert_int_equal(
				buf_addf(out, " %s=%.*s", x->name, (int)x->len, (char *)x->value),
				0);
		if (n && S_ISLNK(n->mode) && n->target)
			assert_int_equal(buf_addf(out, " -> %s", n->target), 0);
		if (n && n->seed)
			assert_int_equal(buf_addf(out, " from %s/%s %lu %ld %ld",
						  n->seed->dir->path, n->seed->name,
						  (unsigned long)n->seed->ino, (long)n->seed->mtime,
						  (long)n->seed->ctime),
					 0);
		assert_int_equal(buf_addc(out, '\n'), 0);
		if (S_ISDIR(a.mode))
			picture(t, id, out);
	}
}

static const struct {
	const char *fixture, *name;
	uint64_t seq;
} files[] = {
	{"checkpoint.v1", "00000000000000000008.ckp", 8},
	{"checkpoint-delta.v1", "00000000000000000011.ckp", 11},
};

static void check_read(size_t nfiles)
{
	int from = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf then = BUF_INIT, now = BUF_INIT, b = BUF_INIT;
	struct made want, got;
	struct checkpoint_info info;
	struct err e = ERR_INIT;

	assert_true(from >= 0);
	made_init(&want);
	made_init(&got);
	for (size_t i = 0; i < nfiles; i++) {
		buf_clear(&b);
		assert_int_equal(io_read_file(from, files[i].fixture, 1 << 20, &b), 0);
		assert_int_equal(io_replace_file(got.store.dir, files[i].name, b.data, b.len, 0600),
				 0);
	}
	first_part(&want.tree);
	if (nfiles > 1)
		second_part(&want.tree);
	if (checkpoint_load(got.store.dir, view_id, 0, &got.tree, &info, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(info.bad, 0);
	assert_int_equal(got.tree.seq, want.tree.seq);
	assert_int_equal(got.tree.seq, files[nfiles - 1].seq);
	assert_int_equal(got.tree.next_upper, want.tree.next_upper);
	picture(&want.tree, NODE_ROOT, &now);
	picture(&got.tree, NODE_ROOT, &then);
	assert_string_equal(then.data, now.data);
	buf_release(&then);
	buf_release(&now);
	buf_release(&b);
	made_release(&want);
	made_release(&got);
	(void)close(from);
}

static void test_compat_checkpoint__v1_is_read(void **state)
{
	(void)state;
	check_read(1);
}

static void test_compat_checkpoint__v1_delta_is_read(void **state)
{
	(void)state;
	check_read(2);
}

static const char seeds_fixture[] = "checkpoint-seeds.v1";

static void test_compat_checkpoint__v1_with_seeds_is_read(void **state)
{
	int from = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf then = BUF_INIT, now = BUF_INIT, b = BUF_INIT;
	struct made want, got;
	struct checkpoint_info info;
	struct err e = ERR_INIT;

	(void)state;
	assert_true(from >= 0);
	made_init(&want);
	made_init(&got);
	assert_int_equal(io_read_file(from, seeds_fixture, 1 << 20, &b), 0);
	assert_int_equal(
		io_replace_file(got.store.dir, "00000000000000000003.ckp", b.data, b.len, 0600), 0);
	seeds_part(&want.tree);
	if (checkpoint_load(got.store.dir, view_id, 0, &got.tree, &info, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(info.bad, 0);
	assert_true(got.tree.seeded);
	assert_int_equal(got.tree.nseeds, 4);
	assert_int_equal(got.tree.seed_bytes, 7);
	assert_int_equal(got.tree.nchanged, 0);
	picture(&want.tree, NODE_ROOT, &now);
	picture(&got.tree, NODE_ROOT, &then);
	assert_string_equal(then.data, now.data);
	buf_release(&then);
	buf_release(&now);
	buf_release(&b);
	made_release(&want);
	made_release(&got);
	(void)close(from);
}

static void write_seeds_fixture(void **state)
{
	int to = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf b = BUF_INIT;
	struct made m;

	(void)state;
	assert_true(to >= 0);
	made_init(&m);
	seeds_part(&m.tree);
	assert_int_equal(checkpoint_collect(&m.tree, view_id, 0, true, &b), 0);
	assert_int_equal(io_replace_file(to, seeds_fixture, b.data, b.len, 0644), 0);
	buf_release(&b);
	made_release(&m);
	(void)close(to);
}

static void write_fixture(void **state)
{
	int to = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct buf b = BUF_INIT;
	struct made m;

	(void)state;
	assert_true(to >= 0);
	made_init(&m);
	first_part(&m.tree);
	assert_int_equal(checkpoint_collect(&m.tree, view_id, 0, true, &b), 0);
	assert_int_equal(io_replace_file(to, files[0].fixture, b.data, b.len, 0644), 0);
	checkpoint_done(&m.tree, checkpoint_mark(&m.tree));
	second_part(&m.tree);
	assert_int_equal(checkpoint_collect(&m.tree, view_id, files[0].seq, false, &b), 0);
	assert_int_equal(io_replace_file(to, files[1].fixture, b.data, b.len, 0644), 0);
	buf_release(&b);
	made_release(&m);
	(void)close(to);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compat_checkpoint__v1_is_read),
		cmocka_unit_test(test_compat_checkpoint__v1_delta_is_read),
		cmocka_unit_test(test_compat_checkpoint__v1_with_seeds_is_read),
	};
	const struct CMUnitTest writer[] = {cmocka_unit_test(write_fixture)};
	const struct CMUnitTest seeds_writer[] = {cmocka_unit_test(write_seeds_fixture)};

	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER [write]\n", argv[0]);
		return 2;
	}
	folder = argv[1];
	if (argc > 2 && strcmp(argv[2], "write") == 0)
		return cmocka_run_group_tests(writer, NULL, NULL);
	if (argc > 2 && strcmp(argv[2], "write-seeds") == 0)
		return cmocka_run_group_tests(seeds_writer, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
