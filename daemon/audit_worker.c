/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op "audit": opens the journals, prints records, and with `follow` goes on until its input is
 * closed. With `last` or `reverse` what is there is collected first; what follows comes as it
 * comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "audit.h"
#include "cleanup.h"
#include "sys.h"
#include "worker_ops.h"
#include "worker_run.h"

enum { LOOK_ANYWAY_MS = 1000, COLLECT_MAX = 1000000 };

static int open_dir(const char *path, struct err *reterr)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_set(reterr, -errno, "opening '%s': %s", path, strerror(errno)) : fd;
}

static int add_view(struct worker *w, struct audit *a, const json_t *view, struct err *reterr)
{
	const char *agent = json_string_value(json_object_get(view, "agent"));
	const char *id = json_string_value(json_object_get(view, "view_id"));
	const char *path = json_string_value(json_object_get(view, "dir"));
	_cleanup_close_ int dir = -1;
	_cleanup_close_ int images = -1;

	if (!agent || !id || !path || strlen(id) > 32)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "each of 'views' has agent, view_id and dir");
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return 0; /* closed and purged since the daemon looked */
	if (dir < 0)
		return err_set(reterr, -errno, "opening '%s': %s", path, strerror(errno));
	images = openat(w->state_fd, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(reterr, -errno, "opening '%s/images': %s", w->state,
			       strerror(errno));
	return audit_add_view(a, agent, id, dir, images, reterr);
}

static int open_sources(struct worker *w, struct audit *a, struct err *reterr)
{
	const char *control = worker_str(w, "control_dir");
	json_t *views = json_object_get(w->req, "views"), *view;
	_cleanup_close_ int dir = -1;
	size_t i;
	int r = 0;

	if (worker_bool(w, "control")) {
		if (!control)
			return 0;
		dir = open_dir(control, reterr);
		return dir < 0 ? dir : audit_add_control(a, dir, reterr);
	}
	json_array_foreach (views, i, view) {
		r = add_view(w, a, view, reterr);
		if (r < 0)
			return r;
	}
	return r;
}

/* The last `n` (0: all) of what is there, in order or the other way round. */
static int print_collected(struct audit *a, size_t n, bool reverse, struct err *reterr)
{
	size_t begin = 0, count;
	json_t *all = json_array(), *rec;
	int r;

	while ((r = audit_next(a, &rec, reterr)) > 0) {
		(void)json_array_append_new(all, rec);
		/* What is too old is let go in large steps, not one by one. */
		if (n > 0 && json_array_size(all) >= 2 * n + 1024) {
			json_t *rest = json_array();

			for (size_t i = json_array_size(all) - n; i < json_array_size(all); i++)
				(void)json_array_append(rest, json_array_get(all, i));
			json_decref(all);
			all = rest;
		}
		if (json_array_size(all) > COLLECT_MAX) {
			r = err_set_id(
				reterr, -E2BIG, "TooLarge",
				"more than %d records to be sorted: ask for the last ones, or for "
				"a shorter time",
				COLLECT_MAX);
			break;
		}
	}
	count = json_array_size(all);
	if (n > 0 && count > n)
		begin = count - n;
	for (size_t i = begin; r >= 0 && i < count; i++)
		worker_record(
			json_incref(json_array_get(all, reverse ? count - 1 - (i - begin) : i)));
	json_decref(all);
	return r;
}

static int print_all(struct audit *a, struct err *reterr)
{
	json_t *rec;
	int r;

	while ((r = audit_next(a, &rec, reterr)) > 0)
		worker_record(rec);
	return r;
}

/* 1: somebody may have written; 0: our input was closed. */
static int wait_for_more(int watch)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			      {.fd = watch, .events = POLLIN}};
	char events[4096];

	if (poll(p, watch >= 0 ? 2 : 1, LOOK_ANYWAY_MS) < 0)
		return errno == EINTR ? 1 : -errno;
	if (p[0].revents) {
		ssize_t k = read(STDIN_FILENO, events, sizeof(events));

		if (k == 0 || (k < 0 && errno != EINTR && errno != EAGAIN))
			return 0;
	}
	if (watch >= 0 && p[1].revents && read(watch, events, sizeof(events)) < 0 &&
	    errno != EAGAIN && errno != EINTR)
		return -errno;
	return 1;
}

static int follow(struct audit *a, struct err *reterr)
{
	_cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int r;

	/* Without a watch we look once a second. */
	if (watch >= 0 && audit_watch(a, watch) < 0)
		watch = safe_close(watch);
	do {
		r = print_all(a, reterr);
		if (r >= 0)
			r = wait_for_more(watch);
	} while (r > 0);
	return r;
}

int op_audit(struct worker *w, json_t *ret, struct err *reterr)
{
	int64_t last = worker_int(w, "last", 0);
	struct audit *a = NULL;
	int r;

	(void)ret;
	if (last < 0 || last > COLLECT_MAX)
		return err_set_id(reterr, -EINVAL, "Invalid", "last is a number from 1 to %d",
				  COLLECT_MAX);
	r = audit_new(w->req, sys_now_ns(), &a, reterr);
	if (r == 0)
		r = open_sources(w, a, reterr);
	if (r == 0)
		r = last > 0 || worker_bool(w, "reverse")
			    ? print_collected(a, (size_t)last, worker_bool(w, "reverse"), reterr)
			    : print_all(a, reterr);
	if (r == 0 && worker_bool(w, "follow"))
		r = follow(a, reterr);
	audit_free(a);
	return r;
}
