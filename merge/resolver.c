/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of resolvers, and how one is asked.
 *
 * Guarantees: an answer that resolver_ask() returns (1) has every line that a side added and none that
 * one deleted, unless the resolver's own rule replaces lines; (2) has no conflict markers, and the
 * file's line ends; (3) is the same with the sides swapped, but for the order of lines.
 *
 * The shipped records count conflict hunks of historic merges whose resolution by a person is known:
 * fired, and equal to the person's text (see docs/MERGING.md for how they were counted).
 */
#include "resolver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "token.h"

const struct resolver resolvers[] = {
	{"remembered", NULL, "as a person resolved the same conflict before", true, 29, 25},
	{"space", resolve_space, "the sides differ only in white space", true, 5, 4},
	{"adjacent", resolve_adjacent, "the sides changed neighbouring lines, each its own", false,
	 487, 375, .wary = true},
	{"version", resolve_version, "the sides differ only in version numbers: the greater", true,
	 786, 735},
	{"copyright", resolve_copyright,
	 "the sides differ only in the years of a copyright: the later", true, 1316, 1312},
	{.name = "ahead",
	 .fn = resolve_ahead,
	 .does = "ours has all that theirs changed there, and more",
	 .replaces = true,
	 .swapped = resolve_behind},
	{.name = "behind",
	 .fn = resolve_behind,
	 .does = "theirs has all that ours changed there, and more",
	 .replaces = true,
	 .swapped = resolve_ahead},
	{.name = "ahead-version",
	 .fn = resolve_ahead_version,
	 .does = "ours has all that theirs changed there but a version, which is greater or gone",
	 .replaces = true,
	 .swapped = resolve_behind_version},
	{.name = "behind-version",
	 .fn = resolve_behind_version,
	 .does = "theirs has all that ours changed there but a version, which is greater or gone",
	 .replaces = true,
	 .swapped = resolve_ahead_version},
	{"changelog", resolve_changelog, "both sides' entries, heading by heading", false, 179,
	 158},
	{"names", resolve_names, "both sides' entries of a list", false, 15, 13},
	{"json", NULL, "both sides' entries, key by key", true, 210, 186, resolve_json},
	{"yaml", NULL, "both sides' entries, key by key", true, 12, 7, resolve_yaml},
	{"toml", NULL, "both sides' entries, key by key", true, 55, 51, resolve_toml},
	{"ini", NULL, "both sides' entries, key by key", true, 151, 130, resolve_ini},
	{"gomod", NULL, "both sides' entries, key by key", true, 25, 20, resolve_gomod},
	{"requirements", NULL, "both sides' entries, key by key", true, 46, 41,
	 resolve_requirements},
	{"ignore", NULL, "both sides' entries, key by key", true, 10, 5, resolve_ignore},
	{"import", resolve_import, "what both sides import", true, 135, 103, .wary = true},
	{"structured", NULL, "each side changed declarations of its own", true, 47, 35,
	 resolve_structured, .wary = true},
	{"structured-add", NULL, "both sides' new declarations, ours first", true, 68, 53,
	 resolve_structured_add},
	{"structured-block", NULL, "each side changed statements of its own", true, 85, 66,
	 resolve_structured_block, .wary = true},
	{"structured-token", NULL, "each side changed its own part of a statement", true, 309, 257,
	 resolve_structured_token},
	{.name = "words",
	 .fn = resolve_words,
	 .does = "each side changed its own words of the lines",
	 .replaces = true,
	 .wary = true},
	{.name = "append", .fn = resolve_append, .does = "both sides' new lines, ours first"},
};
const size_t resolvers_n = ARRAY_SIZE(resolvers);

const struct resolver *resolver_find(const char *name)
{
	for (size_t i = 0; i < resolvers_n; i++)
		if (strcmp(resolvers[i].name, name) == 0)
			return &resolvers[i];
	return NULL;
}

bool resolver_is_swapped(const struct resolver *r, const struct resolver *other)
{
	return r->swapped ? r->swapped == other->fn : r == other;
}

bool lines_have(const struct lines *l, struct text line)
{
	for (size_t i = 0; i < l->n; i++)
		if (text_equal(l->v[i], line))
			return true;
	return false;
}

int put_line(struct buf *out, const struct conflict *c, struct text line)
{
	int r = buf_add(out, line.p, line.n);

	if (r == 0 && line.n && line.p[line.n - 1] != '\n')
		r = buf_adds(out, c->crlf ? "\r\n" : "\n");
	return r;
}

int put_lines(struct buf *out, const struct conflict *c, const struct text *v, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = put_line(out, c, v[i]);
	return r;
}

static bool ended(struct text t)
{
	return !t.n || t.p[t.n - 1] == '\n';
}

/* The final newline: as both sides have it, or as the side has it that changed it. */
static void fix_end(const struct conflict *c, struct buf *out)
{
	bool want = ended(c->text[OURS]);

	if (ended(c->text[THEIRS]) != want && ended(c->text[BASE]) == want)
		want = !want;
	if (want || !out->len || out->data[out->len - 1] != '\n')
		return;
	out->len--;
	if (out->len && out->data[out->len - 1] == '\r')
		out->len--;
	out->data[out->len] = '\0';
}

/* Appends the bare answer. */
static int ask(resolver_fn fn, const struct conflict *c, struct buf *out)
{
	size_t before = out->len;
	int k = fn(c, out);

	if (k <= 0)
		out->len = before;
	if (k > 0)
		fix_end(c, out);
	return k;
}

static struct conflict swapped(const struct conflict *c)
{
	struct conflict s = *c;

	s.text[OURS] = c->text[THEIRS];
	s.text[THEIRS] = c->text[OURS];
	s.lines[OURS] = c->lines[THEIRS];
	s.lines[THEIRS] = c->lines[OURS];
	s.edits[OURS] = c->edits[THEIRS];
	s.edits[THEIRS] = c->edits[OURS];
	return s;
}

/* How often the token stands in a sorted set from *at on, which moves behind it. */
static size_t count_from(const struct token_set *s, struct text token, size_t *at)
{
	size_t from;

	while (*at < s->n && token_compare(s->v[*at], token) < 0)
		++*at;
	for (from = *at; *at < s->n && text_equal(s->v[*at], token);)
		++*at;
	return *at - from;
}

/* Is a name of the base that `from` has nowhere any more oftener in `by` than in the base? It was renamed or taken out
 * there, and what `by` added does not know it. Returns 1, 0, -ENOMEM. */
static int revives(const struct conflict *c, enum side from, enum side by)
{
	const struct text left[] = {c->text[from], c->head, c->tail};
	struct token_set base = {0}, kept = {0}, added = {0};
	int r = token_set_add(&base, c->text[BASE], TOKEN_NAME);
	size_t k = 0;

	for (size_t i = 0; i < ARRAY_SIZE(left) && r == 0; i++)
		r = token_set_add(&kept, left[i], TOKEN_NAME);
	if (r == 0)
		r = token_set_add(&added, c->text[by], TOKEN_NAME);
	token_set_sort(&base);
	token_set_sort(&added);
	token_set_close(&kept);
	for (size_t i = 0; i < base.n && r == 0;) {
		struct text name = base.v[i];
		size_t n = count_from(&base, name, &i);

		r = count_from(&added, name, &k) > n && !token_set_has(&kept, name);
	}
	token_set_release(&base);
	token_set_release(&kept);
	token_set_release(&added);
	return r;
}

/* Returns 1, 0, -ENOMEM. */
static int sides_know_each_other(const struct conflict *c)
{
	int r = revives(c, OURS, THEIRS);

	if (r == 0)
		r = revives(c, THEIRS, OURS);
	return r < 0 ? r : !r;
}

/* The invariants of one answer by itself. Returns 1, 0, -ENOMEM. */
static int sound(const struct resolver *r, const struct conflict *c, struct text answer)
{
	const char *wrong = NULL;
	int error = 0;

	if (!r->replaces)
		wrong = invariant_lines(c, answer, &error);
	if (error == 0 && !wrong && r->wary) {
		error = sides_know_each_other(c);
		if (error <= 0)
			return error;
	}
	return error < 0 ? error : !wrong && !invariant_form(c, answer);
}

static int holds(const struct resolver *r, const struct conflict *c, struct text answer)
{
	_cleanup_buf_ struct buf other = BUF_INIT;
	struct conflict s = swapped(c);
	int error = 0, k = sound(r, c, answer);

	if (k <= 0)
		return k;
	k = ask(r->swapped ? r->swapped : r->fn, &s, &other);
	if (k > 0)
		k = sound(r, &s, (struct text){other.len ? other.data : "", other.len});
	if (k <= 0)
		return k;
	k = invariant_same_words(answer, (struct text){other.data, other.len}, &error);
	return error < 0 ? error : k;
}

int resolver_ask(const struct resolver *r, const struct conflict *c, struct buf *ret)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	int k = ask(r->fn, c, &out);

	if (k > 0)
		k = holds(r, c, (struct text){out.len ? out.data : "", out.len});
	if (k > 0 && buf_add(ret, out.data, out.len) < 0)
		return -ENOMEM;
	return k;
}

int resolver_accept(const struct resolver *r, const struct conflict *c, struct buf *answer)
{
	fix_end(c, answer);
	return sound(r, c, (struct text){answer->len ? answer->data : "", answer->len});
}

void file_answers_free(struct file_answer *v, size_t n)
{
	for (size_t i = 0; v && i < n; i++)
		buf_release(&v[i].text);
	free(v);
}

static struct text text_of(const struct file_answer *a)
{
	return (struct text){a->text.len ? a->text.data : "", a->text.len};
}

/* The file with the sides swapped, and what the resolver makes of it; the caller frees *ret. */
static int ask_swapped(const struct resolver *r, const struct conflict_file *f,
		       struct file_answer **ret)
{
	struct conflict_file other = *f;
	struct diff3 d;
	int k = diff3_swapped(f->d, &d);

	if (k < 0)
		return k;
	other.d = &d;
	*ret = calloc(d.conflicts + 1, sizeof(**ret));
	k = *ret ? r->file_fn(&other, *ret) : -ENOMEM;
	diff3_swapped_release(&d);
	return k;
}

/* Does the answer with the sides swapped hold, and say the same? Returns 1, 0, -ENOMEM. */
static int same_swapped(const struct resolver *r, const struct conflict *c,
			const struct file_answer *answer, struct file_answer *other)
{
	struct conflict s = swapped(c);
	int error = 0, k;

	fix_end(c, &other->text);
	k = sound(r, &s, text_of(other));
	if (k > 0)
		k = invariant_same_words(text_of(answer), text_of(other), &error);
	return error < 0 ? error : k;
}

int resolver_ask_file(const struct resolver *r, const struct conflict_file *f,
		      const struct conflict *c, struct file_answer *ret)
{
	struct file_answer *other = NULL;
	size_t n = f->d->conflicts;
	int k = r->file_fn(f, ret);

	if (k == 0)
		k = ask_swapped(r, f, &other);
	for (size_t i = 0; i < n && k >= 0; i++) {
		if (!ret[i].has)
			continue;
		fix_end(&c[i], &ret[i].text);
		k = sound(r, &c[i], text_of(&ret[i]));
		if (k > 0)
			k = other[i].has ? same_swapped(r, &c[i], &ret[i], &other[i]) : 0;
		ret[i].has = k > 0;
	}
	file_answers_free(other, n);
	return k < 0 ? k : 0;
}
