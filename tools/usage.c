/* SPDX-License-Identifier: Apache-2.0 */
/* Help for people, and the texts that help, man page and docs/COMMANDS.md share. */
#include "usage.h"

#include <errno.h>
#include <string.h>

#include "out.h"

const char usage_socket_rule[] =
	"--socket, else $AGENTFS_SOCKET; root asks the system's daemon; others their own "
	"where it runs or has "
	"ever run, else the system's where its socket may be opened, else their own, which "
	"is started.";

const char *const usage_environment[][2] = {
	{"AGENTFS_SOCKET", "the daemon's socket, where --socket is not given"},
	{"NO_COLOR", "no colours unless --color always"},
	{"PAGER", "what long answers on a terminal go through (default: less)"},
	{"LESS", "options of less (default: FRX)"},
	{"SHELL", "what `agentfsctl shell` runs"},
	{"XDG_RUNTIME_DIR",
	 "holds agentfs/agentfsd.sock; without it /tmp/agentfs-UID/agentfsd.sock is used"},
	{NULL, NULL},
};

const char *const usage_files[][2] = {
	{"/run/agentfs/agentfsd.sock", "the system daemon's socket"},
	{"$XDG_RUNTIME_DIR/agentfs/agentfsd.sock", "your own daemon's socket"},
	{"$XDG_RUNTIME_DIR/agentfs/agentfsd.log",
	 "your own daemon's log, where agentfsctl started it"},
	{NULL, NULL},
};

const char *const usage_exits[][2] = {
	{"0", "done"},
	{"1", "refused, conflict or failed"},
	{"2", "the command line is wrong"},
	{"3", "the daemon could not be asked"},
	{NULL, NULL},
};

void usage_synopsis(FILE *f, const struct command *cmd)
{
	(void)fprintf(f, "%s%s%s", cmd->name, *cmd->args ? " " : "", cmd->args);
	for (const struct opt *o = cmd->opts; o && o->name; o++) {
		if (!o->help)
			continue;
		(void)fprintf(f, " [");
		if (o->letter)
			(void)fprintf(f, "-%c|", o->letter);
		(void)fprintf(f, "--%s%s%s]%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "",
			      o->repeat ? "..." : "");
	}
}

/* Text of any length, broken at spaces before column 78. */
static void wrapped(FILE *f, const char *text, int indent)
{
	int col = 0;
	size_t n;

	for (const char *p = text; *p; p += n + strspn(p + n, " ")) {
		n = strcspn(p, " ");
		if (col && col + (int)n + 1 > 78) {
			(void)fputc('\n', f);
			col = 0;
		}
		col += fprintf(f, "%*s%.*s", col ? 1 : indent, "", (int)n, p);
	}
	(void)fputc('\n', f);
}

static void print_opts(FILE *f, const struct opt *opts)
{
	char text[64], letter[8];

	for (const struct opt *o = opts; o && o->name; o++) {
		if (!o->help)
			continue;
		(void)snprintf(letter, sizeof(letter), o->letter ? "-%c, " : "    ", o->letter);
		(void)snprintf(text, sizeof(text), "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
			       o->arg ? o->arg : "");
		(void)fprintf(f, "  %-26s %s", text, o->help);
		if (o->words && o->words[0] != '@')
			(void)fprintf(f, " (%s)", o->words);
		(void)fputc('\n', f);
	}
}

void usage_command(FILE *f, const struct command *cmd)
{
	(void)fprintf(f, "agentfsctl %s - %s\n\nUsage:\n", cmd->name, cmd->help);
	(void)fprintf(f, "  agentfsctl %s%s%s%s\n\n", cmd->name, *cmd->args ? " " : "", cmd->args,
		      cmd->opts ? " [OPTION...]" : "");
	wrapped(f, cmd->about, 0);
	if (strstr(cmd->args, "[AGENT]"))
		(void)fprintf(f, "AGENT left out is the view that contains the current folder.\n");
	if (cmd->opts) {
		(void)fprintf(f, "\nOptions:\n");
		print_opts(f, cmd->opts);
	}
	(void)fprintf(f, "\nOptions of every command:\n");
	print_opts(f, global_opts);
	(void)fprintf(f, "\nExample:\n");
	for (const char *p = cmd->example; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		(void)fprintf(f, "  %.*s\n", (int)strcspn(p, "\n"), p);
}

void usage_all(FILE *f)
{
	const char *group = "";
	char text[64];

	(void)fprintf(f, "agentfsctl - a view of a git repository for each coding agent\n\n"
			 "Usage:\n  agentfsctl [OPTION...] COMMAND [ARGUMENT...]\n"
			 "  agentfsctl COMMAND --help\n");
	for (const struct command *const *p = commands; *p; p++) {
		if (strcmp(group, (*p)->group) != 0) {
			group = (*p)->group;
			(void)fprintf(f, "\n%s%s:%s\n", out_on(OUT_BOLD), group, out_off(OUT_BOLD));
		}
		(void)snprintf(text, sizeof(text), "%s %s", (*p)->name, (*p)->args);
		(void)fprintf(f, "  %-27s %s\n", text, (*p)->help);
	}
	(void)fprintf(f, "\n%sOptions, before or after the command:%s\n", out_on(OUT_BOLD),
		      out_off(OUT_BOLD));
	print_opts(f, global_opts);
	(void)fprintf(f, "\nAGENT left out is the view that contains the current folder.\n");
}

int generate(const char *kind)
{
	static const struct {
		const char *kind;
		void (*run)(void);
	} kinds[] = {{"man", generate_man},	      {"bash", generate_bash},
		     {"zsh", generate_zsh},	      {"fish", generate_fish},
		     {"commands", generate_commands}, {"errors", generate_errors}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i].kind) == 0) {
			kinds[i].run();
			return 0;
		}
	return -EINVAL;
}
