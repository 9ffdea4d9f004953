/* SPDX-License-Identifier: Apache-2.0 */
/* `merge` in the configuration: {cost-of-wrong: N, regenerate: {…}}. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "config_yaml.h"

enum { COST_DEFAULT = 5, COST_VERIFIED_DEFAULT = 2, COST_MAX = 1000 };

static int read_cost(const char *name, const struct cfgnode *v, struct config *c,
		     struct err *reterr)
{
	char *end = NULL;
	long cost = v->kind == CFG_TEXT ? strtol(v->text, &end, 10) : 0;

	if (cost < 1 || cost > COST_MAX || *end)
		return cfgnode_error(name, v, reterr,
				     "cost-of-wrong is a number from 1 to %d: how many "
				     "conflicts left to a person a wrong merge is worth",
				     COST_MAX);
	c->cost_of_wrong = (unsigned int)cost;
	return 0;
}

int config_read_merge(const char *name, const struct cfgnode *v, struct config *c,
		      struct err *reterr)
{
	static const char *const keys[] = {"cost-of-wrong", "regenerate", "approval"};
	int r = 0;

	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map with cost-of-wrong here");
	for (size_t i = 0; i < v->n && r == 0; i += 2) {
		const struct cfgnode *k = v->items[i], *n = v->items[i + 1];
		const char *near = config_nearest(k->text, keys, ARRAY_SIZE(keys));

		if (strcmp(k->text, "resolvers") == 0)
			return cfgnode_error(name, k, reterr,
					     "'resolvers' is not supported by this version");
		if (strcmp(k->text, keys[0]) == 0)
			r = read_cost(name, n, c, reterr);
		else if (strcmp(k->text, keys[1]) == 0)
			r = config_read_regenerate(name, n, c, reterr);
		else if (strcmp(k->text, "approval") == 0)
			r = config_read_approval(name, n, c, reterr);
		else
			r = cfgnode_error(name, k, reterr, "unknown key '%s'%s%s%s", k->text,
					  near ? " (did you mean '" : "", near ? near : "",
					  near ? "'?)" : "");
	}
	return r;
}

unsigned int config_cost_of_wrong(const struct config *c, const char *repository, bool verified)
{
	const struct config *part = config_part(c, repository);

	if (part && part->cost_of_wrong)
		return part->cost_of_wrong;
	if (c->cost_of_wrong)
		return c->cost_of_wrong;
	return verified ? COST_VERIFIED_DEFAULT : COST_DEFAULT;
}
