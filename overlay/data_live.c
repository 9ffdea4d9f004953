/* SPDX-License-Identifier: Apache-2.0 */
/* Data segments and what of them is in use: the compactor's half of data.h. */
#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "data_internal.h"
#include "sys.h"

void data_live(struct data *d, uint64_t addr, int64_t delta)
{
	struct segment *s;

	pthread_mutex_lock(&d->lock);
	s = data_segment(d, addr >> 32);
	if (s) {
		s->live += delta;
		d->live += delta;
	}
	pthread_mutex_unlock(&d->lock);
}

int data_sealed(struct data *d, struct data_sealed **ret, size_t *ret_n)
{
	struct data_sealed *v;
	size_t n = 0;

	pthread_mutex_lock(&d->lock);
	v = sys_calloc(d->n + 1, sizeof(*v));
	for (size_t i = 0; v && i < d->n; i++) {
		const struct segment *s = d->segs[i];

		if (s->broken || s == d->current[s->class])
			continue;
		v[n++] = (struct data_sealed){.number = s->number,
					      .size = s->size,
					      .used = s->end - DATA_HEADER_SIZE,
					      .live = s->live > 0 ? (uint64_t)s->live : 0,
					      .class = s->class};
	}
	pthread_mutex_unlock(&d->lock);
	if (!v)
		return -ENOMEM;
	*ret = v;
	*ret_n = n;
	return 0;
}

/* Takes a sealed segment of which nothing is live out of the list; nobody finds it any more. */
static int detach(struct data *d, uint64_t number, struct segment **ret)
{
	struct segment *s = data_segment(d, number);
	size_t i = 0;

	if (!s || s->broken || s == d->current[s->class])
		return -ENOENT;
	if (s->users || s->live > 0)
		return -EBUSY;
	while (d->segs[i] != s)
		i++;
	memmove(d->segs + i, d->segs + i + 1, (d->n - i - 1) * sizeof(*d->segs));
	d->n--;
	d->bytes -= s->size;
	d->open_fds -= s->fd >= 0;
	*ret = s;
	return 0;
}

int data_remove(struct data *d, uint64_t number)
{
	char name[SEGFILE_NAME_SIZE];
	struct segment *s = NULL;
	int r;

	segfile_name(name, number, DATA_SUFFIX);
	pthread_mutex_lock(&d->lock);
	r = detach(d, number, &s);
	pthread_mutex_unlock(&d->lock);
	if (r < 0)
		return r;
	/* A large file takes its time: without the lock. One that stays is found at the next start. */
	if (sys.unlinkat(d->dir, name, 0) < 0 && errno != ENOENT)
		r = -errno;
	(void)safe_close(s->fd);
	free(s);
	pthread_mutex_lock(&d->lock);
	d->dir_dirty = ++d->generation;
	pthread_mutex_unlock(&d->lock);
	return r;
}
