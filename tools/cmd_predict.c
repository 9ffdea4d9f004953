/* SPDX-License-Identifier: Apache-2.0 */
/* What merges would come to, before anybody makes them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "merge_out.h"
#include "out.h"

enum { SHOWN_PATHS = 5 };

static void past_of(const json_t *m, char *buf, size_t size)
{
	const json_t *p = json_object_get(m, "probability");

	if (!jint(m, "past"))
		(void)snprintf(buf, size, "nothing known");
	else if (json_number_value(p) > 0)
		(void)snprintf(buf, size, "%.0f %% (%lld of %lld went in)",
			       100 * json_number_value(p), jint(m, "past_merged"), jint(m, "past"));
	else
		(void)snprintf(buf, size, "%lld of %lld went in", jint(m, "past_merged"),
			       jint(m, "past"));
}

static const char *state_of(const json_t *m)
{
	const char *state = jstr(m, "state");

	return strcmp(state, "would_merge") == 0  ? "would merge"
	       : strcmp(state, "up_to_date") == 0 ? "up to date"
						  : state;
}

/* The paths, or why it cannot be told. */
static char *paths_of(const json_t *m)
{
	const json_t *conflicts = json_object_get(m, "conflicts"),
		     *changes = json_object_get(m, "changes");
	size_t n = json_array_size(conflicts);
	const json_t *list = n ? conflicts : changes;
	char *text = NULL;

	if (*jstr(m, "error"))
		return strdup(jstr(m, "error"));
	if (!json_array_size(list))
		return NULL;
	if (asprintf(&text, json_array_size(list) > 1 ? "%s +%zu" : "%s",
		     jstr(json_array_get(list, 0), "path"), json_array_size(list) - 1) < 0)
		return NULL;
	return text;
}

static void print_row(struct out_table *t, const json_t *m)
{
	bool in =
		!strcmp(jstr(m, "state"), "would_merge") || !strcmp(jstr(m, "state"), "up_to_date");
	_cleanup_free_ char *paths = paths_of(m);
	char past[64];

	past_of(m, past, sizeof(past));
	out_row(t, in ? OUT_PLAIN : OUT_RED,
		(const char *[]){jstr(m, "source"), state_of(m),
				 *jstr(m, "tier") ? jstr(m, "tier") : NULL, past, paths});
}

/* Those that conflict when the ones before them are in. */
static void print_steps(const json_t *steps)
{
	json_t *o, *path;
	size_t i, k;

	json_array_foreach (steps, i, o) {
		if (strcmp(jstr(o, "state"), "conflict") != 0)
			continue;
		printf("In that order ");
		out_text(stdout, jstr(o, "source"));
		printf(" conflicts in");
		json_array_foreach (json_object_get(o, "conflicts"), k, path) {
			if (k == SHOWN_PATHS) {
				printf(" and %zu more",
				       json_array_size(json_object_get(o, "conflicts")) - k);
				break;
			}
			printf(k ? ", " : " ");
			out_quoted(stdout, json_string_value(path));
		}
		printf(".\n");
	}
}

static int run_merge_predict(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL, *sources = json_array();
	_cleanup_(out_table_release) struct out_table t = {.columns = 5};
	_cleanup_free_ char *cwd = getcwd(NULL, 0);
	const char *repo = args_get(&c->args, "repo");
	json_t *m;
	size_t i;
	int r;

	for (i = 0; i < c->args.n_words; i++)
		(void)json_array_append_new(sources, json_string(c->args.words[i]));
	r = client_call(c, "MergePredict",
			json_pack("{s:O, s:s*, s:s*}", "sources", sources, "repository",
				  repo ? repo : cwd, "into", args_get(&c->args, "into")),
			&reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	out_row(&t, OUT_BOLD,
		(const char *[]){"SOURCE", "NOW", "TIER", "BY ITSELF, AS ITS PATHS WENT", "PATHS"});
	json_array_foreach (json_object_get(reply, "merges"), i, m)
		print_row(&t, m);
	out_table_print(stdout, &t);
	if (json_array_size(sources) < 2)
		return CTL_OK;
	printf("Best order: agentfsctl merge");
	json_array_foreach (json_object_get(reply, "order"), i, m) {
		(void)putchar(' ');
		out_quoted(stdout, json_string_value(m));
	}
	(void)putchar('\n');
	print_steps(json_object_get(reply, "in_order"));
	return CTL_OK;
}

const struct command cmd_merge_predict = {
	.name = "merge predict",
	.group = "Work",
	.args = "AGENT|BRANCH...",
	.help = "say how merges would go, and in which order best",
	.about =
		"Trial merges, each source on the target as it is; nothing moves. For each: whether it "
		"would merge and by which tier, the paths it changes or that conflict, and how likely it "
		"goes in without a person, by what became of the last merges that touched these paths. "
		"Of several the best order: cheap and small ones first, each on top of those before it.",
	.example = "agentfsctl merge predict alice bob carol",
	.opts =
		(const struct opt[]){
			{"into", 0, "BRANCH",
			 "the target (default: the branch that the base was taken from)"},
			{"repo", 0, "PATH",
			 "the repository of branches (default: the current folder's)", "@dirs"},
			{0}},
	.run = run_merge_predict,
};
