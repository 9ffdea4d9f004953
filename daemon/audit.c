/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters, and the journals of several views as one list.
 *
 * (1) Within a view records come in the order of the journal, among views in that of their times
 *     (ties: by view). A clock that was set back does not reorder a view's own records.
 * (2) A cursor names the place of a record in that order; asked again with the last one's, no
 * record that is in the journals by then is shown twice.
 */
#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

#include "audit_source.h"
#include "cleanup.h"
#include "recover.h"
#include "viewconf.h"

#define NS UINT64_C(1000000000)

struct audit {
	struct audit_filter filter;
	struct audit_source *sources;
};

/* A span such as 10m: seconds. */
static int parse_span(const char *text, uint64_t *ret)
{
	char *end;
	uint64_t n, unit;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	switch (*end) {
	case 's':
		unit = 1;
		break;
	case 'm':
		unit = 60;
		break;
	case 'h':
		unit = 3600;
		break;
	case 'd':
		unit = 86400;
		break;
	case 'w':
		unit = 7 * 86400;
		break;
	default:
		return -EINVAL;
	}
	if (errno || end[1] || n > UINT32_MAX)
		return -EINVAL;
	*ret = n * unit;
	return 0;
}

/* What follows the seconds: a fraction and the offset from UTC. */
static int parse_zone(const char *s, uint64_t *ret_ns, int *ret_offset)
{
	uint64_t ns = 0, place = NS / 10;
	int hours, minutes, n = 0;

	if (*s == '.') {
		if (*++s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++, place /= 10)
			ns += (uint64_t)(*s - '0') * place;
	}
	*ret_ns = ns;
	*ret_offset = 0;
	if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0)
		return 0;
	if ((*s != '+' && *s != '-') || sscanf(s + 1, "%2d:%2d%n", &hours, &minutes, &n) != 2 ||
	    n != 5 || s[6] || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -EINVAL;
	*ret_offset = (hours * 60 + minutes) * (*s == '-' ? -60 : 60);
	return 0;
}

int audit_parse_time(const char *text, uint64_t now_ns, uint64_t *ret)
{
	uint64_t span, ns;
	struct tm tm = {0};
	int n = 0, offset;
	time_t s;

	if (parse_span(text, &span) == 0) {
		*ret = span > now_ns / NS ? 0 : now_ns - span * NS;
		return 0;
	}
	if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &n) != 6 ||
	    n != 19 || tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	if (parse_zone(text + n, &ns, &offset) < 0)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	s = timegm(&tm) - offset;
	if (s < 0)
		return -EINVAL;
	*ret = (uint64_t)s * NS + ns;
	return 0;
}

static const char *member(const json_t *req, const char *key)
{
	return json_string_value(json_object_get(req, key));
}

static bool flag(const json_t *req, const char *key)
{
	return json_is_true(json_object_get(req, key));
}

static int invalid(struct err *reterr, const char *what, const char *got, const char *want)
{
	return err_set_id(reterr, -EINVAL, "Invalid", "%s '%s' is not understood: give %s", what,
			  got, want);
}

static int take_times(struct audit_filter *f, const json_t *req, uint64_t now, struct err *reterr)
{
	static const char want[] = "RFC 3339 as in 2026-01-31T12:00:00Z, or 90s, 10m, 2h, 3d, 1w";
	const char *since = member(req, "since"), *until = member(req, "until");

	f->until = UINT64_MAX;
	if (since && audit_parse_time(since, now, &f->since) < 0)
		return invalid(reterr, "since", since, want);
	if (until && audit_parse_time(until, now, &f->until) < 0)
		return invalid(reterr, "until", until, want);
	return 0;
}

static int take_ops(struct audit_filter *f, const json_t *req, struct err *reterr)
{
	json_t *list = json_object_get(req, "ops"), *v;
	size_t i;

	json_array_foreach (list, i, v) {
		const char *name = json_string_value(v);
		int op = name ? record_op_parse(name) : -EINVAL;
		_cleanup_buf_ struct buf all = BUF_INIT;

		if (op >= 0) {
			f->ops |= UINT64_C(1) << op;
			continue;
		}
		for (uint32_t k = OP_NONE + 1; k < OP_MAX; k++)
			(void)buf_addf(&all, "%s%s", k > 1 ? ", " : "", record_op_name(k));
		return invalid(reterr, "op", name ? name : "",
			       all.data ? all.data : "an operation");
	}
	return 0;
}

static int take_result(struct audit_filter *f, const json_t *req, struct err *reterr)
{
	const char *result = member(req, "result");

	if (!result)
		return 0;
	if (strcmp(result, "ok") == 0)
		f->result = AUDIT_OK;
	else if (strcmp(result, "denied") == 0)
		f->result = AUDIT_DENIED;
	else if (strcmp(result, "failed") == 0)
		f->result = AUDIT_FAILED;
	else
		return invalid(reterr, "result", result, "ok, denied or failed");
	return 0;
}

static int take_patterns(struct audit_filter *f, const json_t *req, struct err *reterr)
{
	const char *path = member(req, "path"), *grep = member(req, "grep"), *why = NULL;
	const char *rule = member(req, "rule");
	char text[128];
	int r;

	if (path) {
		r = pattern_compile(path, &f->path, &why);
		if (r == -EINVAL)
			return err_set_id(reterr, r, "Invalid", "path pattern '%s': %s", path,
					  why ? why : "cannot match");
		if (r < 0)
			return r;
	}
	if (grep) {
		r = regcomp(&f->grep, grep, REG_EXTENDED | REG_NOSUB);
		if (r != 0) {
			(void)regerror(r, &f->grep, text, sizeof(text));
			return err_set_id(reterr, -EINVAL, "Invalid", "grep '%s': %s", grep, text);
		}
		f->has_grep = true;
	}
	if (rule) {
		f->rule = strdup(rule);
		return f->rule ? 0 : -ENOMEM;
	}
	return 0;
}

/* TIME:VIEW:SEQ */
static int take_cursor(struct audit_filter *f, const json_t *req, struct err *reterr)
{
	const char *cursor = member(req, "cursor"), *p = cursor;
	char *end = NULL;
	size_t n;

	if (!cursor || !*cursor)
		return 0;
	errno = 0;
	f->cursor.time = strtoull(p, &end, 10);
	if (errno || end == p || *end != ':')
		return invalid(reterr, "cursor", cursor, "one that a record came with");
	p = end + 1;
	n = strcspn(p, ":");
	if (n >= sizeof(f->cursor.view) || p[n] != ':')
		return invalid(reterr, "cursor", cursor, "one that a record came with");
	memcpy(f->cursor.view, p, n);
	p += n + 1;
	f->cursor.seq = strtoull(p, &end, 10);
	if (errno || end == p || *end)
		return invalid(reterr, "cursor", cursor, "one that a record came with");
	f->has_cursor = true;
	return 0;
}

int audit_new(const json_t *req, uint64_t now_ns, struct audit **ret, struct err *reterr)
{
	const json_t *pid = json_object_get(req, "pid");
	struct audit *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return -ENOMEM;
	a->filter.git = flag(req, "git");
	a->filter.any_pid = !json_is_integer(pid);
	a->filter.pid = (uint32_t)json_integer_value(pid);
	r = take_times(&a->filter, req, now_ns, reterr);
	if (r == 0)
		r = take_ops(&a->filter, req, reterr);
	if (r == 0)
		r = take_result(&a->filter, req, reterr);
	if (r == 0)
		r = take_patterns(&a->filter, req, reterr);
	if (r == 0)
		r = take_cursor(&a->filter, req, reterr);
	if (r < 0) {
		audit_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

void audit_free(struct audit *a)
{
	if (!a)
		return;
	while (a->sources) {
		struct audit_source *s = a->sources;

		a->sources = s->next;
		audit_source_free(s);
	}
	pattern_free(a->filter.path);
	if (a->filter.has_grep)
		regfree(&a->filter.grep);
	free(a->filter.rule);
	free(a);
}

static struct audit_source *source_new(const char *agent, const char *view_id)
{
	struct audit_source *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dir = s->images_dir = -1;
	s->agent = strdup(agent);
	(void)snprintf(s->view, sizeof(s->view), "%s", view_id);
	if (s->agent)
		return s;
	audit_source_free(s);
	return NULL;
}

/* An image that is gone leaves the view without paths, not without records. */
static int open_tree(struct audit_source *s, int view_dir, int images_dir, struct err *reterr)
{
	struct viewconf conf = {0};
	int r = viewconf_read(view_dir, &conf, reterr);

	if (r == -ENOENT)
		err_release(reterr);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = image_open(images_dir, conf.image, &s->image, reterr);
	if (r == 0) {
		r = tree_init(&s->tree, s->image, conf.uid, conf.gid);
		s->images_dir = fcntl(images_dir, F_DUPFD_CLOEXEC, 3);
		s->tree.images = recover_images(&s->images_dir);
		if (r < 0) {
			image_close(s->image);
			s->image = NULL;
		}
	} else if (r == -ENOENT) {
		err_release(reterr);
		r = 0;
	}
	viewconf_release(&conf);
	return r;
}

static void add(struct audit *a, struct audit_source *s)
{
	s->next = a->sources;
	a->sources = s;
}

int audit_add_view(struct audit *a, const char *agent, const char *view_id, int view_dir,
		   int images_dir, struct err *reterr)
{
	struct audit_source *s = source_new(agent, view_id);
	int r;

	if (!s)
		return -ENOMEM;
	s->dir = openat(view_dir, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	r = s->dir < 0 ? -errno : open_tree(s, view_dir, images_dir, reterr);
	if (r == 0) {
		add(a, s);
		return 0;
	}
	if (s->dir < 0 && r != -ENOENT)
		(void)err_set(reterr, r, "open the journal of %s: %s", agent, strerror(-r));
	if (s->dir < 0 && r == -ENOENT)
		r = 0;
	audit_source_free(s);
	return r;
}

int audit_add_control(struct audit *a, int dir, struct err *reterr)
{
	struct audit_source *s = source_new("", "");

	if (!s)
		return -ENOMEM;
	s->dir = fcntl(dir, F_DUPFD_CLOEXEC, 3);
	if (s->dir < 0) {
		audit_source_free(s);
		return err_set(reterr, -errno, "open the control journal: %s", strerror(errno));
	}
	add(a, s);
	return 0;
}

int audit_next(struct audit *a, json_t **ret, struct err *reterr)
{
	struct audit_source *first = NULL;

	for (struct audit_source *s = a->sources; s; s = s->next) {
		int r = audit_source_fill(s, &a->filter, reterr);

		if (r < 0)
			return r;
		if (r > 0 && (!first || audit_key_compare(&s->key, &first->key) < 0))
			first = s;
	}
	if (!first)
		return 0;
	*ret = TAKE_PTR(first->head);
	return 1;
}

int audit_watch(struct audit *a, int fd)
{
	for (struct audit_source *s = a->sources; s; s = s->next) {
		char path[32];

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->dir);
		if (inotify_add_watch(fd, path, IN_MODIFY | IN_MOVED_TO | IN_ONLYDIR) < 0)
			return -errno;
	}
	return 0;
}
