/* SPDX-License-Identifier: Apache-2.0 */
/* view: replay gives the live tree, failures change nothing, snapshots agree. */
#include "view_helpers.h"

static uint64_t seed_from_env(void)
{
	const char *s = getenv("AGENTFS_TEST_SEED");

	return s ? strtoull(s, NULL, 10) : 20261123;
}

/* Invariant (2) of view.c, and (3) of apply.c. */
static void test_view__replay_equals_the_live_tree(void **state)
{
	uint64_t seed = seed_from_env();

	(void)state;
	for (int round = 0; round < 40; round++) {
		struct view_fixture f;
		unsigned int done = 0;

		view_fixture_init(&f, FREE_POLICY);
		for (int step = 0; step < 400; step++) {
			done += random_step(&f, &seed) >= 0;
			if (step % 131 == 130) {
				char *live = view_picture(&f), *again;

				if (rnd(&seed,
					2)) { /* with a checkpoint in between, full or delta */
					f.view->last_checkpoint =
						rnd(&seed, 2) ? 0 : f.view->last_checkpoint;
					view_close(f.view);
					view_fixture_open(&f);
				} else {
					view_fixture_crash(&f);
				}
				again = view_picture(&f);
				assert_string_equal(again, live);
				free(live);
				free(again);
			}
		}
		assert_true(done > 60);
		view_fixture_release(&f);
	}
}

/* Every allocation and system call of every operation fails once: an error, and the tree is as before,
 * or success; and after all of it the journal gives the same tree. */
static void test_view__failed_call_changes_nothing(void **state)
{
	uint64_t seed = seed_from_env() + 1;
	struct view_fixture f;
	unsigned int failed = 0;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	for (int step = 0; step < 300; step++) {
		for (int n = 1; n < 50; n++) {
			uint64_t before_seed = seed, seq = f.view->rec.tree.seq;
			char *before = view_picture(&f), *after;
			int r;

			fault.memory = true;
			fault.half = n & 1;
			fault_arm(n, EIO);
			r = random_step(&f, &seed);
			if (!fault_disarm()) {
				free(before);
				break; /* passed without reaching the n-th */
			}
			after = view_picture(&f);
			if (r < 0) {
				assert_string_equal(after, before);
				assert_int_equal(f.view->rec.tree.seq, seq);
				failed++;
				seed = before_seed;
			}
			free(before);
			free(after);
			if (r >= 0)
				break;
		}
	}
	assert_true(failed > 300);
	char *live = view_picture(&f), *again;

	view_fixture_crash(&f);
	again = view_picture(&f);
	assert_string_equal(again, live);
	free(live);
	free(again);
	view_fixture_release(&f);
}

static void test_view__unlinked_file_lives_until_forgotten(void **state)
{
	struct view_fixture f;
	struct node_attr a;
	char p[16] = {0};

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	a = find(&f, "README");
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "README"), 0);
	assert_int_equal(view_read(f.view, &OWNER, a.id, 0, p, 8), 8);
	assert_memory_equal(p, "read me\n", 8);
	assert_int_equal(view_write(f.view, &OWNER, a.id, 0, "W", 1), 1);
	assert_int_equal(view_getattr(f.view, &OWNER, a.id, &a), 0);
	assert_int_equal(a.nlink, 0);
	view_forget(f.view, a.id, 1);
	assert_null(tree_node(&f.view->rec.tree, a.id));
	view_fixture_release(&f);
}

static char *plain_of(const struct view_fixture *f, uint64_t node)
{
	char *path;

	(void)f;
	assert_true(asprintf(&path, "redirect/%llu", (unsigned long long)node) > 0);
	return path;
}

/* It is journaled, survives replay and checkpoint, is shut to everybody, shows no attribute, is no
 * change, and goes only when its plain folder is empty. */
static void test_view__redirected_folder_lies_elsewhere(void **state)
{
	static const char policy[] = "agentfs-policy 1\nrole builder\nwrite *\nredirect target/\n";
	struct view_fixture f;
	struct view_redirect *all;
	struct buf names = BUF_INIT;
	struct node_attr a, b, c;
	struct stat st;
	char *plain;
	size_t n;

	(void)state;
	view_fixture_init(&f, policy);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "before", 0755, &a), 0);
	assert_int_equal(view_mkdir(f.view, &OWNER, a.id, "target", 0755, &b), 0);
	assert_false(b.redirected); /* the server cannot mount */
	view_redirect_enable(f.view);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "target", 0751, &a), 0);
	assert_true(a.redirected);
	plain = plain_of(&f, a.id);
	assert_int_equal(fstatat(f.dir, plain, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0751);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "target", &b), 0);
		assert_true(b.redirected && b.id == a.id);
		assert_int_equal(view_lookup(f.view, &OWNER, a.id, "x", &c), -ESTALE);
		assert_int_equal(view_mkdir(f.view, &OWNER, a.id, "x", 0755, &c), -ESTALE);
		assert_int_equal(view_mknod(f.view, &OWNER, a.id, "x", S_IFREG | 0644, 0, &c),
				 -ESTALE);
		assert_int_equal(view_rename(f.view, &OWNER, NODE_ROOT, "README", a.id, "x", 0),
				 -ESTALE);
		assert_int_equal(
			view_rename(f.view, &OWNER, NODE_ROOT, "target", NODE_ROOT, "t", 0),
			-EBUSY);
		assert_int_equal(view_readdir(f.view, &OWNER, a.id, 0, false, NULL, NULL), -ESTALE);
		assert_int_equal(view_listxattr(f.view, &OWNER, a.id, &names), 0);
		assert_int_equal(names.len, 0);
		assert_true(view_getxattr(f.view, a.id, TREE_REDIRECT, &names) < 0);
		assert_int_equal(view_redirects(f.view, &all, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(all[0].node, a.id);
		free(all);
		if (round == 0) /* replay */
			view_fixture_crash(&f);
		else if (round == 1) /* a checkpoint */
			assert_int_equal(view_checkpoint(f.view, 0), 0);
		if (round == 1)
			view_fixture_crash(&f);
	}
	assert_int_equal(mkdirat(f.dir, "redirect/77777", 0700), 0); /* a crash left it */
	assert_int_equal(unlinkat(f.dir, plain, AT_REMOVEDIR), 0);   /* the power went */
	view_fixture_crash(&f);
	assert_int_equal(faccessat(f.dir, "redirect/77777", F_OK, 0), -1);
	assert_int_equal(fstatat(f.dir, plain, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0751);
	free(plain);
	assert_true(asprintf(&plain, "redirect/%llu/in", (unsigned long long)a.id) > 0);
	assert_int_equal(mkdirat(f.dir, plain, 0700), 0);
	assert_int_equal(view_rmdir(f.view, &OWNER, NODE_ROOT, "target"), -ENOTEMPTY);
	assert_int_equal(view_redirect_drop(f.view, a.id), -ENOTEMPTY);
	assert_int_equal(unlinkat(f.dir, plain, AT_REMOVEDIR), 0);
	assert_int_equal(view_rmdir(f.view, &OWNER, NODE_ROOT, "target"), 0);
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "target", &b), -ENOENT);
	view_redirect_enable(f.view);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "target", 0755, &a), 0);
	assert_int_equal(view_redirect_drop(f.view, a.id), 0); /* an ordinary folder from now on */
	assert_int_equal(view_mkdir(f.view, &OWNER, a.id, "x", 0755, &c), 0);
	view_fixture_crash(&f);
	assert_int_equal(view_lookup(f.view, &OWNER, a.id, "x", &c), 0);
	free(plain);
	buf_release(&names);
	view_fixture_release(&f);
}

struct changes {
	struct buf text;
};

/* Nothing that was not written is taken for written, ever; what is there can still be read. */
static void test_view__failed_sync_leaves_it_readable_and_read_only(void **state)
{
	struct view_fixture f;
	struct node_attr a;
	char *before, *after;
	char p[4];

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	a = find(&f, "README");
	assert_int_equal(view_write(f.view, &OWNER, a.id, 0, "new", 3), 3);
	before = view_picture(&f);
	fault.memory = false;
	fault_arm(1, EIO);
	assert_int_equal(view_sync(f.view), -EIO);
	assert_true(fault_disarm());
	assert_int_equal(view_sync(f.view), -EIO);
	assert_int_equal(view_write(f.view, &OWNER, a.id, 0, "xxx", 3), -EROFS);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "dir", 0755, &a), -EROFS);
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "README"), -EROFS);
	view_tick(f.view);
	a = find(&f, "README");
	assert_int_equal(view_read(f.view, &OWNER, a.id, 0, p, 3), 3);
	assert_memory_equal(p, "new", 3);
	after = view_picture(&f);
	assert_string_equal(before, after);
	free(before);
	free(after);
	view_fixture_release(&f);
}

/* What the server replaces may never have been looked up by the kernel, and would stay. */
static void test_view__replaced_file_without_lookups_is_gone(void **state)
{
	const struct view_ctx self = {.uid = OWNER_UID, .gid = OWNER_UID, .internal = true};
	struct view_fixture f;
	struct node_attr a, b;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	assert_int_equal(view_mknod(f.view, &self, NODE_ROOT, "one", S_IFREG | 0644, 0, &a), 0);
	assert_int_equal(view_write(f.view, &self, a.id, 0, "12345", 5), 5);
	assert_int_equal(view_mknod(f.view, &self, NODE_ROOT, "two", S_IFREG | 0644, 0, &b), 0);
	assert_int_equal(data_live_bytes(f.view->rec.data), 5);
	assert_int_equal(view_rename(f.view, &self, NODE_ROOT, "two", NODE_ROOT, "one", 0), 0);
	assert_null(tree_node(&f.view->rec.tree, a.id));
	assert_int_equal(data_live_bytes(f.view->rec.data), 0);
	view_fixture_release(&f);
}

/* Writes view.conf anew with seeds, and closes. */
static void close_with_seeds(struct view_fixture *f)
{
	char head[] = "HEAD", text[] = "ref: refs/heads/x\n", refs[] = "refs", config[] = "config";
	struct viewconf_seed seeds[] = {
		{head, S_IFREG | 0644, text, sizeof(text) - 1},
		{refs, S_IFDIR | 0755, NULL, 0},
		{config, S_IFREG | 0644, text, sizeof(text) - 1},
	};
	struct viewconf conf = f->view->conf;

	conf.seeds = seeds;
	conf.nseeds = ARRAY_SIZE(seeds);
	assert_int_equal(viewconf_write(f->dir, &conf), 0);
	view_close(f->view);
}

/* However opening a view for the first time is cut short, the next opening leaves all of .git. */
static void test_view__git_is_there_whole_or_not_at_all(void **state)
{
	bool failed = true;

	(void)state;
	fault.memory = false;
	for (long n = 1; failed; n += 2) {
		struct view_fixture f;
		struct err e = ERR_INIT;
		struct node_attr git, a;
		int r;

		view_fixture_init(&f, FREE_POLICY);
		close_with_seeds(&f);
		fault_arm(n, ENOSPC);
		fault.for_good = true;
		r = view_open(f.dir, f.state, NULL, &f.view, &e);
		failed = fault_disarm();
		fault.for_good = false;
		err_release(&e);
		if (r == 0)
			view_close(f.view);
		view_fixture_open(&f);
		git = find(&f, ".git");
		assert_int_equal(view_lookup(f.view, &OWNER, git.id, "HEAD", &a), 0);
		assert_int_equal(a.size, 18);
		assert_int_equal(view_lookup(f.view, &OWNER, git.id, "refs", &a), 0);
		assert_int_equal(view_lookup(f.view, &OWNER, git.id, "config", &a), 0);
		assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, ".agentfs-git", &a),
				 -ENOENT);
		view_fixture_release(&f);
	}
}

static struct {
	unsigned int inodes, entries;
	uint64_t last;
	char name[64];
} told;

static void on_entry(uint64_t parent, const char *name, size_t len, void *user)
{
	(void)parent;
	(void)user;
	told.entries++;
	(void)snprintf(told.name, sizeof(told.name), "%.*s", (int)len, name);
}

static void on_inode(uint64_t node, uint64_t off, int64_t len, void *user)
{
	(void)off;
	(void)len;
	(void)user;
	told.inodes++;
	told.last = node;
}

/* The kernel keeps attributes and names for a day: what a new policy shows otherwise is told, and that
 * it asks again is no refusal. */
static void test_view__new_policy_is_told_to_the_kernel(void **state)
{
	static const char hide[] = "agentfs-policy 1\nrole builder\nhide a.c\nwrite x/\n";
	const struct view_ctx agent = {.pid = 1, .uid = OWNER_UID, .gid = OWNER_UID, .unique = 9};
	struct view_notify notify = {.entry = on_entry, .inode = on_inode};
	struct view_fixture f;
	struct err e = ERR_INIT;
	struct node_attr a, b;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	f.view->notify = &notify;
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "README", &a), 0); /* held */
	assert_int_equal(view_set_policy(f.view, hide, &e), 0);
	assert_int_equal(told.entries, 1);
	assert_string_equal(told.name, "a.c");
	assert_true(told.inodes >= 2); /* the root and README */
	assert_int_equal(view_getattr(f.view, &agent, a.id, &b), 0);
	assert_int_equal(b.mode & 0222, 0);
	assert_int_equal(f.view->denied, 0);
	assert_int_equal(view_set_policy(f.view, FREE_POLICY, &e), 0);
	assert_int_equal(told.entries, 2);
	f.view->notify = NULL;
	view_fixture_release(&f);
}

static int on_change(const struct snapshot_change *c, void *user)
{
	struct changes *l = user;

	return buf_addf(&l->text, "%c %s\n", c->status, c->path);
}

static void test_snapshot__names_what_changed_and_only_that(void **state)
{
	struct changes l = {0};
	struct snapshot *s = NULL;
	struct view_fixture f;
	struct node_attr a;
	struct err e = ERR_INIT;
	uint64_t seq;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	a = find(&f, "README");
	assert_int_equal(view_write(f.view, &OWNER, a.id, 3, "X", 1), 1);
	assert_int_equal(view_mknod(f.view, &OWNER, NODE_ROOT, "new", S_IFREG | 0644, 0, &a), 0);
	seq = f.view->rec.tree.seq;
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "new"), 0);
	if (snapshot_open(f.dir, f.state, seq, &s, &e) < 0)
		fail_msg("snapshot_open: %s", err_text(&e));
	assert_int_equal(snapshot_changes(s, on_change, &l), 0);
	assert_string_equal(l.text.data, "M README\nA new\n");
	snapshot_close(s);
	buf_clear(&l.text);
	assert_int_equal(snapshot_open(f.dir, f.state, 0, &s, &e), 0);
	assert_int_equal(snapshot_changes(s, on_change, &l), 0);
	assert_string_equal(l.text.data, "M README\n");
	snapshot_close(s);
	buf_release(&l.text);
	view_fixture_release(&f);
}

/* The kernel says of a write whether suid goes; of these two it leaves it to the server. */
static void test_view__suid_goes_with_fallocate_and_copy(void **state)
{
	static const struct view_ctx who[] = {{.pid = 1, .uid = 1000, .gid = 1000}, {.pid = 1}};
	struct view_fixture f;
	struct node_attr a;

	(void)state;
	view_fixture_init(&f, "agentfs-policy 1\nrole builder\nwrite *\n");
	for (unsigned int i = 0; i < 6; i++) {
		const struct view_ctx *ctx = &who[i % 2];
		char name[] = "suid0";

		name[4] = (char)('0' + i);
		assert_int_equal(view_mknod(f.view, ctx, NODE_ROOT, name, S_IFREG | 06755, 0, &a),
				 0);
		assert_int_equal(view_write(f.view, ctx, a.id, 0, "text", 4), 4);
		if (i / 2 == 0)
			assert_int_equal(view_fallocate(f.view, ctx, a.id, 0, 0, 100), 0);
		else if (i / 2 == 1)
			assert_int_equal(view_fallocate(f.view, ctx, a.id,
							FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
							0, 2),
					 0);
		else
			assert_int_equal(view_copy(f.view, ctx, a.id, 0, a.id, 10, 4), 4);
		assert_int_equal(view_getattr(f.view, ctx, a.id, &a), 0);
		assert_int_equal(a.mode & 07777, ctx->uid ? 0755 : 06755);
	}
	view_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_view__replay_equals_the_live_tree),
		cmocka_unit_test(test_view__failed_call_changes_nothing),
		cmocka_unit_test(test_view__suid_goes_with_fallocate_and_copy),
		cmocka_unit_test(test_view__unlinked_file_lives_until_forgotten),
		cmocka_unit_test(test_view__redirected_folder_lies_elsewhere),
		cmocka_unit_test(test_view__failed_sync_leaves_it_readable_and_read_only),
		cmocka_unit_test(test_view__replaced_file_without_lookups_is_gone),
		cmocka_unit_test(test_view__git_is_there_whole_or_not_at_all),
		cmocka_unit_test(test_view__new_policy_is_told_to_the_kernel),
		cmocka_unit_test(test_snapshot__names_what_changed_and_only_that),
	};

	(void)fprintf(stderr, "seed %lu\n", (unsigned long)seed_from_env());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
