/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "err.h"

/* Where a daemon keeps what. All absolute; owned. */
struct paths {
	char *config;	   /* agentfs.yaml */
	bool config_given; /* it must exist */
	char *state, *run, *mounts;
	char *socket; /* RUN/agentfsd.sock */
	char *db, *worker_lock;
};

/* Fills in what is NULL: root's folders under /etc, /var/lib, /run, /agents; a user's after XDG.
 * Errors: -errno, with a sentence. */
int paths_complete(struct paths *p, struct err *reterr);

/* Makes STATE, RUN and what is below them with the modes they need. Errors: as above. */
int paths_make(const struct paths *p, struct err *reterr);
void paths_release(struct paths *p);
