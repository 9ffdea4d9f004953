/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's small parts: keys in order, programs and their descriptors, tasks, parameters. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "keylock.h"
#include "methods.h"
#include "mountpoint.h"
#include "spawn_env.h"
#include "task.h"

/* ---- keylock ---- */

static char order[16];

static void note_a(void *user)
{
	strcat(order, user);
}

static void test_keylock__one_holder_then_in_order(void **state)
{
	struct keylocks *k = keylocks_new();

	order[0] = '\0';
	assert_int_equal(keylock_take(k, "x", note_a, (char *)"1"), 0);
	assert_int_equal(keylock_take(k, "x", note_a, (char *)"2"), 0);
	assert_int_equal(keylock_take(k, "x", note_a, (char *)"3"), 0);
	assert_int_equal(keylock_take(k, "y", note_a, (char *)"y"), 0);
	assert_string_equal(order, "1y");
	keylock_drop(k, "x");
	assert_string_equal(order, "1y2");
	keylock_drop(k, "x");
	keylock_drop(k, "x");
	assert_string_equal(order, "1y23");
	assert_int_equal(keylock_take(k, "x", note_a, (char *)"4"), 0);
	assert_string_equal(order, "1y234");
	keylocks_free(k);
}

/* ---- spawn ---- */

/* Whatever numbers the descriptors have, the program gets them as 0, 1, 2, 3 and no others. */
static void test_spawn__descriptors_arrive_in_order_whatever_their_numbers(void **state)
{
	static const int starts[] = {3, 4, 97, 100, 101, 102, 103, 104, 107};
	char *const argv[] = {(char *)"sh", (char *)"-c",
			      (char *)"cat <&3; ls /proc/self/fd | wc -l; echo err >&2", NULL};

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		FILE *in = tmpfile(), *out = tmpfile(), *err = tmpfile(), *extra = tmpfile();
		FILE *const files[] = {extra, err, out, in}; /* the reverse of what is asked */
		int at[4], fds[4], status;
		char text[64] = "";
		pid_t pid;

		fputs("extra\n", extra);
		fflush(extra);
		rewind(extra);
		for (int k = 0; k < 4; k++) {
			at[k] = fcntl(fileno(files[k]), F_DUPFD_CLOEXEC, starts[i]);
			assert_true(at[k] >= starts[i]);
		}
		for (int k = 0; k < 4; k++)
			fds[k] = at[3 - k];
		assert_int_equal(spawn_program("/bin/sh", argv, fds, 4, SPAWN_SESSION, &pid), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		assert_true(pread(at[2], text, sizeof(text) - 1, 0) > 0);
		assert_string_equal(text, "extra\n5\n"); /* four, and the one of ls itself */
		memset(text, 0, sizeof(text));
		assert_int_equal(pread(at[1], text, sizeof(text) - 1, 0), 4);
		for (int k = 0; k < 4; k++)
			close(at[k]);
		for (int k = 0; k < 4; k++)
			fclose(files[k]);
	}
}

static void test_spawn__a_program_that_hangs_is_ended(void **state)
{
	char *const hang[] = {(char *)"sleep", (char *)"100", NULL};
	char *const fail[] = {(char *)"sh", (char *)"-c", (char *)"exit 3", NULL};

	assert_int_equal(spawn_wait("/bin/sleep", hang, 50), -ETIMEDOUT);
	assert_int_equal(spawn_wait("/bin/sh", fail, 5000), 3);
	assert_int_equal(spawn_wait("/nonexistent", fail, 5000), -ENOENT);
}

/* ---- tasks, with a shell script as the worker ---- */

struct seen {
	sd_event *event;
	unsigned done, ok, records;
	char id[32], message[256];
	unsigned want;
};

static void on_done(json_t *ok, struct fault *f, void *user)
{
	struct seen *s = user;

	s->done++;
	s->ok += ok != NULL;
	if (f->id)
		snprintf(s->id, sizeof(s->id), "%s", f->id);
	if (f->message)
		snprintf(s->message, sizeof(s->message), "%s", f->message);
	if (s->done == s->want)
		sd_event_exit(s->event, 0);
}

static void on_records(json_t *records, void *user)
{
	((struct seen *)user)->records += (unsigned)json_array_size(records);
}

static const struct task_callbacks callbacks = {.done = on_done, .records = on_records};

static void write_worker(const char *dir, const char *script, char *ret, size_t size)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);

	snprintf(ret, size, "%s/worker", dir);
	assert_int_equal(io_replace_file(AT_FDCWD, ret, text, (size_t)n, 0755), 0);
}

/* Runs `n` tasks against a script; what was seen. */
static struct seen run_tasks(const char *script, unsigned n, unsigned parallel)
{
	char dir[] = "/tmp/agentfs-task.XXXXXX", program[64], lock[64];
	struct seen s = {.want = n};
	struct tasks *t;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	assert_non_null(mkdtemp(dir));
	write_worker(dir, script, program, sizeof(program));
	snprintf(lock, sizeof(lock), "%s/lock", dir);
	assert_int_equal(sd_event_new(&s.event), 0);
	assert_int_equal(tasks_new(s.event, program, lock, parallel, &t), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(
			task_start(t, json_pack("{s:s}", "op", "x"), &callbacks, &s, 0, NULL), 0);
	assert_int_equal(sd_event_loop(s.event), 0);
	assert_int_equal(tasks_count(t), 0);
	tasks_free(t);
	sd_event_unref(s.event);
	assert_int_equal(tasks_wait_orphans(lock, 2000, NULL), 0);
	assert_int_equal(io_rm_rf(AT_FDCWD, dir), 0);
	return s;
}

static void test_task__answers_and_records_arrive(void **state)
{
	struct seen s = run_tasks(
		"cat >/dev/null; echo '{\"record\":{\"seq\":1}}'; echo '{\"record\":{}}'; "
		"echo junk; echo '{\"ok\":{}}'",
		12, 3);

	assert_int_equal(s.done, 12);
	assert_int_equal(s.ok, 12);
	assert_int_equal(s.records, 24);
}

static void test_task__a_crash_costs_one_task(void **state)
{
	struct seen s = run_tasks("kill -SEGV $$", 3, 2);

	assert_int_equal(s.done, 3);
	assert_int_equal(s.ok, 0);
	assert_string_equal(s.id, "Internal");
	assert_non_null(strstr(s.message, "signal 11"));
	s = run_tasks("exit 7", 1, 1);
	assert_non_null(strstr(s.message, "exit 7"));
}

static void test_task__an_error_keeps_its_name(void **state)
{
	struct seen s = run_tasks("echo '{\"error\":{\"id\":\"Dirty\",\"message\":\"m\"}}'", 1, 1);

	assert_string_equal(s.id, "Dirty");
	assert_string_equal(s.message, "m");
}

static void test_task__orphans_are_waited_for(void **state)
{
	char dir[] = "/tmp/agentfs-task.XXXXXX", program[64], lock[64], mark[64];
	struct seen s = {.want = 1};
	struct tasks *t;
	struct task *task;
	sd_event *event;

	assert_non_null(mkdtemp(dir));
	snprintf(mark, sizeof(mark), "%s/go", dir);
	write_worker(dir, "while ! test -e ${0%/worker}/go; do sleep 0.01; done", program,
		     sizeof(program));
	snprintf(lock, sizeof(lock), "%s/lock", dir);
	assert_int_equal(sd_event_new(&event), 0);
	s.event = event;
	assert_int_equal(tasks_new(event, program, lock, 1, &t), 0);
	assert_int_equal(task_start(t, json_object(), &callbacks, &s, 0, &task), 0);
	assert_true(sd_event_run(event, 1000000) >= 0);
	tasks_free(t); /* as a daemon that was killed: its worker goes on */
	sd_event_unref(event);
	assert_int_equal(tasks_wait_orphans(lock, 60, NULL), -ETIMEDOUT);
	close(open(mark, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(tasks_wait_orphans(lock, 5000, NULL), 0);
	assert_int_equal(s.done, 0);
	assert_int_equal(io_rm_rf(AT_FDCWD, dir), 0);
}

/* ---- methods ---- */

static void test_methods__every_one_of_the_interface_is_there(void **state)
{
	const char *p = varlink_agentfs_text;
	size_t n = 0;

	while ((p = strstr(p, "\nmethod "))) {
		size_t len = strcspn(p + 8, "("), found = 0;

		for (size_t i = 0; i < methods_count; i++)
			found += strlen(methods[i].name) == len &&
				 memcmp(methods[i].name, p + 8, len) == 0;
		assert_int_equal(found, 1);
		n++;
		p += 8;
	}
	assert_int_equal(n, methods_count);
}

static int check(const char *method, json_t *parameters, const char *want_bad)
{
	char bad[64] = "";
	int r = methods_check(varlink_agentfs_text, method, parameters, bad, sizeof(bad));

	assert_string_equal(bad, want_bad);
	json_decref(parameters);
	return r;
}

static void test_methods__parameters_are_checked_by_the_interface(void **state)
{
	assert_int_equal(check("List", json_object(), ""), 0);
	assert_int_equal(check("List", json_pack("{s:n}", "repository"), ""), 0);
	assert_int_equal(check("List", json_pack("{s:i}", "repository", 1), "repository"), -EINVAL);
	assert_int_equal(check("List", json_pack("{s:s}", "repo", "x"), "repo"), -EINVAL);
	assert_int_equal(check("Create", json_pack("{s:s}", "agent", "x"), "repository"), -EINVAL);
	assert_int_equal(check("Create",
			       json_pack("{s:s,s:s,s:[s]}", "agent", "x", "repository", "/",
					 "scope", "src/"),
			       ""),
			 0);
	assert_int_equal(
		check("Create",
		      json_pack("{s:s,s:s,s:[i]}", "agent", "x", "repository", "/", "scope", 1),
		      "scope"),
		-EINVAL);
	assert_int_equal(check("Merge", json_pack("{s:[],s:b}", "sources", "dry_run", 1), ""), 0);
	assert_int_equal(
		check("Merge", json_pack("{s:[],s:i}", "sources", "dry_run", 1), "dry_run"),
		-EINVAL);
	assert_int_equal(check("Nothing", json_object(), ""), -ENOSYS);
}

static void test_mountpoint__paths_are_made_clean(void **state)
{
	static const char *const cases[][2] = {
		{"/", "/"},	 {"//a//b/", "/a/b"},  {"/a/./b/..", "/a"},
		{"/../..", "/"}, {"/a/../../b", "/b"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *got = mountpoint_clean(cases[i][0]);

		assert_string_equal(got, cases[i][1]);
	}
	assert_null(mountpoint_clean("a"));
	assert_true(path_is_below("/a/b", "/a") && path_is_below("/a", "/a") &&
		    path_is_below("/a", "/"));
	assert_false(path_is_below("/ab", "/a") || path_is_below("/a", "/a/b"));
	assert_int_equal(mountpoint_is_mounted("/proc", NULL), 1);
	assert_int_equal(mountpoint_is_mounted("/proc/1", NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keylock__one_holder_then_in_order),
		cmocka_unit_test(test_spawn__descriptors_arrive_in_order_whatever_their_numbers),
		cmocka_unit_test(test_spawn__a_program_that_hangs_is_ended),
		cmocka_unit_test(test_task__answers_and_records_arrive),
		cmocka_unit_test(test_task__a_crash_costs_one_task),
		cmocka_unit_test(test_task__an_error_keeps_its_name),
		cmocka_unit_test(test_task__orphans_are_waited_for),
		cmocka_unit_test(test_methods__every_one_of_the_interface_is_there),
		cmocka_unit_test(test_methods__parameters_are_checked_by_the_interface),
		cmocka_unit_test(test_mountpoint__paths_are_made_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
