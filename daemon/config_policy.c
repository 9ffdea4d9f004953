/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the configuration to the text of one view's policy. Later lines of a kind win (policy.c), so
 * what the repository's own `.agentfs.yaml` adds stands last, where it can only take away: its iron
 * and hide are positive, its write patterns negative (config_parse_narrow() lets through no
 * others).
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "config_parts.h"
#include "policy.h"
#include "policy_pattern.h"

#define SCRATCH_BYTES                                                                              \
	(UINT64_C(16) << 30) /* what a scratch view may hold, unless a quota says so */

/* A pattern as policy.c reads it: quoted where it must be. YAML gave no control bytes. */
#define SCRATCH_BYTES                                                                              \
	(UINT64_C(16) << 30) /* what a scratch view may hold, unless a quota says so */

static int add_rule(struct buf *b, const char *kind, const char *pattern, const char *origin)
{
	size_t n = strlen(pattern);
	bool plain = n && pattern[0] != '"' && pattern[0] != ' ' && pattern[n - 1] != ' ';
	int r = buf_addf(b, "%s ", kind);

	if (r == 0 && plain)
		r = buf_adds(b, pattern);
	if (r == 0 && !plain)
		r = buf_addc(b, '"');
	for (const char *s = pattern; r == 0 && !plain && *s; s++)
		r = *s == '"' || *s == '\\' ? buf_addf(b, "\\%c", *s) : buf_addc(b, *s);
	if (r == 0 && !plain)
		r = buf_addc(b, '"');
	if (r == 0 && origin)
		r = buf_addf(b, "\t%s", origin);
	return r < 0 ? r : buf_addc(b, '\n');
}

static int add_rules(struct buf *b, const char *kind, const struct config_list *l)
{
	int r = 0;

	for (size_t i = 0; l && r == 0 && i < l->n; i++)
		r = add_rule(b, kind, l->v[i].text, l->v[i].origin);
	return r;
}

static int list_names(struct buf *b, const struct config *c, const struct config *skip, bool roles)
{
	size_t n = c ? roles ? c->nroles : c->ndepartments : 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		const char *name = roles ? c->roles[i].name : c->departments[i].name;

		if (skip && (roles ? config_role_find(skip, name) != NULL
				   : config_department_find(skip, name) != NULL))
			continue;
		r = buf_addf(b, "%s%s", b->len ? ", " : "", name);
	}
	return r;
}

/* "no role 'x'; there are: …" */
static int unknown(const struct config *c, const struct config *part, const char *name, bool roles,
		   struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *what = roles ? "role" : "department";

	if (list_names(&b, c, NULL, roles) < 0 || list_names(&b, part, c, roles) < 0)
		return err_set(reterr, -ENOMEM, "no memory");
	if (b.len == 0)
		return err_set_id(reterr, -ENOENT, "NotFound", "no %s '%s'; none is configured",
				  what, name);
	return err_set_id(reterr, -ENOENT, "NotFound", "no %s '%s'; there are: %s", what, name,
			  b.data);
}

/* The list of the part where it has one, else of the top. */
static const struct config_list *pick_list(const struct config_list *part,
					   const struct config_list *top)
{
	return part && part->set ? part : top;
}

static int check_scope(const char *scope, bool *positive, struct err *reterr)
{
	struct pattern *p = NULL;
	const char *why = "";
	int r = pattern_compile(scope, &p, &why);

	if (strpbrk(scope, "\n\r\t")) {
		r = -EINVAL;
		why = "it holds a tab or a newline";
	}
	if (r == 0)
		*positive |= !pattern_negated(p);
	pattern_free(p);
	if (r == -EINVAL)
		return err_set_id(reterr, r, "Invalid", "scope '%s': %s", scope, why);
	return r;
}

/* How long the folder is that a pattern cannot leave: the parts before the first that is not plain,
 * or last; 0 for one that may stand at any depth. */
static size_t fixed_folder(const char *s, bool anchored)
{
	size_t last = 0, n = strcspn(s, "*?[\\");

	for (size_t i = 1; i < n; i++)
		if (s[i] == '/' && (anchored || s[i + 1]))
			last = i;
	return last;
}

/* Does one pattern of the department cover everything that the scope pattern could? What its "!"
 * patterns take away, add_scopes() takes away too. */
static bool scope_within(const char *scope, const struct config_list *department)
{
	const char *s = scope + (*scope == '/');
	struct pattern_path at = {.p = s, .n = fixed_folder(s, *scope == '/'), .dir = true};
	bool within = false;

	if (*scope == '!')
		return true;
	for (size_t i = 0; !within && i < department->n; i++) {
		const char *text = department->v[i].text, *why;
		struct pattern *p = NULL;

		if (*text == '!' || pattern_compile(text, &p, &why) < 0)
			continue;
		within = strcmp(text, scope) == 0 || (at.n && pattern_below(p, &at) == PATTERN_ALL);
		pattern_free(p);
	}
	return within;
}

static int add_scopes(struct buf *b, const char *const *scopes, size_t n,
		      const struct config_department *d, struct err *reterr)
{
	bool positive = false;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = check_scope(scopes[i], &positive, reterr);
		if (r == 0 && d && d->scope.n && !scope_within(scopes[i], &d->scope))
			return err_set_id(
				reterr, -EINVAL, "Invalid",
				"scope '%s' is not within what department %s may change; name "
				"a folder inside its scope",
				scopes[i], d->name);
		if (r == 0)
			r = add_rule(b, "scope", scopes[i], NULL);
	}
	if (r == 0 && n && !positive)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "a scope needs a pattern without '!', or nothing is in it");
	for (size_t i = 0; r == 0 && d && i < d->scope.n; i++)
		if (n == 0 || d->scope.v[i].text[0] == '!')
			r = add_rule(b, "scope", d->scope.v[i].text, d->scope.v[i].origin);
	return r;
}

/* Every role that the repository's own file names must be one, or its rules would be lost. */
static int check_narrow(const struct config *c, const struct config *part,
			const struct config *narrow, struct err *reterr)
{
	for (size_t i = 0; narrow && i < narrow->nroles; i++) {
		const char *name = narrow->roles[i].name;

		if (config_role_find(c, name) || (part && config_role_find(part, name)))
			continue;
		(void)unknown(c, part, name, true, reterr);
		return err_wrap(reterr, "the repository's .agentfs.yaml");
	}
	return 0;
}

struct layers {
	const struct config *top, *part, *narrow;
	const struct config_role *role_top, *role_part, *role_narrow;
};

static int add_quota(struct buf *b, const struct layers *l)
{
	const struct config_quota *const order[] = {
		l->role_part ? &l->role_part->quota : NULL,
		l->role_top ? &l->role_top->quota : NULL,
		l->part ? &l->part->quota : NULL,
		&l->top->quota,
	};
	struct config_quota q = config_quota_pick(order, ARRAY_SIZE(order));
	int r = 0;

	if (q.bytes)
		r = buf_addf(b, "quota bytes %" PRIu64 "\n", q.bytes);
	return r == 0 && q.nodes ? buf_addf(b, "quota nodes %" PRIu64 "\n", q.nodes) : r;
}

static int add_role(struct buf *b, const struct layers *l)
{
	static const char *const words[] = {"beside", "none", "beside", "all"};
	const struct config_role *t = l->role_top, *p = l->role_part, *n = l->role_narrow;
	enum config_scratch scratch = p ? p->scratch : CONFIG_SCRATCH_UNSET;
	int r;

	if (scratch == CONFIG_SCRATCH_UNSET && t)
		scratch = t->scratch;
	r = buf_addf(b, "agentfs-policy 1\nrole %s\nscratch %s\n", t ? t->name : p->name,
		     words[scratch]);
	if (r == 0)
		r = add_quota(b, l);
	if (r == 0)
		r = add_rules(b, "iron", pick_list(l->part ? &l->part->iron : NULL, &l->top->iron));
	if (r == 0 && l->narrow)
		r = add_rules(b, "iron", &l->narrow->iron);
	if (r == 0)
		r = add_rules(b, "hide", pick_list(p ? &p->hide : NULL, t ? &t->hide : NULL));
	if (r == 0 && n)
		r = add_rules(b, "hide", &n->hide);
	if (r == 0)
		r = add_rules(b, "write", pick_list(p ? &p->write : NULL, t ? &t->write : NULL));
	if (r == 0 && n)
		r = add_rules(b, "write", &n->write);
	if (r == 0)
		r = add_rules(b, "redirect",
			      pick_list(l->part ? &l->part->redirect : NULL, &l->top->redirect));
	return r;
}

/* A merger whose role has no rules of its own writes what was handed to it: its scope. */
static int add_handed(struct buf *b, const struct layers *l, const char *const *scopes, size_t n)
{
	const struct config_list *own = pick_list(l->role_part ? &l->role_part->write : NULL,
						  l->role_top ? &l->role_top->write : NULL);
	int r = 0;

	for (size_t i = 0; i < n && r == 0 && (!own || !own->n); i++)
		r = add_rule(b, "write", scopes[i], NULL);
	return r;
}

/* What is handed out is what policy.c makes of it, so that it cannot be refused later. */
static int canonical(const char *text, char **ret, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct policy *p = NULL;
	int r = policy_parse(text, &p, reterr);

	if (r < 0)
		return r;
	r = buf_adds(&b, policy_text(p));
	policy_free(p);
	if (r == 0)
		*ret = buf_take(&b);
	return r;
}

int config_policy_text(const struct config *c, const char *repository, const char *role,
		       const char *const *scopes, size_t nscopes, const char *department,
		       const struct config *narrow, char **ret, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct config_department *d = NULL;
	struct layers l = {.top = c, .part = config_part(c, repository), .narrow = narrow};
	int r = check_narrow(c, l.part, narrow, reterr);

	if (r < 0)
		return r;
	l.role_top = config_role_find(c, role);
	l.role_part = l.part ? config_role_find(l.part, role) : NULL;
	l.role_narrow = narrow ? config_role_find(narrow, role) : NULL;
	if (!l.role_top && !l.role_part)
		return unknown(c, l.part, role, true, reterr);
	if (department && *department) {
		d = l.part ? config_department_find(l.part, department) : NULL;
		d = d ? d : config_department_find(c, department);
		if (!d)
			return unknown(c, l.part, department, false, reterr);
	}
	r = add_role(&b, &l);
	if (r == 0 && strcmp(role, "merger") == 0)
		r = add_handed(&b, &l, scopes, nscopes);
	if (r == 0)
		r = add_scopes(&b, scopes, nscopes, d, reterr);
	if (r == -ENOMEM)
		return err_set(reterr, r, "no memory to make a policy");
	return r < 0 ? r : canonical(b.data, ret, reterr);
}

/*
 * Folders that are redirected elsewhere lie in the overlay here: a sandbox has mounts of its own, in which one that is
 * made meanwhile does not appear. So what they hold counts, and there is always a limit.
 */
int config_policy_scratch(const struct config *c, const char *repository, char **ret,
			  struct err *reterr)
{
	const struct config *part = config_part(c, repository);
	const struct config_quota *const order[] = {part ? &part->quota : NULL, &c->quota};
	struct config_quota q = config_quota_pick(order, ARRAY_SIZE(order));
	uint64_t bytes = q.bytes ? q.bytes : SCRATCH_BYTES;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r;

	if (config_redirect(c, repository)->n)
		bytes += SCRATCH_BYTES;
	r = buf_addf(&b,
		     "agentfs-policy 1\nrole verify\nscratch all\nquota bytes %" PRIu64
		     "\nwrite *\n",
		     bytes);
	return r < 0 ? err_set(reterr, r, "no memory to make a policy")
		     : canonical(b.data, ret, reterr);
}
