/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as data: what is built in, how parts override each other, what holds where.
 * config_schema.c fills it from YAML, config_policy.c makes policies of it, config_names.c checks
 * names and fills templates.
 *
 * Invariants: the top level has branch and mount; lists own their texts; a field that no layer gave
 * is unset, and only the layer above it is asked then.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "io.h"
#include "sys.h"

enum { FILE_MAX = 4 << 20 };

#define PLAN_FILES  "/SPRINT.md", "/FEATURES.md", ".agentfs/plan/**"
#define BUILD_FILES "*", "!SPRINT.md", "!FEATURES.md", "!.agentfs/**"
#define WORKS	    "materialize", "merge", "mail"

/* Planners write their files at the top alone: with "SPRINT.md" at any depth, every folder would be
 * one where they may write some file, and take their scratch. */
static const struct {
	const char *name;
	enum config_scratch scratch;
	const char *write[5];
	const char *may[4];
} builtin_roles[] = {
	{"scout", CONFIG_SCRATCH_NONE, {NULL}, {"mail"}},
	{"reviewer", CONFIG_SCRATCH_ALL, {NULL}, {"mail"}},
	{"builder", CONFIG_SCRATCH_BESIDE, {BUILD_FILES}, {WORKS}},
	{"lead", CONFIG_SCRATCH_BESIDE, {PLAN_FILES}, {WORKS}},
	{"merger", CONFIG_SCRATCH_BESIDE, {NULL}, {WORKS}},
	{"architect", CONFIG_SCRATCH_BESIDE, {PLAN_FILES}, {WORKS}},
	{"executor", CONFIG_SCRATCH_BESIDE, {BUILD_FILES}, {WORKS}},
	{"monitor", CONFIG_SCRATCH_NONE, {NULL}, {"mail"}},
};

int config_list_add(struct config_list *l, const char *text, const char *origin)
{
	_cleanup_free_ char *t = sys_strdup(text), *o = sys_strdup(origin);
	struct config_item *v;

	if (!t || !o)
		return -ENOMEM;
	v = sys.realloc(l->v, (l->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	l->v = v;
	l->v[l->n++] = (struct config_item){TAKE_PTR(t), TAKE_PTR(o)};
	l->set = true;
	return 0;
}

void config_list_release(struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].text);
		free(l->v[i].origin);
	}
	free(l->v);
	*l = (struct config_list){0};
}

const struct config_role *config_role_find(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->nroles; i++)
		if (strcmp(c->roles[i].name, name) == 0)
			return &c->roles[i];
	return NULL;
}

int config_role_get(struct config *c, const char *name, struct config_role **ret)
{
	struct config_role *v = (struct config_role *)config_role_find(c, name);
	char *copy;

	if (v) {
		*ret = v;
		return 0;
	}
	v = sys.realloc(c->roles, (c->nroles + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->roles = v;
	copy = sys_strdup(name);
	if (!copy)
		return -ENOMEM;
	*ret = &v[c->nroles++];
	**ret = (struct config_role){.name = copy};
	return 0;
}

const struct config_department *config_department_find(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->ndepartments; i++)
		if (strcmp(c->departments[i].name, name) == 0)
			return &c->departments[i];
	return NULL;
}

int config_department_get(struct config *c, const char *name, struct config_department **ret)
{
	struct config_department *v = (struct config_department *)config_department_find(c, name);
	char *copy;

	if (v) {
		*ret = v;
		return 0;
	}
	v = sys.realloc(c->departments, (c->ndepartments + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->departments = v;
	copy = sys_strdup(name);
	if (!copy)
		return -ENOMEM;
	*ret = &v[c->ndepartments++];
	**ret = (struct config_department){.name = copy, .memory = -1};
	return 0;
}

static int add_all(struct config_list *l, const char *const *texts, size_t n)
{
	int r = 0;

	l->set = true;
	for (size_t i = 0; r == 0 && i < n && texts[i]; i++)
		r = config_list_add(l, texts[i], "built in");
	return r;
}

static int fill_default(struct config *c)
{
	int r = 0;

	c->branch = sys_strdup("agents/{agent}/{task}");
	c->mount = sys_strdup("{mounts}/{agent}");
	if (!c->branch || !c->mount)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(builtin_roles); i++) {
		struct config_role *role;

		r = config_role_get(c, builtin_roles[i].name, &role);
		if (r < 0)
			return r;
		role->scratch = builtin_roles[i].scratch;
		role->hide.set = role->accepts_from.set = true;
		r = add_all(&role->write, builtin_roles[i].write,
			    ARRAY_SIZE(builtin_roles[i].write));
		if (r == 0)
			r = add_all(&role->may, builtin_roles[i].may,
				    ARRAY_SIZE(builtin_roles[i].may));
	}
	return r;
}

int config_default(struct config *ret)
{
	struct config c = {0};
	int r = fill_default(&c);

	if (r < 0) {
		config_release(&c);
		return r;
	}
	*ret = c;
	return 0;
}

static void role_release(struct config_role *role)
{
	free(role->name);
	config_list_release(&role->write);
	config_list_release(&role->hide);
	config_list_release(&role->may);
	config_list_release(&role->accepts_from);
}

void config_release(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nroles; i++)
		role_release(&c->roles[i]);
	for (size_t i = 0; i < c->ndepartments; i++) {
		free(c->departments[i].name);
		config_list_release(&c->departments[i].scope);
	}
	for (size_t i = 0; i < c->nrepositories; i++) {
		free(c->repositories[i].path);
		config_release(&c->repositories[i].part);
	}
	for (size_t i = 0; i < c->ai.nresolvers; i++)
		config_resolver_release(&c->ai.resolvers[i]);
	free(c->ai.resolvers);
	config_list_release(&c->iron);
	config_list_release(&c->redirect);
	config_regenerate_release(c);
	config_verify_release(c);
	config_list_release(&c->seed);
	free(c->roles);
	free(c->departments);
	free(c->repositories);
	free(c->branch);
	free(c->mount);
	free(c->user_name);
	free(c->user_email);
	*c = (struct config){0};
}

bool config_redirects(const struct config *c)
{
	bool any = c->redirect.n > 0;

	for (size_t i = 0; i < c->nrepositories; i++)
		any |= c->repositories[i].part.redirect.n > 0;
	return any;
}

/* A repository is named by its main worktree, or by its git folder. */
static bool names_repository(const char *path, const char *repository)
{
	size_t n = strlen(path), m = strlen(repository);

	while (m > 1 && repository[m - 1] == '/')
		m--;
	if (m >= n && strncmp(repository, path, n) == 0)
		return m == n || (m == n + 5 && strncmp(repository + n, "/.git", 5) == 0);
	return n == m + 5 && strncmp(path, repository, m) == 0 && strcmp(path + m, "/.git") == 0;
}

const struct config *config_part(const struct config *c, const char *repository)
{
	for (size_t i = 0; repository && i < c->nrepositories; i++)
		if (names_repository(c->repositories[i].path, repository))
			return &c->repositories[i].part;
	return NULL;
}

const char *config_branch(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	return part && part->branch ? part->branch : c->branch;
}

const char *config_mount(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	return part && part->mount ? part->mount : c->mount;
}

const char *config_user_name(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	return part && part->user_name ? part->user_name : c->user_name;
}

const char *config_user_email(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	return part && part->user_email ? part->user_email : c->user_email;
}

const struct config_list *config_redirect(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	return part && part->redirect.set ? &part->redirect : &c->redirect;
}

const struct config_list *config_seed(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	return part && part->seed.set ? &part->seed : &c->seed;
}

bool config_has_role(const struct config *c, const char *repository, const char *role)
{
	const struct config *part = config_part(c, repository);

	return config_role_find(c, role) || (part && config_role_find(part, role));
}

static bool list_has(const struct config_list *l, const char *word)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].text, word) == 0)
			return true;
	return false;
}

/* The list of a role as it holds in a repository; never NULL for a known role. */
static const struct config_list *role_list(const struct config *c, const char *repository,
					   const char *name, size_t offset)
{
	const struct config *part = config_part(c, repository);
	const struct config_role *role = part ? config_role_find(part, name) : NULL;
	const struct config_list *l = NULL;

	if (role)
		l = (const struct config_list *)((const char *)role + offset);
	if (l && l->set)
		return l;
	role = config_role_find(c, name);
	return role ? (const struct config_list *)((const char *)role + offset) : l;
}

bool config_may(const struct config *c, const char *repository, const char *role,
		const char *method)
{
	const struct config_list *l =
		role_list(c, repository, role, offsetof(struct config_role, may));

	return l && list_has(l, method);
}

bool config_accepts(const struct config *c, const char *repository, const char *role,
		    const char *from)
{
	const struct config_list *l =
		role_list(c, repository, role, offsetof(struct config_role, accepts_from));

	return l && (l->n == 0 || list_has(l, from));
}

static const char *written_in(const struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i].origin, "built in") != 0)
			return l->v[i].origin;
	return NULL;
}

const char *config_unenforced(const struct config *c)
{
	const char *at = NULL;

	for (size_t i = 0; !at && i < c->nroles; i++) {
		at = written_in(&c->roles[i].may);
		at = at ? at : written_in(&c->roles[i].accepts_from);
	}
	for (size_t i = 0; !at && i < c->nrepositories; i++)
		at = config_unenforced(&c->repositories[i].part);
	return at;
}

int config_read(const char *path, bool must_exist, struct config *ret, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = io_read_file(AT_FDCWD, path, FILE_MAX, &b);

	if (r < 0 && (r != -ENOENT || must_exist))
		return err_set(reterr, r, "cannot read configuration '%s': %s", path, strerror(-r));
	return config_parse(b.data ? b.data : "", b.len, path, ret, reterr);
}
