/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon.h"

/* The methods of org.agentfs. A handler owns the call; parameters have the types of the interface. */
struct method {
	const char *name;
	bool changes; /* goes into the control journal, before it acts and when it has ended */
	void (*handler)(struct daemon *d, struct call *call);
};

extern const struct method methods[];
extern const size_t methods_count;

/* Finds the method, checks the parameters against agentfs.varlink, journals, calls. */
void methods_dispatch(struct call *call, void *daemon);

/* Checks parameters against the line of method `name` in the interface's text. Returns 0, or -EINVAL
 * with the name of the parameter that is missing, unknown or of another type in bad. */
int methods_check(const char *text, const char *name, json_t *parameters, char *bad, size_t size);

void method_create(struct daemon *d, struct call *call);
void method_list(struct daemon *d, struct call *call);
void method_show(struct daemon *d, struct call *call);
void method_which(struct daemon *d, struct call *call);
void method_diff(struct daemon *d, struct call *call);
void method_log(struct daemon *d, struct call *call);
void method_materialize(struct daemon *d, struct call *call);
void method_next(struct daemon *d, struct call *call);
void method_sync(struct daemon *d, struct call *call);
void method_freeze(struct daemon *d, struct call *call);
void method_thaw(struct daemon *d, struct call *call);
void method_merge(struct daemon *d, struct call *call);
void method_approve(struct daemon *d, struct call *call);
void method_verify(struct daemon *d, struct call *call);
void method_learn(struct daemon *d, struct call *call);
void method_merge_history(struct daemon *d, struct call *call);
void method_merge_explain(struct daemon *d, struct call *call);
void method_merge_undo(struct daemon *d, struct call *call);
void method_merge_predict(struct daemon *d, struct call *call);
void method_radar(struct daemon *d, struct call *call);
void method_queue_list(struct daemon *d, struct call *call);
void method_queue_show(struct daemon *d, struct call *call);
void method_queue_pause(struct daemon *d, struct call *call);
void method_queue_reorder(struct daemon *d, struct call *call);
void method_queue_cancel(struct daemon *d, struct call *call);
void method_queue_approve(struct daemon *d, struct call *call);
void method_apply(struct daemon *d, struct call *call);
void method_rollback(struct daemon *d, struct call *call);
void method_destroy(struct daemon *d, struct call *call);
void method_audit(struct daemon *d, struct call *call);
void method_policy_check(struct daemon *d, struct call *call);
void method_policy_reload(struct daemon *d, struct call *call);
void method_why(struct daemon *d, struct call *call);
void method_brief(struct daemon *d, struct call *call);
void method_doctor(struct daemon *d, struct call *call);
void method_status(struct daemon *d, struct call *call);
void method_stop(struct daemon *d, struct call *call);
void method_events(struct daemon *d, struct call *call);
void method_wait(struct daemon *d, struct call *call);

/* Adds what views that are gone have left in repositories to a doctor's checks (consumed), and answers. */
void doctor_leftovers(struct daemon *d, struct call *c, json_t *checks);

/* What was learned of the resolvers, by repository, as the worker's merge takes it. */
json_t *learned_records(struct daemon *d);

/* Calls that wait for a view's state; told by the supervisor's `changed`. */
void waiters_check(struct daemon *d, const char *agent);
