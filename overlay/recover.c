/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: image → checkpoint → journal.
 *
 * Invariants: (1) every data range that a checkpoint or record names is marked used before anything
 * is appended, so that acknowledged bytes are never written over; (2) a journal that ends before the
 * checkpoint is refused: a checkpoint is written only after the journal up to it was synced.
 */
#include "recover.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "apply.h"
#include "cleanup.h"
#include "io.h"
#include "seed.h"
#include "sys.h"

struct replay {
	struct recovered *rec;
	uint64_t until; /* 0: all */
	int mark_error;
};

static void live_fn(uint64_t addr, int64_t delta, void *user)
{
	struct recovered *rec = user;

	rec->live += delta;
	data_live(rec->data, addr, delta);
}

/* While recovering every range that comes into use must exist. */
static void live_and_mark_fn(uint64_t addr, int64_t delta, void *user)
{
	struct replay *rp = user;

	if (delta > 0) {
		int r = data_mark_used(rp->rec->data, addr, (uint64_t)delta);

		if (r < 0 && !rp->mark_error)
			rp->mark_error = r;
		if (r < 0)
			return;
	}
	live_fn(addr, delta, rp->rec);
}

static int mark_piece(uint64_t place, uint64_t len, void *user)
{
	return data_mark_used(user, place, len);
}

/* A write whose bytes never reached the disk (power failed before anything was synced) ends the
 * journal: journal_open() tells whether that is a torn tail or damage. */
static int replay_fn(const struct record *rec, void *user)
{
	struct replay *rp = user;
	int r = 0;

	if (rec->type == RECORD_COMPACT || (rec->type == RECORD_OP && rec->op == OP_WRITE))
		r = data_mark_used(rp->rec->data, rec->place, rec->length);
	else if (rec->type == RECORD_OP)
		r = seed_each_piece(rec, mark_piece, rp->rec->data);
	if (r < 0)
		return r == -EBADMSG ? JOURNAL_CUT : r;
	r = apply_replay(&rp->rec->tree, rec);
	if (r < 0)
		return r;
	rp->rec->replayed++;
	return rp->mark_error;
}

/* --- images of later bases --- */

static int open_image(const char *name, const struct image **ret, void *user)
{
	const int *dir = user;
	struct image *img = NULL;
	int r = image_open(*dir, name, &img, NULL);

	if (r == 0)
		*ret = img;
	return r;
}

static void close_image(const struct image *img, void *user)
{
	(void)user;
	image_close((struct image *)img);
}

struct image_source recover_images(const int *images_dir)
{
	return (struct image_source){open_image, close_image, (void *)images_dir};
}

static int open_dir(int parent, const char *name, bool make)
{
	int fd, r;

	if (make) {
		r = io_mkdir(parent, name, 0700);
		if (r < 0)
			return r;
	}
	fd = sys.openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

static int open_files(int view_dir, int images_dir, const struct viewconf *conf, bool write,
		      struct recovered *ret, struct err *reterr)
{
	int r;

	*ret = (struct recovered){.journal_dir = -1,
				  .data_dir = -1,
				  .checkpoint_dir = -1,
				  .images_dir = fcntl(images_dir, F_DUPFD_CLOEXEC, 3)};
	if (ret->images_dir < 0)
		return err_set(reterr, -errno, "open the folder of base images");
	ret->journal_dir = open_dir(view_dir, "journal", write);
	ret->data_dir = open_dir(view_dir, "data", write);
	ret->checkpoint_dir = open_dir(view_dir, "checkpoint", write);
	r = ret->journal_dir < 0 ? ret->journal_dir
	    : ret->data_dir < 0	 ? ret->data_dir
				 : ret->checkpoint_dir;
	if (r < 0)
		return err_set(reterr, r, "open the folders of view '%s': %s", conf->agent,
			       strerror(-r));
	r = image_open(images_dir, conf->image, &ret->image, reterr);
	if (r < 0)
		return r;
	r = data_open(ret->data_dir, conf->view_id, !write, &ret->data, reterr);
	if (r < 0)
		return r;
	r = tree_init(&ret->tree, ret->image, conf->uid, conf->gid);
	ret->tree.images = recover_images(&ret->images_dir);
	return r;
}

static int load_checkpoint(const struct viewconf *conf, uint64_t max_seq, struct replay *rp,
			   struct err *reterr)
{
	struct recovered *ret = rp->rec;
	int r;

	ret->tree.live = (struct extent_live){live_and_mark_fn, rp};
	r = checkpoint_load(ret->checkpoint_dir, conf->view_id, max_seq, &ret->tree,
			    &ret->checkpoint, reterr);
	if (r < 0)
		return r;
	ret->checkpoint_seq = ret->tree.seq;
	if (rp->mark_error)
		return err_set(reterr, -EBADMSG,
			       "checkpoint %" PRIu64 " of view '%s' names data that is not there",
			       ret->checkpoint_seq, conf->agent);
	return 0;
}

int recover_open(int view_dir, int images_dir, const struct viewconf *conf, struct recovered *ret,
		 struct err *reterr)
{
	struct replay rp = {.rec = ret};
	struct journal_options jo = {.read_only = false};
	int r;

	memcpy(jo.owner_id, conf->view_id, sizeof(jo.owner_id));
	r = open_files(view_dir, images_dir, conf, true, ret, reterr);
	if (r == 0)
		r = load_checkpoint(conf, 0, &rp, reterr);
	ret->tree.track = true; /* what is replayed belongs into the next delta */
	if (r == 0) {
		r = journal_open(ret->journal_dir, &jo, ret->checkpoint_seq, replay_fn, &rp,
				 &ret->journal, &ret->dropped, reterr);
		if (r < 0 && reterr && !reterr->text)
			(void)err_set(reterr, r, "replay the journal of view '%s'", conf->agent);
	}
	if (r == 0 && journal_seq(ret->journal) < ret->checkpoint_seq)
		r = err_set(reterr, -EBADMSG,
			    "the journal of view '%s' ends at record %" PRIu64
			    ", before its checkpoint %" PRIu64,
			    conf->agent, journal_seq(ret->journal), ret->checkpoint_seq);
	if (r < 0) {
		recovered_release(ret);
		return r;
	}
	ret->tree.live = (struct extent_live){live_fn, ret};
	return 0;
}

static int read_journal(struct replay *rp, struct err *reterr)
{
	struct journal_reader *reader = NULL;
	struct record rec;
	int r;

	r = journal_reader_open(rp->rec->journal_dir, rp->rec->checkpoint_seq, &reader, reterr);
	if (r < 0)
		return r;
	while ((r = journal_reader_next(reader, &rec, reterr)) > 0) {
		if (rp->until && rec.seq > rp->until) {
			r = 0;
			break;
		}
		r = replay_fn(&rec, rp);
		if (r == JOURNAL_CUT) {
			r = 0;
			break;
		}
		if (r < 0) {
			(void)err_set(reterr, r, "apply record %" PRIu64, rec.seq);
			break;
		}
	}
	journal_reader_close(reader);
	if (r == 0 && rp->until && rp->rec->tree.seq < rp->until)
		return err_set(reterr, -EBADMSG, "the journal ends before record %" PRIu64,
			       rp->until);
	return r;
}

int recover_read(int view_dir, int images_dir, const struct viewconf *conf, uint64_t seq,
		 struct recovered *ret, struct err *reterr)
{
	struct replay rp = {.rec = ret, .until = seq};
	int r;

	r = open_files(view_dir, images_dir, conf, false, ret, reterr);
	if (r == 0)
		r = load_checkpoint(conf, seq, &rp, reterr);
	if (r == 0)
		r = read_journal(&rp, reterr);
	if (r < 0) {
		recovered_release(ret);
		return r;
	}
	ret->tree.live = (struct extent_live){0};
	return 0;
}

void recovered_release(struct recovered *r)
{
	if (!r)
		return;
	tree_release(&r->tree);
	journal_close(r->journal);
	data_close(r->data);
	image_close(r->image);
	r->journal = NULL;
	r->data = NULL;
	r->image = NULL;
	r->journal_dir = safe_close(r->journal_dir);
	r->data_dir = safe_close(r->data_dir);
	r->checkpoint_dir = safe_close(r->checkpoint_dir);
	r->images_dir = safe_close(r->images_dir);
}
