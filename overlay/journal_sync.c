/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group commit. Whoever comes first leads: it takes all who wait, syncs their data segments, then
 * the journal, then lets them go. Who comes meanwhile waits for the next round.
 *
 * (1) The durable sequence number moves only to one that a waiter asked for before the leader
 * began, after all descriptors that came with it are on disk. (2) A sync that failed is never tried
 * again: the kernel may have dropped the pages, and a second attempt would succeed without them.
 * The journal refuses all appends from then on.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "journal_impl.h"
#include "sys.h"

enum { RING_ENTRIES = 32 };

struct syncer {
	struct io_uring ring;
	bool usable;
};

static int sync_one(int fd)
{
	int r;

	do
		r = sys.fdatasync(fd) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

/* One after the other; all are tried. */
static int sync_plainly(const int *fds, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		int k = sync_one(fds[i]);

		if (k < 0 && r == 0)
			r = k;
	}
	return r;
}

/* Waits for n completions. Errors: that of the first that failed. */
static int reap(struct io_uring *ring, unsigned int n)
{
	int r = 0;

	while (n > 0) {
		struct io_uring_cqe *cqe;
		int k = io_uring_wait_cqe(ring, &cqe);

		if (k == -EINTR)
			continue;
		if (k < 0)
			return k;
		if (cqe->res < 0 && r == 0)
			r = cqe->res;
		io_uring_cqe_seen(ring, cqe);
		n--;
	}
	return r;
}

static int sync_ring(struct io_uring *ring, const int *fds, size_t n)
{
	int r = 0;

	while (n > 0) {
		unsigned int batch = n < RING_ENTRIES ? (unsigned int)n : RING_ENTRIES;
		unsigned int submitted = 0;
		int k;

		for (unsigned int i = 0; i < batch; i++)
			io_uring_prep_fsync(io_uring_get_sqe(ring), fds[i], IORING_FSYNC_DATASYNC);
		while (submitted < batch) {
			k = io_uring_submit(ring);
			if (k == -EINTR || k == -EAGAIN)
				continue;
			if (k < 0)
				return k;
			submitted += (unsigned int)k;
		}
		k = reap(ring, batch);
		if (k < 0 && r == 0)
			r = k;
		fds += batch;
		n -= batch;
	}
	return r;
}

int syncer_run(struct syncer **s, const int *fds, size_t n)
{
	if (n == 0)
		return 0;
	/* One file gains nothing; and a test that replaced the call wants to see it. */
	if (n == 1 || sys.fdatasync != fdatasync)
		return sync_plainly(fds, n);
	if (!*s) {
		*s = sys_calloc(1, sizeof(**s));
		if (!*s)
			return sync_plainly(fds, n);
		(*s)->usable = io_uring_queue_init(RING_ENTRIES, &(*s)->ring, 0) == 0;
	}
	return (*s)->usable ? sync_ring(&(*s)->ring, fds, n) : sync_plainly(fds, n);
}

void syncer_free(struct syncer *s)
{
	if (s && s->usable)
		io_uring_queue_exit(&s->ring);
	free(s);
}

struct round {
	struct sync_waiter *waiters;
	uint64_t end; /* highest sequence number asked for */
	int *fds;     /* those of all waiters, borrowed */
	size_t nfds;
	int fd;	      /* current segment, borrowed */
	int *old_fds; /* owned */
	size_t n_old;
	uint64_t dir_gen;
	bool dir;
};

/* Under the lock. Errors: -ENOMEM; nothing was taken. */
static int take_round(struct journal *j, struct round *ret)
{
	struct round t = {.waiters = j->pending,
			  .fd = j->fd,
			  .dir_gen = j->dir_gen,
			  .dir = j->dir_gen != j->dir_synced};
	size_t n = 0;

	for (struct sync_waiter *w = j->pending; w; w = w->next) {
		n += w->nfds;
		if (w->seq > t.end)
			t.end = w->seq;
	}
	t.fds = sys_calloc(n + 1, sizeof(*t.fds));
	t.old_fds = sys_calloc(j->n_old + 1, sizeof(*t.old_fds));
	if (!t.fds || !t.old_fds) {
		free(t.fds);
		free(t.old_fds);
		return -ENOMEM;
	}
	for (struct sync_waiter *w = j->pending; w; w = w->next)
		for (size_t i = 0; i < w->nfds; i++)
			t.fds[t.nfds++] = w->fds[i];
	/* The array stays: the appender may have reserved a place in it. */
	for (size_t i = 0; i < j->n_old; i++)
		t.old_fds[t.n_old++] = j->old_fds[i];
	j->n_old = 0;
	j->pending = NULL;
	*ret = t;
	return 0;
}

static int sync_round(struct journal *j, struct round *t)
{
	int r;

	r = syncer_run(&j->syncer, t->fds, t->nfds);
	if (r == 0)
		r = syncer_run(&j->syncer, t->old_fds, t->n_old);
	if (r == 0 && t->end > atomic_load(&j->durable))
		r = sync_one(t->fd);
	if (r == 0 && t->dir && sys.fsync(j->dir) < 0)
		r = -errno;
	return r;
}

static void finish(struct sync_waiter *list, int r)
{
	while (list) {
		struct sync_waiter *w = list;

		list = w->next;
		w->r = r;
		w->done = true;
	}
}

/* Called and returns with the lock held. */
static void lead(struct journal *j)
{
	struct sync_waiter *waiters = j->pending;
	struct round t;
	int r;

	if (atomic_load(&j->failed) || take_round(j, &t) < 0) {
		j->pending = NULL;
		finish(waiters, atomic_load(&j->failed) ? -EROFS : -ENOMEM);
		pthread_cond_broadcast(&j->cond);
		return;
	}
	j->syncing = true;
	pthread_mutex_unlock(&j->lock);
	r = sync_round(j, &t);
	for (size_t i = 0; i < t.n_old; i++)
		(void)safe_close(t.old_fds[i]);
	free(t.old_fds);
	free(t.fds);
	pthread_mutex_lock(&j->lock);
	j->syncing = false;
	if (r < 0) {
		atomic_store(&j->failed, true);
	} else {
		if (t.end > atomic_load(&j->durable))
			atomic_store(&j->durable, t.end);
		if (t.dir_gen > j->dir_synced)
			j->dir_synced = t.dir_gen;
	}
	finish(t.waiters, r < 0 ? -EIO : 0);
	pthread_cond_broadcast(&j->cond);
}

int journal_sync_until(struct journal *j, uint64_t seq, const int *extra_fds, size_t n)
{
	struct sync_waiter w = {.fds = extra_fds, .nfds = n};
	uint64_t last = atomic_load(&j->seq);

	w.seq = seq < last ? seq : last;
	if (j->opt.read_only || atomic_load(&j->failed))
		return -EROFS;
	if (n == 0 && w.seq <= atomic_load(&j->durable))
		return 0;
	pthread_mutex_lock(&j->lock);
	w.next = j->pending;
	j->pending = &w;
	while (!w.done) {
		if (j->syncing)
			pthread_cond_wait(&j->cond, &j->lock);
		else
			lead(j);
	}
	pthread_mutex_unlock(&j->lock);
	return w.r;
}

int journal_sync(struct journal *j, const int *extra_fds, size_t n)
{
	return journal_sync_until(j, UINT64_MAX, extra_fds, n);
}
