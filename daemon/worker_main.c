/* SPDX-License-Identifier: Apache-2.0 */
/* agentfs-worker: the table of ops. worker.h says what each takes and answers. */
#include <signal.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"

/* A line each: name, what it needs, prepare (with privileges) or NULL, run, finish or NULL. */
static const struct worker_op ops[] = {
	{"apply", WORKER_REPO, NULL, op_apply, NULL},
	{"audit", 0, NULL, op_audit, NULL},
	{"create", WORKER_REPO, create_prepare, op_create, create_finish},
	{"materialize", WORKER_REPO | WORKER_VIEW, view_prepare_lock, op_materialize, view_finish},
	{"distances", WORKER_REPO, NULL, op_distances, NULL},
	{"diff", WORKER_REPO | WORKER_VIEW, view_prepare_read, op_diff, view_finish},
	{"log", WORKER_REPO | WORKER_VIEW, view_prepare_read, op_log, view_finish},
	{"preserve", WORKER_REPO | WORKER_VIEW, view_prepare_read, op_preserve, view_finish},
	{"close", WORKER_REPO | WORKER_VIEW, view_prepare_conf, op_close, NULL},
	{"merge", WORKER_REPO, NULL, op_merge, NULL},
	{"hold", WORKER_REPO, NULL, op_hold, NULL},
	{"land", WORKER_REPO, NULL, op_land, NULL},
	{"drop-held", WORKER_REPO, NULL, op_drop_held, NULL},
	{"learn", WORKER_REPO, NULL, op_learn, NULL},
	{"predict", WORKER_REPO, NULL, op_predict, NULL},
	{"recall", WORKER_REPO, NULL, op_recall, NULL},
	{"next", WORKER_REPO | WORKER_VIEW, view_prepare_lock, op_next, view_finish},
	{"sync", WORKER_REPO | WORKER_VIEW, sync_prepare, op_sync, sync_finish},
	{"trial", WORKER_REPO, NULL, op_trial, NULL},
	{"undo", WORKER_REPO, NULL, op_undo, NULL},
	{"verify", WORKER_REPO | WORKER_VIEW, verify_prepare, op_verify, verify_finish},
	{"verify_ask", WORKER_REPO, NULL, op_verify_ask, NULL},
	{"verify_reset", WORKER_REPO, NULL, op_verify_reset, NULL},
	{"uncreate", WORKER_REPO, NULL, op_uncreate, NULL},
	{"ignored", WORKER_REPO, NULL, op_ignored, NULL},
	{"leftovers", WORKER_REPO, NULL, op_leftovers, NULL},
	{"radar", WORKER_REPO, radar_prepare, op_radar, radar_finish},
	{"repository", WORKER_REPO, NULL, op_repository, NULL},
	{"sandbox", 0, NULL, op_sandbox, NULL},
};

int main(void)
{
	log_setup("agentfs-worker", LOG_LEVEL_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	return worker_run(ops, ARRAY_SIZE(ops), STDIN_FILENO, STDOUT_FILENO);
}
