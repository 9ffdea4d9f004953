/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas in the configuration: a map of `bytes` (a number, or one with K, M, G or T behind it: powers of
 * 1024) and `nodes` (a number). "none" and 0 are no limit, also where a lower layer has one.
 */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "config_yaml.h"

/* -EINVAL: it is no such number. */
static int parse_amount(const char *s, bool units, uint64_t *ret)
{
	static const char letters[] = "KMGT";
	uint64_t v = 0;
	const char *u;

	if (strcmp(s, "none") == 0) {
		*ret = 0;
		return 0;
	}
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -EINVAL;
	if (*s) {
		u = units ? strchr(letters, *s) : NULL;
		if (!u || s[1] ||
		    __builtin_mul_overflow(v, UINT64_C(1024) << 10 * (u - letters), &v))
			return -EINVAL;
	}
	*ret = v;
	return v > INT64_MAX ? -EINVAL : 0;
}

static int read_amount(const char *name, const struct cfgnode *v, bool units, bool *ret_has,
		       uint64_t *ret, struct err *reterr)
{
	if (v->kind != CFG_TEXT || parse_amount(v->text, units, ret) < 0)
		return cfgnode_error(name, v, reterr, "%s, or none, is expected here%s%s%s",
				     units ? "a number of bytes such as 10G" : "a number",
				     v->kind == CFG_TEXT ? ", not '" : "",
				     v->kind == CFG_TEXT ? v->text : "",
				     v->kind == CFG_TEXT ? "'" : "");
	*ret_has = true;
	return 0;
}

int config_read_quota(const char *name, const struct cfgnode *v, struct config_quota *ret,
		      struct err *reterr)
{
	static const char *const keys[] = {"bytes", "nodes"};
	int r = 0;

	if (v->kind != CFG_MAP)
		return cfgnode_error(name, v, reterr, "expected a map of bytes and nodes here");
	for (size_t i = 0; r == 0 && i < v->n; i += 2) {
		const char *key = v->items[i]->text, *near;

		if (strcmp(key, "bytes") == 0) {
			r = read_amount(name, v->items[i + 1], true, &ret->has_bytes, &ret->bytes,
					reterr);
		} else if (strcmp(key, "nodes") == 0) {
			r = read_amount(name, v->items[i + 1], false, &ret->has_nodes, &ret->nodes,
					reterr);
		} else {
			near = config_nearest(key, keys, ARRAY_SIZE(keys));
			r = cfgnode_error(name, v->items[i], reterr, "unknown key '%s'%s%s%s", key,
					  near ? " (did you mean '" : "", near ? near : "",
					  near ? "'?)" : "");
		}
	}
	return r;
}

struct config_quota config_quota_pick(const struct config_quota *const *layers, size_t n)
{
	struct config_quota q = {0};

	for (size_t i = 0; i < n; i++) {
		if (layers[i] && layers[i]->has_bytes && !q.has_bytes) {
			q.has_bytes = true;
			q.bytes = layers[i]->bytes;
		}
		if (layers[i] && layers[i]->has_nodes && !q.has_nodes) {
			q.has_nodes = true;
			q.nodes = layers[i]->nodes;
		}
	}
	return q;
}
