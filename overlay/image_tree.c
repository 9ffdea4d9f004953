/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads git's tree objects.
 *
 * A tree is a row of entries: mode in octal, ' ', name, NUL, 20 bytes id; in git's order, where
 * folders sort as if their names ended in '/'.
 *
 * Guarantee: what comes out is what git would check out: one of five modes (0100664, written before
 * 2005, counts as 0100644 as in read-tree); names of 1 to 255 bytes without '/', none of them ".",
 * ".." or ".git" in any case; no name twice. Anything else is an error that names the tree.
 * Names in messages are quoted: they may hold control sequences.
 */
#include "image_tree.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sys.h"

struct oid_hex oid_hex(const uint8_t *oid)
{
	struct oid_hex h;

	for (int i = 0; i < TREE_OID_SIZE; i++)
		(void)snprintf(h.s + 2 * i, 3, "%02x", oid[i]);
	return h;
}

struct quoted_name quote_name(const char *name, size_t len)
{
	struct quoted_name q = {""};
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (n + 8 > sizeof(q.s)) {
			(void)strcpy(q.s + n, "...");
			break;
		}
		if (c < ' ' || c == 0x7f)
			n += (size_t)snprintf(q.s + n, 5, "\\%03o", c);
		else
			q.s[n++] = (char)c;
	}
	return q;
}

void tree_entries_release(struct tree_entries *es)
{
	free(es->v);
	*es = (struct tree_entries){0};
}

static int bad_tree(const uint8_t *tree, struct err *reterr, const char *why)
{
	return err_set(reterr, -EBADMSG, "tree %s is malformed: %s", oid_hex(tree).s, why);
}

/* Octal digits up to a space; git's modes have 5 or 6, older writers padded with a 0. */
static const char *parse_mode(const char *p, const char *end, uint16_t *ret)
{
	uint32_t mode = 0;
	int digits = 0;

	for (; p < end && *p >= '0' && *p <= '7' && digits < 7; p++, digits++)
		mode = mode * 8 + (uint32_t)(*p - '0');
	if (digits == 0 || p == end || *p != ' ' || mode > 0177777)
		return NULL;
	/* Written by git before 2005; read-tree makes the same of it. */
	*ret = mode == 0100664 ? 0100644 : (uint16_t)mode;
	return p + 1;
}

static bool mode_known(uint16_t mode)
{
	return mode == 0040000 || mode == 0100644 || mode == 0100755 || mode == 0120000 ||
	       mode == 0160000;
}

static bool name_allowed(const char *s, size_t len)
{
	if (len == 0 || memchr(s, '/', len))
		return false;
	if (s[0] == '.' && (len == 1 || (len == 2 && s[1] == '.')))
		return false;
	return !(len == 4 && strncasecmp(s, ".git", 4) == 0);
}

static int check_entry(const uint8_t *tree, const struct tree_entry *e, struct err *reterr)
{
	if (!mode_known(e->mode))
		return err_set(reterr, -EBADMSG, "tree %s: '%s' has the unknown mode %o",
			       oid_hex(tree).s, quote_name(e->name, e->len).s, e->mode);
	if (!name_allowed(e->name, e->len))
		return err_set(reterr, -EBADMSG, "tree %s: the name '%s' is not allowed",
			       oid_hex(tree).s, quote_name(e->name, e->len).s);
	if (e->len > TREE_NAME_MAX)
		return err_set(reterr, -ENAMETOOLONG,
			       "tree %s: the name '%s' is longer than %d bytes", oid_hex(tree).s,
			       quote_name(e->name, e->len).s, TREE_NAME_MAX);
	return 0;
}

static int entries_add(struct tree_entries *es, const struct tree_entry *e)
{
	if (es->n == es->cap) {
		size_t cap = es->cap ? es->cap * 2 : 64;
		void *p = sys.realloc(es->v, cap * sizeof(*es->v));

		if (!p)
			return -ENOMEM;
		es->v = p;
		es->cap = cap;
	}
	es->v[es->n++] = *e;
	return 0;
}

static int parse(const uint8_t *tree, const char *p, size_t len, struct tree_entries *es,
		 struct err *reterr)
{
	const char *end = p + len;

	while (p < end) {
		struct tree_entry e = {0};
		const char *nul;
		int r;

		p = parse_mode(p, end, &e.mode);
		if (!p)
			return bad_tree(tree, reterr, "a mode is no octal number");
		nul = memchr(p, '\0', (size_t)(end - p));
		if (!nul || end - nul <= TREE_OID_SIZE)
			return bad_tree(tree, reterr, "its last entry is cut off");
		e.name = p;
		e.len = (size_t)(nul - p);
		e.oid = (const uint8_t *)nul + 1;
		p = nul + 1 + TREE_OID_SIZE;
		r = check_entry(tree, &e, reterr);
		if (r < 0)
			return r;
		if (entries_add(es, &e) < 0)
			return err_set(reterr, -ENOMEM, "tree %s: out of memory", oid_hex(tree).s);
	}
	return 0;
}

static int compare_entries(const void *pa, const void *pb)
{
	const struct tree_entry *a = pa, *b = pb;
	int c = memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);

	if (c != 0)
		return c;
	return (a->len > b->len) - (a->len < b->len);
}

/* git's order differs from ours only where a folder's name is another's beginning. */
static int sort_entries(const uint8_t *tree, struct tree_entries *es, struct err *reterr)
{
	bool sorted = true;

	for (size_t i = 1; i < es->n && sorted; i++)
		sorted = compare_entries(&es->v[i - 1], &es->v[i]) < 0;
	if (sorted)
		return 0;
	qsort(es->v, es->n, sizeof(*es->v), compare_entries);
	for (size_t i = 1; i < es->n; i++)
		if (compare_entries(&es->v[i - 1], &es->v[i]) == 0)
			return err_set(reterr, -EBADMSG, "tree %s: the name '%s' stands twice",
				       oid_hex(tree).s, quote_name(es->v[i].name, es->v[i].len).s);
	return 0;
}

int tree_parse(const uint8_t *tree, const void *bytes, size_t len, struct tree_entries *es,
	       struct err *reterr)
{
	int r = parse(tree, bytes, len, es, reterr);

	return r < 0 ? r : sort_entries(tree, es, reterr);
}
