/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/*
 * Putting images and indexes into STATE/images, which belongs to the daemon, from a worker that has
 * become somebody else: a child keeps the daemon's uid and does nothing but rename what was built.
 */
struct publish {
	int dir;   /* STATE/images, for reading */
	int image; /* temporary files, open for writing */
	int index;
	int lock; /* one builder at a time */
	int pipe; /* to the child; closing it ends the child, which removes what was not published
		   */
	pid_t child;
	uint32_t uid, gid; /* whose index it is */
};

enum publish_kind { PUBLISH_IMAGE = 1, PUBLISH_INDEX = 2 };

/* With privileges: makes the temporary files (named after view_id) and the child. Errors: -errno.
 */
int publish_open(int state_fd, const char *view_id, uint32_t uid, uint32_t gid, struct publish *ret,
		 struct err *reterr);

/* <tree>.img or <tree>.<uid>.<gid>.idx. `room` has at least PUBLISH_NAME_MAX bytes. */
enum { PUBLISH_NAME_MAX = 128 };
void publish_name(const struct publish *p, enum publish_kind kind, const char *tree, char *room);

/* The temporary file becomes the final one, on disk; one that is there already stays. */
int publish_put(struct publish *p, enum publish_kind kind, const char *tree, struct err *reterr);

void publish_close(struct publish *p);
