/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct call;

/* What happens, for whoever listens (method Events). Nothing is kept. */
struct events;

struct events *events_new(void);
void events_free(struct events *e);

/* Takes the call over: it gets every event of its peer's views until the peer goes away. */
int events_subscribe(struct events *e, struct call *c);

/* Something happened. agent and view may be NULL; owner: whose view it is (root hears all). */
void events_emit(struct events *e, const char *type, const char *agent, const char *view,
		 uid_t owner, const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* A time in ns as RFC 3339 in UTC, milliseconds; "" for 0. */
json_t *json_time(uint64_t ns);
