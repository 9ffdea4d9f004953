/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalized, a text is its lines without the white space around them, each run of it inside as one
 * space, blank lines left out. The key is the SHA-1 of three of them, each behind its length: the base's,
 * then the sides', the lesser first.
 */
#include "hunk_key.h"

#include <errno.h>
#include <git2.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"

static bool space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static int normalize(struct text t, struct buf *out)
{
	bool gap = false, begun = false;
	int r = 0;

	for (size_t i = 0; i < t.n && r == 0; i++) {
		char c = t.p[i];

		if (c == '\n') {
			r = begun ? buf_addc(out, c) : 0;
			gap = begun = false;
		} else if (space(c)) {
			gap = true;
		} else {
			if (gap && begun)
				r = buf_addc(out, ' ');
			if (r == 0)
				r = buf_addc(out, c);
			gap = false;
			begun = true;
		}
	}
	return r == 0 && begun ? buf_addc(out, '\n') : r;
}

static int compare(const struct buf *a, const struct buf *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int k = n ? memcmp(a->data, b->data, n) : 0;

	return k ? k : a->len < b->len ? -1 : a->len > b->len;
}

static int put(struct buf *all, const struct buf *one)
{
	int r = buf_addf(all, "%zu\n", one->len);

	return r == 0 ? buf_add(all, one->len ? one->data : "", one->len) : r;
}

int hunk_key(struct text base, struct text ours, struct text theirs, char ret[HUNK_KEY_SIZE])
{
	_cleanup_buf_ struct buf b = BUF_INIT, o = BUF_INIT, t = BUF_INIT, all = BUF_INIT;
	git_oid id;
	int r = normalize(base, &b);

	if (r == 0)
		r = normalize(ours, &o);
	if (r == 0)
		r = normalize(theirs, &t);
	if (r == 0)
		r = put(&all, &b);
	if (r == 0)
		r = put(&all, compare(&o, &t) <= 0 ? &o : &t);
	if (r == 0)
		r = put(&all, compare(&o, &t) <= 0 ? &t : &o);
	if (r == 0 && git_odb_hash(&id, all.data, all.len, GIT_OBJECT_BLOB) < 0)
		r = -ENOMEM;
	if (r == 0)
		(void)git_oid_tostr(ret, HUNK_KEY_SIZE, &id);
	return r;
}

/* Takes the white space at the next line's begin that is no blank one; false at the end. */
static bool next_indent(struct text *t, struct text *ret)
{
	while (t->n) {
		const char *nl = memchr(t->p, '\n', t->n);
		size_t n = nl ? (size_t)(nl - t->p) + 1 : t->n, i = 0;

		while (i < n && (space(t->p[i]) || t->p[i] == '\n'))
			i++;
		*ret = (struct text){t->p, i};
		t->p += n;
		t->n -= n;
		if (i < n)
			return true;
	}
	return false;
}

bool hunk_same_indent(struct text a, struct text b)
{
	struct text x, y;

	while (next_indent(&a, &x))
		if (!next_indent(&b, &y) || !text_equal(x, y))
			return false;
	return !next_indent(&b, &y);
}

static bool same(const struct buf *a, const struct buf *b)
{
	return compare(a, b) == 0;
}

/* a behind b is t. */
static bool joined(const struct buf *a, const struct buf *b, const struct buf *t)
{
	return t->len == a->len + b->len && (!a->len || !memcmp(t->data, a->data, a->len)) &&
	       (!b->len || !memcmp(t->data + a->len, b->data, b->len));
}

static bool line_of(const struct buf *b, const char *line, size_t n)
{
	for (size_t at = 0, m; at < b->len; at += m) {
		m = (size_t)((char *)memchr(b->data + at, '\n', b->len - at) - b->data) + 1 - at;
		if (m == n && memcmp(b->data + at, line, n) == 0)
			return true;
	}
	return false;
}

static bool all_known(const struct buf *v, const struct buf *t)
{
	for (size_t at = 0, n; at < t->len; at += n) {
		const char *p = t->data + at;

		n = (size_t)((const char *)memchr(p, '\n', t->len - at) - p) + 1;
		if (!line_of(&v[0], p, n) && !line_of(&v[1], p, n) && !line_of(&v[2], p, n))
			return false;
	}
	return true;
}

static const char *class_of(const struct buf *v, const struct buf *t)
{
	if (!t->len)
		return "none";
	if (same(&v[1], t))
		return "ours";
	if (same(&v[2], t))
		return "theirs";
	if (same(&v[0], t))
		return "base";
	if (joined(&v[1], &v[2], t) || joined(&v[2], &v[1], t))
		return "both";
	return all_known(v, t) ? "mix" : "new";
}

const char *hunk_class(struct text base, struct text ours, struct text theirs, struct text text)
{
	struct buf v[] = {BUF_INIT, BUF_INIT, BUF_INIT, BUF_INIT};
	const struct text t[] = {base, ours, theirs, text};
	const char *class = NULL;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(v) && r == 0; i++)
		r = normalize(t[i], &v[i]);
	if (r == 0)
		class = class_of(v, &v[3]);
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		buf_release(&v[i]);
	return class;
}
