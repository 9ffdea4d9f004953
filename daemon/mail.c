/* SPDX-License-Identifier: Apache-2.0 */
/* Mail: the table, and who may see what of it. */
#include "mail.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "op.h"
#include "queue_run.h"
#include "state_queue.h"
#include "sys.h"

enum { LIST_DEFAULT = 50, PAYLOAD_MAX = 256 << 10 };

static uid_t owner_of(struct daemon *d, const char *from, const char *to)
{
	const struct view *v = views_get(d->views, to);

	if (!v)
		v = views_get(d->views, from);
	return v ? v->row.uid : geteuid();
}

static int keep(struct daemon *d, uid_t uid, const char *type, const char *from, const char *to,
		json_t *payload, struct err *reterr)
{
	_cleanup_free_ char *text = json_dumps(payload, JSON_COMPACT | JSON_SORT_KEYS);
	struct state_mail m = {.time = sys_now_ns(),
			       .uid = uid,
			       .type = type,
			       .from = from,
			       .to = to,
			       .payload = text};
	int r = text ? state_mail_add(d->db, &m, reterr) : -ENOMEM;

	if (r == 0)
		events_emit(d->events, "mail", *to ? to : NULL, NULL, uid, "%s from %s", type,
			    from);
	return r;
}

int mail_send(struct daemon *d, const char *type, const char *from, const char *to, json_t *payload,
	      struct err *reterr)
{
	return keep(d, owner_of(d, from, to), type, from, to, payload, reterr);
}

/* ---- MailList ---- */

struct list {
	uid_t uid;
	const char *agent; /* NULL: all */
	int64_t left;
	json_t *mails;
};

static int add_mail(const struct state_mail *m, void *user)
{
	struct list *l = user;
	json_t *payload;

	if (l->uid != 0 && l->uid != m->uid)
		return 0;
	if (l->agent && strcmp(l->agent, m->to) != 0 && strcmp(l->agent, m->from) != 0)
		return 0;
	payload = json_loads(m->payload, 0, NULL);
	(void)json_array_append_new(
		l->mails, json_pack("{s:I,s:o,s:s,s:s,s:s,s:o}", "mail", (json_int_t)m->id, "time",
				    json_time(m->time), "type", m->type, "from", m->from, "to",
				    m->to, "payload", payload ? payload : json_object()));
	return --l->left > 0 ? 0 : 1;
}

void method_mail_list(struct daemon *d, struct call *c)
{
	struct list l = {.uid = c->uid,
			 .agent = arg_str(c, "agent"),
			 .left = arg_int(c, "last", LIST_DEFAULT),
			 .mails = json_array()};
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;

	if (l.left < 1)
		(void)fault_set(&f, "Invalid", "the number of mails to show is 1 or more");
	else if (state_mails(d->db, add_mail, &l, &e) < 0)
		(void)fault_from_err(&f, &e, NULL);
	if (!f.message) {
		call_reply(c, json_pack("{s:o}", "mails", l.mails));
		return;
	}
	json_decref(l.mails);
	call_fault(c, &f);
}

/* ---- MailSend ---- */

/* Does the payload have what its type says? */
static int check_payload(const char *type, const json_t *p, struct fault *f)
{
	if (strcmp(type, "merge_ready") != 0)
		return fault_set(f, "Unsupported",
				 "mail of type '%s' cannot be sent yet: merge_ready is what can",
				 type);
	if (!json_is_object(p) || !json_is_string(json_object_get(p, "branch")) ||
	    !json_is_string(json_object_get(p, "agentName")))
		return fault_set(f, "Invalid",
				 "the payload of merge_ready is an object with branch, taskId, "
				 "agentName and filesModified");
	return 0;
}

void method_mail_send(struct daemon *d, struct call *c)
{
	const char *type = arg_str(c, "type"), *text = arg_str(c, "payload"), *agent;
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;
	json_t *p =
		strlen(text) <= PAYLOAD_MAX ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
	struct view *v = NULL;
	int64_t id = 0;
	int r = check_payload(type, p, &f);

	agent = json_string_value(json_object_get(p, "agentName"));
	if (r == 0)
		r = find_view(d, c, agent, &v, &f);
	if (r == 0 && strcmp(v->row.branch, json_string_value(json_object_get(p, "branch"))) != 0)
		r = fault_set(&f, "Stale", "agent '%s' is on branch '%s' now, not on '%s'", agent,
			      v->row.branch, json_string_value(json_object_get(p, "branch")));
	if (r == 0 && keep(d, v->row.uid, type, agent, MAIL_MERGER, p, &e) < 0)
		r = fault_from_err(&f, &e, NULL);
	if (r == 0)
		r = queue_add_view(d, v, c->uid, c->gid, &id, &f);
	json_decref(p);
	if (r < 0)
		call_fault(c, &f);
	else
		call_reply(c, json_pack("{s:I}", "request", (json_int_t)id));
}
