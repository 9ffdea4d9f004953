/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox: what a command in it sees, cannot do, and leaves behind: nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "sandbox.h"
#include "unit_tmp.h"

enum { OTHER_UID = 4711 };

static struct sandbox_result run_spec(struct sandbox_spec s)
{
	struct sandbox_result ret;
	struct err e = ERR_INIT;
	int r = sandbox_run(&s, &ret, &e);

	if (r < 0)
		print_error("%s\n", err_text(&e));
	assert_int_equal(r, 0);
	err_release(&e);
	return ret;
}

static struct sandbox_result run_shell(const char *command, struct sandbox_spec s)
{
	const char *argv[] = {"/bin/sh", "-c", command, NULL};

	s.argv = argv;
	return run_spec(s);
}

/* Runs a command line that must print exactly this. */
static void says(const char *command, struct sandbox_spec s, const char *expected)
{
	struct sandbox_result r = run_shell(command, s);

	assert_string_equal(r.out.data ? r.out.data : "", expected);
	sandbox_result_release(&r);
}

static void test_sandbox__output_status_and_input_pass(void **state)
{
	struct sandbox_result r = run_shell("cat; echo bad >&2; exit 7",
					    (struct sandbox_spec){.in = "hello\n", .in_len = 6});

	assert_int_equal(r.status, 7);
	assert_string_equal(r.out.data, "hello\n");
	assert_string_equal(r.err.data, "bad\n");
	assert_false(r.timed_out || r.truncated || r.flooded);
	sandbox_result_release(&r);
	r = run_shell("kill -TERM $$", (struct sandbox_spec){0});
	assert_int_equal(r.status, 128 + SIGTERM);
	sandbox_result_release(&r);
	r = run_shell("echo a; echo b >&2; echo c", (struct sandbox_spec){.one_stream = true});
	assert_string_equal(r.out.data, "a\nb\nc\n");
	sandbox_result_release(&r);
}

static void test_sandbox__a_file_outside_is_not_there(void **state)
{
	char dir[UNIT_TMP_PATH], command[512];

	unit_tmp(dir);
	(void)snprintf(command, sizeof(command), "%s/secret", dir);
	assert_int_equal(io_replace_file(AT_FDCWD, command, "s", 1, 0644), 0);
	(void)snprintf(
		command, sizeof(command),
		"cat %s/secret /proc/1/root%s/secret /proc/2/root%s/secret 2>/dev/null; "
		"ls -d /root /work /sys /boot /etc/shadow /etc/machine-id /var/lib 2>/dev/null; "
		"ls /home /run",
		dir, dir, dir);
	says(command, (struct sandbox_spec){0}, "/home:\nagentfs\n\n/run:\n");
}

static void test_sandbox__only_binds_are_seen_and_only_writable_ones_written(void **state)
{
	char dir[UNIT_TMP_PATH], room[UNIT_TMP_PATH];
	const struct sandbox_bind binds[] = {
		{.host = dir, .inside = "/in/ro"},
		{.host = room, .writable = true},
	};
	const struct sandbox_spec s = {.binds = binds, .nbinds = 2, .cwd = "/in/ro"};
	char command[512], path[128];

	unit_tmp(dir);
	unit_tmp(room);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(room, 0777), 0);
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	assert_int_equal(io_replace_file(AT_FDCWD, path, "text\n", 5, 0644), 0);
	(void)snprintf(command, sizeof(command),
		       "cat file; touch x 2>&1 | grep -o Read-only; echo made >%s/made; "
		       "touch /x /dev/x /usr/x /etc/x 2>&1 | grep -c Read-only",
		       room);
	says(command, s, "text\nRead-only\n4\n");
	(void)snprintf(path, sizeof(path), "%s/made", room);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_sandbox__environment_is_the_given_one_only(void **state)
{
	const char *env[] = {"KEY=value", "HOME=/tmp", NULL};

	assert_int_equal(setenv("AGENTFS_SECRET", "hunter2", 1), 0);
	says("tr '\\0' '\\n' </proc/1/environ | sort; echo; env | grep -c hunter2",
	     (struct sandbox_spec){.env = env},
	     "HOME=/tmp\nKEY=value\nLANG=C.UTF-8\n"
	     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nTMPDIR=/tmp\n\n0\n");
	assert_int_equal(unsetenv("AGENTFS_SECRET"), 0);
}

static void test_sandbox__no_descriptor_is_inherited(void **state)
{
	_cleanup_close_ int fd = open("/", O_RDONLY | O_DIRECTORY);

	assert_true(fd > 2);
	assert_int_equal(fcntl(fd, F_GETFD), 0); /* it would pass an exec */
	says("for p in 1 self; do for f in /proc/$p/fd/*; do l=$(readlink $f) || continue; case $l in "
	     "/dev/null|/memfd:input*|pipe:*|/proc/*|anon_inode:*) ;; *) echo $l;; esac; done; done; "
	     "ls /proc/self/fd/ | wc -l",
	     (struct sandbox_spec){0}, "4\n");
}

static void test_sandbox__it_is_never_root(void **state)
{
	says("id -u | grep -cx 0; grep -c . /proc/sys/kernel/ostype; "
	     "{ echo x >/proc/sys/kernel/core_pattern; } 2>&1 | grep -o 'Read-only\\|denied\\|nonexistent'; "
	     "grep Cap[EPB] /proc/self/status | cut -f2 | sort -u; id -un",
	     (struct sandbox_spec){0}, "0\n1\nRead-only\n0000000000000000\nagentfs\n");
}

static void test_sandbox__no_further_user_namespace(void **state)
{
	says("unshare -U true 2>/dev/null || echo refused; "
	     "mount -t tmpfs x /tmp 2>/dev/null || echo refused",
	     (struct sandbox_spec){0}, "refused\nrefused\n");
}

static int listening(struct sockaddr_in *ret)
{
	socklen_t n = sizeof(*ret);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &n), 0);
	return fd;
}

static void test_sandbox__network_is_off_unless_allowed(void **state)
{
	struct sockaddr_in a;
	_cleanup_close_ int fd = listening(&a);
	char command[256];
	struct sandbox_spec s = {0};

	assert_true(fd >= 0);
	(void)snprintf(
		command, sizeof(command),
		"exec 2>/dev/null; bash -c 'echo >/dev/tcp/127.0.0.1/%u' && echo open || echo shut",
		ntohs(a.sin_port));
	says(command, s, "shut\n");
	s.network = true;
	says(command, s, "open\n");
}

/* Runs this program inside (main() below), where a shell does not reach. */
static void probe(const char *what, struct sandbox_spec s, const char *expected)
{
	char self[256] = {0};
	const struct sandbox_bind binds[] = {{.host = self, .inside = "/probe"}};
	const char *argv[] = {"/probe", "--probe", what, NULL};
	struct sandbox_result r;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	s.argv = argv;
	s.binds = binds;
	s.nbinds = 1;
	r = run_spec(s);
	if (!r.out.data || strcmp(r.out.data, expected) != 0)
		print_error("%s\n%s\n", r.out.data, r.err.data);
	assert_string_equal(r.out.data, expected);
	sandbox_result_release(&r);
}

static void test_sandbox__system_calls_of_the_list_are_refused(void **state)
{
	if (!sandbox_has_seccomp())
		skip();
	probe("calls", (struct sandbox_spec){0},
	      "io_uring ENOSYS\nkeyctl EPERM\nptrace EPERM\nuserfaultfd EPERM\nbpf EPERM\n"
	      "mount EPERM\nfsopen EPERM\nsetns EPERM\nopen_by_handle_at EPERM\nvsock EAFNOSUPPORT\n"
	      "netlink EAFNOSUPPORT\npacket EAFNOSUPPORT\nunix ok\n");
}

static void test_sandbox__nothing_is_typed_into_a_terminal(void **state)
{
	if (!sandbox_has_seccomp())
		skip();
	probe("tiocsti", (struct sandbox_spec){0}, "TIOCSTI EPERM\nTIOCSTI EPERM\nno terminal\n");
}

static void test_sandbox__abstract_sockets_of_the_machine_are_out_of_reach(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 6)
		skip();
	n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			(size_t)snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "agentfs-%d",
					 getpid()));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 4), 0);
	{
		char text[128];
		const char *env[] = {text, NULL};

		(void)snprintf(text, sizeof(text), "PROBE=%s", a.sun_path + 1);
		probe("abstract", (struct sandbox_spec){.env = env, .network = true},
		      "abstract EPERM\n");
		probe("abstract", (struct sandbox_spec){.env = env}, "abstract ECONNREFUSED\n");
	}
}

/* A command line that nobody else on this machine has: the same test may run beside this one. */
static const char *command_line(const char *fmt)
{
	static char room[256];
	char nap[32];
	size_t n = 0;

	(void)snprintf(nap, sizeof(nap), "sleep 42%d", (int)getpid());
	for (; *fmt && n + sizeof(nap) < sizeof(room); fmt++)
		if (*fmt == '@')
			n += (size_t)snprintf(room + n, sizeof(room) - n, "%s", nap);
		else
			room[n++] = *fmt;
	room[n] = 0;
	return room;
}

/* Processes that have it. */
static unsigned count_naps(pid_t pid)
{
	char command[128];
	unsigned n = 0;
	FILE *f;

	(void)snprintf(command, sizeof(command), "pgrep -fc '[s]leep 42%d$'", (int)pid);
	f = popen(command, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &n), 1);
	(void)pclose(f);
	return n;
}

static void test_sandbox__one_that_hangs_is_ended_with_all_it_started(void **state)
{
	struct sandbox_result r =
		run_shell(command_line("trap '' TERM HUP; (setsid @ &) ; setsid @ & echo begun; @"),
			  (struct sandbox_spec){.timeout_ms = 4000});

	assert_true(r.timed_out);
	assert_int_equal(r.status, 128 + SIGKILL);
	assert_string_equal(r.out.data, "begun\n");
	assert_true(r.ms >= 4000 && r.ms < 60000);
	assert_int_equal(count_naps(getpid()), 0);
	sandbox_result_release(&r);
}

static void test_sandbox__what_runs_on_ends_with_the_command(void **state)
{
	struct sandbox_result r =
		run_shell(command_line("(setsid @ &) ; echo done"), (struct sandbox_spec){0});

	assert_int_equal(r.status, 0);
	assert_string_equal(r.out.data, "done\n");
	assert_int_equal(count_naps(getpid()), 0);
	sandbox_result_release(&r);
}

static void test_sandbox__its_first_process_may_be_stopped(void **state)
{
	struct sandbox_result r = run_shell(command_line("kill -STOP 1; @"),
					    (struct sandbox_spec){.timeout_ms = 2000});

	assert_true(r.timed_out);
	assert_int_equal(count_naps(getpid()), 0);
	sandbox_result_release(&r);
}

static void test_sandbox__a_fork_bomb_stays_inside(void **state)
{
	struct sandbox_result r =
		run_shell(command_line("f() { f | f & }; f; @"),
			  (struct sandbox_spec){.timeout_ms = 1500, .nproc_max = 40});

	assert_true(r.timed_out || r.status != 0);
	sandbox_result_release(&r);
	says("i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done 2>/dev/null; echo $i",
	     (struct sandbox_spec){.nproc_max = 30}, "");
	assert_int_equal(count_naps(getpid()), 0);
}

static void test_sandbox__goes_behind_who_works_at_the_machine(void **state)
{
	char want[16];
	int here = getpriority(PRIO_PROCESS, 0);

	(void)state;
	(void)snprintf(want, sizeof(want), "%d\n", here + 7 < 19 ? here + 7 : 19);
	says("nice", (struct sandbox_spec){.nice = 7}, want);
	(void)snprintf(want, sizeof(want), "%d\n", here);
	says("nice", (struct sandbox_spec){0}, want);
}

static void test_sandbox__endless_output_is_cut(void **state)
{
	struct sandbox_result r = run_shell("exec yes", (struct sandbox_spec){.output_max = 1000});

	assert_true(r.flooded && r.truncated && !r.timed_out);
	assert_int_equal(strncmp(r.out.data, "y\ny\ny\n", 6), 0);
	assert_true(r.out.len < 1100);
	sandbox_result_release(&r);
	r = run_shell("echo first; seq 100000; echo last",
		      (struct sandbox_spec){.output_max = 1000, .drain_max = 1 << 20});
	assert_true(!r.flooded && r.truncated);
	assert_int_equal(r.status, 0);
	assert_int_equal(strncmp(r.out.data, "first\n", 6), 0);
	assert_string_equal(r.out.data + r.out.len - 5, "last\n");
	assert_non_null(strstr(r.out.data, "bytes left out"));
	assert_true(r.out.len < 1100);
	sandbox_result_release(&r);
}

static void test_sandbox__its_own_folders_have_a_size(void **state)
{
	says("for d in /tmp /var/tmp $HOME /dev/shm /run; do head -c 40000000 /dev/zero >$d/f 2>/dev/null; "
	     "[ $(stat -c %s $d/f) -le 17000000 ] && echo bounded; done",
	     (struct sandbox_spec){.memory_max = 16 << 20},
	     "bounded\nbounded\nbounded\nbounded\nbounded\n");
}

static void test_sandbox__memory_of_a_process_is_bounded(void **state)
{
	struct sandbox_result r = run_shell("head -c 300000000 /dev/zero | tail",
					    (struct sandbox_spec){.memory_max = 64 << 20});

	assert_non_null(strstr(r.err.data, "memory"));
	sandbox_result_release(&r);
}

static void test_sandbox__without_bubblewrap_a_sentence_says_so(void **state)
{
	static const char *const none[] = {"/nonexistent", NULL};
	const char *const *was = sandbox_program_folders;
	struct err e = ERR_INIT;

	assert_int_equal(sandbox_check(&e), 0);
	sandbox_program_folders = none;
	assert_int_equal(sandbox_check(&e), -ENOSYS);
	assert_non_null(strstr(err_text(&e), "install the package 'bubblewrap'"));
	sandbox_program_folders = was;
	err_release(&e);
}

static void test_sandbox__a_bind_that_is_not_there_is_named(void **state)
{
	const struct sandbox_bind gone = {.host = "/nonexistent/here"}, relative = {.host = "x"};
	const char *argv[] = {"/bin/true", NULL};
	struct sandbox_spec s = {.argv = argv, .binds = &gone, .nbinds = 1};
	struct sandbox_result r;
	struct err e = ERR_INIT;

	assert_int_equal(sandbox_run(&s, &r, &e), -ENOENT);
	assert_non_null(strstr(err_text(&e), "'/nonexistent/here'"));
	sandbox_result_release(&r);
	s.binds = &relative;
	assert_int_equal(sandbox_run(&s, &r, &e), -EINVAL);
	sandbox_result_release(&r);
	err_release(&e);
}

static void test_sandbox__room_that_cannot_be_made_says_why(void **state)
{
	struct sandbox_result r;
	struct err e = ERR_INIT;
	const char *argv[] = {"/bin/true", NULL};
	const struct sandbox_spec s = {.argv = argv, .cwd = "/not/there"};

	assert_int_equal(sandbox_run(&s, &r, &e), -EPERM);
	assert_non_null(strstr(err_text(&e), "/not/there"));
	sandbox_result_release(&r);
	err_release(&e);
}

/* The whole again as an ordinary user: where the machine makes us root, in a child that is not. */
static void test_sandbox__works_for_an_ordinary_user(void **state)
{
	char dir[UNIT_TMP_PATH], path[128];
	int status;
	pid_t pid;
	const char *line;

	if (geteuid() != 0)
		skip();
	unit_tmp(dir);
	assert_int_equal(chown(dir, OTHER_UID, OTHER_UID), 0);
	line = command_line("@ & echo x >/in/made; id -u");
	pid = fork();
	if (pid == 0) {
		const struct sandbox_bind b = {.host = dir, .inside = "/in", .writable = true};
		const char *argv[] = {"/bin/sh", "-c", line, NULL};
		const struct sandbox_spec s = {
			.argv = argv, .binds = &b, .nbinds = 1, .nproc_max = 20};
		struct sandbox_result r;
		struct err e = ERR_INIT;

		if (setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
		    setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
			_exit(2);
		if (sandbox_run(&s, &r, &e) < 0) {
			(void)fprintf(stderr, "%s\n", err_text(&e));
			_exit(3);
		}
		_exit(strcmp(r.out.data, "4711\n") == 0 && r.status == 0 ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	(void)snprintf(path, sizeof(path), "%s/made", dir);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(count_naps(getpid()), 0);
}

static void test_sandbox__ends_when_its_caller_is_killed(void **state)
{
	const char *line = command_line("@");
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct sandbox_spec s = {0};
		const char *argv[] = {"/bin/sh", "-c", line, NULL};
		struct sandbox_result r;

		s.argv = argv;
		(void)sandbox_run(&s, &r, NULL);
		_exit(0);
	}
	for (int i = 0; count_naps(getpid()) < 1; i++) {
		assert_true(i < 3000);
		(void)usleep(20000);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; count_naps(getpid()) > 0; i++) {
		assert_true(i < 3000);
		(void)usleep(20000);
	}
}

static void test_sandbox__ends_when_nobody_waits(void **state)
{
	const char *line = command_line("@");
	int pair[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		const char *argv[] = {"/bin/sh", "-c", line, NULL};
		const struct sandbox_spec s = {.argv = argv, .stop_on_stdin = true};
		struct sandbox_result r;

		(void)dup2(pair[1], STDIN_FILENO);
		(void)close(pair[0]);
		(void)close(pair[1]);
		_exit(sandbox_run(&s, &r, NULL) == -ECANCELED ? 0 : 1);
	}
	(void)close(pair[1]);
	for (int i = 0; count_naps(getpid()) < 1; i++) {
		assert_true(i < 3000);
		(void)usleep(20000);
	}
	(void)close(pair[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(count_naps(getpid()), 0);
}

static const char *outcome(long r)
{
	if (r >= 0)
		return "ok";
	return strerrorname_np(errno);
}

static int inside(const char *what)
{
	(void)setvbuf(stdout, NULL, _IONBF, 0);
	if (strcmp(what, "calls") == 0) {
		printf("io_uring %s\n", outcome(syscall(SYS_io_uring_setup, 1, NULL)));
		printf("keyctl %s\n", outcome(syscall(SYS_keyctl, 0, 0, 0)));
		printf("ptrace %s\n", outcome(syscall(SYS_ptrace, 16, 1, 0, 0)));
		printf("userfaultfd %s\n", outcome(syscall(SYS_userfaultfd, 0)));
		printf("bpf %s\n", outcome(syscall(SYS_bpf, 0, NULL, 0)));
		printf("mount %s\n", outcome(syscall(SYS_mount, "x", "/tmp", "tmpfs", 0, NULL)));
		printf("fsopen %s\n", outcome(syscall(SYS_fsopen, "tmpfs", 0)));
		printf("setns %s\n", outcome(syscall(SYS_setns, 0, 0)));
		printf("open_by_handle_at %s\n",
		       outcome(syscall(SYS_open_by_handle_at, 0, NULL, 0)));
		printf("vsock %s\n", outcome(socket(AF_VSOCK, SOCK_STREAM, 0)));
		printf("netlink %s\n", outcome(socket(AF_NETLINK, SOCK_RAW, 0)));
		printf("packet %s\n", outcome(socket(AF_PACKET, SOCK_RAW, 0)));
		printf("unix %s\n", outcome(socket(AF_UNIX, SOCK_STREAM, 0)));
	} else if (strcmp(what, "tiocsti") == 0) {
		printf("TIOCSTI %s\n", outcome(ioctl(0, TIOCSTI, "x")));
		printf("TIOCSTI %s\n", outcome(syscall(SYS_ioctl, 0, TIOCSTI | (1UL << 32), "x")));
		printf("%s\n", open("/dev/tty", O_RDWR) < 0 ? "no terminal" : "a terminal");
	} else {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		const char *name = getenv("PROBE");
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		(void)snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s", name ? name : "");
		printf("abstract %s\n",
		       outcome(connect(fd, (struct sockaddr *)&a,
				       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
						   strlen(a.sun_path + 1)))));
	}
	_exit(0); /* a leak checker would want to trace us */
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sandbox__output_status_and_input_pass),
		cmocka_unit_test(test_sandbox__a_file_outside_is_not_there),
		cmocka_unit_test(test_sandbox__only_binds_are_seen_and_only_writable_ones_written),
		cmocka_unit_test(test_sandbox__environment_is_the_given_one_only),
		cmocka_unit_test(test_sandbox__no_descriptor_is_inherited),
		cmocka_unit_test(test_sandbox__it_is_never_root),
		cmocka_unit_test(test_sandbox__no_further_user_namespace),
		cmocka_unit_test(test_sandbox__network_is_off_unless_allowed),
		cmocka_unit_test(test_sandbox__system_calls_of_the_list_are_refused),
		cmocka_unit_test(test_sandbox__nothing_is_typed_into_a_terminal),
		cmocka_unit_test(test_sandbox__abstract_sockets_of_the_machine_are_out_of_reach),
		cmocka_unit_test(test_sandbox__one_that_hangs_is_ended_with_all_it_started),
		cmocka_unit_test(test_sandbox__what_runs_on_ends_with_the_command),
		cmocka_unit_test(test_sandbox__its_first_process_may_be_stopped),
		cmocka_unit_test(test_sandbox__a_fork_bomb_stays_inside),
		cmocka_unit_test(test_sandbox__goes_behind_who_works_at_the_machine),
		cmocka_unit_test(test_sandbox__endless_output_is_cut),
		cmocka_unit_test(test_sandbox__its_own_folders_have_a_size),
		cmocka_unit_test(test_sandbox__memory_of_a_process_is_bounded),
		cmocka_unit_test(test_sandbox__without_bubblewrap_a_sentence_says_so),
		cmocka_unit_test(test_sandbox__a_bind_that_is_not_there_is_named),
		cmocka_unit_test(test_sandbox__room_that_cannot_be_made_says_why),
		cmocka_unit_test(test_sandbox__works_for_an_ordinary_user),
		cmocka_unit_test(test_sandbox__ends_when_its_caller_is_killed),
		cmocka_unit_test(test_sandbox__ends_when_nobody_waits),
	};
	struct err e = ERR_INIT;

	if (argc == 3 && strcmp(argv[1], "--probe") == 0)
		return inside(argv[2]);
	if (sandbox_check(&e) < 0) {
		printf("SKIP-KERNEL: no sandbox here: %s\n", err_text(&e));
		err_release(&e);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
