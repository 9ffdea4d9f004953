/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "checkpoint.h"
#include "data.h"
#include "err.h"
#include "journal.h"
#include "tree.h"
#include "viewconf.h"

/* A view's state as its files hold it: newest whole checkpoint plus the journal behind it. */
struct recovered {
	struct image *
		image; /* view.conf's, on which the journal begins; tree.image is the current one */
	int images_dir;
	struct tree tree;
	struct data *data;
	struct journal *journal; /* NULL when read-only */
	int journal_dir, data_dir, checkpoint_dir;
	struct checkpoint_info checkpoint;
	uint64_t checkpoint_seq; /* 0: none */
	uint64_t replayed;	 /* records applied behind it */
	int64_t live;		 /* bytes that extents refer to, one shared by two counted twice */
	uint64_t dropped;	 /* bytes of a torn tail that were cut */
};

/* Opens everything for writing; folders are made. Errors: -EBADMSG damage below the durable point,
 * -EPROTONOSUPPORT, -ENOSPC, … with a sentence. */
int recover_open(int view_dir, int images_dir, const struct viewconf *conf, struct recovered *ret,
		 struct err *reterr);

/* For readers beside a running server: up to record `seq` (0: all there are), nothing is changed. */
int recover_read(int view_dir, int images_dir, const struct viewconf *conf, uint64_t seq,
		 struct recovered *ret, struct err *reterr);

/* Where a tree's syncs find their images; the descriptor is borrowed with the pointer. */
struct image_source recover_images(const int *images_dir);

void recovered_release(struct recovered *r);
