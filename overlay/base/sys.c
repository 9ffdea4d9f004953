/* SPDX-License-Identifier: Apache-2.0 */
/* The replaceable system calls; see sys.h. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

static int real_openat(int dir, const char *name, int flags, mode_t mode)
{
	return openat(dir, name, flags, mode);
}

struct sys sys = {
	.malloc = malloc,
	.realloc = realloc,
	.openat = real_openat,
	.pwrite = pwrite,
	.pwritev = pwritev,
	.pread = pread,
	.fdatasync = fdatasync,
	.fsync = fsync,
	.fallocate = fallocate,
	.ftruncate = ftruncate,
	.renameat = renameat,
	.unlinkat = unlinkat,
	.clock_gettime = clock_gettime,
};

void *sys_calloc(size_t n, size_t size)
{
	size_t total;
	void *p;

	if (__builtin_mul_overflow(n, size, &total))
		return NULL;
	p = sys.malloc(total ? total : 1);
	if (p)
		memset(p, 0, total);
	return p;
}

void *sys_memdup(const void *p, size_t n)
{
	void *q = sys.malloc(n ? n : 1);

	if (q && n)
		memcpy(q, p, n);
	return q;
}

char *sys_strdup(const char *s)
{
	return sys_memdup(s, strlen(s) + 1);
}

uint64_t sys_now_ns(void)
{
	static _Atomic uint64_t last;
	struct timespec ts = {0};
	uint64_t now, seen;

	(void)sys.clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	seen = atomic_load(&last);
	while (now > seen)
		if (atomic_compare_exchange_weak(&last, &seen, now))
			return now;
	return seen;
}
