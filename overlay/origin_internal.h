/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "origin.h"

enum { ORIGIN_STORES_MAX = 16, ORIGIN_FDS_MAX = 32 };

struct origin {
	char *repository;
	uint32_t uid, gid;     /* the view's */
	uint32_t owner, group; /* the repository's */
	bool act;	       /* root serves for another: read as the owner */
	dev_t ns_dev;	       /* our mount namespace */
	ino_t ns_ino;
	pthread_mutex_t lock;		 /* guards what follows; nothing else is taken under it */
	char *stores[ORIGIN_STORES_MAX]; /* the object folder, then its alternates */
	size_t nstores;
	struct {
		uint64_t key, used; /* used: when last, ns; 0: free */
		int fd;
	} files[ORIGIN_FDS_MAX];
};

/* The calling thread opens files as the repository's owner, until origin_as_self(). Errors: -EPERM. */
int origin_as_owner(const struct origin *o);
void origin_as_self(const struct origin *o);
