/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A view with files from a main worktree. */
#include "seed.h"

#include <errno.h>
#include <time.h>

#include "apply.h"
#include "checkpoint.h"
#include "fault.h"
#include "journal.h"
#include "snapshot.h"
#include "view_fixture.h"
#include "view_seed.h"

static const char FREE_POLICY[] = "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n";

struct planted {
	struct view_fixture f;
	char tree[96]; /* the main worktree */
};

static inline void put_file(const struct planted *p, const char *path, const char *text)
{
	char full[512];
	FILE *out;

	(void)snprintf(full, sizeof(full), "%s/%s", p->tree, path);
	out = fopen(full, "w");
	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static inline void put_dir(const struct planted *p, const char *path)
{
	char full[512];

	(void)snprintf(full, sizeof(full), "%s/%s", p->tree, path);
	assert_int_equal(io_mkdir_p(full, 0755), 0);
	assert_int_equal(chmod(full, 0755), 0);
}

/* The view's second opening is the first one with seeds. */
static inline void conf_seeds(struct planted *p)
{
	static const char *const paths[] = {".env", "lib", "deep/new/er/file"};
	struct viewconf c;

	assert_int_equal(viewconf_read(p->f.dir, &c, NULL), 0);
	c.seed_from = strdup(p->tree);
	c.seed_paths = calloc(3, sizeof(char *));
	assert_non_null(c.seed_paths);
	for (size_t i = 0; i < 3; i++)
		c.seed_paths[c.nseed_paths++] = strdup(paths[i]);
	assert_int_equal(viewconf_write(p->f.dir, &c), 0);
	viewconf_release(&c);
}

static inline void init(struct planted *p, const char *policy)
{
	view_fixture_init(&p->f, policy);
	assert_int_equal(chmod(p->f.store.path, 0711), 0); /* the view's user reads in it */
	(void)snprintf(p->tree, sizeof(p->tree), "%s/main", p->f.store.path);
	put_dir(p, "");
	put_dir(p, "lib/a");
	put_dir(p, "lib/b/c");
	put_dir(p, "deep/new/er");
	put_file(p, ".env", "TOKEN=1\n");
	put_file(p, "lib/one", "first file\n");
	put_file(p, "lib/empty", "");
	put_file(p, "lib/a/two", "second file, longer\n");
	put_file(p, "lib/b/c/three", "third\n");
	put_file(p, "deep/new/er/file", "held\n");
	put_file(p, "deep/new/other", "not named\n");
	(void)nanosleep(&(struct timespec){.tv_nsec = 21000000},
			NULL); /* old enough to be believed */
	view_close(p->f.view);
	conf_seeds(p);
	view_fixture_open(&p->f);
}

static inline void lose_main(const struct planted *p)
{
	assert_int_equal(io_rm_rf(AT_FDCWD, p->tree), 0);
}

static inline struct node_attr find(struct planted *p, const char *path)
{
	struct node_attr a = {.id = NODE_ROOT};
	char copy[256], *save = NULL;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		int r = view_lookup(p->f.view, &OWNER, a.id, name, &a);

		if (r < 0)
			fail_msg("lookup of '%s' in '%s': %d", name, path, r);
	}
	return a;
}

static inline void reads(struct planted *p, const char *path, const char *want)
{
	char got[256] = {0};
	ssize_t k = view_read(p->f.view, &OWNER, find(p, path).id, 0, got, sizeof(got) - 1);

	if (k != (ssize_t)strlen(want) || memcmp(got, want, strlen(want)) != 0)
		fail_msg("'%s' reads %ld '%s', not '%s'", path, (long)k, got, want);
}
