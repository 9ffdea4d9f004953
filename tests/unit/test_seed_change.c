/* SPDX-License-Identifier: Apache-2.0 */
/* Untracked files of the main worktree: what changes there, and what is no change in a view. */
#include "seed_fixture.h"

/* --- the main worktree changes --- */

static unsigned int corrected;

static void on_attr(uint64_t node, void *user)
{
	(void)node;
	(void)user;
	corrected++;
}

static void test_seed__the_newest_bytes_and_their_size(void **state)
{
	static const struct view_notify notify = {.attr = on_attr};
	struct planted p;

	(void)state;
	init(&p, FREE_POLICY);
	p.f.view->notify = &notify;
	assert_int_equal(find(&p, "lib/one").size, 11);
	put_file(&p, "lib/one", "another content, of another length\n");
	corrected = 0;
	reads(&p, "lib/one", "another content, of another length\n");
	assert_int_equal(corrected, 1);
	assert_int_equal(find(&p, "lib/one").size, 35);
	put_file(&p, "lib/one", "too late");
	reads(&p, "lib/one", "another content, of another length\n");
	p.f.view->notify = NULL;
	view_fixture_release(&p.f);
}

static void test_seed__gone_is_an_error_for_files_and_empty_for_folders(void **state)
{
	struct planted p;
	struct node_attr a;
	char b[8];

	(void)state;
	init(&p, FREE_POLICY);
	a = find(&p, "lib/a");
	a = find(&p, "lib/one");
	lose_main(&p);
	assert_int_equal(view_read(p.f.view, &OWNER, a.id, 0, b, 8), -EIO);
	assert_int_equal(view_write(p.f.view, &OWNER, a.id, 0, "x", 1), -EIO);
	assert_int_equal(view_setattr(p.f.view, &OWNER, a.id,
				      &(struct view_setattr){.set = VIEW_SET_SIZE}, &a),
			 0); /* cut to nothing it needs nothing */
	assert_int_equal(view_write(p.f.view, &OWNER, a.id, 0, "mine", 4), 4);
	reads(&p, "lib/one", "mine");
	assert_int_equal(
		view_lookup(p.f.view, &OWNER, find(&p, "lib/a").id, "two", &(struct node_attr){0}),
		-ENOENT);
	assert_int_equal(view_rmdir(p.f.view, &OWNER, find(&p, "lib").id, "a"), 0);
	view_fixture_release(&p.f);
}

static void make_large(const struct planted *p, char c)
{
	char full[160];
	int fd;

	(void)snprintf(full, sizeof(full), "%s/lib/large", p->tree);
	fd = open(full, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(100 << 20) + c), 0);
	assert_int_equal(pwrite(fd, &c, 1, 90 << 20), 1);
	(void)close(fd);
}

static void test_seed__large_files_are_read_through(void **state)
{
	struct planted p;
	uint64_t id, seq;
	char b = 0;

	(void)state;
	init(&p, FREE_POLICY);
	make_large(&p, 'a');
	id = find(&p, "lib/large").id;
	seq = p.f.view->rec.tree.seq;
	assert_int_equal(view_read(p.f.view, &OWNER, id, 90 << 20, &b, 1), 1);
	assert_int_equal(b, 'a');
	assert_int_equal(p.f.view->rec.tree.seq, seq);
	assert_int_equal(p.f.view->rec.tree.seed_bytes, 0);
	make_large(&p, 'b');
	assert_int_equal(view_read(p.f.view, &OWNER, id, 90 << 20, &b, 1), -EIO);
	assert_int_equal(view_read(p.f.view, &OWNER, id, 90 << 20, &b, 1), 1);
	assert_int_equal(b, 'b');
	assert_int_equal(find(&p, "lib/large").size, (100 << 20) + 'b');
	view_fixture_crash(&p.f);
	assert_int_equal(find(&p, "lib/large").size, (100 << 20) + 'b');
	view_fixture_release(&p.f);
}

/* --- no changes --- */

static int collect_change(const struct snapshot_change *c, void *user)
{
	return buf_addf(user, "%c %s\n", c->status, c->path);
}

static char *changes(struct planted *p)
{
	struct buf b = BUF_INIT;
	struct snapshot *s = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(view_seed_settle(p->f.view), 0);
	if (snapshot_open(p->f.dir, p->f.state, 0, &s, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(snapshot_changes(s, collect_change, &b), 0);
	snapshot_close(s);
	return buf_take(&b);
}

static void changes_are(struct planted *p, const char *want)
{
	char *got = changes(p);

	assert_string_equal(got, want);
	free(got);
}

static void test_seed__unchanged_is_no_change(void **state)
{
	struct view_info info;
	struct planted p;
	uint64_t own;

	(void)state;
	init(&p, FREE_POLICY);
	view_info(p.f.view, &info);
	own = info.bytes;
	free(view_picture(&p.f));
	changes_are(&p, "");
	view_info(p.f.view, &info);
	assert_int_equal(info.changed, 0);
	assert_int_equal(info.bytes, own);
	assert_int_equal(p.f.view->rec.tree.nchanged, 0);
	assert_int_equal(view_write(p.f.view, &OWNER, find(&p, "lib/a/two").id, 0, "X", 1), 1);
	changes_are(&p, "A lib/a/two\n");
	view_info(p.f.view, &info);
	assert_int_equal(info.changed, 1);
	assert_int_equal(info.bytes, own + 20);
	assert_int_equal(view_unlink(p.f.view, &OWNER, find(&p, "lib").id, "one"), 0);
	changes_are(&p, "A lib/a/two\n");
	view_fixture_release(&p.f);
}

/* A folder of the base takes what was put into it along; one that was seeded is the agent's when moved,
 * whether anybody looked into it or not. */
static void test_seed__moved_folders(void **state)
{
	struct planted p;

	(void)state;
	init(&p, FREE_POLICY);
	assert_int_equal(view_rename(p.f.view, &OWNER, NODE_ROOT, "lib", NODE_ROOT, "mine", 0), 0);
	changes_are(&p, "A mine/a/two\nA mine/b/c/three\nA mine/empty\nA mine/one\n");
	lose_main(&p);
	reads(&p, "mine/b/c/three", "third\n");
	view_fixture_crash(&p.f);
	reads(&p, "mine/a/two", "second file, longer\n");
	view_fixture_release(&p.f);
}

static void test_seed__hidden_names_stay_hidden_when_moved(void **state)
{
	struct planted p;

	(void)state;
	init(&p, "agentfs-policy 1\nrole builder\nscratch beside\nhide three\nwrite *\n");
	assert_int_equal(view_rename(p.f.view, &OWNER, NODE_ROOT, "lib", NODE_ROOT, "mine", 0),
			 -EACCES);
	assert_int_equal(view_lookup(p.f.view, &OWNER, find(&p, "lib/b/c").id, "three",
				     &(struct node_attr){0}),
			 -ENOENT);
	view_fixture_release(&p.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seed__the_newest_bytes_and_their_size),
		cmocka_unit_test(test_seed__gone_is_an_error_for_files_and_empty_for_folders),
		cmocka_unit_test(test_seed__large_files_are_read_through),
		cmocka_unit_test(test_seed__unchanged_is_no_change),
		cmocka_unit_test(test_seed__moved_folders),
		cmocka_unit_test(test_seed__hidden_names_stay_hidden_when_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
