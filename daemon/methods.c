/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods, and what is common to all: the parameters have the names and types that
 * agentfs.varlink says (the interface's text itself is read, so that the two cannot drift apart), and
 * a call that changes something is in the control journal before it acts.
 */
#include "methods.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "log.h"
#include "mail.h"
#include "sys.h"

const struct method methods[] = {
	{"Create", true, method_create},
	{"List", false, method_list},
	{"Show", false, method_show},
	{"Which", false, method_which},
	{"Diff", false, method_diff},
	{"Log", false, method_log},
	{"Materialize", true, method_materialize},
	{"Next", true, method_next},
	{"Sync", true, method_sync},
	{"Freeze", true, method_freeze},
	{"Thaw", true, method_thaw},
	{"Merge", true, method_merge},
	{"Approve", true, method_approve},
	{"Verify", true, method_verify},
	{"Learn", true, method_learn},
	{"MergePredict", false, method_merge_predict},
	{"MergeHistory", false, method_merge_history},
	{"MergeExplain", false, method_merge_explain},
	{"MergeUndo", true, method_merge_undo},
	{"Radar", false, method_radar},
	{"QueueList", false, method_queue_list},
	{"QueueShow", false, method_queue_show},
	{"QueuePause", true, method_queue_pause},
	{"QueueReorder", true, method_queue_reorder},
	{"QueueCancel", true, method_queue_cancel},
	{"QueueApprove", true, method_queue_approve},
	{"MailList", false, method_mail_list},
	{"MailSend", true, method_mail_send},
	{"Apply", true, method_apply},
	{"Rollback", true, method_rollback},
	{"Destroy", true, method_destroy},
	{"Audit", false, method_audit},
	{"PolicyCheck", false, method_policy_check},
	{"PolicyReload", true, method_policy_reload},
	{"Why", false, method_why},
	{"Brief", false, method_brief},
	{"Doctor", false, method_doctor},
	{"Status", false, method_status},
	{"Stop", true, method_stop},
	{"Events", false, method_events},
	{"Wait", false, method_wait},
};
const size_t methods_count = ARRAY_SIZE(methods);

/* ---- parameters ---- */

/* "?[]string" and the like against a value. */
static bool type_fits(const char *type, size_t n, const json_t *v)
{
	bool optional = n > 0 && *type == '?';
	json_t *item;
	size_t i;

	type += optional;
	n -= optional;
	if (!v || json_is_null(v))
		return optional;
	if (n > 2 && memcmp(type, "[]", 2) == 0) {
		if (!json_is_array(v))
			return false;
		json_array_foreach (v, i, item)
			if (!type_fits(type + 2, n - 2, item))
				return false;
		return true;
	}
	return (n == 6 && memcmp(type, "string", n) == 0 && json_is_string(v)) ||
	       (n == 4 && memcmp(type, "bool", n) == 0 && json_is_boolean(v)) ||
	       (n == 3 && memcmp(type, "int", n) == 0 && json_is_integer(v));
}

/* The text between the parentheses of a method's arguments; NULL: no such method. */
static const char *method_args(const char *text, const char *name, size_t *ret_len)
{
	char head[128];
	const char *p;

	(void)snprintf(head, sizeof(head), "\nmethod %s(", name);
	p = strstr(text, head);
	if (!p)
		return NULL;
	p += strlen(head);
	*ret_len = strcspn(p, ")");
	return p;
}

/* Takes the next "name: type" of p[0..n); false at the end. */
static bool next_arg(const char **p, const char *end, char *name, size_t size,
		     const char **ret_type, size_t *ret_n)
{
	const char *colon;

	*p += strspn(*p, " ,\n\t");
	colon = memchr(*p, ':', *p < end ? (size_t)(end - *p) : 0);
	if (!colon)
		return false;
	(void)snprintf(name, size, "%.*s", (int)(colon - *p), *p);
	*ret_type = colon + 1 + strspn(colon + 1, " ");
	*ret_n = strcspn(*ret_type, ",) \n");
	*p = *ret_type + *ret_n;
	return true;
}

int methods_check(const char *text, const char *name, json_t *parameters, char *bad, size_t size)
{
	const char *p, *start, *end, *type, *key;
	char arg[64];
	size_t n, len;
	json_t *v;

	start = method_args(text, name, &len);
	if (!start)
		return -ENOSYS;
	end = start + len;
	for (p = start; next_arg(&p, end, arg, sizeof(arg), &type, &n);)
		if (!type_fits(type, n, json_object_get(parameters, arg))) {
			(void)snprintf(bad, size, "%s", arg);
			return -EINVAL;
		}
	json_object_foreach (parameters, key, v) {
		bool known = false;

		for (p = start; !known && next_arg(&p, end, arg, sizeof(arg), &type, &n);)
			known = strcmp(arg, key) == 0;
		if (!known) {
			(void)snprintf(bad, size, "%s", key);
			return -EINVAL;
		}
	}
	return 0;
}

/* ---- the control journal ---- */

struct journaled {
	struct daemon *d;
	const char *method;
	uint64_t seq;
};

static void on_ended(struct call *c, const struct fault *f, void *user)
{
	struct journaled *j = user;

	bool denied = f && f->id && strcmp(f->id, "Denied") == 0;

	control_end(j->d->control, j->seq, j->method,
		    denied ? -EACCES
		    : f	   ? -EREMOTEIO
			   : 0,
		    !f		 ? "done"
		    : f->message ? f->message
				 : "failed");
	free(j);
}

static int journal_call(struct daemon *d, struct call *c, const struct method *m, struct fault *f)
{
	struct journaled *j = sys_calloc(1, sizeof(*j));
	int r = -ENOMEM;

	if (j)
		r = control_begin(d->control, c->uid, c->pid, m->name, c->in.parameters, &j->seq);
	if (r < 0) {
		free(j);
		(void)fault_set(f, fault_id(r),
				"the call cannot be journaled, so it was not made: %s",
				strerror(-r));
		return r;
	}
	j->d = d;
	j->method = m->name;
	c->ended = on_ended;
	c->ended_user = j;
	return 0;
}

/* ---- org.varlink.service ---- */

static void get_info(struct call *c)
{
	call_reply(c, json_pack("{s:s,s:s,s:s,s:s,s:[s,s]}", "vendor", "agentfs", "product",
				"agentfsd", "version", AGENTFS_VERSION, "url",
				"https://agentfs.invalid/", "interfaces", VARLINK_SERVICE,
				VARLINK_INTERFACE));
}

static void get_description(struct call *c)
{
	const char *name = json_string_value(json_object_get(c->in.parameters, "interface"));

	if (!name)
		call_service_error(c, "InvalidParameter", "parameter", "interface");
	else if (strcmp(name, VARLINK_INTERFACE) == 0)
		call_reply(c, json_pack("{s:s}", "description", varlink_agentfs_text));
	else if (strcmp(name, VARLINK_SERVICE) == 0)
		call_reply(c, json_pack("{s:s}", "description", varlink_service_text));
	else
		call_service_error(c, "InterfaceNotFound", "interface", name);
}

static void service_call(struct call *c, const char *method)
{
	if (strcmp(method, "GetInfo") == 0)
		get_info(c);
	else if (strcmp(method, "GetInterfaceDescription") == 0)
		get_description(c);
	else
		call_service_error(c, "MethodNotFound", "method", c->in.method);
}

/* ---- dispatch ---- */

static void run(struct daemon *d, struct call *c, const struct method *m)
{
	struct fault f = FAULT_INIT;
	char bad[128];

	if (methods_check(varlink_agentfs_text, m->name, c->in.parameters, bad, sizeof(bad)) < 0) {
		call_service_error(c, "InvalidParameter", "parameter", bad);
		return;
	}
	if (d->ending) {
		(void)fault_set(&f, "Busy", "the daemon is ending: try again in a moment");
		call_fault(c, &f);
		return;
	}
	if (m->changes && journal_call(d, c, m, &f) < 0) {
		call_fault(c, &f);
		return;
	}
	log_debug("pid %d (uid %u) calls %s", (int)c->pid, (unsigned)c->uid, m->name);
	m->handler(d, c);
}

void methods_dispatch(struct call *c, void *daemon)
{
	const char *dot = strrchr(c->in.method, '.');
	size_t n = (size_t)(dot - c->in.method);
	char interface[128];

	(void)snprintf(interface, sizeof(interface), "%.*s", (int)n, c->in.method);
	if (strcmp(interface, VARLINK_SERVICE) == 0) {
		service_call(c, dot + 1);
		return;
	}
	if (strcmp(interface, VARLINK_INTERFACE) != 0) {
		call_service_error(c, "InterfaceNotFound", "interface", interface);
		return;
	}
	for (size_t i = 0; i < methods_count; i++)
		if (strcmp(methods[i].name, dot + 1) == 0) {
			run(daemon, c, &methods[i]);
			return;
		}
	call_service_error(c, "MethodNotFound", "method", c->in.method);
}
