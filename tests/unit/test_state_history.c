/* SPDX-License-Identifier: Apache-2.0 */
/* The history of conflicts in the state database: what was said of each, what became of it, its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "io.h"
#include "state_history.h"
#include "sys.h"

struct fixture {
	char dir[64], db[96];
	struct state *s;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/agentfs-history.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->db, sizeof(f->db), "%s/agentfs.db", f->dir);
	assert_int_equal(state_open(f->db, &f->s, NULL), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	state_close(f->s);
	assert_int_equal(io_rm_rf(AT_FDCWD, f->dir), 0);
	free(f);
	return 0;
}

static int64_t add_merge(struct state *s, uint64_t time)
{
	struct state_merge m = {.time = time,
				.repository = "/r/.git",
				.source = "s",
				.into = "main",
				.state = "merged",
				.tier = "",
				.commit = "",
				.result = "{}"};

	assert_int_equal(state_merge_add(s, &m, NULL), 0);
	return m.id;
}

static int64_t add_hunk(struct state *s, int64_t merge, uint64_t time, const char *path)
{
	struct state_hunk h = {.merge = merge,
			       .time = time,
			       .repository = "/r/.git",
			       .path = path,
			       .commit = merge ? "" : "c0ffee",
			       .line = 7,
			       .base = "b\n",
			       .ours = "o\n",
			       .theirs = "'); DROP TABLE hunks; --\n",
			       .key = "key",
			       .language = "c",
			       .declaration = ""};

	assert_int_equal(state_hunk_add(s, &h, NULL), 0);
	return h.id;
}

static void say(struct state *s, int64_t hunk, const char *who, const char *name, bool taken)
{
	const struct state_said said = {.who = who,
					.name = name,
					.taken = taken,
					.text = "kept\n",
					.class = "new",
					.reason = "why",
					.fired = 3,
					.right = 2,
					.verdict = ""};

	assert_int_equal(state_said_add(s, hunk, &said, NULL), 0);
}

static void add_attempt(struct state *s, int64_t merge, const char *state)
{
	const struct state_attempt a = {merge, 1, "/r/.git", "s", "main", "aa", "bb", "cc", state};

	assert_int_equal(state_attempt_add(s, &a, NULL), 0);
}

struct seen {
	unsigned n, with_said;
	struct state_hunk h;
	struct state_said said;
	char theirs[64], name[64], verdict[16];
};

static int see(const struct state_hunk *h, const struct state_said *said, void *user)
{
	struct seen *seen = user;

	seen->n++;
	seen->h = *h;
	snprintf(seen->theirs, sizeof(seen->theirs), "%s", h->theirs);
	if (said) {
		seen->with_said++;
		seen->said = *said;
		snprintf(seen->name, sizeof(seen->name), "%s", said->name);
		snprintf(seen->verdict, sizeof(seen->verdict), "%s", said->verdict);
	}
	return 0;
}

static struct seen history(struct state *s, struct state_history_filter f)
{
	struct seen seen = {0};

	if (!f.limit)
		f.limit = 1000;
	assert_int_equal(state_history(s, &f, see, &seen, NULL), 0);
	return seen;
}

static void test_history__rows_come_back_as_they_went(void **state)
{
	struct fixture *f = *state;
	int64_t merge = add_merge(f->s, 1), hunk = add_hunk(f->s, merge, 1, "a.c");
	struct seen seen = history(f->s, (struct state_history_filter){.merge = merge});

	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.with_said, 0);
	assert_int_equal(seen.h.id, hunk);
	assert_int_equal(seen.h.line, 7);
	assert_string_equal(seen.theirs, "'); DROP TABLE hunks; --\n");
	say(f->s, hunk, "resolver", "version", true);
	say(f->s, hunk, "resolver", "adjacent", false);
	seen = history(f->s, (struct state_history_filter){.repository = "/r/.git", .taken = true});
	assert_int_equal(seen.n, 1);
	assert_string_equal(seen.name, "version");
	assert_int_equal(seen.said.fired, 3);
	assert_int_equal(seen.said.right, 2);
	assert_int_equal(history(f->s, (struct state_history_filter){.merge = merge}).n, 2);
	assert_int_equal(history(f->s, (struct state_history_filter){.path = "b.c"}).n, 0);
	assert_int_equal(history(f->s, (struct state_history_filter){.person = true}).n, 0);
	assert_int_equal(history(f->s, (struct state_history_filter){.repository = "/other"}).n, 0);
}

static int count_record(const struct state_record *r, void *user)
{
	struct state_record *sum = user;

	assert_string_equal(r->repository, "/r/.git");
	if (strcmp(r->resolver, "version") == 0) {
		sum->fired += r->fired;
		sum->right += r->right;
	}
	return 0;
}

static struct state_record live(struct state *s)
{
	struct state_record sum = {0};

	assert_int_equal(state_live_records(s, count_record, &sum, NULL), 0);
	return sum;
}

static void test_history__verdicts_are_the_live_record(void **state)
{
	struct fixture *f = *state;
	int64_t merge = add_merge(f->s, 1), a = add_hunk(f->s, merge, 1, "a.c"),
		b = add_hunk(f->s, merge, 1, "b.c");

	say(f->s, a, "resolver", "version", true);
	say(f->s, a, "person", "version", true); /* a person of that name */
	say(f->s, b, "resolver", "version", false);
	assert_int_equal(live(f->s).fired, 0);
	assert_int_equal(state_said_judge(f->s, a, "", "right", NULL), 0);
	assert_int_equal(live(f->s).fired, 1);
	assert_int_equal(live(f->s).right, 1);
	assert_int_equal(state_said_judge(f->s, b, "version", "wrong", NULL), 0);
	assert_int_equal(live(f->s).fired, 2);
	assert_int_equal(live(f->s).right, 1);
	assert_int_equal(state_merge_judge(f->s, merge, "wrong", NULL),
			 0); /* what was not taken stays */
	assert_int_equal(live(f->s).fired, 2);
	assert_int_equal(live(f->s).right, 0);
}

static int count_attempt(const struct state_attempt *a, void *user)
{
	assert_string_equal(a->theirs, "bb");
	assert_string_equal(a->commit, "cc");
	(*(unsigned *)user)++;
	return 0;
}

static unsigned attempts(struct state *s, const char *in)
{
	unsigned n = 0;

	assert_int_equal(state_attempts(s, in, count_attempt, &n, NULL), 0);
	return n;
}

static void test_history__an_attempt_is_settled_once(void **state)
{
	struct fixture *f = *state;
	int64_t merge = add_merge(f->s, 1);

	add_attempt(f->s, merge, "open");
	assert_int_equal(attempts(f->s, "open"), 1);
	assert_int_equal(attempts(f->s, "watched"), 0);
	assert_int_equal(state_attempt_set(f->s, merge, "resolved", NULL), 1);
	assert_int_equal(state_attempt_set(f->s, merge, "resolved", NULL), 0);
	assert_int_equal(state_attempt_set(f->s, merge + 1, "resolved", NULL), 0);
	assert_int_equal(attempts(f->s, "open"), 0);
}

static void test_history__a_failure_takes_all_of_it_back(void **state)
{
	struct fixture *f = *state;
	int64_t merge = add_merge(f->s, 1);

	assert_int_equal(state_history_begin(f->s, NULL), 0);
	(void)add_hunk(f->s, merge, 1, "a.c");
	assert_int_equal(state_history_end(f->s, -EIO, NULL), -EIO);
	assert_int_equal(history(f->s, (struct state_history_filter){0}).n, 0);
	assert_int_equal(state_history_begin(f->s, NULL), 0);
	(void)add_hunk(f->s, merge, 1, "a.c");
	assert_int_equal(state_history_end(f->s, 0, NULL), 0);
	assert_int_equal(history(f->s, (struct state_history_filter){0}).n, 1);
}

static void test_history__what_is_old_goes_with_all_of_it(void **state)
{
	const uint64_t day = (uint64_t)86400 * 1000000000, now = 2 * HISTORY_DAYS_MAX * day;
	struct fixture *f = *state;
	int64_t old = add_merge(f->s, now - (HISTORY_DAYS_MAX + 1) * day),
		young = add_merge(f->s, now - (HISTORY_DAYS_MAX - 1) * day);

	say(f->s, add_hunk(f->s, old, now, "a.c"), "resolver", "version", true);
	say(f->s, add_hunk(f->s, young, now, "b.c"), "resolver", "version", true);
	add_attempt(f->s, old, "open");
	add_attempt(f->s, young, "open");
	assert_int_equal(state_history_prune(f->s, now, NULL), 0);
	assert_int_equal(attempts(f->s, "open"), 1);
	assert_int_equal(history(f->s, (struct state_history_filter){.path = "a.c"}).n, 0);
	assert_int_equal(history(f->s, (struct state_history_filter){.path = "b.c"}).n, 1);
}

static void test_history__hunks_of_other_merges_are_known_again(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(state_hunk_known(f->s, "/r/.git", "c0ffee", "a.c", "key", NULL), 0);
	(void)add_hunk(f->s, 0, 1, "a.c");
	assert_int_equal(state_hunk_known(f->s, "/r/.git", "c0ffee", "a.c", "key", NULL), 1);
	assert_int_equal(state_hunk_known(f->s, "/r/.git", "c0ffee", "b.c", "key", NULL), 0);
	assert_int_equal(state_hunk_known(f->s, "/other", "c0ffee", "a.c", "key", NULL), 0);
}

/* Another program writes for longer than we wait: an error, and nothing changed. */
static void test_history__a_locked_database_is_an_error(void **state)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fixture *f = *state;
	sqlite3 *other = NULL;

	assert_int_equal(sqlite3_open(f->db, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(state_history_begin(f->s, &e), -EBUSY);
	assert_non_null(strstr(err_text(&e), "cannot write the history of merges"));
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	assert_int_equal(state_history_begin(f->s, NULL), 0);
	assert_int_equal(state_history_end(f->s, 0, NULL), 0);
}

#define HISTORY_TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HISTORY_TEST(test_history__rows_come_back_as_they_went),
		HISTORY_TEST(test_history__verdicts_are_the_live_record),
		HISTORY_TEST(test_history__an_attempt_is_settled_once),
		HISTORY_TEST(test_history__a_failure_takes_all_of_it_back),
		HISTORY_TEST(test_history__what_is_old_goes_with_all_of_it),
		HISTORY_TEST(test_history__hunks_of_other_merges_are_known_again),
		HISTORY_TEST(test_history__a_locked_database_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
