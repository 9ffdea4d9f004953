/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning and the end of a stream of any length, in bounded memory. */
#include "sandbox_capture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 };

void capture_init(struct capture *c, size_t max, uint64_t drain)
{
	*c = (struct capture){.max = max, .drain = drain};
}

/* Without draining all of it is head; else a half each. */
static size_t head_max(const struct capture *c)
{
	return c->drain ? c->max / 2 : c->max;
}

static size_t tail_max(const struct capture *c)
{
	return c->max - head_max(c);
}

static int keep(struct capture *c, const char *p, size_t n)
{
	size_t room = head_max(c) - c->head.len, first = n < room ? n : room;
	int r = buf_add(&c->head, p, first);

	p += first;
	n -= first;
	if (r < 0 || n == 0 || tail_max(c) == 0)
		return r;
	r = buf_add(&c->tail, p, n);
	/* Moved only when it has grown to twice its size: a byte is moved once. */
	if (r == 0 && c->tail.len > 2 * tail_max(c) + CHUNK) {
		memmove(c->tail.data, c->tail.data + c->tail.len - tail_max(c), tail_max(c));
		c->tail.len = tail_max(c);
	}
	return r;
}

int capture_read(struct capture *c, int fd)
{
	char room[16384];
	ssize_t n;
	int r;

	while ((n = read(fd, room, sizeof(room))) > 0) {
		r = keep(c, room, (size_t)n);
		if (r < 0)
			return r;
		c->total += (uint64_t)n;
		if (c->total > c->max + c->drain)
			return -EFBIG;
	}
	if (n == 0)
		return 0;
	return errno == EAGAIN || errno == EINTR ? 1 : -errno;
}

bool capture_truncated(const struct capture *c)
{
	return c->total > c->max;
}

int capture_take(struct capture *c, struct buf *ret)
{
	size_t tail = c->tail.len < tail_max(c) ? c->tail.len : tail_max(c);
	int r = buf_add(ret, c->head.data ? c->head.data : "", c->head.len);

	if (r == 0 && capture_truncated(c))
		r = buf_addf(ret, "\n… %llu bytes left out …\n",
			     (unsigned long long)(c->total - c->head.len - tail));
	if (r == 0 && tail)
		r = buf_add(ret, c->tail.data + c->tail.len - tail, tail);
	return r;
}

void capture_release(struct capture *c)
{
	buf_release(&c->head);
	buf_release(&c->tail);
}
