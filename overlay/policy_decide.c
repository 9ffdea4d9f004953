/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decisions of a policy. In order:
 *
 * 1. The view's own .git and what is below: allowed to every role; the name .git itself may not be
 *    removed, renamed or replaced. .agentfs/control: denied to every role; .agentfs itself is a
 * folder that may be made and removed where something below it may be written, and is never
 * renamed.
 * 2. A role without a write pattern and without scratch writes nothing: POLICY_DENY_RO.
 * 3. iron and hide deny what they cover.
 * 4. The last write pattern that covers the path: a "!" denies, none denies unless scratch.
 * 5. Where there are scopes, the same with them: the path must be covered by one too. That no scope
 *    covers it counts as no rule matching.
 * 6. A folder is also allowed where anything below it could be (so the parents of a scope can be
 * made); its attributes where any name may be made in it. What is in a folder that is renamed, the
 * caller asks name by name unless policy_uniform_below() spares it.
 * 7. Scratch: what no rule matched, is not in the base, and is new (or, for what exists, made by
 * this view); beside: in a folder where some file could be allowed by 3 to 5; all: anywhere.
 *
 * What lies below a folder is judged without names (policy_pattern.h): the answers "could be",
 * may_make and not-uniform may be wrong only in that direction. For that, these hold: what a
 * pattern covers all of below a folder, it covers all of below every folder further down; and
 * could_allow_below() of a folder is implied by that of any folder below it.
 *
 * Nothing here allocates, and nothing is kept between calls: safe from any thread.
 */
#include <string.h>

#include "policy_rules.h"

/* Which ways a list may decide names below a folder. */
enum outcome { CAN_BE_YES = 1 << 0, CAN_BE_NO = 1 << 1, CAN_BE_OPEN = 1 << 2 };

struct judgement {
	enum { YES, NO, OPEN } answer; /* OPEN: no rule matches */
	bool hard;		       /* NO by iron or hide: nothing may soften it */
	uint32_t rule;
};

typedef enum pattern_span (*span_fn)(const struct pattern *p, const struct pattern_path *dir);

static struct pattern_path path_at(const char *path, bool dir)
{
	return (struct pattern_path){.p = path, .n = strlen(path), .dir = dir};
}

/* 0: no; 1: below it; 2: the very path. */
static int is_at(const char *path, const char *top)
{
	size_t n = strlen(top);

	if (strncmp(path, top, n) != 0)
		return 0;
	return path[n] == '\0' ? 2 : path[n] == '/';
}

/* The last rule of a kind that covers the path, or NULL. */
static const struct rule *last_rule(const struct policy *p, enum rule_kind kind,
				    const struct pattern_path *at)
{
	for (uint32_t i = p->first[kind + 1]; i-- > p->first[kind];)
		if (pattern_covers(p->rules[i].pattern, at))
			return &p->rules[i];
	return NULL;
}

static bool is_negated(const struct rule *rule)
{
	return pattern_negated(rule->pattern);
}

static uint32_t index_of(const struct policy *p, const struct rule *rule)
{
	return (uint32_t)(rule - p->rules) + BUILTIN_COUNT;
}

static bool has_scope(const struct policy *p)
{
	return p->first[RULE_SCOPE] < p->first[RULE_SCOPE + 1];
}

/* Steps 3 to 5. */
static struct judgement judge(const struct policy *p, const struct pattern_path *at)
{
	const struct rule *w, *s, *hard = last_rule(p, RULE_IRON, at);

	if (!hard || is_negated(hard))
		hard = last_rule(p, RULE_HIDE, at);
	if (hard && !is_negated(hard))
		return (struct judgement){NO, true, index_of(p, hard)};
	w = last_rule(p, RULE_WRITE, at);
	if (w && is_negated(w))
		return (struct judgement){NO, false, index_of(p, w)};
	s = has_scope(p) ? last_rule(p, RULE_SCOPE, at) : NULL;
	if (s && is_negated(s))
		return (struct judgement){NO, false, index_of(p, s)};
	if (!w)
		return (struct judgement){OPEN, false, UINT32_MAX};
	if (has_scope(p) && !s)
		return (struct judgement){OPEN, false, BUILTIN_SCOPE};
	return (struct judgement){YES, false, index_of(p, w)};
}

/* How a list may decide the names that `span` speaks of. */
static unsigned outcomes(const struct policy *p, enum rule_kind kind, span_fn span,
			 const struct pattern_path *dir)
{
	unsigned can = 0;

	for (uint32_t i = p->first[kind + 1]; i-- > p->first[kind];) {
		enum pattern_span s = span(p->rules[i].pattern, dir);

		if (s != PATTERN_NONE)
			can |= is_negated(&p->rules[i]) ? CAN_BE_NO : CAN_BE_YES;
		if (s == PATTERN_ALL)
			return can;
	}
	return can | CAN_BE_OPEN;
}

/* iron or hide covers every such name. */
static bool surely_forbidden(const struct policy *p, span_fn span, const struct pattern_path *dir)
{
	return outcomes(p, RULE_IRON, span, dir) == CAN_BE_YES ||
	       outcomes(p, RULE_HIDE, span, dir) == CAN_BE_YES;
}

/* A scope that allows a name below `dir` which w covers, or NULL. */
static const struct rule *meeting_scope(const struct policy *p, const struct rule *w,
					const struct pattern_path *dir)
{
	for (uint32_t i = p->first[RULE_SCOPE + 1]; i-- > p->first[RULE_SCOPE];) {
		const struct rule *s = &p->rules[i];

		if (!is_negated(s) && pattern_meet_below(w->pattern, s->pattern, dir))
			return s;
		if (pattern_below(s->pattern, dir) == PATTERN_ALL)
			return NULL;
	}
	return NULL;
}

/* A rule by which some name below `dir` could be allowed, or NULL: surely none. */
static const struct rule *could_allow_below(const struct policy *p, const struct pattern_path *dir)
{
	if (surely_forbidden(p, pattern_below, dir))
		return NULL;
	for (uint32_t i = p->first[RULE_WRITE + 1]; i-- > p->first[RULE_WRITE];) {
		const struct rule *w = &p->rules[i];
		enum pattern_span span = pattern_below(w->pattern, dir);

		if (!is_negated(w) && span != PATTERN_NONE) {
			const struct rule *by = has_scope(p) ? meeting_scope(p, w, dir) : w;

			if (by)
				return by;
		}
		if (span == PATTERN_ALL)
			return NULL;
	}
	return NULL;
}

/* A file whose name a rule of the kind spells out, directly in `dir`, is allowed. */
static bool named_file_allowed(const struct policy *p, enum rule_kind kind,
			       const struct pattern_path *dir)
{
	for (uint32_t i = p->first[kind]; i < p->first[kind + 1]; i++) {
		struct pattern_path at = *dir;
		unsigned pos = 0;

		while (pattern_next_name(p->rules[i].pattern, dir, &pos, &at.leaf, &at.leaf_n)) {
			at.dir = false;
			if (judge(p, &at).answer == YES)
				return true;
		}
	}
	return false;
}

/* Some file directly in `dir` could be allowed. */
static bool could_allow_file(const struct policy *p, const struct pattern_path *dir)
{
	if (!surely_forbidden(p, pattern_fresh_child, dir) &&
	    (outcomes(p, RULE_WRITE, pattern_fresh_child, dir) & CAN_BE_YES) &&
	    (!has_scope(p) || (outcomes(p, RULE_SCOPE, pattern_fresh_child, dir) & CAN_BE_YES)))
		return true;
	return named_file_allowed(p, RULE_WRITE, dir) || named_file_allowed(p, RULE_SCOPE, dir);
}

/* Step 7 for a folder: may some new name in it be scratch? */
static bool could_be_scratch_in(const struct policy *p, const struct pattern_path *dir)
{
	switch (p->scratch) {
	case SCRATCH_NONE:
		return false;
	case SCRATCH_BESIDE:
		return could_allow_file(p, dir);
	case SCRATCH_ALL:
		return !surely_forbidden(p, pattern_below, dir) &&
		       outcomes(p, RULE_WRITE, pattern_below, dir) != CAN_BE_NO &&
		       outcomes(p, RULE_SCOPE, pattern_below, dir) != CAN_BE_NO;
	}
	return false;
}

/* Nothing below could be scratch: of use where nothing below could be allowed by a rule. */
static bool never_scratch_below(const struct policy *p, const struct pattern_path *dir)
{
	return p->scratch != SCRATCH_ALL || !could_be_scratch_in(p, dir);
}

static bool may_make(const struct policy *p, const struct pattern_path *dir)
{
	return could_allow_below(p, dir) || could_be_scratch_in(p, dir);
}

/* Is it a name that this view made, or makes now? */
static bool scratch_candidate(const struct policy_query *q)
{
	switch (q->op) {
	case POLICY_CREATE:
	case POLICY_MKDIR:
	case POLICY_LINK:
	case POLICY_RENAME_TO:
		return !q->in_base;
	case POLICY_WRITE:
	case POLICY_ATTR:
	case POLICY_UNLINK:
	case POLICY_RMDIR:
	case POLICY_RENAME_FROM:
		return !q->in_base && q->ours;
	}
	return false;
}

static bool is_scratch(const struct policy *p, const struct policy_query *q)
{
	const char *slash = strrchr(q->path, '/');
	struct pattern_path parent = {
		.p = q->path, .n = slash ? (size_t)(slash - q->path) : 0, .dir = true};

	if (p->scratch == SCRATCH_NONE || !*q->path || !scratch_candidate(q))
		return false;
	return p->scratch == SCRATCH_ALL || could_allow_file(p, &parent);
}

static struct policy_verdict verdict(enum policy_result result, uint32_t rule)
{
	return (struct policy_verdict){.result = result, .rule = rule};
}

/* Step 6. */
static bool decide_folder(const struct policy *p, const struct policy_query *q,
			  const struct pattern_path *at, struct policy_verdict *ret)
{
	const struct rule *by = could_allow_below(p, at);

	if (by)
		*ret = verdict(POLICY_ALLOW, index_of(p, by));
	else if ((q->op == POLICY_ATTR || q->op == POLICY_WRITE) && could_be_scratch_in(p, at))
		*ret = verdict(POLICY_SCRATCH, BUILTIN_SCRATCH);
	else
		return false;
	return true;
}

/* Steps 3 to 7. */
static struct policy_verdict decide_by_rules(const struct policy *p, const struct policy_query *q)
{
	struct pattern_path at = path_at(q->path, q->dir);
	struct judgement j = judge(p, &at);
	struct policy_verdict v;

	if (j.answer == YES)
		return verdict(POLICY_ALLOW, j.rule);
	if (q->dir && !j.hard && decide_folder(p, q, &at, &v))
		return v;
	if (j.answer == OPEN && is_scratch(p, q))
		return verdict(POLICY_SCRATCH, BUILTIN_SCRATCH);
	return verdict(POLICY_DENY, j.rule);
}

static struct policy_verdict decide_own_git(const struct policy_query *q, bool top)
{
	bool moves = q->op == POLICY_UNLINK || q->op == POLICY_RMDIR ||
		     q->op == POLICY_RENAME_FROM || q->op == POLICY_RENAME_TO;

	if (top && moves)
		return verdict(POLICY_DENY, BUILTIN_GIT_TOP);
	return verdict(POLICY_ALLOW, BUILTIN_GIT);
}

/* The name .agentfs itself; a file of that name in the base is judged like any. */
static struct policy_verdict decide_agentfs(const struct policy *p, const struct policy_query *q)
{
	struct pattern_path at = path_at(q->path, true);
	struct policy_verdict v;

	if (!q->dir && (q->op == POLICY_WRITE || q->op == POLICY_ATTR || q->op == POLICY_UNLINK))
		return decide_by_rules(p, q);
	if (!q->dir || q->op == POLICY_RENAME_FROM || q->op == POLICY_RENAME_TO)
		return verdict(POLICY_DENY, BUILTIN_CONTROL);
	if (judge(p, &at).hard)
		return decide_by_rules(p, q);
	if (decide_folder(p, q, &at, &v))
		return v;
	if (judge(p, &at).answer == OPEN && is_scratch(p, q))
		return verdict(POLICY_SCRATCH, BUILTIN_SCRATCH);
	return verdict(POLICY_DENY, BUILTIN_CONTROL);
}

struct policy_verdict policy_decide(const struct policy *p, const struct policy_query *q)
{
	int git = is_at(q->path, ".git"), control;

	if (git)
		return decide_own_git(q, git == 2);
	control = is_at(q->path, ".agentfs/control");
	if (p->read_only)
		return verdict(POLICY_DENY_RO, control ? BUILTIN_CONTROL : UINT32_MAX);
	if (control)
		return verdict(POLICY_DENY, BUILTIN_CONTROL);
	if (is_at(q->path, ".agentfs") == 2)
		return decide_agentfs(p, q);
	return decide_by_rules(p, q);
}

bool policy_uniform_below(const struct policy *p, const char *dir, enum policy_result *ret)
{
	struct pattern_path at = path_at(dir, true);
	bool free_of_hard;

	if (!*dir || is_at(dir, ".agentfs") == 2)
		return false; /* .git and .agentfs/control differ from the rest */
	if (is_at(dir, ".git")) {
		*ret = POLICY_ALLOW;
		return true;
	}
	if (p->read_only || is_at(dir, ".agentfs/control")) {
		*ret = p->read_only ? POLICY_DENY_RO : POLICY_DENY;
		return true;
	}
	if (!could_allow_below(p, &at) && never_scratch_below(p, &at)) {
		*ret = POLICY_DENY;
		return true;
	}
	free_of_hard = !(outcomes(p, RULE_IRON, pattern_below, &at) & CAN_BE_YES) &&
		       !(outcomes(p, RULE_HIDE, pattern_below, &at) & CAN_BE_YES);
	*ret = POLICY_ALLOW;
	return free_of_hard && outcomes(p, RULE_WRITE, pattern_below, &at) == CAN_BE_YES &&
	       (!has_scope(p) || outcomes(p, RULE_SCOPE, pattern_below, &at) == CAN_BE_YES);
}

bool policy_may_make_in(const struct policy *p, const char *dir)
{
	struct pattern_path at = path_at(dir, true);

	if (is_at(dir, ".git"))
		return true;
	if (p->read_only || is_at(dir, ".agentfs/control"))
		return false;
	return may_make(p, &at);
}

/* Unlike the other kinds, a pattern counts only where it matches the path itself. */
bool policy_redirects(const struct policy *p, const char *path, uint32_t *ret_rule)
{
	struct pattern_path at = path_at(path, true), above = at;
	const char *slash = strrchr(path, '/');

	if (!*path || is_at(path, ".git") || is_at(path, ".agentfs"))
		return false;
	above.n = slash ? (size_t)(slash - path) : 0;
	for (uint32_t i = p->first[RULE_REDIRECT + 1]; i-- > p->first[RULE_REDIRECT];) {
		const struct rule *rule = &p->rules[i];

		if (!pattern_covers(rule->pattern, &at) ||
		    (above.n && pattern_covers(rule->pattern, &above)))
			continue;
		*ret_rule = index_of(p, rule);
		return !is_negated(rule);
	}
	return false;
}

bool policy_hidden(const struct policy *p, const char *path, bool dir)
{
	struct pattern_path at = path_at(path, dir);
	const struct rule *rule;

	if (!*path || is_at(path, ".git") || is_at(path, ".agentfs/control"))
		return false;
	rule = last_rule(p, RULE_HIDE, &at);
	return rule && !is_negated(rule);
}
