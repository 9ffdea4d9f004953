/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "view.h"

/* One served view: what the files of fs/ share. */
struct notify;
struct redirects;

struct fs {
	struct view *view;
	struct fuse_session *se;
	struct notify *notify;
	int dev; /* the /dev/fuse descriptor */
	const char *mount;
	struct redirects *redirects; /* NULL: none can be mounted */
};

/* What the header of the request at hand says and libfuse does not pass on; set by the loop for the
 * thread that handles it. */
struct request {
	uint64_t unique;
	bool kill_priv; /* FUSE_WRITE_KILL_SUIDGID, FATTR_KILL_SUIDGID */
	bool damaged;	/* a mapped file of ours was shorter than it said (SIGBUS) */
};
extern __thread struct request request;
