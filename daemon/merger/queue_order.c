/* SPDX-License-Identifier: Apache-2.0 */
/* What the merge of a view waits for, as create was told: tasks (--after) and a series (--serial). */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "queue_run.h"
#include "state_queue.h"

enum { AFTER_MAX = 64, DEPTH_MAX = 64 };

/* What the open view of a task is after. */
struct search {
	struct daemon *d;
	const char *repository, *task;
	struct buf after;
};

static int find_after(const char *view_id, const char *after, const char *series, void *user)
{
	struct search *s = user;
	struct view *v;

	for (v = views_next(s->d->views, NULL); v; v = views_next(s->d->views, v))
		if (strcmp(v->row.id, view_id) == 0 && view_is_open(v) &&
		    strcmp(v->row.task, s->task) == 0)
			return buf_adds(&s->after, after);
	return 0;
}

/* Does `task`, over whatever it is after, wait for `wanted`? */
static bool leads_to(struct daemon *d, const char *task, const char *wanted, unsigned depth)
{
	struct search s = {.d = d, .task = task, .after = BUF_INIT};
	bool found = strcmp(task, wanted) == 0;
	char *at;

	if (!found && depth < DEPTH_MAX && state_view_orders(d->db, find_after, &s, NULL) == 0 &&
	    s.after.data)
		for (char *word = strtok_r(s.after.data, "\n", &at); word && !found;
		     word = strtok_r(NULL, "\n", &at))
			found = leads_to(d, word, wanted, depth + 1);
	buf_release(&s.after);
	return found;
}

static int check_after(struct daemon *d, const struct view_row *row, const char *task,
		       struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;

	if (config_check_name("task", task, &e) < 0)
		return fault_from_err(f, &e, "--after");
	if (strcmp(task, row->task) == 0)
		return fault_set(f, "Invalid", "task '%s' cannot wait for itself", task);
	if (leads_to(d, task, row->task, 0))
		return fault_set(f, "Invalid",
				 "task '%s' waits for '%s' already: neither would ever be merged",
				 task, row->task);
	return 0;
}

/* A view that nobody asked for (c is NULL) waits for nothing. */
int queue_order_ask(struct daemon *d, struct call *c, const struct view_row *row, struct fault *f)
{
	json_t *after = c ? json_object_get(c->in.parameters, "after") : NULL, *task;
	const char *series = c ? arg_str(c, "serial") : NULL;
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t i;

	if (json_array_size(after) == 0 && !series)
		return 0;
	if (json_array_size(after) > AFTER_MAX)
		return fault_set(f, "TooLarge", "a task can wait for %d others at most", AFTER_MAX);
	if (series && config_check_name("series", series, &e) < 0)
		return fault_from_err(f, &e, NULL);
	json_array_foreach (after, i, task) {
		if (check_after(d, row, json_string_value(task), f) < 0)
			return -EINVAL;
		if (buf_addf(&b, "%s\n", json_string_value(task)) < 0)
			return -ENOMEM;
	}
	if (state_view_order_put(d->db, row->id, b.data ? b.data : "", series ? series : "", &e) <
	    0)
		return fault_from_err(f, &e, NULL);
	return 0;
}
