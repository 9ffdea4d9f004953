/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "sandbox.h"

/* What the sandbox's files share. */

enum { SANDBOX_NOBODY = 65534, SANDBOX_BINDS_MAX = 64 };

/* Who runs it: we ourselves, unless we are root. The numbers are the same inside, so that what is stored of a file's
 * owner (git's index) is right there. */
uid_t sandbox_uid(void);
gid_t sandbox_gid(void);

/* As root the i-th bind's host path is there for bubblewrap: "/b/<i>" (sandbox_exec.c). */
#define SANDBOX_STAGED "/b/"

/* bubblewrap's own arguments, NUL after each, as --args reads them. */
struct sandbox_args {
	struct buf text;
	int r; /* first error; later calls do nothing */
};

void sandbox_arg(struct sandbox_args *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* sandbox_args.c: all arguments for a command. staged: the binds are found under SANDBOX_STAGED.
 * Errors: -EINVAL (a path that is not absolute), -ENOENT and the like (a bind's host path), -ENOMEM. */
struct sandbox_fds {
	int status, block, seccomp, passwd, group; /* seccomp may be -1 */
};
int sandbox_make_args(const struct sandbox_spec *s, bool staged, const struct sandbox_fds *fds,
		      struct sandbox_args *ret, struct err *reterr);

/* sandbox_seccomp.c: a program for --seccomp in a descriptor, -1 in *ret where the build has none. */
int sandbox_seccomp_fd(int *ret);

/* What sandbox_child() goes by. */
struct sandbox_exec {
	const char *program;
	char *const *argv;
	char *const *env;
	int fds[3];	 /* standard input, output, error */
	const int *keep; /* further descriptors that bubblewrap gets, ended by -1 */
	int life;	 /* when it hangs up all is ended */
	int status;	 /* what bubblewrap says */
	int block;	 /* where a byte lets the first process inside go on */
	int report;	 /* gets reports, the last one SANDBOX_STEP_END */
	bool root;	 /* binds are staged and privileges dropped */
	bool scope;	 /* the machine's network is shared: its abstract sockets are not */
	const struct sandbox_bind *binds;
	size_t nbinds;
	uint64_t memory_max;
	unsigned nproc_max;
	int nice;
};

enum sandbox_step {
	SANDBOX_STEP_STAGE,
	SANDBOX_STEP_BIND,
	SANDBOX_STEP_DROP,
	SANDBOX_STEP_LIMIT,
	SANDBOX_STEP_EXEC,
	SANDBOX_STEP_END
};

struct sandbox_report {
	int what;     /* enum sandbox_step: the one that failed, or the end */
	int value;    /* its errno; the end: the exit status, or 128 + signal */
	size_t index; /* of a bind; the end: 1 the command ran, 0 the room was not made */
};

/* The process that a fork made: makes the room ready, starts bubblewrap and keeps it (sandbox_exec.c,
 * sandbox_keep.c). Only system calls, no memory; ends when nothing of it is left. */
__attribute__((noreturn)) void sandbox_child(const struct sandbox_exec *x);

void sandbox_tell(const struct sandbox_exec *x, enum sandbox_step what, int value, size_t index);
__attribute__((noreturn)) void sandbox_keep(const struct sandbox_exec *x, pid_t bwrap);
