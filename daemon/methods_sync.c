/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Methods Sync, Freeze and Thaw.
 *
 * Which base a view is on is what its journal says. The row, view.conf and view.json follow when the
 * worker has answered; where the daemon ended in between, they follow when it next hears the server
 * (view_follow_base()).
 *
 * A freeze is in three places, in this order: the file `frozen` in the view's folder, which its server
 * reads when it starts; the row; the server that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "methods.h"
#include "op.h"
#include "record.h"
#include "sys.h"
#include "viewctl.h"

enum { TRIES = 6, TELL_TIMEOUT_MS = 10000 };

static void ignore_answer(int r, const struct record *rec, const char *text, void *user)
{
}

/* --- the base --- */

int view_set_base(struct daemon *d, struct view *v, json_t *ok, struct fault *f)
{
	static const struct {
		const char *key;
		size_t field;
	} map[] = {
		{"to", offsetof(struct view_row, base)},
		{"tree", offsetof(struct view_row, tree)},
		{"image", offsetof(struct view_row, image)},
	};
	struct record msg = {.type = VIEWCTL_POLICY};
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *policy = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(map); i++) {
		const char *s = json_string_value(json_object_get(ok, map[i].key));

		if (s && *s)
			r = view_row_set((char **)((char *)&v->row + map[i].field), s);
	}
	v->distance.at = 0;
	if (r == 0)
		r = view_save(v, &e);
	if (r < 0)
		return e.code ? fault_from_err(f, &e, NULL)
			      : fault_set(f, fault_id(r), "the daemon has no memory for this");
	/* What the new base's .agentfs.yaml says holds from here on. */
	r = make_policy(d, &v->row, &policy, f);
	if (r == 0)
		r = view_files_update(d, v, policy, f);
	if (r < 0)
		return r;
	RECORD_SET(&msg, value, F_VALUE, ((struct bytes){policy, strlen(policy)}));
	(void)view_call(v, &msg, TELL_TIMEOUT_MS, ignore_answer, NULL);
	return 0;
}

bool sync_again(const struct fault *f, unsigned *tries)
{
	return f && f->id && strcmp(f->id, "Busy") == 0 &&
	       json_is_true(json_object_get(f->details, "again")) && ++*tries < TRIES;
}

/* --- a base that nobody heard of --- */

/* The value of "key value\n" in the text; caller frees. NULL where it is not there. */
static char *value_of(struct bytes text, const char *key)
{
	const char *p = text.p, *end = p + text.n;
	size_t n = strlen(key);

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl ? nl : end) - p);

		if (len > n && memcmp(p, key, n) == 0 && p[n] == ' ')
			return strndup(p + n + 1, len - n - 1);
		p += len + 1;
	}
	return NULL;
}

static void on_base(int r, const struct record *rec, const char *text, void *user)
{
	struct op *op = user;
	struct view *v = views_get(op->d->views, op->key);
	bool has = r >= 0 && v && RECORD_HAS(rec, F_VALUE);
	_cleanup_free_ char *base = has ? value_of(rec->value, "base") : NULL;
	_cleanup_free_ char *image = has ? value_of(rec->value, "image") : NULL;
	struct fault f = FAULT_INIT;
	json_t *ok;

	if (base && image && strcmp(image, v->row.image) != 0) {
		ok = json_pack("{s:s,s:s,s:s%}", "to", base, "image", image, "tree", image,
			       strcspn(image, "."));
		log_notice("the view of '%s' is on base %.10s: its row follows", op->key, base);
		if (!ok || view_set_base(op->d, v, ok, &f) < 0)
			log_warning(0, "the base of '%s' stays as it was: %s", op->key,
				    f.message ? f.message : "no memory");
		json_decref(ok);
		fault_release(&f);
	}
	op_end(op, json_object(), NULL);
}

static void follow_start(struct op *op)
{
	struct record msg = {.type = VIEWCTL_STATUS};
	struct view *v = views_get(op->d->views, op->key);

	if (!v || !view_is_open(v) || view_call(v, &msg, TELL_TIMEOUT_MS, on_base, op) < 0)
		op_end(op, json_object(), NULL);
}

void daemon_follow_base(struct daemon *d, struct view *v)
{
	struct op *op = view_is_open(v) ? op_new(d, NULL, v->row.agent, "follow base") : NULL;

	if (op)
		op_begin(op, follow_start);
}

/* --- Sync --- */

struct sync {
	unsigned tries;
};

static void sync_task(struct op *op);

static json_t *reply(struct view *v, json_t *ok)
{
	static const char *const keys[] = {"moved",  "from",	"to",	     "head", "files",
					   "merged", "merging", "conflicts", "notes"};
	json_t *o = json_pack("{s:o}", "view", view_json(v));

	for (size_t i = 0; o && i < ARRAY_SIZE(keys); i++)
		(void)json_object_set(o, keys[i], json_object_get(ok, keys[i]));
	return o;
}

static void on_synced(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);
	struct sync *s = op->data;
	struct fault g = FAULT_INIT;

	if (!ok && v && sync_again(f, &s->tries)) {
		fault_release(f);
		sync_task(op);
		return;
	}
	if (!ok || !v) {
		op_end(op, NULL, f);
		return;
	}
	if (json_is_true(json_object_get(ok, "moved"))) {
		if (view_set_base(op->d, v, ok, &g) < 0) {
			op_end(op, NULL, &g);
			return;
		}
		events_emit(op->d->events, "synced", v->row.agent, v->row.id, v->row.uid,
			    "the view is on base %.10s", v->row.base);
	}
	op_end(op, reply(v, ok), NULL);
}

static void sync_task(struct op *op)
{
	struct view *v = op_view(op);
	const char *to, *style;
	json_t *q;

	if (!v)
		return;
	to = arg_str(op->call, "to");
	style = arg_str(op->call, "style");
	q = op_view_request(op, "sync", v);
	(void)json_object_set_new(q, "to", to ? json_string(to) : json_null());
	(void)json_object_set_new(q, "markers", json_boolean(arg_bool(op->call, "markers")));
	(void)json_object_set_new(q, "style", json_string(style ? style : "merge"));
	(void)json_object_set_new(q, "dry_run", json_boolean(arg_bool(op->call, "dry_run")));
	op_task(op, q, on_synced);
}

/* --- Freeze, Thaw --- */

static int mark(const struct view *v, bool frozen)
{
	char path[4200];
	int fd, r = view_dir_path(v, path, sizeof(path) - 8);

	if (r < 0)
		return r;
	(void)strcat(path, "/frozen");
	if (!frozen)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	(void)safe_close(fd);
	return r;
}

static void on_told(int r, const struct record *rec, const char *text, void *user)
{
	struct op *op = user;
	struct view *v = views_get(op->d->views, op->key);

	if (r < 0 && v && v->phase == PHASE_LIVE)
		op_fail(op, "Stale", "the server of '%s' could not be told (%s): try again",
			op->key, *text ? text : strerror(-r));
	else if (v)
		op_end(op, json_pack("{s:o}", "view", view_json(v)), NULL);
	else
		op_fail(op, "NotFound", "the view of '%s' is gone", op->key);
}

static void set_frozen(struct op *op, bool frozen)
{
	struct record msg = {.type = VIEWCTL_FREEZE};
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct view *v = op_view(op);
	int r;

	if (!v)
		return;
	if (v->row.state != VIEW_LIVE && v->row.state != VIEW_FROZEN) {
		op_fail(op, "Stale", "the view of '%s' is %s: wait until it is live", op->key,
			view_status(v));
		return;
	}
	r = mark(v, frozen);
	if (r < 0) {
		op_fail(op, fault_id(r), "cannot write the files of view '%s': %s", op->key,
			strerror(-r));
		return;
	}
	v->row.state = frozen ? VIEW_FROZEN : VIEW_LIVE;
	if (view_save(v, &e) < 0) {
		op_fail(op, "Internal", "%s", err_text(&e));
		return;
	}
	events_emit(op->d->events, frozen ? "frozen" : "thawed", v->row.agent, v->row.id,
		    v->row.uid,
		    frozen ? "the view refuses changes" : "the view takes changes again");
	RECORD_SET(&msg, mask, F_MASK, frozen ? 1u : 0u);
	r = view_call(v, &msg, TELL_TIMEOUT_MS, on_told, op);
	if (r < 0) /* it is away, and reads the file when it comes back */
		op_end(op, json_pack("{s:o}", "view", view_json(v)), NULL);
}

static void freeze_start(struct op *op)
{
	set_frozen(op, true);
}

static void thaw_start(struct op *op)
{
	set_frozen(op, false);
}

/* --- */

static void keyed(struct daemon *d, struct call *c, const char *what, op_fn start)
{
	struct fault f = FAULT_INIT;
	struct view *v;
	struct op *op;

	if (find_view(d, c, arg_str(c, "agent"), &v, &f) < 0) {
		call_fault(c, &f);
		return;
	}
	op = op_new(d, c, v->row.agent, what);
	if (!op)
		return;
	op->data = sys_calloc(1, sizeof(struct sync));
	op->data_free = free;
	if (!op->data)
		op_fail(op, "Internal", "the daemon has no memory for this");
	else
		op_begin(op, start);
}

void method_sync(struct daemon *d, struct call *c)
{
	keyed(d, c, "sync", sync_task);
}

void method_freeze(struct daemon *d, struct call *c)
{
	keyed(d, c, "freeze", freeze_start);
}

void method_thaw(struct daemon *d, struct call *c)
{
	keyed(d, c, "thaw", thaw_start);
}
