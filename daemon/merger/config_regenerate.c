/* SPDX-License-Identifier: Apache-2.0 */
/* `merge: regenerate`: {NAME: COMMAND, …} or {NAME: {command, timeout, network}}; which files are written anew where both
 * sides changed them, and how. The network is theirs unless it is said otherwise: what writes lock files asks for it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "config_yaml.h"
#include "sys.h"

enum { TIMEOUT_DEFAULT_S = 600, TIMEOUT_MAX_S = 24 * 3600, COMMAND_MAX = 8192 };

static int read_command(const char *name, const struct cfgnode *v, char **ret, struct err *reterr)
{
	if (v->kind != CFG_TEXT || !v->text[strspn(v->text, " \t\n")] ||
	    strlen(v->text) > COMMAND_MAX)
		return cfgnode_error(
			name, v, reterr,
			"a shell command is expected here: \"npm install --package-lock-only\"");
	*ret = sys_strdup(v->text);
	return *ret ? 0 : -ENOMEM;
}

static int read_member(const char *name, const struct cfgnode *k, const struct cfgnode *v,
		       struct config_regenerate *ret, struct err *reterr)
{
	char *end = NULL;
	long n;

	if (strcmp(k->text, "command") == 0)
		return read_command(name, v, &ret->command, reterr);
	if (strcmp(k->text, "timeout") == 0) {
		n = v->kind == CFG_TEXT ? strtol(v->text, &end, 10) : 0;
		if (n < 1 || n > TIMEOUT_MAX_S || *end)
			return cfgnode_error(name, v, reterr,
					     "timeout is a number of seconds from 1 to %d",
					     TIMEOUT_MAX_S);
		ret->timeout_s = (unsigned)n;
		return 0;
	}
	if (strcmp(k->text, "network") != 0)
		return cfgnode_error(
			name, k, reterr,
			"unknown key '%s': command, timeout and network can stand here", k->text);
	if (v->kind != CFG_TEXT || !v->plain ||
	    (strcmp(v->text, "true") != 0 && strcmp(v->text, "false") != 0))
		return cfgnode_error(name, v, reterr, "network is true or false");
	ret->network = v->text[0] == 't';
	return 0;
}

static int read_entry(const char *name, const struct cfgnode *k, const struct cfgnode *v,
		      struct config_regenerate *ret, struct err *reterr)
{
	int r = 0;

	if (v->kind != CFG_MAP)
		return read_command(name, v, &ret->command, reterr);
	for (size_t i = 0; r == 0 && i < v->n; i += 2)
		r = read_member(name, v->items[i], v->items[i + 1], ret, reterr);
	if (r == 0 && !ret->command)
		r = cfgnode_error(name, k, reterr, "'%s' has no command", k->text);
	return r;
}

int config_read_regenerate(const char *name, const struct cfgnode *v, struct config *c,
			   struct err *reterr)
{
	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map of file names here");
	for (size_t i = 0; i < v->n; i += 2) {
		const struct cfgnode *k = v->items[i];
		struct config_regenerate *more =
			sys.realloc(c->regenerate, (c->nregenerate + 1) * sizeof(*more));
		int r;

		if (!more)
			return -ENOMEM;
		c->regenerate = more;
		more += c->nregenerate++;
		*more = (struct config_regenerate){.name = sys_strdup(k->text),
						   .timeout_s = TIMEOUT_DEFAULT_S,
						   .network = true};
		if (!more->name)
			return -ENOMEM;
		if (!*k->text || *k->text == '/' || strpbrk(k->text, "\n\r\t"))
			return cfgnode_error(name, k, reterr, "'%s' is no file's name or path",
					     k->text);
		r = read_entry(name, k, v->items[i + 1], more, reterr);
		if (r < 0)
			return r;
	}
	return 0;
}

void config_regenerate_release(struct config *c)
{
	for (size_t i = 0; i < c->nregenerate; i++) {
		free(c->regenerate[i].name);
		free(c->regenerate[i].command);
	}
	free(c->regenerate);
	c->regenerate = NULL;
	c->nregenerate = 0;
}

void config_regenerate_each(const struct config *c, const char *repository,
			    void (*fn)(const struct config_regenerate *g, void *user), void *user)
{
	const struct config *part = config_part(c, repository);

	for (size_t i = 0; i < c->nregenerate; i++)
		fn(&c->regenerate[i], user);
	for (size_t i = 0; part && i < part->nregenerate; i++)
		fn(&part->regenerate[i], user);
}
