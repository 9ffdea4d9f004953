/* SPDX-License-Identifier: Apache-2.0 */
/* `verify` in the configuration: {TARGET: {command: TEXT, timeout: SECONDS, network: BOOL, processes: N}, …}; the
 * target "*" is any that is not named. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "config_yaml.h"
#include "sys.h"

enum {
	TIMEOUT_DEFAULT_S = 600,
	TIMEOUT_MAX_S = 24 * 3600,
	COMMAND_MAX = 8192,
	PROCESSES_MIN = 16,
	PROCESSES_MAX = 32768
};

static int read_number(const struct cfgnode *v, long min, long max, unsigned *ret)
{
	char *end = NULL;
	long n = v->kind == CFG_TEXT ? strtol(v->text, &end, 10) : min - 1;

	if (n < min || n > max || *end)
		return -EINVAL;
	*ret = (unsigned)n;
	return 0;
}

static int read_timeout(const char *name, const struct cfgnode *v, unsigned *ret,
			struct err *reterr)
{
	if (read_number(v, 1, TIMEOUT_MAX_S, ret) == 0)
		return 0;
	return cfgnode_error(name, v, reterr, "timeout is a number of seconds from 1 to %d",
			     TIMEOUT_MAX_S);
}

static int read_processes(const char *name, const struct cfgnode *v, unsigned *ret,
			  struct err *reterr)
{
	if (read_number(v, PROCESSES_MIN, PROCESSES_MAX, ret) == 0)
		return 0;
	return cfgnode_error(name, v, reterr,
			     "processes is how many it may have, threads too, from %d to %d",
			     PROCESSES_MIN, PROCESSES_MAX);
}

static int read_network(const char *name, const struct cfgnode *v, bool *ret, struct err *reterr)
{
	if (v->kind != CFG_TEXT || !v->plain ||
	    (strcmp(v->text, "true") != 0 && strcmp(v->text, "false") != 0))
		return cfgnode_error(name, v, reterr, "network is true or false");
	*ret = v->text[0] == 't';
	return 0;
}

static int read_command(const char *name, const struct cfgnode *v, char **ret, struct err *reterr)
{
	if (v->kind != CFG_TEXT || !v->text[strspn(v->text, " \t\n")])
		return cfgnode_error(name, v, reterr,
				     "command is a shell command, in one text: \"make check\"");
	if (strlen(v->text) > COMMAND_MAX)
		return cfgnode_error(name, v, reterr, "a command has at most %d bytes",
				     COMMAND_MAX);
	*ret = sys_strdup(v->text);
	return *ret ? 0 : -ENOMEM;
}

static int read_entry(const char *name, const struct cfgnode *k, const struct cfgnode *v,
		      struct config_verify *ret, struct err *reterr)
{
	static const char *const keys[] = {"command", "timeout", "network", "processes"};
	int r = 0;

	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map with command here");
	for (size_t i = 0; r == 0 && i < v->n; i += 2) {
		const struct cfgnode *key = v->items[i], *n = v->items[i + 1];
		const char *near = config_nearest(key->text, keys, ARRAY_SIZE(keys));

		if (strcmp(key->text, "command") == 0)
			r = read_command(name, n, &ret->command, reterr);
		else if (strcmp(key->text, "timeout") == 0)
			r = read_timeout(name, n, &ret->timeout_s, reterr);
		else if (strcmp(key->text, "network") == 0)
			r = read_network(name, n, &ret->network, reterr);
		else if (strcmp(key->text, "processes") == 0)
			r = read_processes(name, n, &ret->processes, reterr);
		else
			r = cfgnode_error(name, key, reterr, "unknown key '%s'%s%s%s", key->text,
					  near ? " (did you mean '" : "", near ? near : "",
					  near ? "'?)" : "");
	}
	if (r == 0 && !ret->command)
		r = cfgnode_error(name, k, reterr, "verify of '%s' has no command", k->text);
	return r;
}

int config_read_verify(const char *name, const struct cfgnode *v, struct config *c,
		       struct err *reterr)
{
	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map of target branches here");
	for (size_t i = 0; i < v->n; i += 2) {
		const struct cfgnode *k = v->items[i];
		struct config_verify *more;
		int r;

		if (strcmp(k->text, "*") != 0 && !config_is_ref(k->text))
			return cfgnode_error(name, k, reterr, "'%s' is no branch name, nor '*'",
					     k->text);
		more = sys.realloc(c->verify, (c->nverify + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->verify = more;
		more += c->nverify++;
		*more = (struct config_verify){.target = sys_strdup(k->text),
					       .timeout_s = TIMEOUT_DEFAULT_S,
					       .processes = CONFIG_PROCESSES};
		if (!more->target)
			return -ENOMEM;
		r = read_entry(name, k, v->items[i + 1], more, reterr);
		if (r < 0)
			return r;
	}
	return 0;
}

void config_verify_release(struct config *c)
{
	for (size_t i = 0; i < c->nverify; i++) {
		free(c->verify[i].target);
		free(c->verify[i].command);
	}
	free(c->verify);
	c->verify = NULL;
	c->nverify = 0;
}

static const struct config_verify *find(const struct config *c, const char *target)
{
	const struct config_verify *any = NULL;

	for (size_t i = 0; c && i < c->nverify; i++) {
		if (strcmp(c->verify[i].target, target) == 0)
			return &c->verify[i];
		if (strcmp(c->verify[i].target, "*") == 0)
			any = &c->verify[i];
	}
	return any;
}

const struct config_verify *config_verify_find(const struct config *c, const char *repository,
					       const char *target)
{
	const struct config_verify *v = find(config_part(c, repository), target);

	return v ? v : find(c, target);
}
