/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: a full one, deltas, folding and pruning give the tree that replaying everything gives;
 * damage, a full disk and a failing call cost nothing but time. */
#include "view_random.h"

#include <dirent.h>
#include <errno.h>

#include "checkpoint_impl.h"
#include "fault.h"

static const char FREE_POLICY[] = "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n";

static uint64_t seed_from_env(void)
{
	const char *s = getenv("AGENTFS_SEED");

	return s ? strtoull(s, NULL, 0) : 77;
}

static void steps(struct view_fixture *f, uint64_t *seed, int n)
{
	while (n-- > 0)
		(void)random_step(f, seed);
}

/* Closes, which writes a checkpoint, and opens again. */
static void reopen(struct view_fixture *f)
{
	view_close(f->view);
	view_fixture_open(f);
}

static int checkpoints(struct view_fixture *f)
{
	int dir = openat(f->dir, "checkpoint", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dir >= 0);
	return dir;
}

static size_t count_files(struct view_fixture *f)
{
	DIR *d = fdopendir(checkpoints(f));
	struct dirent *de;
	size_t n = 0;

	assert_non_null(d);
	while ((de = readdir(d)))
		n += de->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

static uint64_t newest(struct view_fixture *f)
{
	_cleanup_close_ int dir = checkpoints(f);
	_cleanup_free_ uint64_t *seqs = NULL;
	size_t n;

	assert_int_equal(checkpoint_list(dir, &seqs, &n), 0);
	return n ? seqs[0] : 0;
}

static void remove_all(struct view_fixture *f)
{
	_cleanup_close_ int dir = checkpoints(f);
	_cleanup_free_ uint64_t *seqs = NULL;
	char name[32];
	size_t n;

	assert_int_equal(checkpoint_list(dir, &seqs, &n), 0);
	for (size_t i = 0; i < n; i++) {
		checkpoint_file_name(name, seqs[i]);
		assert_int_equal(unlinkat(dir, name, 0), 0);
	}
}

static void assert_picture(struct view_fixture *f, const char *want)
{
	char *now = view_picture(f);

	assert_string_equal(now, want);
	free(now);
}

static void test_checkpoint__chain_equals_replay_of_everything(void **state)
{
	uint64_t seed = seed_from_env(), first_full = 0;
	bool folded = false, delta = false;
	struct view_fixture f;
	uint64_t live;
	char *want;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	for (int round = 0; round < 60; round++) {
		steps(&f, &seed, 40);
		want = view_picture(&f);
		reopen(&f);
		assert_picture(&f, want);
		assert_int_equal(f.view->rec.checkpoint.bad, 0);
		assert_true(f.view->rec.replayed <= 18); /* fewer are not worth one */
		delta |= f.view->rec.checkpoint.delta_bytes > 0;
		if (!first_full)
			first_full = f.view->last_full;
		folded |= f.view->last_full > first_full;
		assert_true(count_files(&f) < 45); /* two chains, each folded in time */
		free(want);
	}
	assert_true(delta);
	assert_true(folded);
	want = view_picture(&f);
	live = data_live_bytes(f.view->rec.data);
	view_close(f.view);
	remove_all(&f);
	view_fixture_open(&f);
	assert_true(f.view->rec.replayed > 500);
	assert_picture(&f, want);
	assert_int_equal(data_live_bytes(f.view->rec.data), live);
	free(want);
	view_fixture_release(&f);
}

/* A byte changed anywhere in the newest: the one before and the journal say the same. */
static void test_checkpoint__damaged_one_is_passed_over(void **state)
{
	uint64_t seed = seed_from_env(), live;
	struct view_fixture f;
	struct buf b = BUF_INIT;
	char name[32], *want;
	int dir;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	steps(&f, &seed, 60);
	reopen(&f);
	steps(&f, &seed, 60);
	want = view_picture(&f);
	live = data_live_bytes(f.view->rec.data);
	view_close(f.view);
	dir = checkpoints(&f);
	checkpoint_file_name(name, newest(&f));
	assert_int_equal(io_read_file(dir, name, 1 << 24, &b), 0);
	for (int i = 0; i < 40; i++) {
		size_t at = rnd(&seed, (uint32_t)b.len);

		char was = b.data[at];

		b.data[at] ^= (char)(1 << rnd(&seed, 8));
		assert_int_equal(io_replace_file(dir, name, b.data, b.len, 0600), 0);
		view_fixture_open(&f);
		/* a flag that every version may ignore is no damage, but the checksum is */
		assert_int_equal(f.view->rec.checkpoint.bad, 1);
		assert_picture(&f, want);
		assert_int_equal(data_live_bytes(f.view->rec.data), live);
		f.view->last_checkpoint = UINT64_MAX - CHECKPOINT_EVERY;
		view_close(f.view);
		b.data[at] = was;
	}
	(void)close(dir);
	buf_release(&b);
	view_fixture_open(&f);
	free(want);
	view_fixture_release(&f);
}

/* Fails the n-th call while a checkpoint is written, for each n: nothing is lost, and the next one
 * holds what this one would have. */
static void fail_each_call(int error, bool memory)
{
	uint64_t seed = seed_from_env();
	bool failed = true;

	for (long n = 1; failed; n++) {
		struct view_fixture f;
		char *want;

		view_fixture_init(&f, FREE_POLICY);
		steps(&f, &seed, 30);
		reopen(&f);
		steps(&f, &seed, 30);
		want = view_picture(&f);
		fault.memory = memory;
		fault_arm(n, error);
		view_close(f.view);
		failed = fault_disarm();
		view_fixture_open(&f);
		assert_int_equal(f.view->rec.checkpoint.bad, 0);
		assert_picture(&f, want);
		steps(&f, &seed, 30);
		free(want);
		want = view_picture(&f);
		reopen(&f);
		assert_picture(&f, want);
		free(want);
		view_fixture_release(&f);
	}
	fault.memory = false;
}

static void test_checkpoint__failed_call_loses_nothing(void **state)
{
	(void)state;
	fail_each_call(ENOSPC, false);
	fail_each_call(EIO, false);
	fail_each_call(ENOMEM, true);
}

/* A tick whose checkpoint fails, and a later one that does not, in the same process: what was noted
 * for the first is in the second. */
static void test_checkpoint__failed_one_is_made_up_for(void **state)
{
	uint64_t seed = seed_from_env();
	struct view_fixture f;
	char *want;

	(void)state;
	for (long n = 1; n < 8; n++) {
		view_fixture_init(&f, FREE_POLICY);
		steps(&f, &seed, 30);
		reopen(&f);
		steps(&f, &seed, 30);
		assert_int_equal(view_sync(f.view), 0); /* so that what fails is the checkpoint */
		fault_arm(n, ENOSPC);
		(void)view_checkpoint(f.view, 0);
		(void)fault_disarm();
		if (f.view->failed) { /* its sync: tested elsewhere */
			view_fixture_release(&f);
			continue;
		}
		steps(&f, &seed, 30);
		assert_int_equal(view_checkpoint(f.view, 0), 0);
		want = view_picture(&f);
		view_fixture_crash(&f);
		assert_int_equal(f.view->rec.checkpoint.bad, 0);
		assert_picture(&f, want);
		free(want);
		view_fixture_release(&f);
	}
}

static void test_checkpoint__leftovers_of_a_crash_are_removed(void **state)
{
	uint64_t seed = seed_from_env();
	struct view_fixture f;
	int dir;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	steps(&f, &seed, 200);
	reopen(&f);
	dir = checkpoints(&f);
	assert_int_equal(io_replace_file(dir, "00000000000000000009.ckp.17.tmp", "x", 1, 0600), 0);
	f.view->delta_bytes = UINT64_MAX / 2; /* the next is a full one */
	steps(&f, &seed, 200);
	reopen(&f);
	assert_int_equal(faccessat(dir, "00000000000000000009.ckp.17.tmp", F_OK, 0), -1);
	(void)close(dir);
	view_fixture_release(&f);
}

/* What a fresh, idle view takes: one segment and two spares of journal and data, and little else. */
static void test_checkpoint__idle_view_is_small_on_the_disk(void **state)
{
	struct view_fixture f;
	char command[128];
	unsigned long kib = 0;
	FILE *p;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	reopen(&f);
	(void)snprintf(command, sizeof(command), "du -sk %s/view", f.store.path);
	p = popen(command, "r");
	assert_non_null(p);
	assert_int_equal(fscanf(p, "%lu", &kib), 1);
	(void)pclose(p);
	(void)fprintf(stderr, "idle view: %lu KiB\n", kib);
	assert_true(kib > 0 && kib <= 256);
	view_fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint__chain_equals_replay_of_everything),
		cmocka_unit_test(test_checkpoint__damaged_one_is_passed_over),
		cmocka_unit_test(test_checkpoint__failed_call_loses_nothing),
		cmocka_unit_test(test_checkpoint__failed_one_is_made_up_for),
		cmocka_unit_test(test_checkpoint__leftovers_of_a_crash_are_removed),
		cmocka_unit_test(test_checkpoint__idle_view_is_small_on_the_disk),
	};

	(void)fprintf(stderr, "seed %lu\n", (unsigned long)seed_from_env());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
