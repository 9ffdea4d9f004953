/* SPDX-License-Identifier: Apache-2.0 */
/* How a command speaks: errors in two lines (and an object with --json), notes, the JSON answer. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "errors.h"
#include "json.h"
#include "out.h"

enum { SHOWN_CHANGES = 30 };

int ctl_json(const json_t *reply)
{
	bool tty = isatty(STDOUT_FILENO);

	if (json_dumpf(reply, stdout, tty ? JSON_INDENT(2) | JSON_ENSURE_ASCII : JSON_COMPACT) < 0)
		return CTL_FAILED;
	return putchar('\n') == EOF || fflush(stdout) != 0 ? CTL_FAILED : CTL_OK;
}

/* One thing of the details: a string, a conflict's path and kind, a source that was merged. */
static void say_detail(const json_t *item)
{
	const char *source = json_string_value(json_object_get(item, "source"));
	const char *path = json_string_value(json_object_get(item, "path"));
	const char *first = json_is_string(item) ? json_string_value(item) : source ? source : path;
	const char *second = json_string_value(json_object_get(item, source ? "state" : "kind"));

	if (!first)
		return;
	(void)fputs("  ", stderr);
	out_text(stderr, first);
	(void)fputs(second ? ": " : "", stderr);
	out_text(stderr, second);
	(void)fputc('\n', stderr);
}

/* What the details hold, for a person: the lists; the rest only in --json. */
static void say_details(const json_t *details)
{
	const char *key;
	json_t *value, *item;
	size_t i;

	json_object_foreach ((json_t *)details, key, value)
		json_array_foreach (value, i, item)
			say_detail(item);
}

void ctl_say_error(struct ctl *c, const char *id, const char *message, const char *remedy,
		   const json_t *details)
{
	const struct error_info *info = error_find(id);
	char full[128];

	if (!message)
		message = info ? info->meaning : id;
	if (!remedy && info && (c->json || !info->told))
		remedy = info->remedy;
	(void)fflush(stdout);
	(void)fputs("agentfsctl: ", stderr);
	out_text(stderr, message);
	(void)fputc('\n', stderr);
	if (details && !c->json)
		say_details(details);
	if (remedy) {
		out_text(stderr, remedy);
		(void)fputc('\n', stderr);
	}
	if (c->json) {
		(void)snprintf(full, sizeof(full), "%s%s", strchr(id, '.') ? "" : "org.agentfs.",
			       id);
		_cleanup_(json_decrefp) json_t *o =
			json_pack("{s:s, s:s, s:s, s:o}", "id", full, "message", message, "remedy",
				  remedy ? remedy : "", "details",
				  details ? json_deep_copy(details) : json_object());
		(void)ctl_json(o);
	}
}

int ctl_fail(struct ctl *c, int status, const char *id, const char *remedy, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	ctl_say_error(c, id, n < 0 ? NULL : text, remedy, NULL);
	return status;
}

int ctl_usage(struct ctl *c, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL, *whole = NULL, *remedy = NULL;
	const char *name = c->cmd ? c->cmd->name : NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (asprintf(&whole, "%s%s%s", name ? name : "", name ? ": " : "", text ? text : "usage") <
	    0)
		whole = NULL;
	if (asprintf(&remedy, "See `agentfsctl %s%s--help`.", name ? name : "", name ? " " : "") <
	    0)
		remedy = NULL;
	ctl_say_error(c, "Usage", whole, remedy, NULL);
	return CTL_USAGE;
}

void ctl_table(struct ctl *c, const json_t *list, const char *none, const char *const *heads,
	       size_t columns, void (*row)(struct out_table *t, const json_t *o))
{
	_cleanup_(out_table_release) struct out_table t = {.columns = columns};
	json_t *o;
	size_t i;

	if (json_array_size(list) == 0) {
		ctl_note(c, "%s", none);
		return;
	}
	out_row(&t, OUT_BOLD, heads);
	json_array_foreach ((json_t *)list, i, o)
		row(&t, o);
	out_table_print(stdout, &t);
}

void ctl_note(struct ctl *c, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (c->quiet)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	(void)fflush(stdout);
	out_block(stderr, text ? text : "", 0);
}

void ctl_notes(struct ctl *c, const json_t *reply, const char *key)
{
	json_t *note;
	size_t i;

	json_array_foreach (json_object_get(reply, key), i, note) {
		if (json_is_string(note))
			ctl_note(c, "%s", json_string_value(note));
	}
}

bool ctl_is_name(const char *word)
{
	size_t n = strlen(word);

	if (n == 0 || n > 64 || !isalnum((unsigned char)word[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)word[i]) && !strchr("._-", word[i]))
			return false;
	return true;
}

char *ctl_agent(struct ctl *c, size_t at, int *ret_status)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *cwd = NULL;
	const char *agent;

	if (at < c->args.n_words) {
		if (ctl_is_name(c->args.words[at]))
			return strdup(c->args.words[at]);
		*ret_status = ctl_usage(c, "'%s' is no agent's name", c->args.words[at]);
		return NULL;
	}
	/* getcwd() asks the kernel's name cache alone: it answers in a view whose server is away.
	 */
	cwd = getcwd(NULL, 0);
	if (!cwd || cwd[0] != '/') {
		*ret_status = ctl_fail(c, CTL_FAILED, "Local", "Name the agent.",
				       "the current folder no longer exists");
		return NULL;
	}
	*ret_status = client_connect(c, true, false);
	if (*ret_status != CTL_OK)
		return NULL;
	if (client_try(c, "Which", json_pack("{s:s}", "path", cwd), &reply) < 0 ||
	    !(agent = json_string_value(
		      json_object_get(json_object_get(reply, "view"), "agent")))) {
		*ret_status = ctl_usage(
			c, "no AGENT given, and the current folder '%s' is in no view", cwd);
		return NULL;
	}
	return strdup(agent);
}

void ctl_print_change(const json_t *ch, const char *indent)
{
	const char *from = json_string_value(json_object_get(ch, "from"));
	const char *status = jstr(ch, "status");
	enum out_color color = *status == 'A' ? OUT_GREEN : *status == 'D' ? OUT_RED : OUT_PLAIN;

	printf("%s%s", indent, out_on(color));
	out_text(stdout, *status ? status : "?");
	printf("%s\t", out_off(color));
	if (from) {
		out_text(stdout, from);
		printf(" -> ");
	}
	out_text(stdout, jstr(ch, "path"));
	(void)putchar('\n');
}

void ctl_print_changes(const json_t *changes)
{
	size_t n = json_array_size(changes);

	for (size_t i = 0; i < n && (i < SHOWN_CHANGES || n <= SHOWN_CHANGES + 5); i++)
		ctl_print_change(json_array_get(changes, i), "  ");
	if (n > SHOWN_CHANGES + 5)
		printf("  … and %zu more (agentfsctl diff --name-status lists all)\n",
		       n - SHOWN_CHANGES);
}
