/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/*
 * One command in a closed room (bubblewrap): it sees /usr and a few files of /etc read-only, /proc,
 * /dev, /tmp, /run and a home of its own, and what is bound into it; nothing else of the machine, no
 * other process, no network unless allowed. It gets no descriptor of ours but its three streams, no
 * environment but the given one, and none of what no build or resolver needs (sandbox_seccomp.c). When
 * sandbox_run() returns, no process of it is left. Usable where one may block, as in the worker.
 */

struct sandbox_bind {
	const char *host;   /* absolute path here; a symlink is followed */
	const char *inside; /* absolute path there; NULL: the same */
	bool writable;
};

enum { SANDBOX_OUTPUT_MAX = 64 << 10, SANDBOX_NPROC = 512, SANDBOX_TIMEOUT_MS = 60000 };

struct sandbox_spec {
	const char *const *argv; /* NULL-ended; argv[0] absolute or found in PATH there */
	const char *cwd;	 /* there, or NULL: its home */
	const struct sandbox_bind *binds;
	size_t nbinds;
	const char *const
		*env; /* KEY=VALUE, NULL-ended (or NULL); HOME, PATH, LANG are added where absent */
	bool network; /* the machine's */
	const char *in; /* its standard input, or NULL: empty */
	size_t in_len;
	unsigned timeout_ms; /* 0: SANDBOX_TIMEOUT_MS */
	size_t output_max;   /* kept of each stream; 0: SANDBOX_OUTPUT_MAX */
	uint64_t
		drain_max; /* what is read beyond that and left out of the middle; at more it is killed */
	uint64_t memory_max; /* data of each process, and its /tmp; 0: no limit, and 256 MiB */
	unsigned nproc_max;  /* processes and threads; 0: SANDBOX_NPROC */
	int nice;	 /* added to its priority's number: whoever has a smaller one goes first */
	bool one_stream; /* standard error goes to `out` too, in the order of writing */
	bool stop_on_stdin; /* it ends when our own standard input hangs up (worker of a following task) */
};

struct sandbox_result {
	int status;	/* exit status, or 128 + signal */
	bool timed_out; /* it was killed because time was over */
	bool truncated; /* more was written than is in out, err: what was left out is said in the middle */
	bool flooded; /* it was killed because it wrote more than output_max + drain_max */
	struct buf out, err;
	uint64_t ms;
};

void sandbox_result_release(struct sandbox_result *r);

/* Runs it to its end. `ret` is set on success and when its own end is not a good one: caller releases it in
 * any case. It never runs as root: where we are root it is user 65534, who must be able to write what is
 * bound writable; its numbers are the same inside. Errors: -ENOSYS (bubblewrap is missing), -EPERM (the machine refuses namespaces),
 * -ENOENT (a bind's host path), -ECANCELED (stop_on_stdin), -errno; each with a sentence. */
int sandbox_run(const struct sandbox_spec *s, struct sandbox_result *ret, struct err *reterr);

/* Could a command be run? Runs /bin/true. Errors: as sandbox_run(). */
int sandbox_check(struct err *reterr);

/* Does the build have the list of refused system calls? */
bool sandbox_has_seccomp(void);

/* Folders that are searched for bwrap, ended by NULL; tests change it. */
extern const char *const *sandbox_program_folders;
