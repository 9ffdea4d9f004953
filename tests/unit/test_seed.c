/* SPDX-License-Identifier: Apache-2.0 */
/* Untracked files that come from the main worktree: taking them over. */
#include "seed_fixture.h"

/* --- bytes --- */

static void test_seed__names_go_both_ways_and_damage_is_found(void **state)
{
	const struct seed_name names[] = {
		{.name = {"file", 4}, .mode = S_IFREG | 0644, .size = 7, .ino = 9, .mtime = -1},
		{.name = {"link", 4}, .target = {"a/b", 3}, .mode = S_IFLNK | 0777, .ctime = 5},
		{.name = {"dir", 3}, .mode = S_IFDIR | 0755, .holder = true},
	};
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct seed_name n;
	struct bytes left;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(seed_encode(&b, &names[i]), 0);
	left = (struct bytes){b.data, b.len};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(seed_decode(&left, &n), 1);
		assert_int_equal(n.mode, names[i].mode);
		assert_int_equal(n.holder, names[i].holder);
		assert_int_equal(n.mtime, names[i].mtime);
		assert_memory_equal(n.name.p, names[i].name.p, names[i].name.n);
		assert_int_equal(n.target.n, names[i].target.n);
	}
	assert_int_equal(seed_decode(&left, &n), 0);
	for (size_t cut = 1; cut < b.len; cut++) {
		int r = 1;

		for (left = (struct bytes){b.data, cut}; r > 0;)
			r = seed_decode(&left, &n);
		assert_true(r == -EBADMSG || cut == 44 || cut == 91);
	}
	for (size_t i = 0; i < b.len; i++) /* hostile: never beyond the end (ASan), never a "/" */
		for (int bit = 0; bit < 8; bit++) {
			b.data[i] ^= (char)(1 << bit);
			left = (struct bytes){b.data, b.len};
			while (seed_decode(&left, &n) > 0)
				assert_true(tree_name_ok(n.name.p, n.name.n));
			b.data[i] ^= (char)(1 << bit);
		}
}

/* --- taking over --- */

static void test_seed__costs_what_is_looked_at(void **state)
{
	struct planted p;
	struct tree *t;
	uint64_t seq;

	(void)state;
	init(&p, FREE_POLICY);
	t = &p.f.view->rec.tree;
	assert_int_equal(t->nseeds, 5); /* .env, lib; new, er, file held by "deep" of the base */
	assert_true(t->seeded);
	seq = t->seq;
	(void)find(&p, "lib");
	assert_int_equal(t->seq, seq);
	(void)find(&p, "lib/a");
	assert_int_equal(t->nseeds, 9);
	assert_int_equal(t->seq, seq + 1);
	reads(&p, "lib/one", "first file\n");
	assert_int_equal(t->seq, seq + 2);
	reads(&p, "lib/one", "first file\n");
	assert_int_equal(t->seq, seq + 2);
	assert_int_equal(t->seed_bytes, 11);
	assert_int_equal(find(&p, ".env").uid, OWNER_UID);
	assert_int_equal(view_lookup(p.f.view, &OWNER, find(&p, "deep/new").id, "other",
				     &(struct node_attr){0}),
			 -ENOENT);
	view_fixture_release(&p.f);
}

static void test_seed__replays_without_the_main_worktree(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) { /* journal; full checkpoint; full and delta */
		struct planted p;
		char *live, *again;

		init(&p, FREE_POLICY);
		reads(&p, ".env", "TOKEN=1\n");
		if (way == 2) {
			view_close(p.f.view);
			view_fixture_open(&p.f);
		}
		live = view_picture(&p.f); /* reads everything */
		lose_main(&p);
		if (way == 1)
			p.f.view->last_checkpoint = 0;
		if (way) {
			assert_int_equal(view_checkpoint(p.f.view, 0), 0);
		}
		view_fixture_crash(&p.f);
		again = view_picture(&p.f);
		assert_string_equal(again, live);
		assert_true(p.f.view->rec.tree.seed_bytes > 0);
		assert_true(p.f.view->rec.tree.seeded);
		free(live);
		free(again);
		view_fixture_release(&p.f);
	}
}

/* What was not taken over still is what it was after a restart, and comes from the main worktree. */
static void test_seed__sources_survive_checkpoints(void **state)
{
	struct planted p;

	(void)state;
	init(&p, FREE_POLICY);
	(void)find(&p, "lib/one");
	p.f.view->last_checkpoint = 0;
	assert_int_equal(view_checkpoint(p.f.view, 0), 0);
	view_fixture_crash(&p.f);
	assert_int_equal(p.f.view->rec.checkpoint_seq > 0, 1);
	reads(&p, "lib/one", "first file\n");
	reads(&p, "lib/b/c/three", "third\n");
	view_close(p.f.view);
	view_fixture_open(&p.f);
	lose_main(&p);
	reads(&p, "lib/one", "first file\n");
	reads(&p, "lib/b/c/three", "third\n");
	view_fixture_release(&p.f);
}

static void test_seed__is_the_agents_own_once_changed(void **state)
{
	struct view_setattr chmod_it = {.set = VIEW_SET_MODE, .mode = 0755};
	struct view_setattr cut = {.set = VIEW_SET_SIZE, .size = 5};
	struct node_attr lib, a;
	struct planted p;

	(void)state;
	init(&p, FREE_POLICY);
	lib = find(&p, "lib");
	assert_int_equal(view_write(p.f.view, &OWNER, find(&p, ".env").id, 6, "2", 1), 1);
	reads(&p, ".env", "TOKEN=2\n");
	assert_int_equal(view_setattr(p.f.view, &OWNER, find(&p, "lib/one").id, &cut, &a), 0);
	reads(&p, "lib/one", "first");
	assert_int_equal(view_setattr(p.f.view, &OWNER, find(&p, "lib/a/two").id, &chmod_it, &a),
			 0);
	assert_int_equal(
		view_link(p.f.view, &OWNER, find(&p, "lib/b/c/three").id, lib.id, "three", &a), 0);
	assert_int_equal(view_rename(p.f.view, &OWNER, find(&p, "deep/new/er").id, "file",
				     NODE_ROOT, "moved", 0),
			 0);
	lose_main(&p);
	reads(&p, ".env", "TOKEN=2\n");
	reads(&p, "lib/a/two", "second file, longer\n");
	reads(&p, "lib/three", "third\n");
	reads(&p, "moved", "held\n");
	view_fixture_release(&p.f);
}

static void test_seed__names_that_are_there_stay(void **state)
{
	struct planted p;
	struct node_attr a;

	(void)state;
	init(&p, FREE_POLICY);
	put_dir(&p, "src");
	put_file(&p, "README", "of the main worktree\n");
	reads(&p, "README", "read me\n");
	/* A folder that was emptied and filled before anybody looked: as a crash in the middle. */
	assert_int_equal(view_unlink(p.f.view, &OWNER, find(&p, "lib").id, "one"), 0);
	assert_int_equal(view_lookup(p.f.view, &OWNER, find(&p, "lib").id, "one", &a), -ENOENT);
	put_file(&p, "lib/later", "x");
	assert_int_equal(view_lookup(p.f.view, &OWNER, find(&p, "lib").id, "later", &a), -ENOENT);
	assert_int_equal(view_rmdir(p.f.view, &OWNER, NODE_ROOT, "lib"), -ENOTEMPTY);
	view_fixture_release(&p.f);
}

/* What reads without waiting is told to wait, and nothing is taken over for it. */
static void test_seed__reading_at_once_never_waits(void **state)
{
	struct view_ctx at_once = OWNER;
	struct planted p;
	uint64_t id, seq;
	char b[16];

	(void)state;
	init(&p, FREE_POLICY);
	id = find(&p, ".env").id;
	seq = p.f.view->rec.tree.seq;
	at_once.nowait = true;
	assert_int_equal(view_read(p.f.view, &at_once, id, 0, b, sizeof(b)), -EAGAIN);
	assert_int_equal(p.f.view->rec.tree.seq, seq);
	reads(&p, ".env", "TOKEN=1\n");
	assert_int_equal(view_read(p.f.view, &at_once, id, 0, b, sizeof(b)), 8);
	view_fixture_release(&p.f);
}

/* A damaged or hostile record is refused, or applied to a tree that a checkpoint can hold. */
static void test_seed__hostile_records_break_nothing(void **state)
{
	struct planted p;
	struct tree *t;
	uint64_t rng = 99;
	unsigned int taken = 0;

	(void)state;
	init(&p, FREE_POLICY);
	t = &p.f.view->rec.tree;
	for (int round = 0; round < 20000; round++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct record rec = {.type = RECORD_OP, .seq = t->seq + 1, .time = 5};
		char name[8];

		rng = rng * 6364136223846793005u + 1442695040888963407u;
		(void)snprintf(name, sizeof(name), "n%d", (int)(rng >> 60));
		(void)seed_encode(
			&b, &(struct seed_name){.name = {name, strlen(name)},
						.mode = rng & 1 ? S_IFDIR | 0700 : S_IFREG | 0600,
						.size = rng & 1 ? 0 : 3});
		if (rng >> 8 & 1)
			(void)seed_encode_piece(&b, &(struct seed_piece){0, 3, UINT64_C(1) << 32});
		if (rng >> 9 & 3)
			b.data[(rng >> 16) % b.len] ^= (char)(rng >> 40);
		RECORD_SET(&rec, op, F_OP, OP_SEED);
		RECORD_SET(&rec, mask, F_MASK, (uint32_t)(rng >> 11 & 3));
		RECORD_SET(&rec, node, F_NODE,
			   NODE_UPPER_FIRST + (rng >> 20) % (t->next_upper - 60));
		RECORD_SET(&rec, node2, F_NODE2, t->next_upper - !(rng >> 13 & 15));
		RECORD_SET(
			&rec, path, F_PATH,
			((struct bytes){rng >> 14 & 7 ? "a/b" : "a/../b", rng >> 14 & 7 ? 3 : 6}));
		RECORD_SET(&rec, size, F_SIZE, rng >> 17 & 7);
		RECORD_SET(&rec, value, F_VALUE, ((struct bytes){b.data, b.len}));
		taken += apply_replay(t, &rec) == 0;
	}
	assert_true(taken > 100 && taken < 15000);
	p.f.view->last_checkpoint = 0; /* a full one, of all that */
	for (size_t pos = 0; pos < t->nodes.cap;
	     pos++) { /* what lies in data segments is no matter */
		struct node *n = t->nodes.slots[pos].key ? t->nodes.slots[pos].value : NULL;

		if (n && S_ISREG(n->mode) && (n->flags & NODE_F_SEED) && !n->seed && n->size) {
			seed_uncount(t, n);
			extent_punch(&n->extents, 0, UINT64_MAX, NULL);
			seed_count(t, n);
		}
	}
	{
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct checkpoint_info info;
		struct err e = ERR_INIT;
		struct tree again;
		int dir;

		assert_int_equal(io_mkdir(p.f.state, "ck", 0700), 0);
		dir = openat(p.f.state, "ck", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(checkpoint_collect(t, p.f.view->conf.view_id, 0, true, &b), 0);
		assert_int_equal(checkpoint_write(dir, t->seq, &b), 0);
		assert_int_equal(tree_init(&again, t->image, 1, 1), 0);
		assert_int_equal(checkpoint_load(dir, p.f.view->conf.view_id, 0, &again, &info, &e),
				 0);
		assert_int_equal(info.bad, 0);
		assert_int_equal(again.nseeds, t->nseeds);
		assert_int_equal(again.nodes.used, t->nodes.used);
		tree_release(&again);
		(void)close(dir);
	}
	view_fixture_release(&p.f);
}

/* --- failures --- */

static int one_of_all(struct planted *p, int what)
{
	struct node_attr a = {0}, lib;
	char b[32];
	int r = view_lookup(p->f.view, &OWNER, NODE_ROOT, "lib", &lib);

	if (r < 0)
		return r;
	switch (what) {
	case 0:
		return view_lookup(p->f.view, &OWNER, lib.id, "one", &a);
	case 1:
		r = view_lookup(p->f.view, &OWNER, lib.id, "one", &a);
		return r < 0 ? r : (int)view_read(p->f.view, &OWNER, a.id, 0, b, sizeof(b));
	case 2:
		r = view_lookup(p->f.view, &OWNER, lib.id, "a", &a);
		if (r == 0)
			r = view_lookup(p->f.view, &OWNER, a.id, "two", &a);
		return r < 0 ? r : (int)view_write(p->f.view, &OWNER, a.id, 0, "X", 1);
	default:
		return view_rename(p->f.view, &OWNER, NODE_ROOT, ".env", NODE_ROOT, "x", 0);
	}
}

/* Each memory request and system call fails once: an error and a tree that can go on, or success. */
static void test_seed__failed_call_leaves_it_as_it_was(void **state)
{
	unsigned int failed = 0;

	(void)state;
	for (int what = 0; what < 4; what++)
		for (int n = 1; n < 200; n += n < 30 ? 1 : 6) {
			struct planted p;
			char *live, *again;
			bool reached;
			int r;

			init(&p, FREE_POLICY);
			fault.memory = true;
			fault.half = n & 1;
			fault_arm(n, ENOSPC);
			r = one_of_all(&p, what);
			reached = fault_disarm();
			failed += r < 0;
			if (r < 0)
				assert_true(one_of_all(&p, what) >= 0);
			live = view_picture(&p.f);
			lose_main(&p);
			view_fixture_crash(&p.f);
			again = view_picture(&p.f);
			assert_string_equal(again, live);
			free(live);
			free(again);
			view_fixture_release(&p.f);
			if (!reached)
				break;
		}
	assert_true(failed > 30);
}

/* A folder whose names take several records, and a crash behind the first. */
static void test_seed__half_a_folder_is_completed(void **state)
{
	enum { NAMES = 6000 };
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record rec;
	struct planted p;
	struct node_attr a;
	char name[64];
	uint64_t dir, seq;

	(void)state;
	init(&p, FREE_POLICY);
	put_dir(&p, "lib/wide");
	for (int i = 0; i < NAMES; i++) {
		(void)snprintf(name, sizeof(name), "lib/wide/name-%040d", i);
		put_file(&p, name, "");
	}
	dir = find(&p, "lib/wide").id;
	for (int i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "name-%040d", i * 7);
		assert_int_equal(seed_encode(&b, &(struct seed_name){.name = {name, strlen(name)},
								     .mode = S_IFREG | 0600}),
				 0);
	}
	view_record(p.f.view, &OWNER, &rec, OP_SEED);
	RECORD_SET(&rec, mask, F_MASK, (uint32_t)SEED_NAMES | (uint32_t)SEED_MORE);
	RECORD_SET(&rec, node, F_NODE, dir);
	RECORD_SET(&rec, node2, F_NODE2, p.f.view->rec.tree.next_upper);
	RECORD_SET(&rec, path, F_PATH, ((struct bytes){"lib/wide", 8}));
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){b.data, b.len}));
	assert_int_equal(view_commit(p.f.view, &rec), 0);
	view_fixture_crash(&p.f);
	assert_true(seed_is_unread(&p.f.view->rec.tree, dir));
	seq = p.f.view->rec.tree.seq;
	for (int i = 0; i < NAMES; i += 7) {
		(void)snprintf(name, sizeof(name), "name-%040d", i);
		assert_int_equal(view_lookup(p.f.view, &OWNER, dir, name, &a), 0);
		assert_int_equal(a.mode & 0777, i < 21 ? 0600 : 0644);
	}
	assert_true(p.f.view->rec.tree.seq > seq + 1);
	assert_true(p.f.view->rec.tree.nseeds > NAMES);
	view_fixture_release(&p.f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seed__names_go_both_ways_and_damage_is_found),
		cmocka_unit_test(test_seed__costs_what_is_looked_at),
		cmocka_unit_test(test_seed__replays_without_the_main_worktree),
		cmocka_unit_test(test_seed__sources_survive_checkpoints),
		cmocka_unit_test(test_seed__is_the_agents_own_once_changed),
		cmocka_unit_test(test_seed__names_that_are_there_stay),
		cmocka_unit_test(test_seed__reading_at_once_never_waits),
		cmocka_unit_test(test_seed__hostile_records_break_nothing),
		cmocka_unit_test(test_seed__failed_call_leaves_it_as_it_was),
		cmocka_unit_test(test_seed__half_a_folder_is_completed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
