/* SPDX-License-Identifier: Apache-2.0 */
/* viewctl: messages and descriptors over a real socket, damaged packets, deadlines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "viewctl.h"

static char dir[] = "/tmp/test-viewctl-XXXXXX";

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	return io_rm_rf(AT_FDCWD, dir);
}

static size_t open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}

static struct record request(uint16_t type, uint64_t seq)
{
	return (struct record){.seq = seq, .time = 1, .type = type};
}

static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static void test_viewctl__message_and_descriptors_arrive(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record msg = request(VIEWCTL_PUT, 7), got;
	int s[2], pipes[2], in[VIEWCTL_FDS_MAX];
	size_t nfds, before = open_fds();
	char c = 0;

	pair(s);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	RECORD_SET(&msg, path, F_PATH, ((struct bytes){".git/index", 10}));
	RECORD_SET(&msg, mode, F_MODE, 0100644);
	assert_int_equal(viewctl_send(s[0], &msg, pipes, 2), 0);
	assert_int_equal(viewctl_recv(s[1], &b, &got, in, &nfds), 0);
	assert_int_equal(got.type, VIEWCTL_PUT);
	assert_int_equal(got.seq, 7);
	assert_int_equal(got.mode, 0100644);
	assert_int_equal(got.path.n, 10);
	assert_memory_equal(got.path.p, ".git/index", 10);
	assert_int_equal(nfds, 2);
	assert_true(fcntl(in[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(in[1], "x", 1), 1);
	assert_int_equal(read(pipes[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	for (int i = 0; i < 2; i++) {
		(void)close(in[i]);
		(void)close(pipes[i]);
		(void)close(s[i]);
	}
	assert_int_equal(open_fds(), before);
}

static void test_viewctl__too_large_is_refused(void **state)
{
	static char big[VIEWCTL_MSG_MAX];
	struct record msg = request(VIEWCTL_POLICY, 1);
	int s[2];

	pair(s);
	RECORD_SET(&msg, value, F_VALUE, ((struct bytes){big, sizeof(big)}));
	assert_int_equal(viewctl_send(s[0], &msg, NULL, 0), -EMSGSIZE);
	RECORD_SET(&msg, value, F_VALUE, ((struct bytes){big, sizeof(big) - 1024}));
	assert_int_equal(viewctl_send(s[0], &msg, NULL, 0), 0);
	(void)close(s[0]);
	(void)close(s[1]);
}

/* Sends raw bytes with n copies of a descriptor. */
static void send_raw(int fd, const void *p, size_t len, size_t n)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} space = {0};
	struct iovec iov = {(void *)p, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (n) {
		m.msg_control = space.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(int) * n), SOL_SOCKET, SCM_RIGHTS};
		for (size_t i = 0; i < n; i++)
			memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t)len);
}

static void test_viewctl__damage_keeps_no_descriptor(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT, good = BUF_INIT;
	struct record msg = request(VIEWCTL_STOP, 3), journal = request(RECORD_OP, 3), got;
	int s[2], in[VIEWCTL_FDS_MAX];
	uint64_t chain = 0;
	size_t nfds, before;

	pair(s);
	before = open_fds();
	assert_int_equal(record_encode(&msg, &chain, &good), 0);
	send_raw(s[0], good.data, good.len, 16); /* more descriptors than may come */
	assert_int_equal(viewctl_recv(s[1], &b, &got, in, &nfds), -EBADMSG);
	send_raw(s[0], good.data, good.len - 1, 3);
	assert_int_equal(viewctl_recv(s[1], &b, &got, in, &nfds), -EBADMSG);
	good.data[good.len / 2] ^= 1;
	send_raw(s[0], good.data, good.len, 1);
	assert_int_equal(viewctl_recv(s[1], &b, &got, in, &nfds), -EBADMSG);
	assert_int_equal(viewctl_send(s[0], &journal, &s[0], 1), 0); /* no message of this socket */
	assert_int_equal(viewctl_recv(s[1], &b, &got, in, &nfds), -EBADMSG);
	assert_int_equal(nfds, 0);
	assert_int_equal(open_fds(), before);
	(void)close(s[0]);
	assert_int_equal(viewctl_recv(s[1], &b, &got, in, &nfds), -ECONNRESET);
	(void)close(s[1]);
}

static void test_viewctl__listen_replaces_only_the_dead(void **state)
{
	_cleanup_free_ char *path = NULL;
	uint32_t uid = 99, pid = 0;
	struct stat st;
	int a, c;

	assert_true(asprintf(&path, "%s/sock", dir) > 0);
	assert_int_equal(viewctl_connect(path), -ENOENT);
	a = viewctl_listen(path);
	assert_true(a >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(fcntl(a, F_GETFL) & O_NONBLOCK);
	assert_int_equal(viewctl_listen(path), -EADDRINUSE);
	c = viewctl_connect(path);
	assert_true(c >= 0);
	assert_int_equal(viewctl_peer(c, &uid, &pid), 0);
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	(void)close(c);
	(void)close(a);
	assert_int_equal(viewctl_connect(path), -ECONNREFUSED);
	a = viewctl_listen(path);
	assert_true(a >= 0);
	(void)close(a);
	assert_int_equal(unlink(path), 0);
	(void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(viewctl_listen(path), -EEXIST);
}

static void test_viewctl__long_paths_work(void **state)
{
	_cleanup_free_ char *folder = NULL, *path = NULL;
	int a, c;

	assert_true(asprintf(&folder, "%s/%0200d", dir, 1) > 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_true(asprintf(&path, "%s/builder.sock", folder) > 0);
	a = viewctl_listen(path);
	assert_true(a >= 0);
	c = viewctl_connect(path);
	assert_true(c >= 0);
	(void)close(c);
	(void)close(a);
	a = viewctl_listen(path);
	assert_true(a >= 0);
	(void)close(a);
}

static void *answer(void *arg)
{
	int fd = *(int *)arg, in[VIEWCTL_FDS_MAX];
	struct buf b = BUF_INIT;
	struct record got, out;
	size_t nfds;

	while (viewctl_recv(fd, &b, &got, in, &nfds) == 0) {
		while (nfds)
			(void)close(in[--nfds]);
		out = request(got.type, got.seq - 1); /* a late answer to something else */
		RECORD_SET(&out, result, F_RESULT, 5);
		(void)viewctl_send(fd, &out, NULL, 0);
		if (got.type == VIEWCTL_DENIED)
			continue; /* never answers this */
		out.seq = got.seq;
		out.result = got.type == VIEWCTL_LOCK ? -EEXIST : 3;
		if (got.type == VIEWCTL_LOCK)
			RECORD_SET(&out, value, F_VALUE, ((struct bytes){"held by git", 11}));
		(void)viewctl_send(fd, &out, NULL, 0);
	}
	buf_release(&b);
	return NULL;
}

static void test_viewctl__call_matches_its_answer(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record msg = request(VIEWCTL_SNAPSHOT, 40), got;
	struct err e = ERR_INIT;
	pthread_t t;
	int s[2];

	pair(s);
	assert_int_equal(pthread_create(&t, NULL, answer, &s[1]), 0);
	assert_int_equal(viewctl_call(s[0], &msg, s[0], 5000, &b, &got, &e), 3);
	msg = request(VIEWCTL_LOCK, 42);
	assert_int_equal(viewctl_call(s[0], &msg, -1, 5000, &b, &got, &e), -EEXIST);
	assert_string_equal(err_text(&e), "held by git");
	msg = request(VIEWCTL_DENIED, 44);
	assert_int_equal(viewctl_call(s[0], &msg, -1, 50, &b, &got, &e), -ETIMEDOUT);
	assert_non_null(strstr(err_text(&e), "50 ms"));
	assert_int_equal(shutdown(s[0], SHUT_RDWR), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	(void)close(s[1]);
	assert_true(viewctl_call(s[0], &msg, -1, 5000, &b, &got, &e) < 0);
	(void)close(s[0]);
	err_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_viewctl__message_and_descriptors_arrive),
		cmocka_unit_test(test_viewctl__too_large_is_refused),
		cmocka_unit_test(test_viewctl__damage_keeps_no_descriptor),
		cmocka_unit_test(test_viewctl__listen_replaces_only_the_dead),
		cmocka_unit_test(test_viewctl__long_paths_work),
		cmocka_unit_test(test_viewctl__call_matches_its_answer),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
