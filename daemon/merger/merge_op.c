/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op merge: one branch into another.
 *
 * Guarantees: (1) the target's ref moves by compare-and-swap, from the commit that was merged; if
 * somebody moved it meanwhile, everything is undone and merged anew, three times at most; (2) a
 * worktree that has the target checked out is updated first (land.h); (3) a conflict or a refusal
 * changes nothing but that unreachable objects may stay; (4) a dry run finds what the real one would:
 * worktrees are checked, too; (5) with hold nothing moves: the commit is made, durable, and kept alive
 * by a ref of ours, for op land to move the target to it later.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "branch.h"
#include "branch_find.h"
#include "cleanup.h"
#include "diff.h"
#include "land.h"
#include "merge.h"
#include "merge_json.h"
#include "merge_regenerate.h"
#include "odb.h"
#include "parser.h"
#include "recall.h"
#include "tier_ai.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worktrees.h"

enum { TRIES = 3 };

struct merge_op {
	struct worker *w;
	const char *source, *into;
	char *into_owned;
	bool dry_run, squash, hold;
	git_oid ours, theirs, our_tree, tree, commit;
	git_oid tip, tip_tree; /* the target's; a dry run's ours may be what was not merged yet */
	bool fast_forward, up_to_date, committed;
	size_t changed; /* paths that it changes */
	struct resolve_options tier2;
	struct parser *parser;
	struct tier_ai *ai;    /* tiers 3 and 4, or NULL */
	struct records own;    /* this repository's */
	struct memory *memory; /* what people kept of conflicts */
	struct merge_out out;
};

static void merge_op_clear(struct merge_op *m)
{
	merge_out_release(&m->out);
	m->fast_forward = m->up_to_date = m->committed = false;
	m->changed = 0;
}

static int default_target(struct merge_op *m, struct err *reterr)
{
	git_reference *head = NULL;

	if (git_reference_lookup(&head, m->w->repo.git, "HEAD") == 0 &&
	    git_reference_type(head) == GIT_REFERENCE_SYMBOLIC &&
	    strncmp(git_reference_symbolic_target(head), "refs/heads/", 11) == 0)
		m->into_owned = strdup(git_reference_symbolic_target(head) + 11);
	git_reference_free(head);
	m->into = m->into_owned;
	return m->into ? 0
		       : err_set_id(
				 reterr, -EINVAL, "Invalid",
				 "no branch to merge into was named, and HEAD of '%s' is on none: give --into BRANCH",
				 m->w->repo.common);
}

static int tree_of(struct merge_op *m, const git_oid *commit, git_oid *ret, struct err *reterr)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, m->w->repo.git, commit);

	if (r < 0)
		return git_errno(r, reterr, "reading a commit");
	git_oid_cpy(ret, git_commit_tree_id(c));
	git_commit_free(c);
	return 0;
}

/* The branch's tip; or what the request says that it is: in a dry run the commit that materializing would put there. */
static int find_source(struct merge_op *m, struct err *reterr)
{
	const char *hex = worker_str(m->w, "source_commit");

	if (!hex || !(m->dry_run || m->hold))
		return branch_find(&m->w->repo, m->source, true, &m->theirs, reterr);
	if (git_oid_fromstr(&m->theirs, hex) < 0)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no commit", hex);
	return 0;
}

/* The branch's tip; or what the sources before this one will have made of it. */
static int find_target(struct merge_op *m, struct err *reterr)
{
	const char *hex = worker_str(m->w, "target_commit");
	int r = branch_find(&m->w->repo, m->into, false, &m->tip, reterr);

	m->ours = m->tip;
	if (r == 0 && hex && (m->dry_run || m->hold) && git_oid_fromstr(&m->ours, hex) < 0)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no commit", hex);
	if (r == 0)
		r = tree_of(m, &m->tip, &m->tip_tree, reterr);
	return r;
}

/* What the merge makes of the target's tree: m->tree, or conflicts. */
static int merge_trees(struct merge_op *m, struct err *reterr)
{
	bool contained = false, ahead = false;
	int r = find_target(m, reterr);

	if (r == 0)
		r = find_source(m, reterr);
	if (r == 0)
		r = tree_of(m, &m->ours, &m->our_tree, reterr);
	if (r == 0)
		r = branch_contains(m->w->repo.git, &m->ours, &m->theirs, &contained, reterr);
	if (r == 0 && !contained)
		r = branch_contains(m->w->repo.git, &m->theirs, &m->ours, &ahead, reterr);
	if (r < 0)
		return r;
	if (contained) {
		m->up_to_date = true;
		m->tree = m->our_tree;
		return 0;
	}
	m->fast_forward = ahead && !m->squash;
	if (ahead)
		return tree_of(m, &m->theirs, &m->tree, reterr);
	if (m->ai)
		tier_ai_begin(m->ai, &m->ours, &m->theirs, m->source, m->into);
	r = merge_commits(m->w->repo.git, &m->ours, &m->theirs, &m->tier2, &m->out, reterr);
	if (r == 0 && m->out.conflicts.n)
		r = merge_regenerate(m->w, &m->out, reterr);
	if (r == 0 && !m->out.conflicts.n)
		m->tree = m->out.tree;
	if (r == 0 && m->squash && !m->out.conflicts.n && git_oid_equal(&m->tree, &m->our_tree))
		m->up_to_date = true;
	return r;
}

/* The highest that was needed. */
static const char *tier_of(const struct merge_op *m)
{
	const char *tier = json_array_size(m->out.resolved.files) ? "auto-resolve" : "clean-merge";
	json_t *file, *conflict;
	size_t i, k;

	json_array_foreach (m->out.resolved.files, i, file) {
		if (json_object_get(file, "command"))
			return "reimagine";
		json_array_foreach (json_object_get(file, "conflicts"), k, conflict)
			if (json_object_get(conflict, "basis"))
				tier = "ai-resolve";
	}
	return tier;
}

/* "Reimagined: a.c (base 0123456, ours …, theirs …, by agentfs-resolve-openai --model …)": instead of the
 * resolver. */
static int add_reimagined(const json_t *file, struct buf *b)
{
	static const char *const sides[] = {"base", "ours", "theirs"};
	const json_t *from = json_object_get(file, "from");
	int r = buf_addf(b, "Reimagined: %s (", json_string_value(json_object_get(file, "path")));

	for (size_t i = 0; i < ARRAY_SIZE(sides) && r == 0; i++) {
		const char *id = json_string_value(json_object_get(from, sides[i]));

		r = buf_addf(b, "%s %.10s, ", sides[i], id ? id : "?");
	}
	return r < 0 ? r
		     : buf_addf(b, "by %s)\n", json_string_value(json_object_get(file, "command")));
}

/* A trailer for each file that rules resolved: "Resolved: setup.py (version)". */
static int add_resolved(struct merge_op *m, struct buf *b)
{
	json_t *file, *conflict;
	size_t i, k;
	int r = 0;

	json_array_foreach (m->out.resolved.files, i, file) {
		const char *before = " (", *last = "";

		if (json_object_get(file, "command")) {
			r = r < 0 ? r : add_reimagined(file, b);
			continue;
		}
		r = r < 0 ? r
			  : buf_addf(b, "Resolved: %s",
				     json_string_value(json_object_get(file, "path")));
		json_array_foreach (json_object_get(file, "conflicts"), k, conflict) {
			const char *by = json_string_value(json_object_get(conflict, "resolver"));

			if (r < 0 || !by || strcmp(by, last) == 0)
				continue;
			r = buf_addf(b, "%s%s", before, by);
			before = ", ";
			last = by;
		}
		r = r < 0 ? r : buf_adds(b, *last ? ")\n" : "\n");
	}
	return r;
}

static int message_of(struct merge_op *m, struct buf *b)
{
	const char *agent = worker_str(m->w, "agent"), *task = worker_str(m->w, "task");
	const char *view = worker_str(m->w, "view_id");
	int64_t seq = worker_int(m->w, "journal", 0);
	int r = buf_addf(b, m->squash ? "Merge %s into %s (squashed)\n\n" : "Merge %s into %s\n\n",
			 m->source, m->into);

	if (r == 0 && agent && *agent)
		r = buf_addf(b, "Agent: %s\n", agent);
	if (r == 0 && task && *task)
		r = buf_addf(b, "Task: %s\n", task);
	if (r == 0 && view && seq > 0)
		r = buf_addf(b, "Journal: %s 1-%lld\n", view, (long long)seq);
	if (r == 0)
		r = buf_addf(b, "Changed: %zu path%s\n", m->changed, m->changed == 1 ? "" : "s");
	if (r == 0)
		r = buf_addf(b, "Tier: %s\n", tier_of(m));
	return r < 0 ? r : add_resolved(m, b);
}

static int make_commit(struct merge_op *m, struct err *reterr)
{
	git_repository *git = m->w->repo.git;
	_cleanup_buf_ struct buf message = BUF_INIT;
	const char *name = worker_str(m->w, "user_name"), *email = worker_str(m->w, "user_email");
	git_commit *parents[2] = {0};
	git_signature *who = NULL;
	git_tree *tree = NULL;
	int r;

	if (m->fast_forward) {
		m->commit = m->theirs;
		return 0;
	}
	if (message_of(m, &message) < 0)
		return -ENOMEM;
	r = git_signature_now(&who, name && *name ? name : "agentfs",
			      email && *email ? email : "agentfs@agentfs.invalid");
	if (r == 0)
		r = git_commit_lookup(&parents[0], git, &m->ours);
	if (r == 0)
		r = git_commit_lookup(&parents[1], git, &m->theirs);
	if (r == 0)
		r = git_tree_lookup(&tree, git, &m->tree);
	if (r == 0)
		r = git_commit_create(&m->commit, git, NULL, who, who, NULL, message.data, tree,
				      m->squash ? 1 : 2, (const git_commit **)parents);
	git_tree_free(tree);
	git_commit_free(parents[0]);
	git_commit_free(parents[1]);
	git_signature_free(who);
	return r < 0 ? git_errno(r, reterr, "making the merge commit") : 0;
}

/* Stored bytes are merged: what differs in line ends alone is then a conflict, where a git that was told to
 * would see none. */
static int note_renormalize(struct merge_op *m)
{
	git_config *config = NULL;
	int on = 0;

	if (git_repository_config_snapshot(&config, m->w->repo.git) == 0)
		(void)git_config_get_bool(&on, config, "merge.renormalize");
	git_config_free(config);
	return on ? merge_note(&m->out.notes,
			       "merge.renormalize is set, which is not done here: where both sides "
			       "differ in line ends alone, git merge resolves it")
		  : 0;
}

static int count_path(const struct tree_delta *d, void *user)
{
	(void)d;
	++*(size_t *)user;
	return 0;
}

static struct landing landing_of(struct merge_op *m)
{
	return (struct landing){.w = m->w,
				.source = m->source,
				.into = m->into,
				.how = m->fast_forward ? "fast-forward"
				       : m->squash     ? "squashed"
						       : "merged",
				.from = m->tip,
				.to = m->commit};
}

/* One try. */
static int merge_once(struct merge_op *m, struct err *reterr)
{
	struct landing l;
	int r = merge_trees(m, reterr);

	if (r == 0 && m->out.conflicts.n)
		r = note_renormalize(m);
	if (r < 0 || m->up_to_date || m->out.conflicts.n)
		return r;
	r = tree_diff(m->w->repo.git, &m->our_tree, &m->tree, count_path, &m->changed);
	if (r < 0)
		return err_set(reterr, r, "comparing the trees: %s", strerror(-r));
	r = make_commit(m, reterr);
	if (r < 0)
		return r;
	l = landing_of(m);
	if (m->dry_run)
		return landing_check(&l, reterr);
	r = m->hold ? landing_check(&l, reterr) : landing_do(&l, reterr);
	if (r == 0 && m->hold)
		r = landing_keep(&l, worker_str(m->w, "keep"), reterr);
	m->committed = r == 0;
	return r;
}

static json_t *oid_json(const git_oid *id)
{
	char hex[GIT_OID_HEXSZ + 1];

	return json_string(git_oid_tostr(hex, sizeof(hex), id));
}

static int answer(struct merge_op *m, json_t *ret, struct err *reterr)
{
	bool conflict = m->out.conflicts.n > 0, done = !conflict && !m->up_to_date;
	json_t *changes = json_array(), *resolved = m->out.resolved.files, *touched;
	json_t *notes = merge_notes_json(&m->out.notes);
	int r = json_object_update_new(
		ret, json_pack("{s:o,s:o,s:o,s:s,s:o,s:b,s:o,s:o,s:o,s:o,s:o}", "source",
			       worker_text(m->source, strlen(m->source)), "into",
			       worker_text(m->into, strlen(m->into)), "target", oid_json(&m->tip),
			       "state",
			       conflict	       ? "conflict"
			       : m->up_to_date ? "up_to_date"
			       : m->dry_run    ? "would_merge"
			       : m->hold       ? "held"
					       : "merged",
			       "tier", done ? json_string(tier_of(m)) : json_null(), "fast_forward",
			       done && m->fast_forward, "commit",
			       m->committed ? oid_json(&m->commit) : json_null(), "tree",
			       conflict ? json_null() : oid_json(&m->tree), "changes", changes,
			       "conflicts",
			       merge_conflicts_json(&m->out.conflicts, m->out.resolved.hunks),
			       "notes", notes));
	if (r == 0 && m->ai)
		r = tier_ai_tell(m->ai, ret, notes);

	if (r == 0 && done && json_array_size(resolved))
		r = json_object_set(ret, "resolved", resolved);
	if (r == 0)
		r = json_object_set_new(ret, "repository",
					worker_text(m->w->repo.common, strlen(m->w->repo.common)));

	if (r == 0 && m->hold && done)
		r = json_object_set_new(ret, "onto", oid_json(&m->ours));
	touched = conflict ? merge_touched_json(m->w->repo.git, &m->ours, &m->theirs) : NULL;
	if (r == 0 && touched)
		r = json_object_set(ret, "touched", touched);
	json_decref(touched);
	if (r == 0)
		r = json_object_set_new(ret, "source_commit", oid_json(&m->theirs));
	if (r == 0)
		r = json_object_set_new(ret, "source_branch",
					worker_text(m->source, strlen(m->source)));
	if (r == 0 && m->dry_run && done)
		r = json_object_set_new(ret, "would", oid_json(&m->commit));
	if (r < 0)
		return -ENOMEM;
	return done ? merge_changes_json(m->w, &m->our_tree, &m->tree, changes, reterr) : 0;
}

/* What the daemon knows of the resolvers in this repository; the names are borrowed from the request. */
static int read_evidence(struct merge_op *m)
{
	json_t *records = json_object_get(json_object_get(m->w->req, "records"), m->w->repo.common),
	       *o;
	size_t i;
	int r = 0;

	json_array_foreach (records, i, o) {
		const char *name = json_string_value(json_object_get(o, "resolver"));
		const char *language = json_string_value(json_object_get(o, "language"));
		const char *paths = json_string_value(json_object_get(o, "paths"));
		json_int_t fired = json_integer_value(json_object_get(o, "fired"));
		json_int_t right = json_integer_value(json_object_get(o, "right"));

		if (name && language && paths && right >= 0 && right <= fired && fired < INT_MAX &&
		    r == 0)
			r = records_add(
				&m->own, name, language, path_class_named(paths),
				(struct evidence){(unsigned int)fired, (unsigned int)right});
	}
	if (tier_ai_new(m->w, &m->ai) < 0)
		return -ENOMEM;
	m->parser = parser_new(NULL, NULL); /* without grammars: none */
	m->tier2 = (struct resolve_options){
		.cost_of_wrong = (unsigned int)worker_int(m->w, "cost_of_wrong", COST_OF_WRONG),
		.own = &m->own,
		.parser = m->parser,
		.memory = m->memory,
		.without = worker_str(m->w, "without"),
		.without_path = worker_str(m->w, "without_path"),
		.written = merge_regenerate_has,
		.written_user = m->w,
		.ai = m->ai};
	return r;
}

static int run(struct merge_op *m, json_t *ret, struct err *reterr)
{
	int r = worker_need_str(m->w, "source", &m->source, reterr);

	if (r == 0)
		r = recall_remembered(m->w, &m->memory);
	if (r == 0)
		r = recall(m->w, m->memory, ret);
	if (r == 0)
		r = read_evidence(m);
	if (r == 0 && !m->into)
		r = default_target(m, reterr);
	for (int i = 0; r == 0 && i < TRIES; i++) {
		merge_op_clear(m);
		err_release(reterr);
		r = merge_once(m, reterr);
		if (r != -EAGAIN)
			break;
		r = i + 1 < TRIES ? 0 : -EAGAIN;
	}
	if (r == 0 && m->up_to_date && !m->dry_run)
		landing_tidy(&m->w->repo, m->into);
	return r < 0 ? r : answer(m, ret, reterr);
}

int op_merge(struct worker *w, json_t *ret, struct err *reterr)
{
	struct merge_op m = {.w = w,
			     .into = worker_str(w, "into"),
			     .dry_run = worker_bool(w, "dry_run"),
			     .squash = worker_bool(w, "squash"),
			     .hold = worker_bool(w, "hold")};
	int r = run(&m, ret, reterr);

	if (m.ai && r < 0)
		worker_detail(w, "ai_spent", tier_ai_spent(m.ai));
	else if (m.ai)
		(void)json_object_set_new(ret, "ai_spent", tier_ai_spent(m.ai));
	tier_ai_free(m.ai);
	merge_op_clear(&m);
	free(m.into_owned);
	records_release(&m.own);
	memory_free(m.memory);
	parser_free(m.parser);
	return r;
}
