/* SPDX-License-Identifier: Apache-2.0 */
#include "config_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "config_parts.h"
#include "policy_pattern.h"
#include "sys.h"

enum { KEYS_MAX = 32 };

static const struct key *find_key(const struct key *keys, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static int unknown_key(struct reader *rd, const struct cfgnode *k, const struct key *keys, size_t n)
{
	const char *words[KEYS_MAX], *near;

	for (size_t i = 0; i < n && i < KEYS_MAX; i++)
		words[i] = keys[i].name;
	near = config_nearest(k->text, words, n < KEYS_MAX ? n : KEYS_MAX);
	if (near)
		return FAIL(rd, k, "unknown key '%s' (did you mean '%s'?)", k->text, near);
	return FAIL(rd, k, "unknown key '%s'", k->text);
}

int reader_kind(struct reader *rd, const struct cfgnode *v, enum cfgnode_kind kind)
{
	static const char *const kinds[] = {"text", "a list", "a map of keys"};

	if (v->kind == kind)
		return 0;
	return FAIL(rd, v, "expected %s here, not %s", kinds[kind], kinds[v->kind]);
}

int reader_map(struct reader *rd, const struct cfgnode *v, const struct key *keys, size_t n,
	       void *target)
{
	int r = reader_kind(rd, v, CFG_MAP);

	if (r < 0)
		return r;
	for (size_t i = 0; i < v->n; i += 2) {
		const struct key *k = find_key(keys, n, v->items[i]->text);

		if (!k)
			return unknown_key(rd, v->items[i], keys, n);
		if (!k->read)
			return FAIL(rd, v->items[i], "'%s' is not supported by this version",
				    k->name);
	}
	for (size_t j = 0; j < n; j++)
		for (size_t i = 0; r == 0 && i < v->n; i += 2)
			if (strcmp(v->items[i]->text, keys[j].name) == 0)
				r = keys[j].read(rd, v->items[i + 1], target);
	return r;
}

int reader_text(struct reader *rd, const struct cfgnode *v)
{
	int r = reader_kind(rd, v, CFG_TEXT);

	if (r < 0)
		return r;
	if (!*v->text || (v->plain && (strcmp(v->text, "~") == 0 || strcmp(v->text, "null") == 0)))
		return FAIL(rd, v, "a value is missing");
	for (const char *s = v->text; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return FAIL(rd, v, "control bytes are not allowed in '%s'", v->text);
	return 0;
}

int reader_set(char **field, const char *text)
{
	char *copy = sys_strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

int reader_pattern(struct reader *rd, const struct cfgnode *v)
{
	struct pattern *p = NULL;
	const char *why = "";
	int r = pattern_compile(v->text, &p, &why);

	pattern_free(p);
	return r == -EINVAL ? FAIL(rd, v, "pattern '%s': %s", v->text, why) : r;
}

/* "agentfs.yaml:12", without the folder, and without bytes that a policy's text would not take. */
static char *make_origin(struct reader *rd, const struct cfgnode *v)
{
	const char *slash = strrchr(rd->name, '/');
	struct buf b = BUF_INIT;

	if (buf_addf(&b, "%s:%u", slash ? slash + 1 : rd->name, v->line) < 0)
		return NULL;
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)b.data[i] < 0x20 || b.data[i] == 0x7f)
			b.data[i] = '?';
	return b.data;
}

int reader_list(struct reader *rd, const struct cfgnode *v, struct config_list *l,
		reader_check check)
{
	struct config_list out = {.set = true};
	int r = reader_kind(rd, v, CFG_LIST);

	for (size_t i = 0; r == 0 && i < v->n; i++) {
		_cleanup_free_ char *origin = NULL;

		r = reader_text(rd, v->items[i]);
		if (r == 0)
			r = check(rd, v->items[i]);
		if (r < 0)
			break;
		origin = make_origin(rd, v->items[i]);
		r = origin ? config_list_add(&out, v->items[i]->text, origin) : -ENOMEM;
	}
	if (r < 0) {
		config_list_release(&out);
		return r;
	}
	config_list_release(l);
	*l = out;
	return 0;
}
