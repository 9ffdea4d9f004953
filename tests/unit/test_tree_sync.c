/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a view's base between two that are known: what shows, what holders of old files see, what a failure leaves. */
#include "tree_sync_fixture.h"

/* --- two bases that are known --- */

#define ALLOW "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n"

static void second_base(struct view_fixture *f)
{
	struct store *s = &f->store;
	git_oid blob = store_blob(s, "int main;\n");
	git_oid sub = store_tree1(s, "100755", "run", store_blob(s, "#!/bin/sh\n"));
	struct buf t = BUF_INIT;

	tree_adds(&t, "100644", "README", store_blob(s, "read it again\n"));
	tree_adds(&t, "100644", "a.c", blob);
	tree_adds(&t, "40000", "a", sub);
	tree_adds(&t, "100644", "added", blob);
	tree_adds(&t, "120000", "link", store_blob(s, "a.c"));
	image_close(store_image(s, store_tree(s, &t), NULL, "images/second.img"));
}

static uint64_t look(struct view_fixture *f, uint64_t dir, const char *name)
{
	struct node_attr a;

	assert_int_equal(view_lookup(f->view, &OWNER, dir, name, &a), 0);
	return a.id;
}

static void test_tree_sync__holders_keep_the_old_file(void **state)
{
	struct view_fixture f;
	struct node_attr a;
	uint64_t readme, deep, same;

	view_fixture_init(&f, ALLOW);
	second_base(&f);
	readme = look(&f, NODE_ROOT, "README");
	deep = look(&f, NODE_ROOT, "deep");
	same = look(&f, NODE_ROOT, "a.c");
	assert_int_equal(move(&f, "second.img"), 0);
	reads(&f, readme, "read me\n");
	assert_int_equal(view_getattr(f.view, &OWNER, readme, &a), 0);
	assert_int_equal(a.nlink, 0);
	assert_int_equal(view_write(f.view, &OWNER, readme, 0, "R", 1), 1);
	reads(&f, readme, "Read me\n");
	reads(&f, look(&f, NODE_ROOT, "README"), "read it again\n");
	assert_int_equal(look(&f, NODE_ROOT, "a.c"), same);
	assert_int_equal(view_getattr(f.view, &OWNER, deep, &a), 0);
	assert_int_equal(a.nlink, 0);
	assert_int_equal(view_lookup(f.view, &OWNER, deep, "x", &a), -ENOENT);
	assert_int_equal(view_mkdir(f.view, &OWNER, deep, "x", 0755, &a), -ENOENT);
	view_forget(f.view, readme, 1);
	view_forget(f.view, deep, 1);
	assert_int_equal(view_getattr(f.view, &OWNER, readme, &a), -ENOENT);
	assert_int_equal(view_getattr(f.view, &OWNER, deep, &a), -ENOENT);
	view_fixture_release(&f);
}

/* st_ino and times of what stayed, the sync's time of what changed; back again nothing is mixed up. */
static void test_tree_sync__only_what_changed_shows_a_new_time(void **state)
{
	struct view_fixture f;
	struct node_attr same, run, a;
	uint64_t dir;

	view_fixture_init(&f, ALLOW);
	second_base(&f);
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "link", &same), 0);
	dir = look(&f, NODE_ROOT, "a");
	assert_int_equal(view_lookup(f.view, &OWNER, dir, "run", &run), 0);
	assert_int_equal(move(&f, "second.img"), 0);
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "link", &a), 0);
	assert_memory_equal(&a, &same, sizeof(a));
	assert_int_equal(view_lookup(f.view, &OWNER, look(&f, NODE_ROOT, "a"), "run", &a), 0);
	assert_memory_equal(&a, &run, sizeof(a));
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "added", &a), 0);
	assert_true(a.mtime > run.mtime && a.ino != run.ino);
	assert_int_equal(move(&f, "sample.img"), 0);
	reads(&f, look(&f, NODE_ROOT, "README"), "read me\n");
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "link", &a), 0);
	assert_memory_equal(&a, &same, sizeof(a));
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "added", &a), -ENOENT);
	view_fixture_release(&f);
}

static void write_file(struct view_fixture *f, const char *name, const char *text)
{
	struct node_attr a;
	struct view_setattr cut = {.set = VIEW_SET_SIZE};
	int r = view_lookup(f->view, &OWNER, NODE_ROOT, name, &a);

	if (r < 0)
		r = view_mknod(f->view, &OWNER, NODE_ROOT, name, S_IFREG | 0644, 0, &a);
	assert_int_equal(r, 0);
	assert_int_equal(view_setattr(f->view, &OWNER, a.id, &cut, &a), 0);
	assert_int_equal(view_write(f->view, &OWNER, a.id, 0, text, strlen(text)),
			 (ssize_t)strlen(text));
}

static void act(struct buf *b, struct sync_path *last, const char *path, enum sync_kind kind,
		uint64_t size)
{
	struct sync_action a = {.kind = kind, .mode = 0644, .size = size};

	assert_int_equal(sync_action_add(b, last, path, &a), 0);
}

/* The view's file is what the base has now: it keeps its number and its times, and is no change. */
static void test_tree_sync__same_content_becomes_the_bases(void **state)
{
	struct view_fixture f;
	struct buf b = BUF_INIT;
	struct sync_path last = {BUF_INIT};
	struct node_attr was[2], a;
	struct view_info info;

	view_fixture_init(&f, ALLOW);
	second_base(&f);
	write_file(&f, "README", "read it again\n");
	write_file(&f, "added", "int main;\n");
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "README", &was[0]), 0);
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "added", &was[1]), 0);
	act(&b, &last, "README", SYNC_SAME, 0);
	act(&b, &last, "added", SYNC_SAME, 0);
	assert_int_equal(move_to(&f, "second.img", (struct bytes){b.data, b.len}, -1), 0);
	view_info(f.view, &info);
	assert_int_equal(info.changed, 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, i ? "added" : "README", &a),
				 0);
		assert_memory_equal(&a, &was[i], sizeof(a));
	}
	survive(&f, false);
	survive(&f, true);
	assert_int_equal(move(&f, "sample.img"), 0); /* and goes with it */
	reads(&f, look(&f, NODE_ROOT, "README"), "read me\n");
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "added", &a), -ENOENT);
	survive(&f, false);
	buf_release(&b);
	buf_release(&last.path);
	view_fixture_release(&f);
}

/* The node that the base knew by one name becomes the new base's by another. */
static void test_tree_sync__a_renamed_file_becomes_the_bases_and_its_old_name_is_gone(void **state)
{
	struct sync_path last = {BUF_INIT};
	struct view_fixture f;
	struct buf b = BUF_INIT, t = BUF_INIT;
	struct node_attr a;
	uint64_t id;

	view_fixture_init(&f, ALLOW);
	tree_adds(&t, "100644", "0-first", store_blob(&f.store, "read me\n"));
	tree_adds(&t, "100644", "z-last", store_blob(&f.store, "int main;\n"));
	image_close(store_image(&f.store, store_tree(&f.store, &t), NULL, "images/second.img"));
	id = look(&f, NODE_ROOT, "README");
	assert_int_equal(view_rename(f.view, &OWNER, NODE_ROOT, "README", NODE_ROOT, "0-first", 0),
			 0);
	assert_int_equal(view_rename(f.view, &OWNER, NODE_ROOT, "a.c", NODE_ROOT, "z-last", 0), 0);
	act(&b, &last, "0-first", SYNC_SAME, 0);
	act(&b, &last, "z-last", SYNC_SAME, 0);
	assert_int_equal(move_to(&f, "second.img", (struct bytes){b.data, b.len}, -1), 0);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(look(&f, NODE_ROOT, "0-first"), id);
		reads(&f, id, "read me\n");
		reads(&f, look(&f, NODE_ROOT, "z-last"), "int main;\n");
		assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "README", &a), -ENOENT);
		assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "a.c", &a), -ENOENT);
		survive(&f, again);
	}
	assert_int_equal(move(&f, "sample.img"), 0);
	reads(&f, look(&f, NODE_ROOT, "README"), "read me\n");
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "0-first", &a), -ENOENT);
	buf_release(&b);
	buf_release(&last.path);
	view_fixture_release(&f);
}

static void test_tree_sync__actions_replace_and_drop(void **state)
{
	struct view_fixture f;
	struct buf b = BUF_INIT;
	struct sync_path last = {BUF_INIT};
	struct node_attr a;
	int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_pwrite_full(fd, "merged\n", 7, 0), 0);
	view_fixture_init(&f, ALLOW);
	second_base(&f);
	write_file(&f, "README", "mine\n");
	write_file(&f, "a.c", "mine\n");
	write_file(&f, "a0", "mine\n");
	act(&b, &last, "README", SYNC_DROP, 0);
	act(&b, &last, "a.c", SYNC_PUT, 7);
	act(&b, &last, "new/folder/file", SYNC_PUT, 7);
	act(&b, &last, "a0", SYNC_DROP, 0);
	assert_int_equal(move_to(&f, "second.img", (struct bytes){b.data, b.len}, fd), 0);
	reads(&f, look(&f, NODE_ROOT, "README"), "read it again\n");
	reads(&f, look(&f, NODE_ROOT, "a.c"), "merged\n");
	reads(&f, look(&f, look(&f, look(&f, NODE_ROOT, "new"), "folder"), "file"), "merged\n");
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "a0", &a), -ENOENT);
	check_links(&f, NODE_ROOT);
	survive(&f, false);
	survive(&f, true);
	(void)close(fd);
	buf_release(&b);
	buf_release(&last.path);
	view_fixture_release(&f);
}

/* Who prepared a move on an older state than the view's is refused, and nothing has happened. */
static void test_tree_sync__a_changed_view_is_not_moved(void **state)
{
	struct view_fixture f;
	struct view_info before, after;
	struct view_move m = {.image = "second.img", .commit = "89ab", .time = 1};
	uint64_t kept;

	view_fixture_init(&f, ALLOW);
	second_base(&f);
	view_info(f.view, &before);
	write_file(&f, "a.c", "mine\n");
	m.seq = before.seq;
	assert_int_equal(view_move_base(f.view, &m, -1, (struct bytes){"", 0}, &kept), -EAGAIN);
	reads(&f, look(&f, NODE_ROOT, "README"), "read me\n");
	m.image = "absent.img";
	view_info(f.view, &after);
	m.seq = after.seq;
	assert_int_equal(view_move_base(f.view, &m, -1, (struct bytes){"", 0}, &kept), -ENOENT);
	reads(&f, look(&f, NODE_ROOT, "README"), "read me\n");
	assert_int_equal(f.view->rec.tree.layer, 1);
	view_fixture_release(&f);
}

static void test_tree_sync__many_in_a_row(void **state)
{
	struct view_fixture f;

	view_fixture_init(&f, ALLOW);
	second_base(&f);
	write_file(&f, "a.c", "mine\n");
	for (int i = 0; i < 300; i++)
		assert_int_equal(move(&f, i % 2 ? "sample.img" : "second.img"), 0);
	reads(&f, look(&f, NODE_ROOT, "a.c"), "mine\n");
	assert_true(f.view->rec.tree.base.n <= 8);
	assert_int_equal(f.view->rec.tree.kept.used, 0);
	survive(&f, false);
	survive(&f, true);
	f.view->rec.tree.layer = NODE_LAYERS_MAX - 1;
	assert_int_equal(move(&f, "second.img"), -EMLINK);
	view_fixture_release(&f);
}

/* Each call that can fail fails once: nothing has happened then, and the journal recovers the same. */
static void test_tree_sync__failures_leave_the_old_base(void **state)
{
	struct view_fixture f;
	char *before, *after;
	int r = -1, failed = 0;

	view_fixture_init(&f, ALLOW);
	second_base(&f);
	write_file(&f, "a.c", "mine\n");
	write_file(&f, "mine", "mine\n");
	before = view_picture(&f);
	for (long n = 1; r < 0; n++) {
		fault_arm(n, ENOMEM);
		fault.memory = true;
		r = move(&f, "second.img");
		fault_disarm();
		if (r == 0)
			break;
		failed++;
		assert_int_equal(f.view->rec.tree.layer, 1);
		after = view_picture(&f);
		assert_string_equal(after, before);
		free(after);
		assert_true(n < 2000);
	}
	assert_true(failed > 20);
	survive(&f, false);
	free(before);
	view_fixture_release(&f);
}

static git_oid wide_tree(struct store *s, const char *last)
{
	git_oid blob = store_blob(s, "x\n");
	struct buf t = BUF_INIT;

	for (int d = 0; d < 50; d++) {
		struct buf sub = BUF_INIT;
		char name[32];

		for (int i = 0; i < 1000; i++) {
			(void)snprintf(name, sizeof(name), "f%04d", i);
			tree_adds(&sub, "100644", name,
				  d == 49 && i == 999 ? store_blob(s, last) : blob);
		}
		(void)snprintf(name, sizeof(name), "d%02d", d);
		tree_adds(&t, "40000", name, store_tree(s, &sub));
	}
	return store_tree(s, &t);
}

/* One file of 50,000 differs: counted is what is allocated, which every step of the work does. */
static void test_tree_sync__costs_what_differs(void **state)
{
	struct view_fixture f;

	view_fixture_init(&f, ALLOW);
	image_close(store_image(&f.store, wide_tree(&f.store, "one\n"), NULL, "images/w1.img"));
	image_close(store_image(&f.store, wide_tree(&f.store, "two\n"), NULL, "images/w2.img"));
	assert_int_equal(move(&f, "w1.img"), 0);
	fault_arm(0, 0);
	fault.memory = true;
	assert_int_equal(move(&f, "w2.img"), 0);
	fault_disarm();
	assert_true(fault.calls < 200);
	assert_true(f.view->rec.tree.base.n <= 4);
	reads(&f, look(&f, look(&f, NODE_ROOT, "d49"), "f0999"), "two\n");
	reads(&f, look(&f, look(&f, NODE_ROOT, "d49"), "f0998"), "x\n");
	view_fixture_release(&f);
}

static void test_tree_sync__frozen_refuses_and_journals(void **state)
{
	struct view_fixture f;
	struct node_attr a;
	struct view_info info;

	view_fixture_init(&f, ALLOW);
	view_freeze(f.view, true);
	assert_int_equal(view_mknod(f.view, &OWNER, NODE_ROOT, "x", S_IFREG | 0644, 0, &a), -EROFS);
	assert_int_equal(view_write(f.view, &OWNER, look(&f, NODE_ROOT, "README"), 0, "x", 1),
			 -EROFS);
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "README"), -EROFS);
	view_info(f.view, &info);
	assert_int_equal(info.denied, 3);
	second_base(&f);
	assert_int_equal(move(&f, "second.img"), 0);
	view_freeze(f.view, false);
	assert_int_equal(view_unlink(f.view, &OWNER, NODE_ROOT, "README"), 0);
	view_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree_sync__holders_keep_the_old_file),
		cmocka_unit_test(test_tree_sync__only_what_changed_shows_a_new_time),
		cmocka_unit_test(test_tree_sync__same_content_becomes_the_bases),
		cmocka_unit_test(
			test_tree_sync__a_renamed_file_becomes_the_bases_and_its_old_name_is_gone),
		cmocka_unit_test(test_tree_sync__actions_replace_and_drop),
		cmocka_unit_test(test_tree_sync__a_changed_view_is_not_moved),
		cmocka_unit_test(test_tree_sync__many_in_a_row),
		cmocka_unit_test(test_tree_sync__failures_leave_the_old_base),
		cmocka_unit_test(test_tree_sync__costs_what_differs),
		cmocka_unit_test(test_tree_sync__frozen_refuses_and_journals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
