/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which data segments have to reach the disk.
 *
 * A segment is dirty from its last write until a sync that was begun after it succeeded; a failed
 * one is not tried again (data.failed): the kernel may have dropped what it could not write.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cleanup.h"
#include "data_internal.h"
#include "sys.h"

/* A second descriptor of fd that the caller owns. */
static int dup_fd(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return copy < 0 ? -errno : copy;
}

/* Adds the dirty segment to the list, or syncs it where the list is full. Under the lock. */
static int collect(struct data *d, struct segment *s, int *fds, size_t max, int *n)
{
	int r = data_pin(d, s), copy;

	if (r < 0)
		return r;
	if ((size_t)*n < max) {
		copy = dup_fd(s->fd);
		if (copy >= 0)
			fds[(*n)++] = copy;
		r = copy < 0 ? copy : 0;
	} else if (sys.fdatasync(s->fd) < 0) {
		d->failed = true;
		r = -EIO;
	}
	data_unpin(d, s);
	return r;
}

int data_dirty_fds(struct data *d, int *ret_fds, size_t max, uint64_t *ret_token)
{
	int n = 0, r = 0;

	assert(max >= 4);
	pthread_mutex_lock(&d->lock);
	if (d->failed) {
		r = -EIO;
	} else if (d->dir_dirty) {
		r = dup_fd(d->dir);
		if (r >= 0)
			ret_fds[n++] = r;
	}
	for (size_t i = d->n; i > 0 && r >= 0; i--)
		if (d->segs[i - 1]->dirty)
			r = collect(d, d->segs[i - 1], ret_fds, max, &n);
	*ret_token = d->generation;
	pthread_mutex_unlock(&d->lock);
	if (r >= 0)
		return n;
	while (n > 0)
		(void)safe_close(ret_fds[--n]);
	return r;
}

void data_synced(struct data *d, uint64_t token)
{
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < d->n; i++)
		if (d->segs[i]->dirty <= token)
			d->segs[i]->dirty = 0;
	if (d->dir_dirty <= token)
		d->dir_dirty = 0;
	pthread_mutex_unlock(&d->lock);
}
