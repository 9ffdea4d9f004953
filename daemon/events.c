/* SPDX-License-Identifier: Apache-2.0 */
/* Events go to the calls that listen, as they come; who reads too slowly is cut off by server.c. */
#include "events.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "server.h"
#include "sys.h"

struct listener {
	struct events *events;
	struct call *call;
	struct listener *prev, *next;
};

struct events {
	struct listener *all;
};

struct events *events_new(void)
{
	return sys_calloc(1, sizeof(struct events));
}

void events_free(struct events *e)
{
	struct listener *l, *tmp;

	if (!e)
		return;
	DL_FOREACH_SAFE (e->all, l, tmp) {
		l->call->gone = NULL;
		call_reply(l->call,
			   json_pack("{s:{s:o,s:s,s:s}}", "event", "time", json_time(sys_now_ns()),
				     "type", "end", "text", "the daemon ends"));
		free(l);
	}
	free(e);
}

static void on_gone(struct call *c, void *user)
{
	struct listener *l = user;

	DL_DELETE(l->events->all, l);
	free(l);
	call_reply(c, NULL); /* nobody hears it; it frees the call */
}

int events_subscribe(struct events *e, struct call *c)
{
	struct listener *l = sys_calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->events = e;
	l->call = c;
	c->gone = on_gone;
	c->user = l;
	DL_APPEND(e->all, l);
	return 0;
}

json_t *json_time(uint64_t ns)
{
	time_t t = (time_t)(ns / 1000000000u);
	char text[64], whole[80];
	struct tm tm;

	if (ns == 0)
		return json_string("");
	gmtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(whole, sizeof(whole), "%s.%03uZ", text,
		       (unsigned)(ns % 1000000000u / 1000000u));
	return json_string(whole);
}

void events_emit(struct events *e, const char *type, const char *agent, const char *view,
		 uid_t owner, const char *fmt, ...)
{
	struct listener *l, *tmp;
	char text[1024];
	va_list ap;

	if (!e->all)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	DL_FOREACH_SAFE (e->all, l, tmp) {
		json_t *o;

		if (l->call->uid != 0 && l->call->uid != owner)
			continue;
		o = json_pack("{s:o,s:s,s:s?,s:s?,s:s}", "time", json_time(sys_now_ns()), "type",
			      type, "agent", agent, "view", view, "text", text);
		call_reply_more(l->call, json_pack("{s:o}", "event", o));
	}
}
