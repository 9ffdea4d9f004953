/* SPDX-License-Identifier: Apache-2.0 */
/* `radar` in the configuration: {every: SECONDS}. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_parts.h"
#include "config_yaml.h"

enum { EVERY_DEFAULT = 10, EVERY_MAX = 86400 };

int config_read_radar(const char *name, const struct cfgnode *v, unsigned int *ret_every,
		      struct err *reterr)
{
	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map with every here");
	for (size_t i = 0; i < v->n; i += 2) {
		const struct cfgnode *k = v->items[i], *n = v->items[i + 1];
		char *end = NULL;
		long every;

		if (strcmp(k->text, "every") != 0)
			return cfgnode_error(name, k, reterr, "unknown key '%s' (there is: every)",
					     k->text);
		every = n->kind == CFG_TEXT && *n->text ? strtol(n->text, &end, 10) : -1;
		if (every < 0 || every > EVERY_MAX || *end)
			return cfgnode_error(
				name, n, reterr,
				"every is how many seconds apart open views are compared, from 1 to "
				"%d, or 0: only when asked",
				EVERY_MAX);
		*ret_every = (unsigned int)every + 1;
	}
	return 0;
}

unsigned int config_radar_every(const struct config *c)
{
	return c->radar_every ? c->radar_every - 1 : EVERY_DEFAULT;
}
