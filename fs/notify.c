/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue and a thread. Without memory for a message the whole inode's attributes time out a day
 * later than they should; that is logged, never waited for.
 */
#include "notify.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

struct message {
	struct message *next;
	uint64_t node; /* inode, or parent of the entry */
	uint64_t off;
	int64_t len;
	size_t name_len; /* 0: an inode */
	char name[];
};

struct notify {
	pthread_t thread;
	pthread_mutex_t lock; /* guards the rest; never held while the kernel is called */
	pthread_cond_t queued, sent;
	struct fuse_session *se; /* NULL until notify_attach() */
	struct message *head, **tail;
	uint64_t nqueued, nsent;
	bool sending; /* one is with the kernel */
	bool stop;    /* the thread ends when the queue is empty */
	bool closed;  /* nothing is queued any more */
};

static void send_message(struct fuse_session *se, const struct message *m)
{
	int r;

	if (!se)
		return;
	if (m->name_len)
		r = fuse_lowlevel_notify_inval_entry(se, m->node, m->name, m->name_len);
	else
		r = fuse_lowlevel_notify_inval_inode(se, m->node, (off_t)m->off, (off_t)m->len);
	/* ENOSYS: the kernel has not sent INIT yet, so it has nothing cached. */
	if (r < 0 && r != -ENOENT && r != -ENODEV && r != -ENOTCONN && r != -EBADF && r != -ENOSYS)
		(void)log_warning(r, "invalidate node %llu, ignoring", (unsigned long long)m->node);
}

static void *thread_main(void *user)
{
	struct notify *n = user;

	pthread_mutex_lock(&n->lock);
	for (;;) {
		struct fuse_session *se = n->se;
		struct message *m = n->head;

		if (!m) {
			if (n->stop)
				break;
			pthread_cond_wait(&n->queued, &n->lock);
			continue;
		}
		n->head = m->next;
		if (!n->head)
			n->tail = &n->head;
		n->sending = true;
		pthread_mutex_unlock(&n->lock);
		send_message(se, m);
		free(m);
		pthread_mutex_lock(&n->lock);
		n->sending = false;
		n->nsent++;
		pthread_cond_broadcast(&n->sent);
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

int notify_new(struct notify **ret)
{
	struct notify *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->tail = &n->head;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->queued, NULL);
	pthread_cond_init(&n->sent, NULL);
	r = -pthread_create(&n->thread, NULL, thread_main, n);
	if (r < 0) {
		free(n);
		return r;
	}
	*ret = n;
	return 0;
}

void notify_attach(struct notify *n, struct fuse_session *se)
{
	pthread_mutex_lock(&n->lock);
	n->se = se;
	pthread_mutex_unlock(&n->lock);
}

bool notify_stop(struct notify *n)
{
	struct message *m;
	bool idle;

	pthread_mutex_lock(&n->lock);
	n->closed = true;
	while ((m = n->head)) {
		n->head = m->next;
		free(m);
	}
	n->tail = &n->head;
	idle = !n->sending;
	pthread_cond_broadcast(&n->sent);
	pthread_mutex_unlock(&n->lock);
	return idle;
}

void notify_free(struct notify *n)
{
	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->stop = true;
	pthread_cond_signal(&n->queued);
	pthread_mutex_unlock(&n->lock);
	pthread_join(n->thread, NULL);
	pthread_mutex_destroy(&n->lock);
	pthread_cond_destroy(&n->queued);
	pthread_cond_destroy(&n->sent);
	free(n);
}

static void enqueue(struct notify *n, uint64_t node, uint64_t off, int64_t len, const char *name,
		    size_t name_len)
{
	struct message *m = malloc(sizeof(*m) + name_len + 1);

	if (!m) {
		(void)log_error(-ENOMEM, "invalidate node %llu", (unsigned long long)node);
		return;
	}
	*m = (struct message){.node = node, .off = off, .len = len, .name_len = name_len};
	memcpy(m->name, name, name_len);
	m->name[name_len] = '\0';
	pthread_mutex_lock(&n->lock);
	if (n->closed) {
		free(m);
	} else {
		*n->tail = m;
		n->tail = &m->next;
		n->nqueued++;
		pthread_cond_signal(&n->queued);
	}
	pthread_mutex_unlock(&n->lock);
}

void notify_entry(uint64_t parent, const char *name, size_t len, void *user)
{
	enqueue(user, parent, 0, 0, name, len);
}

void notify_inode(uint64_t node, uint64_t off, int64_t len, void *user)
{
	enqueue(user, node, off, len, "", 0);
}

void notify_attr(uint64_t node, void *user)
{
	const struct message m = {.node = node, .off = UINT64_MAX};
	struct notify *n = user;
	struct fuse_session *se;

	pthread_mutex_lock(&n->lock);
	se = n->se;
	pthread_mutex_unlock(&n->lock);
	send_message(se, &m);
}

void notify_flush(struct notify *n)
{
	uint64_t until;

	pthread_mutex_lock(&n->lock);
	until = n->nqueued;
	while (n->nsent < until && !n->closed)
		pthread_cond_wait(&n->sent, &n->lock);
	pthread_mutex_unlock(&n->lock);
}
