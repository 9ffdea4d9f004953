/* SPDX-License-Identifier: Apache-2.0 */
/* Who works on the same: overlaps of open views, as they are or as they come and go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

enum { WATCH_S = 2, DECLARATION_SHOWN = 60 };

static const char *agent_of(const json_t *o, size_t i)
{
	const char *s = json_string_value(json_array_get(json_object_get(o, "agents"), i));

	return s ? s : "";
}

static bool shares_the_file_only(const json_t *o)
{
	return strcmp(jstr(o, "kind"), "file") == 0;
}

/* "the same lines: conflict" */
static const char *verdict(const json_t *o)
{
	static const struct {
		const char *kind, *clean, *rule, *nobody;
	} words[] = {
		{"lines", "", "the same lines: a rule resolves it", "the same lines: CONFLICT"},
		{"declaration", "the same declaration", "", ""},
		{"file", "the same file", "", ""},
		{"deleted", "", "", "one deletes it: CONFLICT"},
		{"binary", "", "", "no text, both change it: CONFLICT"},
		{"type", "", "", "a symlink or of another type: CONFLICT"},
	};
	const char *tier = jstr(o, "tier");

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i].kind, jstr(o, "kind")) == 0)
			return !*tier				   ? words[i].nobody
			       : strcmp(tier, "auto-resolve") == 0 ? words[i].rule
								   : words[i].clean;
	return jstr(o, "kind");
}

static void print_lines(const json_t *o, const char *agent, const char *which)
{
	const json_t *l = json_object_get(o, which);

	printf(jint(l, "from") == jint(l, "to") ? " %s %lld" : " %s %lld-%lld", agent,
	       jint(l, "from"), jint(l, "to"));
}

/* "src/b.c:12  bob newly uses parse, which alice removes (src/a.c)" */
static void print_use(const json_t *o, const char *mark)
{
	const json_t *place = json_array_get(json_object_get(o, "places"), 0);

	printf("%s", mark);
	out_text(stdout, jstr(o, "path"));
	printf(":%lld  %s newly uses ", jint(json_object_get(place, "second"), "from"),
	       agent_of(o, 1));
	out_text(stdout, jstr(o, "name"));
	printf(", which %s %s (", agent_of(o, 0),
	       json_is_true(json_object_get(o, "changed")) ? "gives other parameters" : "removes");
	out_text(stdout, jstr(o, "declared_in"));
	printf("): merges by line, and breaks\n");
}

/* Its first line may be long: a list of all in one. */
static void print_declaration(const char *text)
{
	size_t n = strlen(text), fit = out_fit(text, n, DECLARATION_SHOWN);
	_cleanup_free_ char *shown = strndup(text, fit);

	out_text(stdout, shown ? shown : "");
	printf(fit < n ? " …" : "");
}

static void print_overlap(const json_t *o, const char *mark)
{
	json_t *p;
	size_t i;

	if (strcmp(jstr(o, "kind"), "use") == 0) {
		print_use(o, mark);
		return;
	}
	printf("%s", mark);
	out_text(stdout, jstr(o, "path"));
	printf("  %s and %s  %s", agent_of(o, 0), agent_of(o, 1), verdict(o));
	if (strcmp(jstr(o, "tier"), "auto-resolve") == 0)
		printf(", right in %.0f %% at least",
		       100 * json_real_value(json_object_get(o, "clean")));
	(void)putchar('\n');
	json_array_foreach (json_object_get(o, "places"), i, p) {
		printf("    lines");
		print_lines(p, agent_of(o, 0), "first");
		(void)putchar(',');
		print_lines(p, agent_of(o, 1), "second");
		if (*jstr(p, "declaration")) {
			printf("  in ");
			print_declaration(jstr(p, "declaration"));
		}
		(void)putchar('\n');
	}
}

static int ask(struct ctl *c, json_t **ret)
{
	const char *repo = args_get(&c->args, "repo");
	_cleanup_free_ char *real = repo ? realpath(repo, NULL) : NULL;

	return client_call(c, "Radar",
			   json_pack("{s:s*, s:s*}", "repository", real ? real : repo, "agent",
				     c->args.n_words ? c->args.words[0] : NULL),
			   ret);
}

static bool known(const json_t *list, const json_t *o)
{
	json_t *x;
	size_t i;

	json_array_foreach ((json_t *)list, i, x)
		if (json_equal(x, o))
			return true;
	return false;
}

static void print_new(struct ctl *c, const json_t *list, const json_t *others, const char *mark)
{
	json_t *o;
	size_t i;

	json_array_foreach ((json_t *)list, i, o) {
		if (known(others, o) || (shares_the_file_only(o) && !args_has(&c->args, "files")))
			continue;
		if (!c->json) {
			print_overlap(o, mark);
			continue;
		}
		o = json_copy(o);
		(void)json_object_set_new(o, "change", json_string(*mark == '+' ? "new" : "gone"));
		(void)json_dumpf(o, stdout, JSON_COMPACT);
		(void)putchar('\n');
		json_decref(o);
	}
}

/* Until it is interrupted, or nobody reads. */
static int watch(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *before = json_array();

	for (;;) {
		_cleanup_(json_decrefp) json_t *reply = NULL;
		json_t *now;
		int r = ask(c, &reply);

		if (r != 0)
			return r;
		now = json_object_get(reply, "overlaps");
		print_new(c, before, now, "- ");
		print_new(c, now, before, "+ ");
		if (fflush(stdout) != 0)
			return CTL_FAILED;
		json_decref(before);
		before = json_incref(now);
		(void)sleep(WATCH_S);
	}
}

static int run_radar(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	size_t i, shown = 0, files = 0;
	json_t *o;
	int r;

	if (args_has(&c->args, "watch"))
		return watch(c);
	r = ask(c, &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	json_array_foreach (json_object_get(reply, "overlaps"), i, o) {
		files += shares_the_file_only(o);
		if (shares_the_file_only(o) && !args_has(&c->args, "files"))
			continue;
		print_overlap(o, "");
		shown++;
	}
	if (!shown)
		ctl_note(c, "No two open views change the same lines or declarations.");
	if (files && !args_has(&c->args, "files"))
		ctl_note(c, "%zu %s in different places; --files lists %s.", files,
			 files == 1 ? "path is changed by two views"
				    : "paths are changed by two views",
			 files == 1 ? "it" : "them");
	return CTL_OK;
}

const struct command cmd_radar = {
	.name = "radar",
	.group = "Work",
	.args = "[AGENT]",
	.help = "show which open views work on the same, before they are merged",
	.about =
		"Compares what the open views of a repository have changed, committed or not, as a merge "
		"would: the same lines (and whether a rule would resolve that), the same declaration, a file "
		"that one deletes. The daemon does so by itself every 10 seconds (radar: {every: N} in the "
		"configuration) and tells both agents once; this compares now. Nothing is changed.",
	.example = "agentfsctl radar\nagentfsctl radar alice --watch",
	.opts = (const struct opt[]){{"watch", 'w', NULL,
				      "go on, and print what comes (+) and goes (-)"},
				     {"files", 0, NULL, "also what shares only the file"},
				     {"repo", 0, "PATH", "only views of this repository", "@dirs"},
				     {0}},
	.run = run_radar,
};
