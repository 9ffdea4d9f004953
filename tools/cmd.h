/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "args.h"

/*
 * The one table of agentfsctl. Help, the man page, completion, docs/COMMANDS.md and the parser all
 * read these records, so that none can say something else than the others.
 */
struct command {
	const char *name;    /* "create", or two words as in "daemon start" */
	const char *group;   /* heading in the help */
	const char *args;    /* "AGENT", "[AGENT] [PATH...]": brackets are optional, dots repeat */
	const char *help;    /* one line, lower case, no full stop */
	const char *about;   /* a paragraph: what it does and what it leaves alone */
	const char *example; /* complete lines, separated by newlines */
	const struct opt *opts; /* ends with a zeroed one; NULL: none */
	int (*run)(struct ctl *c);
};

/* What a command returns, and the process's exit status. */
enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1, /* refused, conflict or failed */
	CTL_USAGE = 2,
	CTL_AWAY = 3, /* the daemon could not be asked */
};

struct varlink;

/* One invocation. */
struct ctl {
	const struct command *cmd; /* NULL until known */
	struct args args;
	bool json, quiet;
	char *socket;	    /* what we are connected to; owned */
	struct varlink *vl; /* NULL until the first call; owned */
};

extern const struct command *const commands[]; /* ends with NULL */
extern const struct opt global_opts[];

/* cmd_view.c: views; cmd_end.c: what becomes of them */
extern const struct command cmd_create, cmd_list, cmd_show, cmd_path, cmd_shell, cmd_next, cmd_sync,
	cmd_freeze, cmd_thaw, cmd_rollback, cmd_destroy, cmd_wait;
/* cmd_work.c: what a view holds, and the way into a branch */
extern const struct command cmd_diff, cmd_log, cmd_materialize, cmd_apply;
/* cmd_merge.c: into the target, and what is known of merging */
extern const struct command cmd_merge, cmd_merge_learn;
/* cmd_history.c: merges that were tried */
extern const struct command cmd_merge_history, cmd_merge_explain, cmd_merge_undo;
/* cmd_predict.c: how merges would go */
extern const struct command cmd_merge_predict;
/* cmd_resolve.c: conflicts in a view */
extern const struct command cmd_merge_resolve;
/* cmd_merge_html.c: a page of them */
extern const struct command cmd_merge_html;
/* cmd_radar.c: who works on the same */
extern const struct command cmd_radar;
extern const struct command cmd_merge_history, cmd_merge_explain;
/* cmd_queue.c, cmd_mail.c: the merge queue, and who hears of it */
extern const struct command cmd_queue_list, cmd_queue_show, cmd_queue_pause, cmd_queue_resume,
	cmd_queue_reorder, cmd_queue_cancel, cmd_queue_approve, cmd_mail_list, cmd_mail_send;
/* cmd_audit.c: what happened */
extern const struct command cmd_audit, cmd_events;
/* cmd_policy.c, cmd_approve.c: who may do what */
extern const struct command cmd_approve, cmd_verify, cmd_policy_check, cmd_policy_reload, cmd_why,
	cmd_brief;
/* cmd_daemon.c */
extern const struct command cmd_doctor, cmd_daemon_start, cmd_daemon_stop, cmd_daemon_status;

/* Says "agentfsctl: COMMAND: sentence" and where the help is. Returns CTL_USAGE. */
int ctl_usage(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Says a failure that did not come from the daemon: error id of errors.h, sentence; the remedy is
 * the table's unless given. Returns `status`. */
int ctl_fail(struct ctl *c, int status, const char *id, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* Says an error with everything in it: id (with or without "org.agentfs."), message, remedy and
 * details may be NULL. Two lines on stderr, with --json also an object on stdout. */
void ctl_say_error(struct ctl *c, const char *id, const char *message, const char *remedy,
		   const json_t *details);

/* A line on stderr that --quiet leaves out. */
void ctl_note(struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A list of a reply as a table, or the note `none`: `heads` are as many as `columns`, `row` adds one for each. */
struct out_table;
void ctl_table(struct ctl *c, const json_t *list, const char *none, const char *const *heads,
	       size_t columns, void (*row)(struct out_table *t, const json_t *o));

/* Each string of reply[key] as a note. */
void ctl_notes(struct ctl *c, const json_t *reply, const char *key);

/* Prints the reply as the --json answer. Returns CTL_OK, CTL_FAILED when stdout did not take it. */
int ctl_json(const json_t *reply);

/* The agent that the command is about: the first word, or that of the view which contains the
 * current folder; NULL after having said why not, with *ret_status set. Caller frees. */
char *ctl_agent(struct ctl *c, size_t at, int *ret_status);

/* Whether a word could be an agent's name at all. */
bool ctl_is_name(const char *word);

/* For "[AGENT] [PATH...]": 1 when words[0] is the agent; 0 when the paths begin there, because it
 * stands behind "--", can be no name, or names no agent and we stand in a view. */
size_t ctl_agent_words(struct ctl *c);

/* A path as the caller means it, relative to the top of the agent's view. Caller frees. */
char *ctl_path_in_view(struct ctl *c, const char *agent, const char *word);

/* ", scope PATTERN PATTERN" of a view, nothing where it has none. */
void ctl_print_scope(const json_t *view);

/* "A  path", "R  old -> new"; and a list of them, cut short where it would scroll away. */
void ctl_print_change(const json_t *change, const char *indent);
void ctl_print_changes(const json_t *changes);
