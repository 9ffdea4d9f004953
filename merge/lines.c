/* SPDX-License-Identifier: Apache-2.0 */
/* Lines and their differences; the comparison itself is libgit2's (xdiff). */
#include "lines.h"

#include <ctype.h>
#include <errno.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static const size_t diff_max = (size_t)1 << 30;

int lines_split(struct text t, struct lines *ret)
{
	size_t n = 0, i = 0;
	struct text *v;

	for (size_t at = 0; at < t.n; n++) {
		const char *end = memchr(t.p + at, '\n', t.n - at);

		at = end ? (size_t)(end - t.p) + 1 : t.n;
	}
	v = malloc((n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t at = 0; at < t.n; i++) {
		const char *end = memchr(t.p + at, '\n', t.n - at);
		size_t next = end ? (size_t)(end - t.p) + 1 : t.n;

		v[i] = (struct text){t.p + at, next - at};
		at = next;
	}
	*ret = (struct lines){v, n};
	return 0;
}

bool text_equal(struct text a, struct text b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static bool is_space(char c)
{
	return isspace((unsigned char)c);
}

bool text_equal_but_space(struct text a, struct text b)
{
	size_t i = 0, j = 0;

	for (;;) {
		while (i < a.n && is_space(a.p[i]))
			i++;
		while (j < b.n && is_space(b.p[j]))
			j++;
		if (i == a.n || j == b.n)
			return i == a.n && j == b.n;
		if (a.p[i++] != b.p[j++])
			return false;
	}
}

bool text_blank(struct text t)
{
	return text_trim(t).n == 0;
}

struct text text_trim(struct text t)
{
	while (t.n && is_space(t.p[0])) {
		t.p++;
		t.n--;
	}
	while (t.n && is_space(t.p[t.n - 1]))
		t.n--;
	return t;
}

/* The bytes of the sequence at `at`, 0 where none begins. */
static size_t utf8_at(struct text t, size_t at)
{
	const unsigned char *p = (const unsigned char *)t.p + at;
	size_t n = p[0] < 0x80	 ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	if (n > t.n - at)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))) ||
	    (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))))
		return 0;
	return n;
}

bool text_utf8(struct text t)
{
	for (size_t i = 0, n; i < t.n; i += n) {
		n = utf8_at(t, i);
		if (!n)
			return false;
	}
	return true;
}

bool text_is(struct text t, const char *word)
{
	return t.n == strlen(word) && memcmp(t.p, word, t.n) == 0;
}

bool text_starts(struct text t, const char *prefix)
{
	size_t n = strlen(prefix);

	return t.n >= n && memcmp(t.p, prefix, n) == 0;
}

struct collect {
	struct edits *out;
	size_t cap;
	int error;
};

/* A range without lines is told by the line before it. */
static size_t range_start(int start, int lines)
{
	return (size_t)(lines ? start - 1 : start);
}

static int on_hunk(const git_diff_delta *delta, const git_diff_hunk *h, void *user)
{
	struct collect *c = user;
	struct edit e;

	(void)delta;
	if (c->out->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 16;
		struct edit *v = realloc(c->out->v, cap * sizeof(*v));

		if (!v) {
			c->error = -ENOMEM;
			return -1;
		}
		c->out->v = v;
		c->cap = cap;
	}
	e.b0 = range_start(h->old_start, h->old_lines);
	e.b1 = e.b0 + (size_t)h->old_lines;
	e.s0 = range_start(h->new_start, h->new_lines);
	e.s1 = e.s0 + (size_t)h->new_lines;
	c->out->v[c->out->n++] = e;
	return 0;
}

int lines_diff(struct text base, struct text side, struct edits *ret)
{
	git_diff_options opts = GIT_DIFF_OPTIONS_INIT;
	struct edits out = {0};
	struct collect c = {.out = &out};
	int r;

	*ret = out;
	if (base.n >= diff_max || side.n >= diff_max)
		return -EFBIG;
	if (text_equal(base, side))
		return 0;
	opts.context_lines = 0;
	opts.interhunk_lines = 0;
	opts.flags = GIT_DIFF_FORCE_TEXT;
	r = git_diff_buffers(base.n ? base.p : "", base.n, NULL, side.n ? side.p : "", side.n, NULL,
			     &opts, NULL, NULL, on_hunk, NULL, &c);
	if (r < 0) {
		free(out.v);
		return c.error ? c.error : -ENOMEM;
	}
	*ret = out;
	return 0;
}
