/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between a view's server and its daemon or workers; the format is that of record.c.
 *
 * Guarantees: (1) a descriptor that arrives is handed to the caller or closed, also with a message
 * that is damaged, cut short or carries too many; (2) the peer may be hostile: what it sends is
 * decoded within its length; (3) a socket file is replaced only where nobody answers on it; (4) a
 * call ends at its deadline, whatever else arrives meanwhile.
 */
#include "viewctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "cleanup.h"
#include "sys.h"

/* An address of a path of any length: a long one goes by its folder's descriptor, which *ret_dir
 * must keep open until the address was used. */
static int make_address(const char *path, struct sockaddr_un *ret, int *ret_dir)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = NULL;

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!*path)
		return -EINVAL;
	if (strlen(path) < sizeof(ret->sun_path)) {
		memcpy(ret->sun_path, path, strlen(path));
		return 0;
	}
	folder = sys_strdup(path);
	if (!folder)
		return -ENOMEM;
	if (!slash)
		return -ENAMETOOLONG;
	folder[slash - path + 1] = '\0';
	*ret_dir = sys.openat(AT_FDCWD, folder, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (*ret_dir < 0)
		return -errno;
	if (snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", *ret_dir,
		     slash + 1) >= (int)sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

static int connect_address(const struct sockaddr_un *a)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int viewctl_connect(const char *path)
{
	_cleanup_close_ int dir = -1;
	struct sockaddr_un a;
	int r = make_address(path, &a, &dir);

	return r < 0 ? r : connect_address(&a);
}

/* Removes the socket file that is in the way, unless somebody answers on it. */
static int remove_dead(const struct sockaddr_un *a)
{
	struct stat st;
	int fd;

	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = connect_address(a);
	if (fd >= 0) {
		(void)safe_close(fd);
		return -EADDRINUSE;
	}
	if (fd != -ECONNREFUSED)
		return fd == -ENOENT ? 0 : -EADDRINUSE;
	return unlink(a->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int viewctl_listen(const char *path)
{
	_cleanup_close_ int fd = -1, dir = -1;
	struct sockaddr_un a;
	int r = make_address(path, &a, &dir);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The mode of the unbound socket is the file's: no moment with a wider one. */
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		if (errno != EADDRINUSE)
			return -errno;
		r = remove_dead(&a);
		if (r < 0)
			return r;
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
			return -errno;
	}
	if (listen(fd, 16) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int viewctl_peer(int fd, uint32_t *ret_uid, uint32_t *ret_pid)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) < 0)
		return -errno;
	*ret_uid = c.uid;
	*ret_pid = (uint32_t)c.pid;
	return 0;
}

union fd_space {
	char bytes[CMSG_SPACE(sizeof(int) * VIEWCTL_FDS_MAX)];
	struct cmsghdr align;
};

static void put_fds(struct msghdr *m, union fd_space *space, const int *fds, size_t nfds)
{
	struct cmsghdr *c;

	memset(space, 0, sizeof(*space));
	m->msg_control = space->bytes;
	m->msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
}

int viewctl_send(int fd, const struct record *msg, const int *fds, size_t nfds)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct iovec iov;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union fd_space space;
	uint64_t chain = 0;
	ssize_t n;
	int r;

	if (nfds > VIEWCTL_FDS_MAX)
		return -EINVAL;
	r = record_encode(msg, &chain, &b);
	if (r < 0)
		return r == -E2BIG ? -EMSGSIZE : r;
	if (b.len > VIEWCTL_MSG_MAX)
		return -EMSGSIZE;
	iov = (struct iovec){.iov_base = b.data, .iov_len = b.len};
	if (nfds)
		put_fds(&m, &space, fds, nfds);
	do
		n = sendmsg(fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void close_fds(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)safe_close(fds[i]);
}

/* The descriptors of a message; those beyond the limit are closed and -EBADMSG returned. */
static int take_fds(struct msghdr *m, int *fds, size_t *ret_n)
{
	size_t n = 0;
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < k; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < VIEWCTL_FDS_MAX) {
				fds[n++] = fd;
			} else {
				(void)safe_close(fd);
				r = -EBADMSG;
			}
		}
	}
	*ret_n = n;
	return r;
}

/* One packet into b; its descriptors. */
static int receive(int fd, struct buf *b, int *fds, size_t *ret_nfds)
{
	struct iovec iov;
	union fd_space space;
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = space.bytes,
			   .msg_controllen = sizeof(space.bytes)};
	ssize_t n;
	int r;

	buf_clear(b);
	r = buf_reserve(b, VIEWCTL_MSG_MAX);
	if (r < 0)
		return r;
	iov = (struct iovec){.iov_base = b->data, .iov_len = VIEWCTL_MSG_MAX};
	do
		n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	b->len = (size_t)n;
	b->data[n] = '\0';
	r = take_fds(&m, fds, ret_nfds);
	if (r == 0 && (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		r = -EBADMSG;
	return r == 0 && n == 0 ? -ECONNRESET : r;
}

int viewctl_recv(int fd, struct buf *b, struct record *ret, int *fds, size_t *ret_nfds)
{
	uint64_t chain = 0;
	size_t used = 0, nfds = 0;
	struct record msg;
	int r;

	*ret_nfds = 0;
	r = receive(fd, b, fds, &nfds);
	if (r == 0) {
		r = record_decode(b->data, b->len, &chain, &msg, &used);
		if (r < 0 || used != b->len || msg.type < RECORD_VIEWCTL)
			r = -EBADMSG;
	}
	if (r < 0) {
		close_fds(fds, nfds);
		return r;
	}
	*ret = msg;
	*ret_nfds = nfds;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	if (sys.clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		return 0;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline - now_ms();
		int n = poll(&p, 1, left > 0 ? (int)left : 0);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && left <= 0)
			return -ETIMEDOUT;
	}
}

static int send_until(int fd, const struct record *msg, int send_fd, int64_t deadline)
{
	for (;;) {
		int r = wait_for(fd, POLLOUT, deadline);

		if (r < 0)
			return r;
		r = viewctl_send(fd, msg, &send_fd, send_fd >= 0);
		if (r != -EAGAIN)
			return r;
	}
}

/* Answers to earlier calls, which gave up, and greetings are passed over. */
static int receive_until(int fd, uint64_t seq, int64_t deadline, struct buf *b, struct record *ret)
{
	for (;;) {
		int fds[VIEWCTL_FDS_MAX], r = wait_for(fd, POLLIN, deadline);
		size_t nfds = 0;

		if (r < 0)
			return r;
		r = viewctl_recv(fd, b, ret, fds, &nfds);
		close_fds(fds, nfds);
		if (r == -EAGAIN)
			continue;
		if (r < 0)
			return r;
		if (ret->seq == seq && RECORD_HAS(ret, F_RESULT))
			return 0;
	}
}

int viewctl_call(int fd, const struct record *msg, int send_fd, int timeout_ms, struct buf *b,
		 struct record *ret, struct err *reterr)
{
	int64_t deadline = now_ms() + timeout_ms;
	int r = send_until(fd, msg, send_fd, deadline);

	if (r == 0)
		r = receive_until(fd, msg->seq, deadline, b, ret);
	if (r == -ETIMEDOUT)
		return err_set(reterr, r, "the view's server did not answer within %d ms",
			       timeout_ms);
	if (r < 0)
		return err_set(reterr, r, "cannot talk to the view's server: %s", strerror(-r));
	if (ret->result >= 0)
		return ret->result;
	if (RECORD_HAS(ret, F_VALUE) && ret->value.n)
		return err_set(reterr, ret->result, "%.*s", (int)ret->value.n, ret->value.p);
	return err_set(reterr, ret->result, "the view's server refused: %s",
		       strerror(-ret->result));
}
