/* SPDX-License-Identifier: Apache-2.0 */
/* The table of arrows, and the order. queue.h has the picture. */
#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

static const char *const states[QUEUE_STATE_MAX] = {
	[QUEUE_PENDING] = "pending", [QUEUE_MERGING] = "merging", [QUEUE_VERIFYING] = "verifying",
	[QUEUE_READY] = "ready",     [QUEUE_MERGED] = "merged",	  [QUEUE_CONFLICT] = "conflict",
	[QUEUE_FAILED] = "failed",
};

static const char *const events[QUEUE_EVENT_MAX] = {
	[QUEUE_START] = "start",     [QUEUE_HELD] = "held",	      [QUEUE_LATER] = "later",
	[QUEUE_NOTHING] = "nothing", [QUEUE_CONFLICTS] = "conflicts", [QUEUE_VERIFIED] = "verified",
	[QUEUE_BROKEN] = "broken",   [QUEUE_APPROVE] = "approve",     [QUEUE_LAND] = "land",
	[QUEUE_LANDED] = "landed",   [QUEUE_MOVED] = "moved",	      [QUEUE_FAULT] = "fault",
	[QUEUE_CANCEL] = "cancel",   [QUEUE_RESTART] = "restart",
};

const char *queue_state_name(enum queue_state s)
{
	return states[s];
}

const char *queue_event_name(enum queue_event e)
{
	return events[e];
}

int queue_state_parse(const char *name)
{
	for (int i = 0; i < QUEUE_STATE_MAX; i++)
		if (strcmp(states[i], name) == 0)
			return i;
	return -EINVAL;
}

bool queue_is_final(enum queue_state s)
{
	return s == QUEUE_MERGED || s == QUEUE_CONFLICT || s == QUEUE_FAILED;
}

/* Where an arrow leads; STAY: the state stays, the actions are done again. */
enum { NONE, TO, STAY };
struct arrow {
	int kind;
	enum queue_state to;
	unsigned actions;
};

#define BACK                                                                                       \
	{                                                                                          \
		TO, QUEUE_PENDING, QUEUE_DO_DROP                                                   \
	}
#define OVER(state)                                                                                \
	{                                                                                          \
		TO, state, QUEUE_DO_DROP | QUEUE_DO_TELL                                           \
	}

static const struct arrow arrows[QUEUE_STATE_MAX][QUEUE_EVENT_MAX] = {
	[QUEUE_PENDING] =
		{
			[QUEUE_START] = {TO, QUEUE_MERGING, QUEUE_DO_MERGE},
			[QUEUE_LATER] = BACK,
			[QUEUE_FAULT] = OVER(QUEUE_FAILED),
			[QUEUE_CANCEL] = OVER(QUEUE_FAILED),
			[QUEUE_RESTART] = BACK,
		},
	[QUEUE_MERGING] =
		{
			[QUEUE_HELD] = {TO, QUEUE_VERIFYING, QUEUE_DO_VERIFY},
			[QUEUE_LATER] = BACK,
			[QUEUE_NOTHING] = OVER(QUEUE_MERGED),
			[QUEUE_CONFLICTS] = OVER(QUEUE_CONFLICT),
			[QUEUE_FAULT] = OVER(QUEUE_FAILED),
			[QUEUE_CANCEL] = OVER(QUEUE_FAILED),
			[QUEUE_RESTART] = BACK,
		},
	[QUEUE_VERIFYING] =
		{
			[QUEUE_LATER] = BACK,
			[QUEUE_VERIFIED] = {TO, QUEUE_READY, 0},
			[QUEUE_BROKEN] = OVER(QUEUE_CONFLICT),
			[QUEUE_FAULT] = OVER(QUEUE_FAILED),
			[QUEUE_CANCEL] = OVER(QUEUE_FAILED),
			[QUEUE_RESTART] = BACK,
		},
	[QUEUE_READY] =
		{
			[QUEUE_LATER] = BACK,
			[QUEUE_APPROVE] = BACK,
			[QUEUE_LAND] = {STAY, QUEUE_READY, QUEUE_DO_LAND},
			[QUEUE_LANDED] = OVER(QUEUE_MERGED),
			[QUEUE_MOVED] = BACK,
			[QUEUE_FAULT] = OVER(QUEUE_FAILED),
			[QUEUE_CANCEL] = OVER(QUEUE_FAILED),
			[QUEUE_RESTART] = BACK,
		},
};

/* What depends on more than the state alone. -EINVAL: it cannot happen now. */
static int condition(const struct queue_at *at, enum queue_event event, struct arrow *a)
{
	bool lands = event == QUEUE_LANDED || event == QUEUE_MOVED;

	if (lands && !at->landing)
		return -EINVAL;
	if (at->landing && event != QUEUE_RESTART && !lands && event != QUEUE_FAULT)
		return -EINVAL;
	if (event == QUEUE_LAND && at->approval && !at->approved)
		return -EINVAL;
	if (event == QUEUE_APPROVE && !at->approval)
		return -EINVAL;
	if (event == QUEUE_RESTART && at->landing)
		*a = (struct arrow){STAY, QUEUE_READY, QUEUE_DO_LAND};
	else if (event == QUEUE_RESTART && at->state == QUEUE_READY && at->approval &&
		 !at->approved)
		*a = (struct arrow){STAY, QUEUE_READY, 0};
	else if (event == QUEUE_VERIFIED && at->approval && !at->approved)
		a->actions |= QUEUE_DO_ASK;
	else if (event == QUEUE_BROKEN && at->droppable)
		*a = (struct arrow)BACK;
	else if (event == QUEUE_MOVED && at->tries + 1 >= QUEUE_TRIES)
		*a = (struct arrow)OVER(QUEUE_FAILED);
	return 0;
}

int queue_step(const struct queue_at *at, enum queue_event event, uint64_t now,
	       struct queue_at *ret, unsigned *ret_actions)
{
	struct arrow a = arrows[at->state][event];
	struct queue_at next = *at;

	if (a.kind == NONE || condition(at, event, &a) < 0)
		return -EINVAL;
	next.state = a.to;
	next.landing = event == QUEUE_LAND || (event == QUEUE_RESTART && at->landing);
	if (a.kind == TO)
		next.since = now;
	if (event == QUEUE_MOVED) {
		next.not_before = now + at->tries * (SECOND / 5);
		next.tries++;
	}
	if (event == QUEUE_BROKEN)
		next.droppable = false;
	*ret = next;
	*ret_actions = a.actions;
	return 0;
}

/* ---- the order ---- */

static unsigned doublings(size_t n)
{
	unsigned k = 0;

	for (; n > 1; n /= 2)
		k++;
	return k;
}

/* As if it had come later by ten seconds for each doubling. */
static uint64_t due(const struct queue_item *i)
{
	return i->time + (doublings(i->paths) + doublings(i->overlaps + 1)) * 10 * SECOND;
}

static int compare(const struct queue_item *a, const struct queue_item *b)
{
	if ((a->rank != 0) != (b->rank != 0))
		return a->rank ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (due(a) != due(b))
		return due(a) < due(b) ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

struct place {
	const struct queue_item *item;
	size_t at;
};

static int compare_places(const void *a, const void *b)
{
	return compare(((const struct place *)a)->item, ((const struct place *)b)->item);
}

void queue_sort(const struct queue_item *v, size_t n, size_t *ret)
{
	struct place *p = calloc(n ? n : 1, sizeof(*p));

	for (size_t i = 0; i < n; i++)
		ret[i] = i;
	for (size_t i = 0; p && i < n; i++)
		p[i] = (struct place){&v[i], i};
	if (p && n)
		qsort(p, n, sizeof(*p), compare_places);
	for (size_t i = 0; p && i < n; i++)
		ret[i] = p[i].at;
	free(p);
}

/* A batch goes when none of it waits. */
static bool may_go(const struct queue_item *v, size_t n, const struct queue_item *i, uint64_t now)
{
	if (!i->batch)
		return !i->waits && i->turn <= now;
	for (size_t k = 0; k < n; k++)
		if (v[k].batch == i->batch && (v[k].waits || v[k].turn > now))
			return false;
	return true;
}

/* In the order in which they were named. */
static size_t whole_batch(const struct queue_item *v, size_t n, int64_t batch, size_t *ret)
{
	size_t got = 0;

	for (size_t k = 0; k < n; k++)
		if (v[k].batch == batch) {
			size_t at = got++;

			for (; at > 0 && v[ret[at - 1]].id > v[k].id; at--)
				ret[at] = ret[at - 1];
			ret[at] = k;
		}
	return got;
}

size_t queue_pick(const struct queue_item *v, size_t n, size_t window, uint64_t now, size_t *ret)
{
	size_t *order = calloc(n ? n : 1, sizeof(*order)), got = 0;

	if (!order)
		return 0;
	queue_sort(v, n, order);
	for (size_t k = 0; k < n && got < window; k++) {
		const struct queue_item *i = &v[order[k]];

		if (!may_go(v, n, i, now) || (got > 0 && i->uid != v[ret[0]].uid))
			continue;
		if (got == 0 && i->batch) {
			got = whole_batch(v, n, i->batch, ret);
			break;
		}
		if (i->batch || (got > 0 && i->alone))
			continue;
		if (i->limit && i->limit < window)
			window = i->limit > got ? i->limit : got;
		if (got < window)
			ret[got++] = order[k];
		if (i->alone)
			break;
	}
	free(order);
	return got;
}

unsigned queue_window(unsigned window, bool good)
{
	if (good)
		return window < QUEUE_WINDOW_MAX ? window + 1 : window;
	return window > 1 ? window / 2 : 1;
}
