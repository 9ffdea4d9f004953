/* SPDX-License-Identifier: Apache-2.0 */
#include "hunk_words.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "token.h"

void words_release(struct words w[SIDES])
{
	for (int s = BASE; s < SIDES; s++) {
		free(w[s].v);
		free(w[s].edits.v);
		buf_release(&w[s].lines);
	}
}

/* `mark` keeps apart what would look alike; a line end is written as its mark alone. */
static int put_word(struct words *w, struct text word, const char *mark)
{
	int r;

	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 64;
		struct text *v = realloc(w->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->n++] = word;
	r = buf_adds(&w->lines, mark);
	if (r == 0 && !(word.n && word.p[0] == '\n'))
		r = buf_add(&w->lines, word.p, word.n);
	return r < 0 ? r : buf_addc(&w->lines, '\n');
}

enum { LINE_MAX_LEN = 500 }; /* of lines that are looked at as a whole */

static bool holds(struct text line, const char *word)
{
	return line.p && memmem(line.p, line.n, word, strlen(word));
}

/* "(3, 1, 0, 'rc1')" where the line is about a version: its length, or 0. */
static size_t tuple_at(struct text line, size_t at)
{
	size_t commas = 0, i = at + 1;

	if (line.n > LINE_MAX_LEN || line.p[at] != '(')
		return 0;
	for (; i < line.n && line.p[i] != ')'; i++) {
		if (!isalnum((unsigned char)line.p[i]) && !memchr(", '\"", line.p[i], 4))
			return 0;
		commas += line.p[i] == ',';
	}
	if (i == line.n || !commas || (!holds(line, "VERSION") && !holds(line, "ersion")))
		return 0;
	return i + 1 - at;
}

/* The next word, from what is no white space. */
static struct text next_word(struct text line, size_t *at)
{
	size_t v = line.p[*at] == 'v' && *at + 1 < line.n && version_at(line, *at + 1) ? 1 : 0;
	size_t n = version_at(line, *at + v);
	struct text word = {line.p + *at, n + v};
	enum token_kind kind;

	if (!n)
		word.n = n = tuple_at(line, *at);
	if (n)
		*at += word.n;
	else
		(void)token_next(line, at, &word, &kind);
	return word;
}

static bool space(char c)
{
	return isspace((unsigned char)c);
}

static int read_line(struct text line, unsigned int flags, struct words *w)
{
	struct text bare = text_trim(line);
	size_t at = 0;
	int r = 0;

	if (!bare.n && !(flags & WORDS_SPACE))
		return 0;
	if (flags & WORDS_INDENT)
		r = put_word(w, (struct text){line.p, (size_t)(bare.p - line.p)}, ">");
	while (at < line.n && r == 0 && w->n <= WORDS_MAX) {
		size_t from = at;

		while (at < line.n && space(line.p[at]) && line.p[at] != '\n')
			at++;
		if (at > from && (flags & WORDS_SPACE))
			r = put_word(w, (struct text){line.p + from, at - from}, "");
		if (at == line.n || r < 0)
			break;
		if (line.p[at] != '\n')
			r = put_word(w, next_word(line, &at), "");
		else if (at++, flags & WORDS_SPACE)
			r = put_word(w, (struct text){line.p + at - 1, 1}, "end\t");
	}
	return r;
}

static struct text as_text(const struct words *w)
{
	return (struct text){w->lines.len ? w->lines.data : "", w->lines.len};
}

int words_read(const struct conflict *c, unsigned int flags, struct words ret[SIDES])
{
	int r = 0;

	for (int s = BASE; s < SIDES; s++)
		for (size_t i = 0; i < c->lines[s].n && r == 0; i++)
			r = read_line(c->lines[s].v[i], flags, &ret[s]);
	for (int s = OURS; s < SIDES && r == 0; s++) {
		if (ret[BASE].n + ret[s].n > WORDS_MAX)
			return 0;
		r = lines_diff(as_text(&ret[BASE]), as_text(&ret[s]), &ret[s].edits);
	}
	return r < 0 ? r : 1;
}

static struct text without_v(struct text word)
{
	return word.n > 1 && word.p[0] == 'v' ? (struct text){word.p + 1, word.n - 1} : word;
}

bool word_is_version(struct text word)
{
	word = without_v(word);
	return word.n > 1 && (word.p[0] == '(' || version_at(word, 0) == word.n);
}

/* The numbers of two tuples, one by one. */
static bool tuple_greater(struct text a, struct text b)
{
	const char *p = a.p, *q = b.p, *pe = a.p + a.n, *qe = b.p + b.n;

	for (;;) {
		unsigned long x = 0, y = 0;

		while (p < pe && !isalnum((unsigned char)*p))
			p++;
		while (q < qe && !isalnum((unsigned char)*q))
			q++;
		if (p == pe || q == qe || !isdigit((unsigned char)*p) ||
		    !isdigit((unsigned char)*q))
			return false;
		for (; p < pe && isdigit((unsigned char)*p); p++)
			x = x * 10 + (unsigned long)(*p - '0');
		for (; q < qe && isdigit((unsigned char)*q); q++)
			y = y * 10 + (unsigned long)(*q - '0');
		if (x != y)
			return x > y;
	}
}

bool word_greater(struct text a, struct text b)
{
	if (!word_is_version(a) || !word_is_version(b) || (a.p[0] == '(') != (b.p[0] == '('))
		return false;
	return a.p[0] == '(' ? tuple_greater(a, b)
			     : version_compare(without_v(a), without_v(b)) == 1;
}
