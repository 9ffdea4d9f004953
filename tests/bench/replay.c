/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfs-replay: a repository's historic merges of two parents, made again as the product makes them,
 * beside git's own merge. For tools/bench merge-replay, which runs it and sums up.
 *
 *     agentfs-replay GITDIR [--last N] [--only FILE] [--records FILE] [--cost K] [--own] [--no-git] [--git-first]
 *
 * Merges are replayed oldest first. Records are those of --records and nothing else: what this program carries is
 * never looked at; with --own, those of the merges replayed before join them, and what people kept in them is
 * remembered. A line of JSON per merge; the last
 * one has the counts by resolver, language and class of paths. Nothing is written into the repository.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "merge_git.h"
#include "odb.h"
#include "parser.h"
#include "replay_out.h"
#include "resolve_check.h"
#include "worker_run.h"

enum {
	LIMIT_MS = 2000,
	REMEMBER_MAX = 4096,
	RENEW = 64
}; /* for a file; bytes of what was kept; merges */

/* What the person kept of a conflict, to be remembered once its merge is over. */
struct pending {
	char *path, *text[SIDES + 1];
	size_t n[SIDES + 1];
};

struct run {
	git_repository *git;
	git_odb_backend *memory;
	struct merge_private private; /* where git's own merge is asked */
	struct records others, own;   /* others: of --records */
	struct records seen;
	json_t *names; /* --records as read: its strings are borrowed */
	struct resolve_options options;
	bool learn, ask_git, texts;
	size_t last;
	json_t *only;		   /* object of commits, or NULL */
	struct memory *remembered; /* of the merges before */
	struct pending *pending;   /* of this one */
	size_t npending, turn, asked;
	json_t *files; /* of the merge being replayed: path → conflicts */
};

static double now(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void print(json_t *line)
{
	_cleanup_free_ char *s = json_dumps(line, JSON_COMPACT);

	puts(s ? s : "{}");
	json_decref(line);
}

/* A file that was resolved: the invariants, once more; one that was not since it broke one. */
static void check_file(struct run *run, const struct replay_conflict *c, json_t *file)
{
	const char *why = NULL;
	struct resolve_checker parser = resolve_checker_of(run->options.parser);
	double t0 = now();
	int broken = c->r->left ? 0
				: resolve_check(c->path, c->r, &run->options,
						run->options.parser ? &parser : NULL, &why);

	if (c->r->broken)
		(void)json_object_set_new(file, "refused",
					  json_pack("[s,s]", c->r->broken, c->r->why));

	if (broken == INVARIANT_NONE && now() - t0 > LIMIT_MS) {
		broken = INVARIANT_LIMIT;
		why = "it took too long";
	}
	if (broken > 0)
		(void)json_object_set_new(
			file, "broken",
			json_pack("[s,s]", invariant_name((enum invariant)broken), why));
}

static int keep_pending(struct run *run, const struct replay_conflict *c)
{
	struct pending *v = realloc(run->pending, (run->npending + 1) * sizeof(*v)), *p;

	if (!v)
		return -ENOMEM;
	run->pending = v;
	p = &v[run->npending++];
	*p = (struct pending){.path = strdup(c->path)};
	for (int i = BASE; i <= SIDES; i++) {
		struct text t =
			i == SIDES ? c->kept : diff3_text(&c->r->d, &c->c->chunk, (enum side)i);

		p->n[i] = t.n;
		p->text[i] = malloc(t.n + 1);
		if (!p->text[i] || !p->path)
			return -ENOMEM;
		if (t.n)
			memcpy(p->text[i], t.p, t.n);
	}
	return 0;
}

/* The merge is over: the next ones may know what was made of it. */
static int remember(struct run *run)
{
	int r = 0;

	for (size_t i = 0; i < run->npending; i++) {
		struct pending *p = &run->pending[i];
		struct text t[SIDES + 1];

		for (int k = 0; k <= SIDES; k++)
			t[k] = (struct text){p->text[k], p->n[k]};
		if (r == 0 && run->learn && p->n[SIDES] <= REMEMBER_MAX)
			r = memory_add(run->remembered, p->path, t[BASE], t[OURS], t[THEIRS],
				       t[SIDES]);
		for (int k = 0; k <= SIDES; k++)
			free(p->text[k]);
		free(p->path);
	}
	run->npending = 0;
	return r;
}

static int judge(const struct replay_conflict *c, void *user)
{
	struct run *run = user;
	const char *language = language_of(c->path)->name;
	enum path_class class = path_class_of(c->path);
	json_t *file = json_object_get(run->files, c->path), *one = out_conflict(c, run->texts), *a;
	size_t i;

	if (!file) {
		file = json_pack("{s:s,s:s,s:i,s:[]}", "language", language, "paths",
				 path_class_name(class), "left", (int)c->r->left, "conflicts");
		if (json_object_set_new(run->files, c->path, file) < 0)
			return -ENOMEM;
		check_file(run, c, file);
	}
	json_array_foreach (json_object_get(one, "answers"), i, a) {
		bool wrong =
			strcmp(json_string_value(json_object_get(a, "verdict")), "different") == 0;

		if (replay_counts(c->r, c->c, i) &&
		    records_add(&run->seen, c->c->answers[i].by->name, language, class,
				(struct evidence){1, !wrong}) < 0)
			return -ENOMEM;
	}
	if (c->file && keep_pending(run, c) < 0)
		return -ENOMEM;
	return json_array_append_new(json_object_get(file, "conflicts"), one);
}

/* What git's own merge says, and how long it took. */
struct beside {
	struct merge_git said;
	double ms;
	struct err why;
	bool asked;
};

static void ask_git(struct run *run, git_commit *c, struct beside *g)
{
	double t0;

	if (!run->ask_git)
		return;
	g->asked = true;
	/* What git writes stays until its folder goes, which may be in memory. */
	if (++run->asked % RENEW == 0) {
		merge_private_close(&run->private);
		merge_private_init(&run->private, run->git, NULL, NULL, NULL);
	}
	(void)merge_private_open(&run->private, &g->why);
	t0 = now();
	if (g->why.code == 0)
		(void)merge_git(&run->private, git_commit_parent_id(c, 0),
				git_commit_parent_id(c, 1), &g->said, &g->why);
	g->ms = now() - t0;
}

static void tell_git(struct run *run, const struct beside *g, const struct merge_out *out,
		     json_t *line)
{
	if (!g->asked)
		return;
	if (g->why.code) {
		(void)json_object_set_new(line, "git_error", json_string(err_text(&g->why)));
		return;
	}
	(void)json_object_set_new(line, "git_ms", json_real(g->ms));
	(void)json_object_set_new(line, "git_conflicts", out_conflicts(&g->said.conflicts));
	if (!g->said.conflicts.n && !out->conflicts.n) {
		bool same = git_oid_equal(&g->said.tree, &out->tree);

		(void)json_object_set_new(line, "same", json_boolean(same));
		if (!same)
			(void)json_object_set_new(
				line, "differ",
				out_paths(run->private.git, &g->said.tree, &out->tree));
	}
}

static json_t *notes_of(const struct merge_out *out)
{
	json_t *all = json_array();

	for (size_t i = 0; i < out->notes.n; i++)
		(void)json_array_append_new(all,
					    worker_text(out->notes.v[i], strlen(out->notes.v[i])));
	return all;
}

static void grow_own(struct run *run)
{
	for (size_t i = 0; run->learn && i < run->seen.n; i++) {
		const struct record_row *s = &run->seen.v[i];
		struct evidence had =
			records_sum(&run->own, s->resolver, s->language, s->class, RECORD_CELL);

		(void)records_add(
			&run->own, s->resolver, s->language, s->class,
			(struct evidence){s->e.fired - had.fired, s->e.right - had.right});
	}
}

static int replay_one(struct run *run, const git_oid *id)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct merge_out out = {0};
	struct beside git = {.why = ERR_INIT};
	git_commit *c = NULL;
	json_t *line;
	double t0, ms;
	int r = git_commit_lookup(&c, run->git, id);

	if (r < 0)
		return r;
	run->files = json_object();
	/* In turn: whoever comes second finds the objects in the machine's memory. */
	if (run->turn++ % 2)
		ask_git(run, c, &git);
	t0 = now();
	r = replay_merge(run->git, c, &run->options, judge, run, &out, &why);
	ms = now() - t0;
	if (run->turn % 2)
		ask_git(run, c, &git);
	line = json_pack("{s:s,s:I,s:f,s:f,s:o}", "commit", git_oid_tostr_s(id), "time",
			 (json_int_t)git_commit_time(c), "ms", ms, "merge_ms",
			 ms - (double)(out.bases_ns + out.resolved.seen_ns) / 1e6, "files",
			 run->files);
	if (r < 0)
		(void)json_object_set_new(line, "error", json_string(err_text(&why)));
	else
		(void)json_object_update_new(
			line, json_pack("{s:b,s:i,s:o,s:o}", "by_git", out.by_git, "by_line",
					(int)out.by_line, "conflicts",
					out_conflicts_kept(run->git, c, &out.conflicts), "notes",
					notes_of(&out)));
	if (r == 0)
		tell_git(run, &git, &out, line);
	print(line);
	grow_own(run);
	if (remember(run) < 0)
		r = -ENOMEM;
	merge_out_release(&out);
	merge_git_release(&git.said);
	err_release(&git.why);
	(void)git_mempack_reset(run->memory);
	git_commit_free(c);
	return r == -ENOMEM ? r : 0;
}

/* The newest merges of HEAD's history, the oldest of them first. */
static int each_merge(struct run *run)
{
	git_revwalk *walk = NULL;
	git_oid *v = calloc(run->last, sizeof(*v));
	size_t n = 0;
	git_oid id;
	int r = v ? git_revwalk_new(&walk, run->git) : -1;

	if (r == 0)
		r = git_revwalk_sorting(walk, GIT_SORT_TIME);
	if (r == 0)
		r = git_revwalk_push_head(walk);
	while (r == 0 && n < run->last && git_revwalk_next(&id, walk) == 0) {
		git_commit *c = NULL;

		r = git_commit_lookup(&c, run->git, &id);
		if (r == 0 && git_commit_parentcount(c) == 2 &&
		    (!run->only || json_object_get(run->only, git_oid_tostr_s(&id))))
			v[n++] = id;
		git_commit_free(c);
	}
	git_revwalk_free(walk);
	while (r == 0 && n > 0)
		r = replay_one(run, &v[--n]);
	free(v);
	return r;
}

static void print_records(const struct records *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->n; i++)
		(void)json_array_append_new(
			all, json_pack("[s,s,s,i,i]", r->v[i].resolver, r->v[i].language,
				       path_class_name(r->v[i].class), (int)r->v[i].e.fired,
				       (int)r->v[i].e.right));
	print(json_pack("{s:o}", "records", all));
}

/* An array of [resolver, language, paths, fired, right]. */
static int read_records(struct run *run, const char *path)
{
	json_error_t e;
	json_t *row;
	size_t i;
	int r = 0;

	run->names = json_load_file(path, 0, &e);
	if (!run->names)
		return -1;
	json_array_foreach (run->names, i, row) {
		const char *resolver, *language, *paths;
		int fired, right;

		if (json_unpack(row, "[s,s,s,i,i]", &resolver, &language, &paths, &fired, &right) <
		    0)
			return -1;
		r = r < 0 ? r
			  : records_add(
				    &run->others, resolver, language, path_class_named(paths),
				    (struct evidence){(unsigned int)fired, (unsigned int)right});
	}
	return r;
}

static int open_all(struct run *run, const char *dir)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	int r = git_repository_open(&run->git, dir);

	if (r == 0)
		r = replay_in_memory(run->git, &run->memory, &why);
	if (r < 0) {
		const git_error *e = git_error_last();

		(void)fprintf(stderr, "agentfs-replay: cannot open '%s': %s\n", dir,
			      e ? e->message : err_text(&why));
		return r;
	}
	merge_private_init(&run->private, run->git, NULL, NULL, NULL);
	return 0;
}

static int usage(void)
{
	(void)fputs(
		"usage: agentfs-replay GITDIR [--last N] [--only FILE] [--records FILE] [--cost K] "
		"[--own] [--no-git] [--git-first] [--texts]\n",
		stderr);
	return 2;
}

static int parse_args(struct run *run, int argc, char **argv)
{
	static const struct option options[] = {{"last", required_argument, NULL, 'l'},
						{"only", required_argument, NULL, 'o'},
						{"records", required_argument, NULL, 'r'},
						{"cost", required_argument, NULL, 'c'},
						{"own", no_argument, NULL, 'w'},
						{"no-git", no_argument, NULL, 'g'},
						{"texts", no_argument, NULL, 't'},
						{"git-first", no_argument, NULL, 'f'},
						{NULL, 0, NULL, 0}};
	json_error_t e;
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'l':
			run->last = strtoul(optarg, NULL, 10);
			break;
		case 'c':
			run->options.cost_of_wrong = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			r = read_records(run, optarg);
			break;
		case 'w':
			run->learn = true;
			break;
		case 'g':
			run->ask_git = false;
			break;
		case 't':
			run->texts = true;
			break;
		case 'f':
			run->turn = 1;
			break;
		case 'o':
			run->only = json_load_file(optarg, 0, &e);
			r = run->only ? 0 : -1;
			break;
		default:
			r = -1;
		}
	}
	return r < 0 || optind + 1 != argc || !run->last ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct run run = {.ask_git = true, .last = 1000};
	int r;

	run.options = (struct resolve_options){
		.cost_of_wrong = COST_OF_WRONG, .own = &run.own, .shipped = &run.others};
	if (memory_new(&run.remembered) < 0)
		return 1;
	run.options.memory = run.remembered;
	run.options.parser = parser_new(NULL, NULL); /* without grammars: none */
	if (parse_args(&run, argc, argv) < 0)
		return usage();
	(void)git_libgit2_init();
	r = open_all(&run, argv[optind]);
	if (r == 0) {
		r = each_merge(&run);
		print_records(&run.seen);
		merge_private_close(&run.private);
	}
	git_repository_free(run.git);
	records_release(&run.own);
	records_release(&run.others);
	records_release(&run.seen);
	parser_free(run.options.parser);
	memory_free(run.remembered);
	free(run.pending);
	json_decref(run.names);
	json_decref(run.only);
	(void)git_libgit2_shutdown();
	return r < 0 ? 1 : 0;
}
