/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion for bash, zsh and fish. One shape for the three: the first word that is a command (or
 * two words) selects its options; an option with an argument completes from its words; a free word
 * completes from what the command's args name: agents (asked of a running daemon, never starting
 * one) or files.
 */
#include <stdio.h>
#include <string.h>

#include "usage.h"

/* The first words of two-word commands, once each. */
static bool first_of_two(const struct command *const *p, char first[32])
{
	const char *space = strchr((*p)->name, ' ');
	size_t n;

	if (!space)
		return false;
	n = (size_t)(space - (*p)->name);
	if (p > commands && strncmp(p[-1]->name, (*p)->name, n + 1) == 0)
		return false;
	(void)snprintf(first, 32, "%.*s", (int)n, (*p)->name);
	return true;
}

/* Is the first word of two-word commands one by itself, too? */
static bool is_command(const char *first)
{
	for (const struct command *const *p = commands; *p; p++)
		if (strcmp((*p)->name, first) == 0)
			return true;
	return false;
}

/* The second words that may follow `first`, each with what stands between. */
static void second_words(const char *first, const char *between)
{
	const char *sep = "";
	size_t n = strlen(first);

	for (const struct command *const *p = commands; *p; p++)
		if (strncmp((*p)->name, first, n) == 0 && (*p)->name[n] == ' ') {
			printf("%s%s", sep, (*p)->name + n + 1);
			sep = between;
		}
}

static bool has_second_words(const char *first)
{
	size_t n = strlen(first);

	for (const struct command *const *p = commands; *p; p++)
		if (strncmp((*p)->name, first, n) == 0 && (*p)->name[n] == ' ')
			return true;
	return false;
}

static void words_of(const char *words)
{
	for (const char *p = words; *p; p++)
		(void)putchar(*p == '|' ? ' ' : *p);
}

#define ROLES "scout|reviewer|builder|lead|merger|architect|executor|monitor"

static void bash_value(const struct opt *o)
{
	if (!o->arg)
		return;
	printf("\t\t--%s", o->name);
	if (o->letter)
		printf("|-%c", o->letter);
	printf(") ");
	if (!o->words)
		printf(":");
	else if (strcmp(o->words, "@dirs") == 0)
		printf("COMPREPLY=($(compgen -d -- \"$cur\"))");
	else if (strcmp(o->words, "@files") == 0)
		printf("COMPREPLY=($(compgen -f -- \"$cur\"))");
	else {
		printf("COMPREPLY=($(compgen -W \"");
		words_of(strcmp(o->words, "@roles") == 0 ? ROLES : o->words);
		printf("\" -- \"$cur\"))");
	}
	printf("; return;;\n");
}

static void option_words(const struct opt *opts)
{
	for (const struct opt *o = opts; o && o->name; o++)
		if (o->help)
			printf("--%s ", o->name);
}

static void bash_case(const struct command *cmd)
{
	printf("\t\"%s\")\n\t\topts=\"", cmd->name);
	option_words(cmd->opts);
	second_words(cmd->name, " ");
	printf("\"\n");
	if (strstr(cmd->args, "AGENT") && strcmp(cmd->name, "create") != 0)
		printf("\t\tagents=1\n");
	if (strstr(cmd->args, "PATH"))
		printf("\t\tfiles=1\n");
	if (cmd->opts) {
		printf("\t\tcase $prev in\n");
		for (const struct opt *o = cmd->opts; o->name; o++)
			if (o->help)
				bash_value(o);
		printf("\t\tesac\n");
	}
	printf("\t\t;;\n");
}

void generate_bash(void)
{
	char first[32];

	printf("# Completion of agentfsctl for bash; generated from its command table.\n"
	       "_agentfsctl()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	       "\tlocal cmd= socket= opts= agents= files= i w\n"
	       "\tCOMPREPLY=()\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tw=${COMP_WORDS[i]}\n"
	       "\t\tcase $w in\n"
	       "\t\t--socket) socket=${COMP_WORDS[++i]};;\n"
	       "\t\t--color) ((++i));;\n"
	       "\t\t-*) ;;\n");
	for (const struct command *const *p = commands; *p; p++)
		if (first_of_two(p, first) && is_command(first)) {
			printf("\t\t%s) [ -z \"$cmd\" ] && { cmd=$w; case ${COMP_WORDS[i+1]} in ",
			       first);
			second_words(first, "|");
			printf(") ((i + 1 < COMP_CWORD)) && { cmd=\"$w ${COMP_WORDS[i+1]}\"; "
			       "((++i)); };; esac; };;\n");
		} else if (first_of_two(p, first))
			printf("\t\t%s) [ -z \"$cmd\" ] && { cmd=\"$w ${COMP_WORDS[i+1]}\"; "
			       "((i + 1 < COMP_CWORD)) || cmd=$w; ((++i)); };;\n",
			       first);
	printf("\t\t*) [ -z \"$cmd\" ] && cmd=$w;;\n\t\tesac\n\tdone\n\tcase $prev in\n");
	for (const struct opt *o = global_opts; o->name; o++)
		if (o->help)
			bash_value(o);
	printf("\tesac\n\tcase $cmd in\n\t\"\") opts=\"");
	for (const struct command *const *p = commands; *p; p++)
		if (!strchr((*p)->name, ' '))
			printf("%s ", (*p)->name);
		else if (first_of_two(p, first) && !is_command(first))
			printf("%s ", first);
	printf("\";;\n");
	for (const struct command *const *p = commands; *p; p++) {
		if (!first_of_two(p, first) || is_command(first))
			continue;
		printf("\t%s) opts=\"", first);
		second_words(first, " ");
		printf("\";;\n");
	}
	for (const struct command *const *p = commands; *p; p++)
		bash_case(*p);
	printf("\tesac\n\tcase $cur in -*) opts=\"$opts ");
	option_words(global_opts);
	printf("\";; esac\n"
	       "\t[ -n \"$agents\" ] && opts=\"$opts $(\"${COMP_WORDS[0]}\" "
	       "${socket:+--socket \"$socket\"} "
	       "--complete agents 2>/dev/null)\"\n"
	       "\tCOMPREPLY=($(compgen -W \"$opts\" -- \"$cur\"))\n"
	       "\t[ -n \"$files\" ] && COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
	       "\treturn 0\n}\ncomplete -o filenames -F _agentfsctl agentfsctl\n");
}

/* Text between single quotes: ' and, in zsh's specifications, [ ] : get a backslash. */
static void quoted(const char *s, const char *special)
{
	for (; *s; s++) {
		if (*s == '\'')
			printf("'\\''");
		else {
			if (strchr(special, *s))
				(void)putchar('\\');
			(void)putchar(*s);
		}
	}
}

static void zsh_action(const struct opt *o)
{
	if (!o->arg)
		return;
	printf(":%s:", o->arg);
	if (!o->words)
		return;
	if (strcmp(o->words, "@dirs") == 0)
		printf("_files -/");
	else if (strcmp(o->words, "@files") == 0)
		printf("_files");
	else {
		printf("(");
		words_of(strcmp(o->words, "@roles") == 0 ? ROLES : o->words);
		printf(")");
	}
}

static void zsh_opts(const struct opt *opts)
{
	for (const struct opt *o = opts; o && o->name; o++) {
		if (!o->help)
			continue;
		printf("\t\t\t'%s--%s%s[", o->repeat || o->comma ? "*" : "", o->name,
		       o->arg ? "=" : "");
		quoted(o->help, "[]:");
		printf("]");
		zsh_action(o);
		printf("' \\\n");
		if (!o->letter)
			continue;
		printf("\t\t\t'-%c%s[", o->letter, o->arg ? "+" : "");
		quoted(o->help, "[]:");
		printf("]");
		zsh_action(o);
		printf("' \\\n");
	}
}

static void zsh_case(const struct command *cmd)
{
	printf("\t'%s')\n\t\t_arguments -s \\\n", cmd->name);
	zsh_opts(cmd->opts);
	zsh_opts(global_opts);
	if (has_second_words(cmd->name)) {
		printf("\t\t\t'*:agent or word:{_agentfsctl_agents; compadd ");
		second_words(cmd->name, " ");
		printf("}'\n");
	} else if (strstr(cmd->args, "PATH"))
		printf("\t\t\t'*:agent or file:_agentfsctl_words'\n");
	else if (strstr(cmd->args, "AGENT") && strcmp(cmd->name, "create") != 0)
		printf("\t\t\t'*:agent:_agentfsctl_agents'\n");
	else
		printf("\t\t\t'*:word:'\n");
	printf("\t\t;;\n");
}

void generate_zsh(void)
{
	char first[32];

	printf("#compdef agentfsctl\n# Completion of agentfsctl for zsh; generated from its "
	       "command table.\n\n"
	       "_agentfsctl_agents() {\n"
	       "\tlocal -a agents\n"
	       "\tagents=(${(f)\"$(agentfsctl --complete agents 2>/dev/null)\"})\n"
	       "\tcompadd -a agents\n}\n\n"
	       "_agentfsctl_words() {\n"
	       "\t_alternative 'agents:agent:_agentfsctl_agents' 'files:file:_files'\n}\n\n"
	       "_agentfsctl() {\n\tlocal cmd= skip=1\n\tlocal -a list\n"
	       "\tlocal i\n"
	       "\tfor ((i = 2; i < CURRENT; i++)); do\n"
	       "\t\tcase $words[i] in\n"
	       "\t\t--socket|--color) ((i++));;\n\t\t-*) ;;\n"
	       "\t\t*) cmd=$words[i]; skip=$i; break;;\n\t\tesac\n\tdone\n"
	       "\tcase $cmd in\n");
	for (const struct command *const *p = commands; *p; p++)
		if (first_of_two(p, first) && is_command(first)) {
			printf("\t%s) ((skip + 1 < CURRENT)) && [[ \" ", first);
			second_words(first, " ");
			printf(" \" == *\" $words[skip+1] \"* ]] && cmd+=\" $words[++skip]\";;\n");
		} else if (first_of_two(p, first))
			printf("\t%s) ((skip + 1 < CURRENT)) && cmd+=\" $words[++skip]\";;\n",
			       first);
	printf("\tesac\n\t(( skip > 1 )) && { words=(agentfsctl \"${(@)words[skip+1,-1]}\"); "
	       "((CURRENT -= skip - 1)); }\n"
	       "\tcase $cmd in\n\t'')\n\t\tlist=(\n");
	for (const struct command *const *p = commands; *p; p++) {
		if (strchr((*p)->name, ' ')) {
			if (first_of_two(p, first) && !is_command(first))
				printf("\t\t\t'%s:more commands'\n", first);
			continue;
		}
		printf("\t\t\t'%s:", (*p)->name);
		quoted((*p)->help, ":");
		printf("'\n");
	}
	printf("\t\t)\n\t\t_describe command list -- && return\n\t\t_arguments -s \\\n");
	zsh_opts(global_opts);
	printf("\t\t\t'*:word:'\n\t\t;;\n");
	for (const struct command *const *p = commands; *p; p++) {
		if (!first_of_two(p, first) || is_command(first))
			continue;
		printf("\t%s)\n\t\tlist=(", first);
		for (const struct command *const *q = p; *q; q++)
			if (strncmp((*q)->name, first, strlen(first)) == 0 &&
			    (*q)->name[strlen(first)] == ' ') {
				printf("'%s:", (*q)->name + strlen(first) + 1);
				quoted((*q)->help, ":");
				printf("' ");
			}
		printf(")\n\t\t_describe command list\n\t\t;;\n");
	}
	for (const struct command *const *p = commands; *p; p++)
		zsh_case(*p);
	printf("\tesac\n}\n\n_agentfsctl \"$@\"\n");
}

static void fish_opt(const struct opt *o, const char *condition)
{
	if (!o->help)
		return;
	printf("complete -c agentfsctl%s%s%s -l %s", *condition ? " -n '" : "", condition,
	       *condition ? "'" : "", o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->arg && o->words &&
	    (strcmp(o->words, "@files") == 0 || strcmp(o->words, "@dirs") == 0)) {
		printf(" -r -F");
	} else if (o->arg && o->words) {
		printf(" -x -a '");
		words_of(strcmp(o->words, "@roles") == 0 ? ROLES : o->words);
		printf("'");
	} else if (o->arg) {
		printf(" -x");
	}
	printf(" -d '");
	quoted(o->help, "\\");
	printf("'\n");
}

/* This command, and none of the two-word ones that begin with it. */
static void fish_condition(const char *name, char *out, size_t size)
{
	size_t n = strlen(name), at = (size_t)snprintf(out, size, "__agentfsctl_is %s", name);

	for (const struct command *const *p = commands; *p && at < size; p++)
		if (strncmp((*p)->name, name, n) == 0 && (*p)->name[n] == ' ')
			at += (size_t)snprintf(out + at, size - at, "; and not __agentfsctl_is %s",
					       (*p)->name);
}

static void fish_command(const struct command *const *p)
{
	const char *space = strchr((*p)->name, ' ');
	char first[32], condition[512];

	if (!space) {
		printf("complete -c agentfsctl -n __agentfsctl_none -a %s -d '", (*p)->name);
		quoted((*p)->help, "\\");
		printf("'\n");
		fish_condition((*p)->name, condition, sizeof(condition));
	} else {
		int n = (int)(space - (*p)->name);

		if (first_of_two(p, first) && !is_command(first))
			printf("complete -c agentfsctl -n __agentfsctl_none -a %s -d 'more "
			       "commands'\n",
			       first);
		printf("complete -c agentfsctl -n '__agentfsctl_last %.*s' -a %s -d '", n,
		       (*p)->name, space + 1);
		quoted((*p)->help, "\\");
		printf("'\n");
		(void)snprintf(condition, sizeof(condition), "__agentfsctl_is %.*s %s", n,
			       (*p)->name, space + 1);
	}
	for (const struct opt *o = (*p)->opts; o && o->name; o++)
		fish_opt(o, condition);
	if (strstr((*p)->args, "AGENT") && strcmp((*p)->name, "create") != 0)
		printf("complete -c agentfsctl -n '%s' -a '(agentfsctl --complete agents "
		       "2>/dev/null)' -d agent\n",
		       condition);
	if (strstr((*p)->args, "PATH"))
		printf("complete -c agentfsctl -n '%s' -F\n", condition);
}

void generate_fish(void)
{
	printf("# Completion of agentfsctl for fish; generated from its command table.\n"
	       "function __agentfsctl_words\n"
	       "\tset -l skip 0\n"
	       "\tfor w in (commandline -opc)[2..-1]\n"
	       "\t\tif test $skip = 1\n\t\t\tset skip 0\n\t\t\tcontinue\n\t\tend\n"
	       "\t\tswitch $w\n\t\t\tcase --socket --color\n\t\t\t\tset skip 1\n\t\t\tcase '-*'\n"
	       "\t\t\tcase '*'\n\t\t\t\techo $w\n\t\tend\n\tend\nend\n"
	       "function __agentfsctl_none\n\tset -l w (__agentfsctl_words)\n\ttest (count "
	       "$w) = 0\nend\n"
	       "function __agentfsctl_last\n\tset -l w (__agentfsctl_words)\n"
	       "\ttest (count $w) = 1; and test \"$w[1]\" = $argv[1]\nend\n"
	       "function __agentfsctl_is\n\tset -l w (__agentfsctl_words)\n"
	       "\tfor i in (seq (count $argv))\n"
	       "\t\ttest \"$w[$i]\" = \"$argv[$i]\"; or return 1\n\tend\nend\n"
	       "complete -c agentfsctl -f\n");
	for (const struct opt *o = global_opts; o->name; o++)
		fish_opt(o, "");
	for (const struct command *const *p = commands; *p; p++)
		fish_command(p);
}
