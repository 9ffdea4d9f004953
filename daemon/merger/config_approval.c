/* SPDX-License-Identifier: Apache-2.0 */
/* `merge: {approval: true}`: a merge lands only when it was approved. */
#include <errno.h>
#include <string.h>

#include "config_parts.h"
#include "config_yaml.h"

int config_read_approval(const char *name, const struct cfgnode *v, struct config *c,
			 struct err *reterr)
{
	bool on = v->kind == CFG_TEXT && strcmp(v->text, "true") == 0;

	if (!on && (v->kind != CFG_TEXT || strcmp(v->text, "false") != 0))
		return cfgnode_error(name, v, reterr,
				     "approval is true or false: does a merge land only when it "
				     "was approved?");
	c->merge_approval = on ? CONFIG_TRUE : CONFIG_FALSE;
	return 0;
}

bool config_merge_approval(const struct config *c, const char *repository)
{
	const struct config *part = config_part(c, repository);

	if (part && part->merge_approval != CONFIG_TRUTH_UNSET)
		return part->merge_approval == CONFIG_TRUE;
	return c->merge_approval == CONFIG_TRUE;
}
