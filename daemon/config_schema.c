/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML to configuration. Three tables say which keys there are; a key with no reader is one that is
 * known but does nothing yet, and is refused rather than accepted in silence. (`may` and `accepts-from`
 * of roles are read and checked, and doctor says that nothing enforces them: see config.h.) A map's keys are
 * checked in the file's order, then read in the table's, so that what later ones refer to is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "config_parts.h"
#include "config_reader.h"
#include "policy_pattern.h"
#include "sys.h"

static int check_word(struct reader *rd, const struct cfgnode *v)
{
	const char *near;

	if (config_is_method(v->text, &near))
		return 0;
	return FAIL(rd, v, "no method '%s' that a role may call%s%s%s", v->text,
		    near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static int check_role_name(struct reader *rd, const struct cfgnode *v)
{
	const char *words[64], *near;
	size_t n = 0;

	if (config_role_find(rd->c, v->text) || (rd->top && config_role_find(rd->top, v->text)))
		return 0;
	for (size_t i = 0; i < rd->c->nroles && n < ARRAY_SIZE(words); i++)
		words[n++] = rd->c->roles[i].name;
	for (size_t i = 0; rd->top && i < rd->top->nroles && n < ARRAY_SIZE(words); i++)
		words[n++] = rd->top->roles[i].name;
	near = config_nearest(v->text, words, n);
	return FAIL(rd, v, "no role '%s'%s%s%s", v->text, near ? " (did you mean '" : "",
		    near ? near : "", near ? "'?)" : "");
}

static int check_name(struct reader *rd, const struct cfgnode *k, const char *what)
{
	size_t n = strlen(k->text);

	if (n == 0 || n > 64 ||
	    strspn(k->text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
		    n ||
	    strchr("._-", k->text[0]))
		return FAIL(
			rd, k,
			"'%s' cannot name a %s: use 1 to 64 letters, digits, '.', '_' or '-', a "
			"letter or digit first",
			k->text, what);
	return 0;
}

static int read_branch(struct reader *rd, const struct cfgnode *v, void *target)
{
	_cleanup_free_ char *sample = NULL;
	struct err why = ERR_INIT;
	int r = reader_text(rd, v);

	if (r < 0)
		return r;
	if (!strstr(v->text, "{agent}"))
		return FAIL(rd, v, "a branch template needs {agent}, or two agents share a branch");
	r = config_branch_name(v->text, "a", "t", &sample, &why);
	if (r == -EINVAL)
		r = FAIL(rd, v, "%s", err_text(&why));
	err_release(&why);
	return r < 0 ? r : reader_set(&rd->c->branch, v->text);
}

static int read_mount(struct reader *rd, const struct cfgnode *v, void *target)
{
	_cleanup_free_ char *sample = NULL;
	struct err why = ERR_INIT;
	int r = reader_text(rd, v);

	if (r < 0)
		return r;
	if (!strstr(v->text, "{agent}"))
		return FAIL(rd, v,
			    "a mount template needs {agent}, or two views share a mount point");
	r = config_mount_path(v->text, "/m", "a", &sample, &why);
	if (r == -EINVAL)
		r = FAIL(rd, v, "%s", err_text(&why));
	err_release(&why);
	return r < 0 ? r : reader_set(&rd->c->mount, v->text);
}

/* Names and addresses end up in commits, where these bytes mean something. */
static int check_ident(struct reader *rd, const struct cfgnode *v)
{
	int r = reader_text(rd, v);

	if (r == 0 && strpbrk(v->text, "<>"))
		return FAIL(rd, v, "'<' and '>' cannot be in a committer's name or address");
	return r;
}

static int read_user_name(struct reader *rd, const struct cfgnode *v, void *target)
{
	int r = check_ident(rd, v);

	return r < 0 ? r : reader_set(&rd->c->user_name, v->text);
}

static int read_user_email(struct reader *rd, const struct cfgnode *v, void *target)
{
	int r = check_ident(rd, v);

	return r < 0 ? r : reader_set(&rd->c->user_email, v->text);
}

static int read_user(struct reader *rd, const struct cfgnode *v, void *target)
{
	static const struct key keys[] = {{"name", read_user_name}, {"email", read_user_email}};

	return reader_map(rd, v, keys, ARRAY_SIZE(keys), NULL);
}

static int read_write(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &((struct config_role *)target)->write, reader_pattern);
}

static int read_hide(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &((struct config_role *)target)->hide, reader_pattern);
}

static int read_may(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &((struct config_role *)target)->may, check_word);
}

static int read_accepts(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &((struct config_role *)target)->accepts_from, check_role_name);
}

static int read_scratch(struct reader *rd, const struct cfgnode *v, void *target)
{
	static const char *const names[] = {"none", "beside", "all"};
	struct config_role *role = target;
	int r = reader_text(rd, v);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(v->text, names[i]) == 0) {
			role->scratch = CONFIG_SCRATCH_NONE + (enum config_scratch)i;
			return 0;
		}
	return FAIL(rd, v, "scratch is none, beside or all, not '%s'", v->text);
}

/* A role's, or everybody's. */
static int read_quotas(struct reader *rd, const struct cfgnode *v, void *target)
{
	struct config_role *role = target;

	return config_read_quota(rd->name, v, role ? &role->quota : &rd->c->quota, rd->e);
}

static int read_merge(struct reader *rd, const struct cfgnode *v, void *target)
{
	return config_read_merge(rd->name, v, rd->c, rd->e);
}

/* A map NAME: {keys}; all names first, since accepts-from may name any. */
static int read_roles_with(struct reader *rd, const struct cfgnode *v, const struct key *keys,
			   size_t n)
{
	struct config_role *role;
	int r = reader_kind(rd, v, CFG_MAP);

	for (size_t i = 0; r == 0 && i < v->n; i += 2) {
		r = check_name(rd, v->items[i], "role");
		if (r == 0)
			r = config_role_get(rd->c, v->items[i]->text, &role);
	}
	for (size_t i = 0; r == 0 && i < v->n; i += 2) {
		r = config_role_get(rd->c, v->items[i]->text, &role);
		if (r == 0)
			r = reader_map(rd, v->items[i + 1], keys, n, role);
	}
	return r;
}

static int read_roles(struct reader *rd, const struct cfgnode *v, void *target)
{
	static const struct key keys[] = {
		{"write", read_write},		{"hide", read_hide},
		{"scratch", read_scratch},	{"may", read_may},
		{"accepts-from", read_accepts}, {"quotas", read_quotas},
	};

	return read_roles_with(rd, v, keys, ARRAY_SIZE(keys));
}

static int read_iron(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &rd->c->iron, reader_pattern);
}

static int read_redirect(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &rd->c->redirect, reader_pattern);
}

static int read_seed(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &rd->c->seed, reader_pattern);
}

static int read_scope(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &((struct config_department *)target)->scope, reader_pattern);
}

static int read_memory(struct reader *rd, const struct cfgnode *v, void *target)
{
	int r = reader_text(rd, v);

	if (r < 0)
		return r;
	if (!v->plain || (strcmp(v->text, "true") != 0 && strcmp(v->text, "false") != 0))
		return FAIL(rd, v, "memory is true or false, not '%s'", v->text);
	((struct config_department *)target)->memory = v->text[0] == 't';
	return 0;
}

static int read_departments(struct reader *rd, const struct cfgnode *v, void *target)
{
	static const struct key keys[] = {{"scope", read_scope}, {"memory", read_memory}};
	struct config_department *d;
	int r = reader_kind(rd, v, CFG_MAP);

	for (size_t i = 0; r == 0 && i < v->n; i += 2) {
		r = check_name(rd, v->items[i], "department");
		if (r == 0)
			r = config_department_get(rd->c, v->items[i]->text, &d);
		if (r == 0)
			r = reader_map(rd, v->items[i + 1], keys, ARRAY_SIZE(keys), d);
	}
	return r;
}

static int read_verify(struct reader *rd, const struct cfgnode *v, void *target)
{
	return config_read_verify(rd->name, v, rd->c, rd->e);
}

#define COMMON_KEYS                                                                                \
	{"branch", read_branch}, {"mount", read_mount}, {"user", read_user},                       \
		{"roles", read_roles}, {"iron", read_iron}, {"departments", read_departments},     \
		{"shares", NULL}, {"redirect", read_redirect}, {"seed", read_seed},                \
		{"verify", read_verify}, {"journal", NULL}, {"quotas", read_quotas},               \
		{"merge", read_merge},                                                             \
	{                                                                                          \
		"cooldown", NULL                                                                   \
	}

static int read_part(struct reader *rd, const struct cfgnode *v, struct config *part)
{
	static const struct key keys[] = {COMMON_KEYS};
	struct reader sub = {.name = rd->name, .top = rd->c, .c = part, .e = rd->e};

	return reader_map(&sub, v, keys, ARRAY_SIZE(keys), NULL);
}

static int add_repository(struct reader *rd, const struct cfgnode *k, const struct cfgnode *v)
{
	struct config *c = rd->c;
	size_t n = strlen(k->text);
	struct config_repository *more;
	char *path;

	if (k->text[0] != '/' || strstr(k->text, "//") || strstr(k->text, "/../") ||
	    strstr(k->text, "/./"))
		return FAIL(rd, k, "'%s' is not the absolute path of a repository", k->text);
	path = sys_strdup(k->text);
	if (!path)
		return -ENOMEM;
	if (n > 1 && path[n - 1] == '/')
		path[n - 1] = '\0';
	for (size_t i = 0; i < c->nrepositories; i++)
		if (strcmp(c->repositories[i].path, path) == 0) {
			free(path);
			return FAIL(rd, k, "the repository '%s' was given already", k->text);
		}
	more = sys.realloc(c->repositories, (c->nrepositories + 1) * sizeof(*more));
	if (!more) {
		free(path);
		return -ENOMEM;
	}
	c->repositories = more;
	more += c->nrepositories++;
	*more = (struct config_repository){.path = path};
	return read_part(rd, v, &more->part);
}

static int read_repositories(struct reader *rd, const struct cfgnode *v, void *target)
{
	int r = reader_kind(rd, v, CFG_MAP);

	for (size_t i = 0; r == 0 && i < v->n; i += 2)
		r = add_repository(rd, v->items[i], v->items[i + 1]);
	return r;
}

static int read_radar(struct reader *rd, const struct cfgnode *v, void *target)
{
	return config_read_radar(rd->name, v, &rd->c->radar_every, rd->e);
}

static int read_top(struct reader *rd, const struct cfgnode *v)
{
	static const struct key keys[] = {
		COMMON_KEYS, {"repositories", read_repositories}, {"radar", read_radar}};

	return reader_map(rd, v, keys, ARRAY_SIZE(keys), NULL);
}

static int narrow_write_item(struct reader *rd, const struct cfgnode *v)
{
	if (v->text[0] != '!')
		return FAIL(rd, v,
			    "'%s' would widen what the role may write: here only '!' patterns "
			    "can stand",
			    v->text);
	return reader_pattern(rd, v);
}

static int narrow_item(struct reader *rd, const struct cfgnode *v)
{
	if (v->text[0] == '!')
		return FAIL(rd, v, "'%s' would take back a rule: here no '!' patterns can stand",
			    v->text);
	return reader_pattern(rd, v);
}

static int narrow_write(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &((struct config_role *)target)->write, narrow_write_item);
}

static int narrow_hide(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &((struct config_role *)target)->hide, narrow_item);
}

static int narrow_iron(struct reader *rd, const struct cfgnode *v, void *target)
{
	return reader_list(rd, v, &rd->c->iron, narrow_item);
}

static int only_narrower(struct reader *rd, const struct cfgnode *v, void *target)
{
	return FAIL(rd, v,
		    "a repository's own file may only narrow the policy: iron, and of roles the "
		    "'!' patterns of write, and hide");
}

static int narrow_roles(struct reader *rd, const struct cfgnode *v, void *target)
{
	static const struct key keys[] = {
		{"write", narrow_write},	 {"hide", narrow_hide},
		{"scratch", only_narrower},	 {"may", only_narrower},
		{"accepts-from", only_narrower}, {"quotas", only_narrower},
	};

	return read_roles_with(rd, v, keys, ARRAY_SIZE(keys));
}

static int read_narrow(struct reader *rd, const struct cfgnode *v)
{
	static const struct key keys[] = {
		{"iron", narrow_iron},
		{"roles", narrow_roles},
		{"branch", only_narrower},
		{"mount", only_narrower},
		{"user", only_narrower},
		{"departments", only_narrower},
		{"repositories", only_narrower},
		{"radar", only_narrower},
		{"shares", NULL},
		{"redirect", only_narrower},
		{"seed", only_narrower},
		{"verify", read_verify},
		{"journal", NULL},
		{"quotas", only_narrower},
		{"merge", NULL},
		{"cooldown", NULL},
	};

	return reader_map(rd, v, keys, ARRAY_SIZE(keys), NULL);
}

static int parse_into(struct config *c, const char *text, size_t n, const char *name,
		      int (*top)(struct reader *rd, const struct cfgnode *v), struct err *reterr)
{
	struct reader rd = {.name = name, .c = c, .e = reterr};
	struct cfgnode *tree = NULL;
	int r = cfgnode_load(text, n, name, &tree, reterr);

	if (r == 0 && tree)
		r = top(&rd, tree);
	cfgnode_free(tree);
	return r == -ENOMEM ? err_set(reterr, r, "no memory to read %s", name) : r;
}

int config_parse(const char *text, size_t n, const char *name, struct config *ret,
		 struct err *reterr)
{
	struct config c = {0};
	int r = config_default(&c);

	if (r < 0)
		return err_set(reterr, r, "no memory for the configuration");
	r = parse_into(&c, text, n, name, read_top, reterr);
	if (r < 0) {
		config_release(&c);
		return r;
	}
	*ret = c;
	return 0;
}

int config_parse_narrow(const char *text, size_t n, const char *name, struct config *ret,
			struct err *reterr)
{
	struct config c = {0};
	int r = parse_into(&c, text, n, name, read_narrow, reterr);

	if (r < 0) {
		config_release(&c);
		return r;
	}
	*ret = c;
	return 0;
}
