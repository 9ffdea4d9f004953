/* SPDX-License-Identifier: Apache-2.0 */
/* `merge` in the configuration: {cost-of-wrong: N, resolvers: […], budget: {…}, reimagine: true, regenerate: {…}}. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "config_yaml.h"

enum { COST_DEFAULT = 5, COST_VERIFIED_DEFAULT = 2, COST_MAX = 1000 };

/* Where the configuration says nothing. */
static const struct config_budget merge_default = {.calls = 40, .seconds = 600, .tokens = 500000},
				  day_default = {.calls = 400, .seconds = 7200, .tokens = 5000000};

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
	static const char *const keys[] = {"cost-of-wrong", "resolvers",  "budget",
					   "reimagine",	    "regenerate", "approval"};
	int r = 0;

	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map with cost-of-wrong here");
	for (size_t i = 0; i < v->n && r == 0; i += 2) {
		const struct cfgnode *k = v->items[i], *n = v->items[i + 1];
		const char *near = config_nearest(k->text, keys, ARRAY_SIZE(keys));

		if (strcmp(k->text, keys[0]) == 0)
			r = read_cost(name, n, c, reterr);
		else if (strcmp(k->text, keys[1]) == 0)
			r = config_read_resolvers(name, n, &c->ai, reterr);
		else if (strcmp(k->text, keys[2]) == 0)
			r = config_read_budget(name, n, &c->ai, reterr);
		else if (strcmp(k->text, keys[3]) == 0)
			r = config_read_reimagine(name, n, &c->ai, reterr);
		else if (strcmp(k->text, keys[4]) == 0)
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

static void lay_over(struct config_budget *b, const struct config_budget *over)
{
	b->calls = over->calls ? over->calls : b->calls;
	b->seconds = over->seconds ? over->seconds : b->seconds;
	b->tokens = over->tokens ? over->tokens : b->tokens;
}

struct config_ai config_ai(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);
	struct config_ai ai = c->ai;

	ai.merge = merge_default;
	ai.day = day_default;
	for (const struct config *at = c; at; at = at == c ? part : NULL) {
		lay_over(&ai.merge, &at->ai.merge);
		lay_over(&ai.day, &at->ai.day);
	}
	if (part && part->ai.has_resolvers) {
		ai.resolvers = part->ai.resolvers;
		ai.nresolvers = part->ai.nresolvers;
	}
	if (part && part->ai.reimagine != CONFIG_UNSET)
		ai.reimagine = part->ai.reimagine;
	return ai;
}
