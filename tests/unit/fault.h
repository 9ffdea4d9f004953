/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Faults for tests: each replaceable call of sys.h counts, and the n-th one fails. A write that
 * fails may first write half. fault_arm(0, …) counts only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "sys.h"

static struct sys fault_real;
static struct {
	long calls, at; /* at: which call fails; 0: none */
	int error;
	bool half;     /* a failing write leaves half of its bytes */
	bool for_good; /* all later ones fail as well */
	bool memory;   /* allocations count */
} fault;

static inline bool fault_now(void)
{
	fault.calls++;
	if (fault.at == 0 || fault.calls < fault.at || (fault.calls > fault.at && !fault.for_good))
		return false;
	errno = fault.error;
	return true;
}

static inline void *fault_malloc(size_t n)
{
	return fault.memory && fault_now() ? NULL : fault_real.malloc(n);
}

static inline void *fault_realloc(void *p, size_t n)
{
	return fault.memory && fault_now() ? NULL : fault_real.realloc(p, n);
}

static inline int fault_openat(int dir, const char *name, int flags, mode_t mode)
{
	return fault_now() ? -1 : fault_real.openat(dir, name, flags, mode);
}

static inline ssize_t fault_pwrite(int fd, const void *buf, size_t n, off_t off)
{
	if (!fault_now())
		return fault_real.pwrite(fd, buf, n, off);
	if (fault.half && n > 1) {
		(void)!fault_real.pwrite(fd, buf, n / 2, off);
		errno = fault.error;
	}
	return -1;
}

static inline ssize_t fault_pread(int fd, void *buf, size_t n, off_t off)
{
	return fault_now() ? -1 : fault_real.pread(fd, buf, n, off);
}

static inline int fault_fdatasync(int fd)
{
	return fault_now() ? -1 : fault_real.fdatasync(fd);
}

static inline int fault_fsync(int fd)
{
	return fault_now() ? -1 : fault_real.fsync(fd);
}

static inline int fault_fallocate(int fd, int mode, off_t off, off_t len)
{
	return fault_now() ? -1 : fault_real.fallocate(fd, mode, off, len);
}

static inline int fault_ftruncate(int fd, off_t len)
{
	return fault_now() ? -1 : fault_real.ftruncate(fd, len);
}

static inline int fault_renameat(int fromdir, const char *from, int todir, const char *to)
{
	return fault_now() ? -1 : fault_real.renameat(fromdir, from, todir, to);
}

static inline int fault_unlinkat(int dir, const char *name, int flags)
{
	return fault_now() ? -1 : fault_real.unlinkat(dir, name, flags);
}

/* From here on the n-th call fails with `error` (positive). */
static inline void fault_arm(long n, int error)
{
	if (!fault_real.malloc)
		fault_real = sys;
	fault.calls = 0;
	fault.at = n;
	fault.error = error;
	sys.malloc = fault_malloc;
	sys.realloc = fault_realloc;
	sys.openat = fault_openat;
	sys.pwrite = fault_pwrite;
	sys.pread = fault_pread;
	sys.fdatasync = fault_fdatasync;
	sys.fsync = fault_fsync;
	sys.fallocate = fault_fallocate;
	sys.ftruncate = fault_ftruncate;
	sys.renameat = fault_renameat;
	sys.unlinkat = fault_unlinkat;
}

/* Back to the real calls. True when the n-th call was reached, and so failed. */
static inline bool fault_disarm(void)
{
	if (fault_real.malloc)
		sys = fault_real;
	return fault.at != 0 && fault.calls >= fault.at;
}
