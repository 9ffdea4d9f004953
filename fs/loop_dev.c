/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests over /dev/fuse with our own loop.
 *
 * One thread leads: it reads a request and serves it by itself, so that a caller who waits for one
 * answer after the other is served without waking anyone. Before work that may take long the handler
 * lets the lead go (loop_yield()) and a waiting thread takes it. After a request the leader waits for the
 * next one spinning or in poll(2), whichever is faster with the caller at hand (waiting.c).
 *
 * Between two reads of a spin the leader yields its CPU: the kernel may have woken the caller on it. Where
 * yields find nobody they are left out. When one comes back late, somebody computes beside us: then poll() is
 * better, whose wake-up goes before such a one, the sooner the shorter our turns are (want_short_turns()).
 *
 * Measured on a 6.18 kernel with 2 cores in a virtual machine, one round trip (GETXATTR): stock loop 31-60
 * µs; ours 6 to 9 µs on one CPU and where the caller's has not fallen asleep, 25 to 35 µs where it has: most
 * of it is the kernel waking that CPU. Where the time of 7 µs goes: two switches between caller
 * and server 3 µs, the kernel's part of request and reply 3 µs, this program less than 0.5 µs.
 *
 * Requests that no answer of ours spares: a tar unpacked by root makes 9.2 a file, by a user 6.1: LOOKUP,
 * GETATTR of the folder (the kernel drops a folder's attributes at each change in it), MKNOD, GETXATTR
 * security.capability before the first write and at chown (only ENOSYS to all extended attributes would
 * end these), 1.1 WRITE, 3 SETATTR (a user: 1). A deletion makes GETATTR of the folder, UNLINK and FORGET.
 * Reading a file makes one GETATTR at the next stat (atime).
 *
 * libfuse before 3.18 does not know two bits of INIT, so they are set in the reply on its way out:
 *   HANDLE_KILLPRIV_V2 (no GETXATTR per write), and REQUEST_TIMEOUT where the kernel offers it (a
 *   request that is never answered frees its caller). From 3.18 on libfuse sets them itself (ops.c
 *   asks for them), and replies need not pass through us; which is well, since 3.18.3 refuses
 *   fuse_session_custom_io() unless it was built for it.
 */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "helper.h"
#include "log.h"
#include "notify.h"
#include "waiting.h"

enum { THREADS = 4, BUFFER = (1 << 20) + 65536, POLL_MS = 1000, JOIN_MAX = 256 };
#define HOGGED_NS   1000000 /* whoever ran that long after a yield is no caller of ours */
#define SLICE_NS    100000  /* the shortest that the kernel takes */
#define ALONE_NS    1500    /* a yield that is over sooner found nobody */
#define ALONE_MAX   8
#define ALONE_RETRY 16

__thread struct request request;
static __thread bool leading;
static __thread char *reply_buffer;
static __thread size_t reply_cap;

static pthread_mutex_t lead = PTHREAD_MUTEX_INITIALIZER; /* held by the thread that reads */
static atomic_int stopping, serving;

/* The threads' memory for requests and for replies. Written by its thread while it serves. */
static struct held {
	char *p;
	size_t n;
} held[2 * THREADS];
static __thread struct held *own; /* its two */

void loop_yield(void)
{
	if (!leading)
		return;
	leading = false;
	pthread_mutex_unlock(&lead);
}

char *loop_buffer(size_t n)
{
	if (n > reply_cap) {
		char *p = realloc(reply_buffer, n);

		if (!p)
			return NULL;
		reply_buffer = p;
		reply_cap = n;
		if (own)
			own[1] = (struct held){p, n};
	}
	return reply_buffer;
}

void loop_stop(void)
{
	atomic_store(&stopping, 1);
}

bool loop_stopping(void)
{
	return atomic_load(&stopping);
}

/* --- the session's I/O --- */

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 18)

static int attach_session(struct fs *fs)
{
	char path[32]; /* libfuse's name for "already mounted, here is the descriptor" */

	(void)snprintf(path, sizeof(path), "/dev/fd/%d", fs->dev);
	return fuse_session_mount(fs->se, path) < 0 ? -EINVAL : 0;
}

static void note_init(const struct fuse_in_header *h, const char *arg, size_t n)
{
	(void)h;
	(void)arg;
	(void)n;
}

#else

/* Newer than the headers of Linux 6.1. */
#define INIT_REQUEST_TIMEOUT_FLAG2 (1u << (42 - 32))
struct init_tail {
	uint32_t max_stack_depth;
	uint16_t request_timeout;
};

/* Of the INIT at hand: the thread that reads it also writes its reply, while others may notify. */
static __thread uint64_t init_unique;
static __thread uint32_t init_offered, init_offered2;

static ssize_t dev_read(int fd, void *p, size_t n, void *user)
{
	(void)user;
	return read(fd, p, n);
}

static void patch_init(struct iovec *iov, int n)
{
	struct fuse_init_out *out;
	struct init_tail tail;

	if (n < 2 || iov[1].iov_len < sizeof(*out))
		return;
	out = iov[1].iov_base;
	out->flags |= init_offered & FUSE_HANDLE_KILLPRIV_V2;
	if (!(init_offered & FUSE_INIT_EXT) || !(init_offered2 & INIT_REQUEST_TIMEOUT_FLAG2))
		return;
	out->flags |= FUSE_INIT_EXT;
	out->flags2 |= INIT_REQUEST_TIMEOUT_FLAG2;
	memcpy(&tail, out->unused, sizeof(tail));
	tail.request_timeout = REQUEST_TIMEOUT_S;
	memcpy(out->unused, &tail, sizeof(tail));
}

/* The kernel pins the pages of each part of a reply: one part is cheaper than two. */
static ssize_t write_joined(int fd, const struct iovec *iov, int n, size_t len)
{
	char reply[JOIN_MAX];
	size_t at = 0;

	if (len > sizeof(reply))
		return writev(fd, iov, n);
	for (int i = 0; i < n; i++) {
		memcpy(reply + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	return write(fd, reply, at);
}

static ssize_t dev_writev(int fd, struct iovec *iov, int n, void *user)
{
	const struct fuse_out_header *h = iov[0].iov_base;

	(void)user;
	if (init_unique && h->unique == init_unique) {
		init_unique = 0;
		patch_init(iov, n);
	}
	return iov[0].iov_len == h->len ? write(fd, h, h->len) : write_joined(fd, iov, n, h->len);
}

static int attach_session(struct fs *fs)
{
	static const struct fuse_custom_io io = {.writev = dev_writev, .read = dev_read};

	return fuse_session_custom_io(fs->se, &io, fs->dev) < 0 ? -EINVAL : 0;
}

/* arg: what follows the header; n: the length of both. */
static void note_init(const struct fuse_in_header *h, const char *arg, size_t n)
{
	const struct fuse_init_in *in = (const void *)arg;

	if (n < sizeof(*h) + 4 * sizeof(uint32_t))
		return;
	init_unique = h->unique;
	init_offered = in->flags;
	init_offered2 = n >= sizeof(*h) + 5 * sizeof(uint32_t) ? in->flags2 : 0;
}

#endif

int loop_attach(struct fs *fs)
{
	int flags = fcntl(fs->dev, F_GETFL);

	if (flags < 0 || fcntl(fs->dev, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return attach_session(fs);
}

/* --- reading --- */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Guarded by the lead. */
static struct waiting waiting = WAITING_INIT;
static unsigned int alone;  /* yields in a row after which nobody else had run */
static unsigned int served; /* requests */
static unsigned int rested; /* served, when memory was last given back */

/* Whoever was just answered may have been put on this CPU and wait for us to leave it. Where that is not
 * so time after time, a yield only makes us late; it is tried again now and then. */
static void let_caller_run(uint64_t since)
{
	uint64_t took;

	if (alone >= ALONE_MAX && served % ALONE_RETRY)
		return;
	(void)sched_yield();
	took = now_ns() - since;
	alone = took >= ALONE_NS ? 0 : alone + 1;
	if (took >= HOGGED_NS)
		waiting_hogged(&waiting);
}

/* Have we been told to stop, and does nobody wait for an answer of ours on our own behalf? */
static bool may_end(struct fs *fs)
{
	return atomic_load(&stopping) && notify_stop(fs->notify) && !helper_running();
}

/* After a second without a request: what requests and replies have touched, and what malloc keeps, is
 * given back. Nobody serves and the lead is ours, so nobody uses it. */
static void rest(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
		uintptr_t from = ((uintptr_t)held[i].p + page - 1) & ~(page - 1);
		uintptr_t to = ((uintptr_t)held[i].p + held[i].n) & ~(page - 1);

		if (from < to)
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	(void)malloc_trim(0);
	rested = served;
}

/* Bytes read, 0 when the view is unmounted or we stop, or -errno. The lead is held. */
static ssize_t next_request(struct fs *fs, char *p)
{
	enum way way = BLOCK;
	uint64_t since = 0;

	for (;;) {
		struct pollfd pfd = {.fd = fs->dev, .events = POLLIN};
		ssize_t n = read(fs->dev, p, BUFFER);
		uint64_t t;

		if (n >= 0) {
			if (since)
				waiting_learn(&waiting, way, now_ns() - since);
			served++;
			return n;
		}
		if (errno == ENODEV)
			return 0;
		if (errno == EINTR || errno == ENOENT) /* ENOENT: the caller was interrupted */
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (may_end(fs))
			return 0;
		t = now_ns();
		if (!since) {
			since = t;
			way = waiting_choose(&waiting);
		}
		if (way == SPIN && t - since < WAITING_SPIN_NS)
			let_caller_run(t);
		else if (poll(&pfd, 1, POLL_MS) <= 0 && served != rested && !atomic_load(&serving))
			rest();
	}
}

static void note_header(const char *p, size_t n)
{
	const struct fuse_in_header *h = (const void *)p;
	const char *arg = p + sizeof(*h);

	request = (struct request){0};
	if (n < sizeof(*h))
		return;
	request.unique = h->unique;
	if (h->opcode == FUSE_WRITE && n >= sizeof(*h) + sizeof(struct fuse_write_in)) {
		const struct fuse_write_in *w = (const void *)arg;

		request.kill_priv = w->write_flags & FUSE_WRITE_KILL_SUIDGID;
	} else if (h->opcode == FUSE_SETATTR && n >= sizeof(*h) + sizeof(struct fuse_setattr_in)) {
		const struct fuse_setattr_in *s = (const void *)arg;

		request.kill_priv = s->valid & FATTR_KILL_SUIDGID;
	} else if (h->opcode == FUSE_INIT) {
		note_init(h, arg, n);
	}
}

/* 1 to go on, 0 to end, -errno. */
static int serve_one(struct fs *fs, char *p)
{
	struct fuse_buf fb = {.mem = p};
	ssize_t n;

	pthread_mutex_lock(&lead);
	leading = true;
	do {
		n = next_request(fs, p);
		if (n <= 0)
			break;
		atomic_fetch_add(&serving, 1);
		note_header(p, (size_t)n);
		fb.size = (size_t)n;
		fuse_session_process_buf(fs->se, &fb);
		atomic_fetch_sub(&serving, 1);
		if (fuse_session_exited(fs->se))
			n = 0;
	} while (leading && n > 0);
	loop_yield();
	return n > 0 ? 1 : (int)n;
}

/* Short turns: the kernel (from 6.12 on) lets a task that wants short ones go before one that does not, so
 * that a request is not kept waiting by whoever computes beside us. Older kernels take no notice. */
static void want_short_turns(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = {.size = sizeof(attr)};

	if (syscall(SYS_sched_getattr, 0, &attr, (unsigned int)sizeof(attr), 0u) < 0)
		return;
	attr.size = sizeof(attr);
	attr.runtime = SLICE_NS;
	if (attr.policy == SCHED_OTHER)
		(void)syscall(SYS_sched_setattr, 0, &attr, 0u);
}

static void *thread_main(void *user)
{
	static atomic_size_t started;
	struct fs *fs = user;
	char *p = malloc(BUFFER);
	long r = p ? 1 : -ENOMEM;

	own = &held[2 * (atomic_fetch_add(&started, 1) % THREADS)];
	own[0] = (struct held){p, p ? BUFFER : 0};
	want_short_turns();
	while (r > 0 && !may_end(fs))
		r = serve_one(fs, p);
	loop_stop();
	pthread_mutex_lock(&lead); /* rest() looks at them under it */
	own[0] = own[1] = (struct held){0};
	pthread_mutex_unlock(&lead);
	free(p);
	free(reply_buffer);
	reply_buffer = NULL;
	return (void *)r;
}

int loop_run(struct fs *fs)
{
	pthread_t threads[THREADS];
	int n = 0, r = 0;
	void *ret;

	for (; n < THREADS; n++) {
		r = -pthread_create(&threads[n], NULL, thread_main, fs);
		if (r < 0)
			break;
	}
	if (n == 0)
		return r;
	r = 0;
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], &ret);
		if ((long)ret < 0)
			r = (int)(long)ret;
	}
	return r;
}

bool loop_wait_idle(struct fs *fs, int timeout_ms)
{
	uint64_t until = now_ns() + (uint64_t)timeout_ms * 1000000u;

	do {
		struct pollfd pfd = {.fd = fs->dev, .events = POLLIN};
		const struct timespec pause = {.tv_nsec = 20000};

		if (atomic_load(&serving) == 0 && poll(&pfd, 1, 0) == 0 &&
		    atomic_load(&serving) == 0)
			return true;
		nanosleep(&pause, NULL);
	} while (now_ns() < until);
	return false;
}
