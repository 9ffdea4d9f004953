/* SPDX-License-Identifier: Apache-2.0 */
/* `merge` in the configuration: {cost-of-wrong: N}. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "config_yaml.h"

enum { COST_DEFAULT = 5, COST_MAX = 1000 };

int config_read_merge(const char *name, const struct cfgnode *v, unsigned int *ret_cost_of_wrong,
		      struct err *reterr)
{
	static const char *const keys[] = {"cost-of-wrong"};

	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map with cost-of-wrong here");
	for (size_t i = 0; i < v->n; i += 2) {
		const struct cfgnode *k = v->items[i], *n = v->items[i + 1];
		const char *near = config_nearest(k->text, keys, ARRAY_SIZE(keys));
		char *end = NULL;
		long cost;

		if (strcmp(k->text, "resolvers") == 0)
			return cfgnode_error(name, k, reterr,
					     "'resolvers' is not supported by this version");
		if (strcmp(k->text, keys[0]) != 0)
			return cfgnode_error(name, k, reterr, "unknown key '%s'%s%s%s", k->text,
					     near ? " (did you mean '" : "", near ? near : "",
					     near ? "'?)" : "");
		cost = n->kind == CFG_TEXT ? strtol(n->text, &end, 10) : 0;
		if (cost < 1 || cost > COST_MAX || *end)
			return cfgnode_error(name, n, reterr,
					     "cost-of-wrong is a number from 1 to %d: how many "
					     "conflicts left to a person a wrong merge is worth",
					     COST_MAX);
		*ret_cost_of_wrong = (unsigned int)cost;
	}
	return 0;
}

unsigned int config_cost_of_wrong(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	if (part && part->cost_of_wrong)
		return part->cost_of_wrong;
	return c->cost_of_wrong ? c->cost_of_wrong : COST_DEFAULT;
}
