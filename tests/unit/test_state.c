/* SPDX-License-Identifier: Apache-2.0 */
/* state: rows there and back, kill -9 in the middle of writes, newer and damaged databases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "state.h"

struct fixture {
	char dir[64], db[96];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/agentfs-state.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->db, sizeof(f->db), "%s/agentfs.db", f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(io_rm_rf(AT_FDCWD, f->dir), 0);
	free(f);
	return 0;
}

static struct view_row row(unsigned n)
{
	struct view_row v;
	char text[64];

	assert_int_equal(view_row_init(&v), 0);
	snprintf(text, sizeof(text), "%032x", n);
	view_row_set(&v.id, text);
	snprintf(text, sizeof(text), "agent-%u", n);
	view_row_set(&v.agent, text);
	view_row_set(&v.mount, "/m'; DROP TABLE views; --");
	view_row_set(&v.scope, "src/**\n!src/x");
	v.uid = UINT32_MAX - 1;
	v.created = n;
	v.state = VIEW_LIVE;
	return v;
}

static int count(const struct view_row *v, void *user)
{
	(*(unsigned *)user)++;
	return 0;
}

static int keep(const struct view_row *v, void *user)
{
	return view_row_copy(v, user);
}

static void test_state__a_row_comes_back_as_it_went(void **state)
{
	struct fixture *f = *state;
	struct view_row v = row(1), got = {0};
	struct state *s;

	v.mount_made = v.delete_branch = true;
	assert_int_equal(state_open(f->db, &s, NULL), 0);
	assert_int_equal(state_view_add(s, &v, NULL), 0);
	state_close(s);
	assert_int_equal(state_open(f->db, &s, NULL), 0);
	assert_int_equal(state_views(s, false, keep, &got, NULL), 0);
	assert_string_equal(got.agent, v.agent);
	assert_string_equal(got.mount, v.mount);
	assert_string_equal(got.scope, v.scope);
	assert_int_equal(got.uid, v.uid);
	assert_true(got.mount_made && got.delete_branch && !got.branch_made);
	assert_int_equal(got.state, VIEW_LIVE);
	state_close(s);
	view_row_release(&got);
	view_row_release(&v);
}

static void test_state__one_open_view_an_agent(void **state)
{
	struct fixture *f = *state;
	struct view_row a = row(1), b = row(2);
	unsigned n = 0;
	struct state *s;

	view_row_set(&b.agent, a.agent);
	assert_int_equal(state_open(f->db, &s, NULL), 0);
	assert_int_equal(state_view_add(s, &a, NULL), 0);
	assert_int_equal(state_view_add(s, &b, NULL), -EEXIST);
	a.state = VIEW_CLOSED;
	assert_int_equal(state_view_update(s, &a, NULL), 0);
	assert_int_equal(state_view_add(s, &b, NULL), 0);
	assert_int_equal(state_views(s, false, count, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(state_views(s, true, count, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_int_equal(state_view_delete(s, b.id, NULL), 0);
	assert_int_equal(state_view_delete(s, b.id, NULL), -ENOENT);
	assert_int_equal(state_view_update(s, &b, NULL), -ENOENT);
	state_close(s);
	view_row_release(&a);
	view_row_release(&b);
}

/* Adds views for ever, counting in shared memory what was acknowledged. */
static void writer(const char *db, volatile unsigned *acked)
{
	struct state *s;

	if (state_open(db, &s, NULL) < 0)
		_exit(1);
	for (unsigned i = *acked + 1;; i++) {
		struct view_row v = row(i);
		int r = state_view_add(s, &v, NULL);

		view_row_release(&v);
		if (r == -EEXIST)
			continue; /* written by the last life, killed before it could say so */
		if (r < 0)
			_exit(2);
		*acked = i;
	}
}

static void test_state__kill_in_the_middle_of_writes_loses_nothing(void **state)
{
	struct fixture *f = *state;
	volatile unsigned *acked =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned before = 0;

	for (int round = 0; round < 12; round++) {
		struct state *s;
		unsigned n = 0, target = before + 1 + (unsigned)round * 3;
		int status;
		pid_t pid = fork();

		if (pid == 0)
			writer(f->db, acked);
		while (*acked < target && waitpid(pid, &status, WNOHANG) == 0)
			;
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(state_open(f->db, &s, NULL), 0);
		assert_int_equal(state_views(s, true, count, &n, NULL), 0);
		assert_in_range(n, *acked, *acked + 1);
		before = *acked;
		state_close(s);
	}
	assert_true(before > 12);
	munmap((void *)acked, 4096);
}

static void patch(const char *path, off_t off, const void *p, size_t n)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(io_pwrite_full(fd, p, n, (uint64_t)off), 0);
}

static void make(const char *db, unsigned rows)
{
	struct state *s;

	assert_int_equal(state_open(db, &s, NULL), 0);
	for (unsigned i = 1; i <= rows; i++) {
		struct view_row v = row(i);

		assert_int_equal(state_view_add(s, &v, NULL), 0);
		view_row_release(&v);
	}
	state_close(s);
}

static void refused(const char *db, int want, const char *words)
{
	struct err e = ERR_INIT;
	_cleanup_buf_ struct buf before = BUF_INIT, after = BUF_INIT;
	struct state *s;

	assert_int_equal(io_read_file(AT_FDCWD, db, 1 << 24, &before), 0);
	assert_int_equal(state_open(db, &s, &e), want);
	assert_non_null(strstr(err_text(&e), words));
	assert_non_null(strstr(err_text(&e), db));
	assert_int_equal(io_read_file(AT_FDCWD, db, 1 << 24, &after), 0);
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, after.len);
	err_release(&e);
}

static void test_state__a_newer_database_is_refused_untouched(void **state)
{
	struct fixture *f = *state;

	make(f->db, 1);
	patch(f->db, 60, "\0\0\0\x63", 4); /* user_version, big-endian */
	refused(f->db, -EPROTONOSUPPORT, "newer");
}

static void test_state__another_programs_database_is_refused(void **state)
{
	struct fixture *f = *state;

	make(f->db, 1);
	patch(f->db, 68, "\0\0\0\x01", 4); /* application_id */
	refused(f->db, -EPROTONOSUPPORT, "another program");
}

static void test_state__a_damaged_database_is_refused_untouched(void **state)
{
	struct fixture *f = *state;
	char junk[4096];

	memset(junk, 0xa5, sizeof(junk));
	make(f->db, 200);
	patch(f->db, 0, junk, 100);
	refused(f->db, -EBADMSG, "damaged");
	assert_int_equal(unlink(f->db), 0);
	make(f->db, 200);
	patch(f->db, 4096 * 3, junk, sizeof(junk));
	refused(f->db, -EBADMSG, "damaged");
	assert_int_equal(truncate(f->db, 10000), 0);
	refused(f->db, -EBADMSG, "damaged");
}

static void test_state__an_approval_is_of_an_exact_text(void **state)
{
	struct fixture *f = *state;
	struct state *s = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(state_open(f->db, &s, &e), 0);
	assert_int_equal(state_approval_has(s, "/r/.git", "make\n", &e), 0);
	assert_int_equal(state_approval_add(s, "/r/.git", "make\n", 1000, &e), 0);
	assert_int_equal(state_approval_add(s, "/r/.git", "make\n", 1000, &e), 0);
	state_close(s);
	assert_int_equal(state_open(f->db, &s, &e), 0);
	assert_int_equal(state_approval_has(s, "/r/.git", "make\n", &e), 1);
	assert_int_equal(state_approval_has(s, "/r/.git", "make \n", &e), 0);
	assert_int_equal(state_approval_has(s, "/q/.git", "make\n", &e), 0);
	state_close(s);
}

/* What resolvers may cost is written down before, and settled; of a merge that never ends the most counts. */
static void test_state__resolvers_cost_what_was_reserved_until_it_is_settled(void **state)
{
	const struct state_cost most = {10, 2000, 300}, spent = {1, 20, 3};
	struct fixture *f = *state;
	struct state_cost c;
	struct state *s;
	int64_t a = 0, b = 0;

	assert_int_equal(state_open(f->db, &s, NULL), 0);
	assert_int_equal(state_ai_spent(s, 0, &c, NULL), 0);
	assert_true(c.calls == 0 && c.ms == 0 && c.tokens == 0);
	assert_int_equal(state_ai_reserve(s, 1000, "/r", &most, &a, NULL), 0);
	assert_int_equal(state_ai_reserve(s, 2000, "/r", &most, &b, NULL), 0);
	assert_int_equal(state_ai_settle(s, a, &spent, NULL), 0);
	state_close(s);
	assert_int_equal(state_open(f->db, &s, NULL), 0);
	assert_int_equal(state_ai_spent(s, 0, &c, NULL), 0);
	assert_true(c.calls == 11 && c.ms == 2020 && c.tokens == 303);
	assert_int_equal(state_ai_spent(s, 1500, &c, NULL), 0);
	assert_true(c.calls == 10 && c.ms == 2000 && c.tokens == 300);
	state_close(s);
}

static int count_said(const char *key, const char *answer, void *user)
{
	assert_true(*key && *answer == '{');
	++*(int *)user;
	return 0;
}

static void test_state__what_resolvers_said_is_kept_for_a_while(void **state)
{
	const struct state_cost most = {1, 1, 1};
	struct fixture *f = *state;
	struct state *s;
	int64_t id = 0;
	int n = 0;

	assert_int_equal(state_open(f->db, &s, NULL), 0);
	assert_int_equal(state_ai_reserve(s, 1, "/r", &most, &id, NULL), 0);
	assert_int_equal(state_ai_said_put(s, id, 100, "k1", "{}", false, NULL), 0);
	assert_int_equal(state_ai_said_put(s, id, 100, "k1", "{\"again\": 1}", false, NULL), 0);
	assert_int_equal(state_ai_said_put(s, id, 100, "k2", "{}", true, NULL), 0);
	assert_int_equal(state_ai_said(s, "/other", count_said, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(state_ai_said(s, "/r", count_said, &n, NULL), 0);
	assert_int_equal(n, 2);
	/* One that was to be verified is kept for less long. */
	assert_int_equal(state_ai_said_forget(s, 50, 150, NULL), 0);
	n = 0;
	assert_int_equal(state_ai_said(s, "/r", count_said, &n, NULL), 0);
	assert_int_equal(n, 1);
	state_close(s);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_state__a_row_comes_back_as_it_went),
		T(test_state__resolvers_cost_what_was_reserved_until_it_is_settled),
		T(test_state__what_resolvers_said_is_kept_for_a_while),
		T(test_state__one_open_view_an_agent),
		T(test_state__kill_in_the_middle_of_writes_loses_nothing),
		T(test_state__a_newer_database_is_refused_untouched),
		T(test_state__another_programs_database_is_refused),
		T(test_state__a_damaged_database_is_refused_untouched),
		T(test_state__an_approval_is_of_an_exact_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
