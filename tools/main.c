/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfsctl: the command line of agentfs. The table below is all there is; each command's record
 * stands in its cmd_<group>.c. Order here is the order of the help.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"
#include "usage.h"

/* clang-format off */ /* a line each */
const struct command *const commands[] = {
	&cmd_create,
	&cmd_list,
	&cmd_show,
	&cmd_path,
	&cmd_shell,
	&cmd_next,
	&cmd_sync,
	&cmd_freeze,
	&cmd_thaw,
	&cmd_wait,
	&cmd_diff,
	&cmd_log,
	&cmd_materialize,
	&cmd_merge_learn,
	&cmd_merge_predict,
	&cmd_merge_history,
	&cmd_merge_explain,
	&cmd_merge_undo,
	&cmd_merge_resolve,
	&cmd_merge_html,
	&cmd_merge,
	&cmd_radar,
	&cmd_apply,
	&cmd_rollback,
	&cmd_destroy,
	&cmd_queue_list,
	&cmd_queue_show,
	&cmd_queue_pause,
	&cmd_queue_resume,
	&cmd_queue_reorder,
	&cmd_queue_cancel,
	&cmd_queue_approve,
	&cmd_mail_list,
	&cmd_mail_send,
	&cmd_audit,
	&cmd_events,
	&cmd_approve,
	&cmd_verify,
	&cmd_policy_check,
	&cmd_policy_reload,
	&cmd_why,
	&cmd_brief,
	&cmd_doctor,
	&cmd_daemon_start,
	&cmd_daemon_stop,
	&cmd_daemon_status,
	NULL,
};
/* clang-format on */

const struct opt global_opts[] = {
	{"socket", 0, "PATH", "ask the daemon behind this socket", "@files"},
	{"json", 0, NULL, "answer with one JSON object"},
	{"quiet", 'q', NULL, "no notes, only the answer and errors"},
	{"color", 0, "WHEN", "use colours (default: auto)", "auto|always|never"},
	{"help", 'h', NULL, "print help and exit"},
	{"version", 'V', NULL, "print the version and exit"},
	/* for completion and the build, not for people */
	{"complete", 0, "KIND", NULL, "agents"},
	{"generate", 0, "KIND", NULL, "man|bash|zsh|fish|commands|errors"},
	{0},
};

static const char *command_name(size_t i, const void *arg)
{
	return commands[i] ? commands[i]->name : NULL;
}

/* The second words of the two-word commands that begin with `arg`. */
static const char *second_word(size_t i, const void *arg)
{
	size_t n = strlen(arg);

	for (const struct command *const *p = commands; *p; p++)
		if (strncmp((*p)->name, arg, n) == 0 && (*p)->name[n] == ' ' && i-- == 0)
			return (*p)->name + n + 1;
	return NULL;
}

static int unknown_command(struct ctl *c, const char *word)
{
	const char *near = args_nearest(word, command_name, NULL);

	if (near)
		return ctl_usage(c, "unknown command '%s'; did you mean '%s'?", word, near);
	return ctl_usage(c, "unknown command '%s'", word);
}

/* "policy" was said alone or with a word that it does not have. */
static int unknown_second(struct ctl *c, const char *first, const char *word)
{
	const char *near = word ? args_nearest(word, second_word, first) : NULL, *s;
	char all[128] = "";
	size_t n = 0;

	for (size_t i = 0; (s = second_word(i, first)) && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s", i ? ", " : "", s);
	if (!word)
		return ctl_usage(c, "%s: a word is missing, one of: %s", first, all);
	if (near)
		return ctl_usage(c, "%s: unknown word '%s'; did you mean '%s'?", first, word, near);
	return ctl_usage(c, "%s: unknown word '%s', not one of: %s", first, word, all);
}

/* Finds the command at argv[*pos] and moves behind it. */
static int find_command(struct ctl *c, int argc, char **argv, int *pos)
{
	const char *first = argv[*pos], *second = *pos + 1 < argc ? argv[*pos + 1] : NULL;
	size_t n = strlen(first);

	for (const struct command *const *p = commands; *p; p++) {
		const char *name = (*p)->name;

		if (strcmp(name, first) == 0 ||
		    (second && strncmp(name, first, n) == 0 && name[n] == ' ' &&
		     strcmp(name + n + 1, second) == 0)) {
			*pos += strchr(name, ' ') ? 2 : 1;
			c->cmd = *p;
			c->args.opts = (*p)->opts;
			return CTL_OK;
		}
	}
	if (second_word(0, first))
		return unknown_second(c, first, second);
	return unknown_command(c, first);
}

static int check_words(struct ctl *c)
{
	size_t min, max, i = 0;
	const char *p;

	args_limits(c->cmd->args, &min, &max);
	if (c->args.n_words > max)
		return ctl_usage(c, "unexpected word '%s'", c->args.words[max]);
	if (c->args.n_words >= min)
		return CTL_OK;
	/* Name the first required word that was not given. */
	for (p = c->cmd->args; *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (*p != '[' && i++ == c->args.n_words)
			break;
	return ctl_usage(c, "%.*s is missing", (int)strcspn(p, " "), p);
}

/* Names for the shells' completion: no daemon is started and nothing is said on failure. */
static int complete_agents(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	json_t *v;
	size_t i;

	if (client_try(c, "List", json_object(), &reply) < 0)
		return CTL_OK;
	json_array_foreach (json_object_get(reply, "views"), i, v) {
		if (ctl_is_name(jstr(v, "agent")))
			(void)puts(jstr(v, "agent"));
	}
	return CTL_OK;
}

static int help(const struct ctl *c)
{
	if (c->cmd)
		usage_command(stdout, c->cmd);
	else
		usage_all(stdout);
	return CTL_OK;
}

/* Requests are JSON, which is UTF-8: a word that is not could only reach the daemon as another one.
 */
static int check_text(struct ctl *c, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (mbstowcs(NULL, argv[i], 0) == (size_t)-1)
			return ctl_usage(c, "'%s' is not UTF-8", argv[i]);
	return CTL_OK;
}

static int dispatch(struct ctl *c, int argc, char **argv)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int pos = 1, r;

	r = check_text(c, argc, argv);
	if (r != 0)
		return r;
	r = args_parse(&c->args, argc, argv, &pos, true, &err);
	c->json = args_has(&c->args, "json");
	if (r == 0 && pos < argc) {
		r = find_command(c, argc, argv, &pos);
		if (r != 0)
			return r;
		r = args_parse(&c->args, argc, argv, &pos, false, &err);
	}
	c->json = args_has(&c->args, "json");
	c->quiet = args_has(&c->args, "quiet");
	if (r < 0)
		return ctl_usage(c, "%s", err_text(&err));
	out_setup(args_get(&c->args, "color"));
	if (args_has(&c->args, "help"))
		return help(c);
	if (args_has(&c->args, "version"))
		return printf("agentfsctl %s\n", AGENTFS_VERSION) < 0 ? CTL_FAILED : CTL_OK;
	if (args_has(&c->args, "complete"))
		return complete_agents(c);
	if (args_has(&c->args, "generate"))
		return generate(args_get(&c->args, "generate")) < 0 ? CTL_USAGE : CTL_OK;
	if (!c->cmd)
		return ctl_usage(c, "no command given");
	r = check_words(c);
	return r == 0 ? c->cmd->run(c) : r;
}

int main(int argc, char **argv)
{
	struct ctl c = {.args.global = global_opts};
	int r;

	/* Names are UTF-8 whatever the locale; LC_ALL=C must not turn every umlaut into \xNN. */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	r = dispatch(&c, argc, argv);
	if (fflush(stdout) != 0 && r == CTL_OK)
		r = ctl_fail(&c, CTL_FAILED, "Local", "Give it room or another place to go.",
			     "cannot write the answer to standard output");
	client_close(&c);
	free(c.socket);
	args_release(&c.args);
	return r;
}
