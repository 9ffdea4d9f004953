/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * The system calls and allocators whose failure must leave everything as it was. Product code
 * calls them through this table; fault tests replace an entry and make the n-th call fail, write
 * short, or be forgotten (SQLite's test_syscall.c does the same). Set only while single-threaded.
 */
struct sys {
	void *(*malloc)(size_t n);
	void *(*realloc)(void *p, size_t n);
	int (*openat)(int dir, const char *name, int flags, mode_t mode);
	ssize_t (*pwrite)(int fd, const void *buf, size_t n, off_t off);
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t off);
	ssize_t (*pread)(int fd, void *buf, size_t n, off_t off);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
	int (*fallocate)(int fd, int mode, off_t off, off_t len);
	int (*ftruncate)(int fd, off_t len);
	int (*renameat)(int fromdir, const char *from, int todir, const char *to);
	int (*unlinkat)(int dir, const char *name, int flags);
	int (*clock_gettime)(clockid_t clock, struct timespec *ret);
};

extern struct sys sys;

/* Zeroed memory through sys.malloc; NULL without memory or when n * size overflows. */
void *sys_calloc(size_t n, size_t size);

/* A copy through sys.malloc; NULL without memory. */
void *sys_memdup(const void *p, size_t n);
char *sys_strdup(const char *s);

/* CLOCK_REALTIME in nanoseconds, never going backwards within the process. */
uint64_t sys_now_ns(void);
