/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened: the views' journals and the daemon's events.
 *
 * A cursor file holds the cursor of the last record printed, a newline, nothing else. It is
 * replaced after the records are on stdout, so that a run that was cut off repeats records and
 * never skips one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "io.h"
#include "json.h"
#include "out.h"

enum style { STYLE_SHORT, STYLE_JSON, STYLE_CSV };

struct printer {
	enum style style;
	bool follow;
	json_t *records; /* STYLE_JSON without follow: printed as one object at the end */
	char *cursor;	 /* of the last record; owned */
	size_t count;
};

static void printer_release(struct printer *p)
{
	json_decref(p->records);
	free(p->cursor);
}

static void print_number(const json_t *record, const char *key)
{
	const json_t *n = json_object_get(record, key);

	if (json_is_integer(n))
		printf("%lld", (long long)json_integer_value(n));
	else
		(void)putchar('-');
}

static void print_target(const json_t *rec)
{
	out_text(stdout, jstr(rec, "path"));
	if (*jstr(rec, "to")) {
		printf(" -> ");
		out_text(stdout, jstr(rec, "to"));
	}
	if (json_is_integer(json_object_get(rec, "length"))) {
		printf(" [");
		print_number(rec, "offset");
		printf("+%lld]", jint(rec, "length"));
	}
}

/* A cell of a line: padded, but never cut. Records are printed as they come, so that widths are
 * what is usual and not what this list needs. */
static void print_cell(const char *s, int width)
{
	int pad = width - (int)out_width(s);

	out_text(stdout, s);
	printf("%*s", pad > 0 ? pad + 2 : 2, "");
}

static void print_who(const json_t *rec)
{
	if (!json_is_integer(json_object_get(rec, "pid")))
		return;
	printf("  ");
	out_text(stdout, *jstr(rec, "command") ? jstr(rec, "command") : "pid");
	printf("[%lld]", jint(rec, "pid"));
}

static enum out_color color_of(const json_t *rec)
{
	return strcmp(jstr(rec, "result"), "denied") == 0   ? OUT_RED
	       : strcmp(jstr(rec, "result"), "failed") == 0 ? OUT_YELLOW
							    : OUT_PLAIN;
}

/* time, agent, op, result, what */
static void print_begin(const json_t *rec, const char *who, const char *result)
{
	char clock[40];

	printf("%s%s  ", out_on(color_of(rec)), out_clock(jstr(rec, "time"), clock));
	print_cell(who, 8);
	print_cell(*jstr(rec, "op") ? jstr(rec, "op") : jstr(rec, "type"), 11);
	print_cell(result, 13);
}

/* A call of the daemon: "asked" with its arguments, "done" or "failed" with its outcome. */
static void print_control(const json_t *rec)
{
	bool end = json_is_integer(json_object_get(rec, "call"));
	bool ok = strcmp(jstr(rec, "result"), "ok") == 0;
	char uid[32];

	(void)snprintf(uid, sizeof(uid), "uid %lld", jint(rec, "uid"));
	print_begin(rec, end ? "-" : uid, !end ? "asked" : ok ? "done" : "failed");
	if (end && ok)
		printf("call %lld", jint(rec, "call"));
	else
		out_text(stdout, jstr(rec, "value"));
	print_who(rec);
	printf("%s\n", out_off(color_of(rec)));
}

/* time, agent, op, result, path, command[pid], rule */
static void print_short(const json_t *rec)
{
	char result[64];

	if (strcmp(jstr(rec, "type"), "control") == 0) {
		print_control(rec);
		return;
	}
	(void)snprintf(result, sizeof(result), "%s%s%s", jstr(rec, "result"),
		       *jstr(rec, "errno") ? " " : "", jstr(rec, "errno"));
	print_begin(rec, *jstr(rec, "agent") ? jstr(rec, "agent") : "-", result);
	if (*jstr(rec, "path"))
		print_target(rec);
	else
		out_text(stdout, *jstr(rec, "value") ? jstr(rec, "value") : "-");
	print_who(rec);
	if (*jstr(rec, "rule")) {
		printf("  ");
		out_text(stdout, jstr(rec, "rule"));
	}
	if (json_is_true(json_object_get(rec, "inferred")))
		printf("  (inferred)");
	printf("%s\n", out_off(color_of(rec)));
}

static const char *const csv_columns[] = {"time",    "agent", "type",	"op",	  "result", "errno",
					  "path",    "to",    "offset", "length", "pid",    "uid",
					  "command", "rule",  "value",	"cursor"};

static void print_csv(const json_t *rec)
{
	char number[32];

	for (size_t i = 0; i < ARRAY_SIZE(csv_columns); i++) {
		const json_t *v = json_object_get(rec, csv_columns[i]);
		const char *s = json_string_value(v);

		if (json_is_integer(v)) {
			(void)snprintf(number, sizeof(number), "%lld",
				       (long long)json_integer_value(v));
			s = number;
		}
		out_csv(stdout, s, i + 1 == ARRAY_SIZE(csv_columns));
	}
}

static int print_records(struct ctl *c, const json_t *reply, void *arg)
{
	json_t *list = json_object_get(reply, "records"), *rec;
	struct printer *p = arg;
	size_t i;

	if (p->style == STYLE_SHORT && !p->follow && p->count == 0 && json_array_size(list) > 0)
		out_pager_start();
	json_array_foreach (list, i, rec) {
		switch (p->style) {
		case STYLE_SHORT:
			print_short(rec);
			break;
		case STYLE_CSV:
			print_csv(rec);
			break;
		case STYLE_JSON:
			if (p->follow)
				(void)ctl_json(rec);
			else
				(void)json_array_append(p->records, rec);
			break;
		}
		p->count++;
		if (*jstr(rec, "cursor")) {
			free(p->cursor);
			p->cursor = strdup(jstr(rec, "cursor"));
		}
	}
	/* Nobody reads on: a follower that is piped into head must end. */
	return p->follow && fflush(stdout) != 0 ? CTL_FAILED : 0;
}

static int time_option(struct ctl *c, const char *name, char buf[32], const char **ret)
{
	const char *s = args_get(&c->args, name);

	if (s && out_parse_time(s, time(NULL), buf) < 0)
		return ctl_usage(
			c,
			"--%s does not understand '%s': give 2026-01-31 12:00, 12:00, 10m, "
			"'2h ago', today, or RFC 3339",
			name, s);
	*ret = s ? buf : NULL;
	return CTL_OK;
}

/* The cursor in the file, NULL where there is none yet. */
static int read_cursor(struct ctl *c, const char *file, char **ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r;

	*ret = NULL;
	if (!file)
		return CTL_OK;
	r = io_read_file(AT_FDCWD, file, 4096, &b);
	if (r == -ENOENT)
		return CTL_OK;
	if (r < 0)
		return ctl_fail(c, CTL_FAILED, "Local", NULL,
				"cannot read the cursor file '%s': %s", file, strerror(-r));
	*ret = buf_take(&b);
	if (*ret)
		(*ret)[strcspn(*ret, "\n")] = 0;
	return CTL_OK;
}

static int write_cursor(struct ctl *c, const char *file, const char *cursor)
{
	_cleanup_free_ char *text = NULL;
	int n, r;

	if (!file || !cursor)
		return CTL_OK;
	n = asprintf(&text, "%s\n", cursor);
	r = n < 0 ? -ENOMEM : io_replace_file(AT_FDCWD, file, text, (size_t)n, 0644);
	if (r < 0)
		return ctl_fail(c, CTL_FAILED, "Local", NULL,
				"cannot write the cursor file '%s': %s", file, strerror(-r));
	return CTL_OK;
}

static json_t *audit_question(struct ctl *c, const char *since, const char *until,
			      const char *cursor)
{
	const struct args *a = &c->args;
	json_t *agents = a->n_words ? json_array() : NULL;

	for (size_t i = 0; i < a->n_words; i++)
		(void)json_array_append_new(agents, json_string(a->words[i]));
	return json_pack(
		"{s:o*, s:s*, s:s*, s:s*, s:o*, s:s*, s:o*, s:s*, s:o*, s:o*, s:o*, s:o*, s:o*, "
		"s:s*, s:s*}",
		"agents", agents, "since", since, "until", until, "path", args_get(a, "path"), "op",
		args_list(a, "op"), "result", args_get(a, "result"), "pid",
		args_get(a, "pid") ? json_integer(args_number(a, "pid", 0)) : NULL, "rule",
		args_get(a, "rule"), "control", args_true(a, "control"), "git", args_true(a, "git"),
		"follow", args_true(a, "follow"), "last",
		args_get(a, "lines") ? json_integer(args_number(a, "lines", 0)) : NULL, "reverse",
		args_true(a, "reverse"), "grep", args_get(a, "grep"), "cursor", cursor);
}

static int check_words(struct ctl *c)
{
	for (size_t i = 0; i < c->args.n_words; i++)
		if (!ctl_is_name(c->args.words[i]))
			return ctl_usage(c, "'%s' is no agent's name (a path is given with --path)",
					 c->args.words[i]);
	if (args_has(&c->args, "follow") && args_has(&c->args, "reverse"))
		return ctl_usage(c, "--follow and --reverse exclude each other");
	return CTL_OK;
}

static int ask_audit(struct ctl *c, struct printer *p, const char *file)
{
	_cleanup_(json_decrefp) json_t *answer = NULL;
	_cleanup_free_ char *cursor = NULL;
	char since_buf[32], until_buf[32];
	const char *since = NULL, *until = NULL;
	int r;

	r = check_words(c);
	if (r == 0)
		r = time_option(c, "since", since_buf, &since);
	if (r == 0)
		r = time_option(c, "until", until_buf, &until);
	if (r == 0)
		r = read_cursor(c, file, &cursor);
	if (r != 0)
		return r;
	if (p->style == STYLE_CSV)
		for (size_t i = 0; i < ARRAY_SIZE(csv_columns); i++)
			out_csv(stdout, csv_columns[i], i + 1 == ARRAY_SIZE(csv_columns));
	r = client_more(c, "Audit", audit_question(c, since, until, cursor), print_records, p);
	answer = p->records ? json_pack("{s:O}", "records", p->records) : NULL;
	if (r == 0 && answer)
		r = ctl_json(answer);
	out_pager_end();
	return r;
}

static int run_audit(struct ctl *c)
{
	const char *style = args_get(&c->args, "output"), *file = args_get(&c->args, "cursor-file");
	_cleanup_(printer_release) struct printer p = {.follow = args_has(&c->args, "follow")};
	int r;

	if (c->json && style && strcmp(style, "json") != 0)
		return ctl_usage(c, "--json and --output %s exclude each other", style);
	p.style = c->json || (style && strcmp(style, "json") == 0) ? STYLE_JSON
		  : style && strcmp(style, "csv") == 0		   ? STYLE_CSV
								   : STYLE_SHORT;
	if (p.style == STYLE_JSON && !p.follow)
		p.records = json_array();
	c->json = p.style == STYLE_JSON;
	r = ask_audit(c, &p, file);
	if (r != 0)
		return r;
	if (p.count == 0)
		ctl_note(c, "No records match.");
	return write_cursor(c, file, p.cursor);
}

const struct command cmd_audit = {
	.name = "audit",
	.group = "What happened",
	.args = "[AGENT...]",
	.help = "list what agents did and what was refused",
	.about = "One line a record: time, agent, operation, result, path, process, command, "
		 "rule. Without AGENT "
		 "those of all views, closed ones too. The view's own .git is left out "
		 "unless --git. Times "
		 "are RFC 3339, \"2026-01-31 12:00\", 12:00, 10m, \"2h ago\", today or yesterday.",
	.example = "agentfsctl audit alice --result denied --since 1h\nagentfsctl audit -f -o json",
	.opts =
		(const struct opt[]){
			{"since", 0, "TIME", "not before"},
			{"until", 0, "TIME", "not after"},
			{"path", 0, "PATTERN", "only these paths (gitignore pattern)"},
			{"op", 0, "LIST", "only these operations: write,rename,...", NULL,
			 .comma = true},
			{"result", 0, "RESULT", "only this result", "ok|denied|failed"},
			{"pid", 0, "PID", "only this process", NULL, .number = true},
			{"rule", 0, "RULE", "only what this rule decided"},
			{"control", 0, NULL,
			 "the changing calls to the daemon instead of the views' records"},
			{"git", 0, NULL, "also the view's own .git"},
			{"follow", 'f', NULL, "go on with what happens from now"},
			{"lines", 'n', "N", "only the last N", NULL, .number = true},
			{"reverse", 'r', NULL, "newest first"},
			{"grep", 'g', "REGEX", "only where path, command or rule match"},
			{"output", 'o', "STYLE", "how a record looks (default: short)",
			 "short|json|csv"},
			{"cursor-file", 0, "FILE",
			 "start behind the record named there, leave the last one's name there",
			 "@files"},
			{0}},
	.run = run_audit,
};

enum { ONE_IS_ENOUGH = 100 }; /* no exit status */

static int print_event(struct ctl *c, const json_t *reply, void *arg)
{
	const json_t *event = json_object_get(reply, "event");
	char clock[40];

	if (c->json) {
		(void)ctl_json(event);
	} else {
		printf("%s  ", out_clock(jstr(event, "time"), clock));
		out_text(stdout, *jstr(event, "agent") ? jstr(event, "agent") : "-");
		printf("  ");
		out_text(stdout, jstr(event, "type"));
		printf("  ");
		out_text(stdout, jstr(event, "text"));
		(void)putchar('\n');
	}
	if (fflush(stdout) != 0)
		return CTL_FAILED;
	return *(bool *)arg ? 0 : ONE_IS_ENOUGH;
}

static int run_events(struct ctl *c)
{
	/* The daemon streams events only to those who ask for more; one is enough without -f. */
	bool follow = args_has(&c->args, "follow");
	int r = client_more(c, "Events", json_object(), print_event, &follow);

	return r == ONE_IS_ENOUGH ? CTL_OK : r;
}

const struct command cmd_events = {
	.name = "events",
	.group = "What happened",
	.args = "",
	.help = "show what happens to the views",
	.about = "Waits for the next event and prints it; with -f goes on until interrupted.",
	.example = "agentfsctl events -f --json",
	.opts = (const struct opt[]){{"follow", 'f', NULL, "go on with the events after it"}, {0}},
	.run = run_events,
};
