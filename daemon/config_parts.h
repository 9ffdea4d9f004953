/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "config.h"

/* What the files of the configuration share; nobody else includes this. */

/* Appends copies. Errors: -ENOMEM. */
int config_list_add(struct config_list *l, const char *text, const char *origin);
void config_list_release(struct config_list *l);

/* Reads a map of quotas; `name` is what errors call the file. Errors: -EINVAL with a sentence. */
struct cfgnode;
int config_read_quota(const char *name, const struct cfgnode *v, struct config_quota *ret,
		      struct err *reterr);

/* Can a role's `may` name it? If not, *ret_near is what may have been meant, or NULL. */
bool config_is_method(const char *word, const char **ret_near);

/* Reads the map `merge`. Errors: -EINVAL with a sentence. */
int config_read_merge(const char *name, const struct cfgnode *v, struct config *c,
		      struct err *reterr);

/* Reads the map `radar`. Errors: -EINVAL with a sentence. */
int config_read_radar(const char *name, const struct cfgnode *v, unsigned int *ret_every,
		      struct err *reterr);

/* Reads the map `regenerate` of `merge` into c; and forgets it. Errors: -EINVAL with a sentence, -ENOMEM. */
int config_read_regenerate(const char *name, const struct cfgnode *v, struct config *c,
			   struct err *reterr);
void config_regenerate_release(struct config *c);

/* Reads the map `verify` into c; and forgets it. Errors: -EINVAL with a sentence, -ENOMEM. */
int config_read_verify(const char *name, const struct cfgnode *v, struct config *c,
		       struct err *reterr);
void config_verify_release(struct config *c);

/* Its key `approval` (config_approval.c). */
int config_read_approval(const char *name, const struct cfgnode *v, struct config *c,
			 struct err *reterr);

/* Reads the keys `resolvers`, `budget` and `reimagine` of `merge` (config_resolvers.c). Errors: the same. */
int config_read_resolvers(const char *name, const struct cfgnode *v, struct config_ai *ai,
			  struct err *reterr);
int config_read_budget(const char *name, const struct cfgnode *v, struct config_ai *ai,
		       struct err *reterr);
int config_read_reimagine(const char *name, const struct cfgnode *v, struct config_ai *ai,
			  struct err *reterr);
void config_resolver_release(struct config_resolver *c);

/* What holds for a role: its own quota, then the repository's, then everybody's; the repository's part
 * before the top. Any may be NULL. */
struct config_quota config_quota_pick(const struct config_quota *const *layers, size_t n);

/* The entry of that name, added empty where it is missing. Errors: -ENOMEM. */
int config_role_get(struct config *c, const char *name, struct config_role **ret);
int config_department_get(struct config *c, const char *name, struct config_department **ret);

const struct config_role *config_role_find(const struct config *c, const char *name);
const struct config_department *config_department_find(const struct config *c, const char *name);

/* The part for a repository, or NULL. */
const struct config *config_part(const struct config *c, const char *repository);

/* The word of the list that is nearest to a misspelt one, or NULL where none is near. */
const char *config_nearest(const char *word, const char *const *words, size_t n);

/* Is it a valid branch name, by git's rules? */
bool config_is_ref(const char *name);
