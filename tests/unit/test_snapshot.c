/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot_changes() against a comparison of the two whole trees, on random histories. */
#include "snapshot.h"
#include "view_random.h"

static const char FREE_POLICY[] = "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n";

enum { FILES = 4096, HISTORIES = 12, STEPS = 400 };

struct file {
	char *path;
	uint64_t hash;
	bool seen; /* named among the changes */
};

struct files {
	struct file *v;
	size_t n;
};

struct names {
	char (*v)[256];
	size_t n;
};

static int add_name(const char *name, const struct snapshot_stat *st, void *user)
{
	struct names *l = user;

	(void)st;
	assert_true(l->n < 512);
	(void)strcpy(l->v[l->n++], name);
	return 0;
}

static uint64_t hash_file(struct snapshot *s, const struct snapshot_stat *st)
{
	uint64_t hash = 14695981039346656037u, off = 0;
	unsigned char p[4096];
	ssize_t k;

	hash = (hash ^ (st->mode & S_IFMT)) * 1099511628211u;
	if (S_ISREG(st->mode))
		hash = (hash ^ (st->mode & 0100)) * 1099511628211u;
	while ((k = snapshot_read(s, st->node, off, p, sizeof(p))) > 0) {
		for (ssize_t i = 0; i < k; i++)
			hash = (hash ^ p[i]) * 1099511628211u;
		off += (uint64_t)k;
	}
	assert_int_equal(k, 0);
	assert_int_equal(off, st->size);
	return hash;
}

/* Every file and symlink, but what is below /.git. */
static void walk(struct snapshot *s, const char *path, struct files *out)
{
	struct names l = {.v = calloc(512, 256)};

	assert_non_null(l.v);
	assert_int_equal(snapshot_readdir(s, path, add_name, &l), 0);
	for (size_t i = 0; i < l.n; i++) {
		struct snapshot_stat st;
		char *sub;

		assert_true(asprintf(&sub, "%s%s%s", path, *path ? "/" : "", l.v[i]) > 0);
		assert_int_equal(snapshot_lookup(s, sub, &st), 0);
		if (S_ISDIR(st.mode) && strcmp(sub, ".git") != 0)
			walk(s, sub, out);
		if (S_ISREG(st.mode) || S_ISLNK(st.mode)) {
			assert_true(out->n < FILES);
			out->v[out->n++] = (struct file){sub, hash_file(s, &st), false};
		} else {
			free(sub);
		}
	}
	free(l.v);
}

static struct files walk_all(struct snapshot *s)
{
	struct files f = {.v = calloc(FILES, sizeof(struct file))};

	assert_non_null(f.v);
	walk(s, "", &f);
	return f;
}

static void files_release(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].path);
	free(f->v);
}

static struct file *find(struct files *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].path, path) == 0)
			return &f->v[i];
	return NULL;
}

struct both {
	struct files before, now;
};

static int check_change(const struct snapshot_change *c, void *user)
{
	struct both *b = user;
	struct file *was = find(&b->before, c->path), *is = find(&b->now, c->path);
	struct file *mark = c->status == 'D' ? was : is;

	if (!mark || mark->seen)
		fail_msg("%c %s: %s", c->status, c->path, mark ? "named twice" : "not there");
	mark->seen = true;
	assert_int_equal(was != NULL, c->status != 'A');
	assert_int_equal(is != NULL, c->status != 'D');
	/* Written anew with the same bytes: the base's object is not known to be theirs. */
	if (c->status == 'M' && was->hash == is->hash && (c->st.base || !c->st.size))
		fail_msg("%s is the same and named as changed", c->path);
	return 0;
}

static void check_complete(struct both *b)
{
	for (size_t i = 0; i < b->before.n; i++) {
		const struct file *f = &b->before.v[i], *is = find(&b->now, f->path);

		if (!is && !f->seen)
			fail_msg("%s is gone and not named", f->path);
		if (is && is->hash != f->hash && !is->seen)
			fail_msg("%s differs and is not named", f->path);
	}
	for (size_t i = 0; i < b->now.n; i++)
		if (!find(&b->before, b->now.v[i].path) && !b->now.v[i].seen)
			fail_msg("%s is new and not named", b->now.v[i].path);
}

static void compare_at(struct view_fixture *f, uint64_t first)
{
	struct snapshot *s = NULL, *base = NULL;
	struct err e = ERR_INIT;
	struct both b;

	if (snapshot_open(f->dir, f->state, first, &base, &e) < 0 ||
	    snapshot_open(f->dir, f->state, 0, &s, &e) < 0)
		fail_msg("snapshot_open: %s", err_text(&e));
	b = (struct both){walk_all(base), walk_all(s)};
	assert_int_equal(snapshot_changes(s, check_change, &b), 0);
	check_complete(&b);
	files_release(&b.before);
	files_release(&b.now);
	snapshot_close(base);
	snapshot_close(s);
}

static uint64_t seed_from_env(void)
{
	const char *s = getenv("AGENTFS_SEED");

	return s ? strtoull(s, NULL, 0) : 20240517;
}

static void test_snapshot__changes_equal_a_comparison_of_whole_trees(void **state)
{
	uint64_t seed = seed_from_env();

	(void)state;
	for (int history = 0; history < HISTORIES; history++) {
		struct view_fixture f;
		uint64_t first;

		view_fixture_init(&f, FREE_POLICY);
		first = f.view->rec.tree.seq;
		for (int i = 0; i < STEPS; i++) {
			(void)random_step(&f, &seed);
			if (i % 100 == 99)
				compare_at(&f, first);
		}
		view_fixture_release(&f);
	}
}

static int no_change(const struct snapshot_change *c, void *user)
{
	(void)user;
	fail_msg("%c %s", c->status, c->path);
	return 0;
}

/* The view's own .git is no change; nor is an empty file of the base that was only touched. */
static void test_snapshot__own_git_and_touched_files_are_no_changes(void **state)
{
	struct view_setattr set = {.set = VIEW_SET_MTIME, .mtime = 12345};
	struct snapshot *s = NULL;
	struct view_fixture f;
	struct err e = ERR_INIT;
	struct node_attr git, a;

	(void)state;
	view_fixture_init_with(&f, FREE_POLICY, "");
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, ".git", 0755, &git), 0);
	assert_int_equal(view_mknod(f.view, &OWNER, git.id, "HEAD", S_IFREG | 0644, 0, &a), 0);
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "README", &a), 0);
	assert_int_equal(a.size, 0);
	assert_int_equal(view_setattr(f.view, &OWNER, a.id, &set, &a), 0);
	assert_int_equal(snapshot_open(f.dir, f.state, 0, &s, &e), 0);
	assert_int_equal(snapshot_changes(s, no_change, NULL), 0);
	snapshot_close(s);
	view_fixture_release(&f);
}

/* What a view has read is in the shared cache; a snapshot reads it there once it may. */
static void test_snapshot__reads_base_content_from_the_shared_cache(void **state)
{
	struct view_fixture f;
	struct snapshot *s = NULL;
	struct snapshot_stat st;
	struct err e = ERR_INIT;
	struct node_attr a;
	char file[64], text[16];

	(void)state;
	view_fixture_init_with(&f, FREE_POLICY, "read me\n");
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "README", &a), 0);
	assert_int_equal(view_read(f.view, &OWNER, a.id, 0, text, sizeof(text)), 8);
	store_object_file(store_blob(&f.store, "read me\n"), file);
	assert_int_equal(unlinkat(f.store.dir, file, 0), 0);
	assert_int_equal(snapshot_open(f.dir, f.state, 0, &s, &e), 0);
	assert_int_equal(snapshot_lookup(s, "README", &st), 0);
	assert_int_equal(snapshot_read(s, st.node, 0, text, sizeof(text)), -EIO);
	snapshot_use_cache(s, f.state);
	assert_int_equal(snapshot_read(s, st.node, 0, text, sizeof(text)), 8);
	assert_memory_equal(text, "read me\n", 8);
	snapshot_close(s);
	view_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot__changes_equal_a_comparison_of_whole_trees),
		cmocka_unit_test(test_snapshot__own_git_and_touched_files_are_no_changes),
		cmocka_unit_test(test_snapshot__reads_base_content_from_the_shared_cache),
	};

	(void)fprintf(stderr, "seed %lu\n", (unsigned long)seed_from_env());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
