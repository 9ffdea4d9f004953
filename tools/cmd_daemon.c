/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon itself: its health, its start and its end. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

enum { END_MS = 30000 };

static bool print_check(const json_t *check)
{
	bool problem = strcmp(jstr(check, "state"), "problem") == 0;
	bool warning = strcmp(jstr(check, "state"), "warning") == 0;
	enum out_color color = problem ? OUT_RED : warning ? OUT_YELLOW : OUT_GREEN;

	printf("%s%-8s%s", out_on(color),
	       problem	 ? "problem"
	       : warning ? "warning"
			 : "ok",
	       out_off(color));
	out_text(stdout, jstr(check, "name"));
	printf(": ");
	out_text(stdout, jstr(check, "text"));
	(void)putchar('\n');
	if (*jstr(check, "remedy"))
		out_block(stdout, jstr(check, "remedy"), 8);
	return problem;
}

static int run_doctor(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	size_t i, problems = 0;
	json_t *check;
	int r;

	r = client_call(c, "Doctor", json_object(), &reply);
	if (r != 0)
		return r;
	json_array_foreach (json_object_get(reply, "checks"), i, check) {
		if (c->json)
			problems += strcmp(jstr(check, "state"), "problem") == 0;
		else
			problems += print_check(check);
	}
	if (c->json)
		(void)ctl_json(reply);
	return problems ? CTL_FAILED : CTL_OK;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.group = "Daemon",
	.args = "",
	.help = "check the machine, the daemon and the views",
	.about = "A line per check, with what to do where something is wrong. Exits 1 when "
		 "there is a problem; "
		 "warnings alone leave it at 0.",
	.example = "agentfsctl doctor",
	.run = run_doctor,
};

static int run_start(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_free_ char *socket = NULL;
	bool own;
	int r;

	socket = client_socket(c, &own);
	if (!socket)
		return CTL_AWAY;
	if (client_connect(c, false, true) == CTL_OK) {
		ctl_note(c, "The daemon runs already: %s", c->socket);
	} else {
		if (!own && geteuid() == 0 && strcmp(socket, CLIENT_SYSTEM_SOCKET) == 0)
			return client_system_away(c, CTL_FAILED);
		if (!own)
			return ctl_fail(
				c, CTL_FAILED, "DaemonAway",
				"Start that one where it is configured: agentfsd --run FOLDER.",
				"no daemon answers at '%s', and only your own can be "
				"started from here",
				socket);
		r = client_start(c, socket);
		if (r != 0)
			return r;
		ctl_note(c, "The daemon runs: %s", socket);
	}
	answer = json_pack("{s:s}", "socket", socket);
	return c->json ? ctl_json(answer) : CTL_OK;
}

const struct command cmd_daemon_start = {
	.name = "daemon start",
	.group = "Daemon",
	.args = "",
	.help = "start your own daemon unless it runs",
	.about = "Other commands start it by themselves. The system's daemon is started by "
		 "root: systemctl start "
		 "agentfsd.",
	.example = "agentfsctl daemon start",
	.run = run_start,
};

/* The daemon's process, to be waited for; -1 where it cannot be. */
static int daemon_process(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *status = NULL;

	if (client_call(c, "Status", json_object(), &status) != 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, (pid_t)jint(status, "pid"), 0);
}

static int run_stop(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_close_ int process = -1;
	int r;

	r = client_connect(c, false, false);
	if (r == 0)
		process = daemon_process(c);
	if (r == 0)
		r = client_call(
			c, "Stop",
			json_pack("{s:o*}", "keep_views", args_true(&c->args, "keep-views")),
			&reply);
	if (r != 0)
		return r;
	if (process >= 0 && poll(&(struct pollfd){process, POLLIN, 0}, 1, END_MS) == 0)
		ctl_note(c, "The daemon at %s was told to stop, but still runs after %d s.",
			 c->socket, END_MS / 1000);
	else
		ctl_note(c, "The daemon at %s has stopped%s.", c->socket,
			 args_has(&c->args, "keep-views") ? "; its views serve on"
							  : "; its views come back with it");
	return c->json ? ctl_json(reply) : CTL_OK;
}

const struct command cmd_daemon_stop = {
	.name = "daemon stop",
	.group = "Daemon",
	.args = "",
	.help = "end the daemon",
	.about = "Unmounts the views, which come back when it is started again; nothing is lost.",
	.example = "agentfsctl daemon stop --keep-views",
	.opts = (const struct opt[]){{"keep-views", 0, NULL, "leave the views mounted and serving"},
				     {0}},
	.run = run_stop,
};

static int run_status(struct ctl *c)
{
	static const char *const keys[] = {"version", "kind", "state_dir", "run_dir", "mounts"};
	_cleanup_(out_table_release) struct out_table t = {.columns = 2};
	_cleanup_(json_decrefp) json_t *reply = NULL;
	char text[64];
	int r;

	r = client_connect(c, false, false);
	if (r == 0)
		r = client_call(c, "Status", json_object(), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	out_row(&t, OUT_PLAIN, (const char *[]){"socket", c->socket});
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		out_row(&t, OUT_PLAIN, (const char *[]){keys[i], jstr(reply, keys[i])});
	(void)snprintf(text, sizeof(text), "%lld", jint(reply, "pid"));
	out_row(&t, OUT_PLAIN, (const char *[]){"pid", text});
	(void)snprintf(text, sizeof(text), "%lld", jint(reply, "views"));
	out_row(&t, OUT_PLAIN, (const char *[]){"views", text});
	out_row(&t, OUT_PLAIN, (const char *[]){"started", out_ago(jstr(reply, "started"), text)});
	out_table_print(stdout, &t);
	return CTL_OK;
}

const struct command cmd_daemon_status = {
	.name = "daemon status",
	.group = "Daemon",
	.args = "",
	.help = "say which daemon answers, and where its files are",
	.about = "Starts none: exits 3 when no daemon answers.",
	.example = "agentfsctl daemon status",
	.run = run_status,
};
