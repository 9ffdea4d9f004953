/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: a text that is accepted (1) is not empty where it should be new, is no prose about the
 * conflict, has no code fence and no conflict marker that no side has; (2) has the line ends, final
 * newline and way of indenting that the file has; (3) is at most three times as long as both sides
 * together; (4) unless it is new, has no token that no side has, and every line that a side added and none
 * that one deleted where it claims to be both; (5) if it is new, has every name that a side added; (6) uses
 * no name that a side renamed or removed in the whole file.
 *
 * (5) and (6) are not asked of prose. A text that is one side's alone breaks (6) only by a name that the
 * file used elsewhere as well, before the other side removed it everywhere: what else a side deletes is
 * what choosing the other is about.
 */
#include "ai_accept.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "invariant.h"

enum { LONGER_MAX = 3, PROSE_WORDS = 7 };

#define REJECT(why, ...) err_set((why), -EBADMSG, __VA_ARGS__)

int ai_case_init(struct ai_case *k, const struct conflict *c, const struct text whole[SIDES])
{
	int r = 0;

	*k = (struct ai_case){.conflict = c};
	for (int s = BASE; s < SIDES && r == 0; s++) {
		k->whole[s] = whole[s];
		r = token_set_add(&k->hunk[s], c->text[s], TOKEN_NAME);
		if (r == 0)
			r = token_set_add(&k->file[s], whole[s], TOKEN_NAME);
		token_set_close(&k->hunk[s]);
		token_set_close(&k->file[s]);
	}
	if (r < 0)
		ai_case_release(k);
	return r;
}

void ai_case_release(struct ai_case *k)
{
	for (int s = BASE; s < SIDES; s++) {
		token_set_release(&k->hunk[s]);
		token_set_release(&k->file[s]);
	}
	*k = (struct ai_case){0};
}

/* ---- form: what needs the three versions only ---- */

/* The next line with its end. */
static bool next_line(struct text t, size_t *at, struct text *ret)
{
	const char *end;
	size_t from = *at;

	if (from >= t.n)
		return false;
	end = memchr(t.p + from, '\n', t.n - from);
	*at = end ? (size_t)(end - t.p) + 1 : t.n;
	*ret = (struct text){t.p + from, *at - from};
	return true;
}

static bool has_line(const struct text t[SIDES], struct text line)
{
	struct text want = text_trim(line), l;

	for (int s = BASE; s < SIDES; s++)
		for (size_t at = 0; next_line(t[s], &at, &l);)
			if (text_equal(text_trim(l), want))
				return true;
	return false;
}

static bool is_fence(struct text line)
{
	line = text_trim(line);
	return text_starts(line, "```") || text_starts(line, "~~~");
}

/* What models begin with when they talk about a text instead of giving it. */
static bool is_chat(struct text line)
{
	static const char *const begins[] = {
		"here is the ", "here's the ",	 "here are the ", "sure, ",	  "sure! ",
		"certainly",	"i have ",	 "i've ",	  "i'll ",	  "the merged ",
		"the resolved", "this merges ",	 "this resolves", "explanation:", "below is ",
		"as an ai",	"to resolve th", "resolved code", "merged code",  "the conflict "};

	line = text_trim(line);
	for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
		if (line.n >= strlen(begins[i]) &&
		    strncasecmp(line.p, begins[i], strlen(begins[i])) == 0)
			return true;
	return false;
}

/* A sentence: several words of letters alone, with its end. Code has signs. */
static bool is_sentence(struct text line)
{
	size_t words = 0;
	bool letters = false;

	line = text_trim(line);
	if (!line.n || !isalpha((unsigned char)line.p[0]) || !memchr(".:!", line.p[line.n - 1], 3))
		return false;
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if (!isalpha(c) && !memchr(" ,.'`:!-", c, 8))
			return false;
		words += isalpha(c) && !letters;
		letters = isalpha(c);
	}
	return words >= PROSE_WORDS;
}

static bool any_sentence(const struct text t[SIDES])
{
	struct text line;

	for (int s = BASE; s < SIDES; s++)
		for (size_t at = 0; next_line(t[s], &at, &line);)
			if (is_sentence(line))
				return true;
	return false;
}

static int check_prose(bool prose, const struct text sides[SIDES], struct text answer,
		       struct err *why)
{
	bool sentences = prose || any_sentence(sides);
	struct text line;

	for (size_t at = 0; next_line(answer, &at, &line);) {
		if (is_fence(line) && !has_line(sides, line))
			return REJECT(why, "it has a code fence that no side has");
		if ((is_chat(line) || (!sentences && is_sentence(line))) && !has_line(sides, line))
			return REJECT(why, "it has prose about the conflict instead of its text");
	}
	return 0;
}

struct indents {
	bool tabs, spaces;
};

static struct indents indents_of(struct text t)
{
	struct indents in = {0};
	struct text line;

	for (size_t at = 0; next_line(t, &at, &line);) {
		in.tabs |= line.n > 1 && line.p[0] == '\t';
		in.spaces |= line.n > 2 && line.p[0] == ' ' && line.p[1] == ' ';
	}
	return in;
}

/* Where the file indents in one way only, so does the answer. */
static int check_indents(const struct text whole[SIDES], struct text answer, struct err *why)
{
	struct indents all = {0}, in = indents_of(answer);

	for (int s = BASE; s < SIDES; s++) {
		struct indents one = indents_of(whole[s]);

		all.tabs |= one.tabs;
		all.spaces |= one.spaces;
	}
	if (in.tabs && !all.tabs && all.spaces)
		return REJECT(why, "it indents by tabs where the file has spaces");
	if (in.spaces && !all.spaces && all.tabs)
		return REJECT(why, "it indents by spaces where the file has tabs");
	return 0;
}

static int check_length(const struct text sides[SIDES], struct text answer, struct err *why)
{
	if (answer.n > LONGER_MAX * (sides[OURS].n + sides[THEIRS].n))
		return REJECT(why, "it is more than %d times as long as both sides together",
			      LONGER_MAX);
	return 0;
}

/* ---- names ---- */

static const char *const side_names[SIDES] = {"the base", "the target", "the source"};

static int say_name(struct err *why, const char *fmt, struct text name, const char *side)
{
	_cleanup_free_ char *copy = strndup(name.p, name.n < 80 ? name.n : 80);

	return copy ? err_set(why, -EBADMSG, fmt, copy, side) : -ENOMEM;
}

static size_t count_name(struct text t, struct text name)
{
	enum token_kind kind;
	struct text token;
	size_t n = 0;

	for (size_t at = 0; token_next(t, &at, &token, &kind);)
		n += kind == TOKEN_NAME && text_equal(token, name);
	return n;
}

/* Guarantee 6. */
static int check_removed(const struct ai_case *k, enum ai_class class,
			 const struct token_set *answer, struct err *why)
{
	bool mixed = class == AI_NEW || class == AI_BOTH;

	for (size_t i = 0; i < k->hunk[BASE].n; i++) {
		struct text name = k->hunk[BASE].v[i];

		for (int s = OURS; s < SIDES; s++) {
			if (token_set_has(&k->file[s], name) || !token_set_has(answer, name))
				continue;
			if (mixed || count_name(k->whole[BASE], name) >
					     count_name(k->conflict->text[BASE], name))
				return say_name(why,
						"it uses '%s', which %s renamed or removed in the "
						"whole file",
						name, side_names[s]);
		}
	}
	return 0;
}

/* Guarantee 5. */
static int check_added(const struct ai_case *k, const struct token_set *answer, struct err *why)
{
	for (int s = OURS; s < SIDES; s++)
		for (size_t i = 0; i < k->hunk[s].n; i++) {
			struct text name = k->hunk[s].v[i];

			if (!token_set_has(&k->hunk[BASE], name) && !token_set_has(answer, name))
				return say_name(why, "it lacks '%s', which %s added", name,
						side_names[s]);
		}
	return 0;
}

/* Guarantee 4: nothing but tokens of the three versions. */
static int check_nowhere(const struct conflict *c, struct text answer, struct err *why)
{
	struct token_set known = {0};
	enum token_kind kind;
	struct text token;
	int r = 0;

	for (int s = BASE; s < SIDES && r == 0; s++)
		r = token_set_add(&known, c->text[s], TOKEN_SIGN);
	token_set_close(&known);
	for (size_t at = 0; r == 0 && token_next(answer, &at, &token, &kind);)
		if (!token_set_has(&known, token))
			r = say_name(why, "it has '%s', which is in neither side%s", token, "");
	token_set_release(&known);
	return r;
}

static long balance(struct text t)
{
	long n = 0;

	for (size_t i = 0; i < t.n; i++)
		n += (memchr("([{", t.p[i], 3) ? 1 : 0) - (memchr(")]}", t.p[i], 3) ? 1 : 0);
	return n;
}

/* Where all versions open as many brackets as they close, or leave the same number open, so does a new text. */
static int check_brackets(const struct text sides[SIDES], struct text answer, struct err *why)
{
	long b = balance(sides[BASE]);

	if (balance(sides[OURS]) == b && balance(sides[THEIRS]) == b && balance(answer) != b)
		return REJECT(why, "its brackets are not balanced as the sides' are");
	return 0;
}

static int check_new(const struct ai_case *k, struct text answer, const struct token_set *names,
		     struct err *why)
{
	const struct conflict *c = k->conflict;
	int r = 0;

	if (text_blank(answer))
		return REJECT(why, "it is empty");
	if (!c->lang->prose)
		r = check_added(k, names, why);
	return r < 0 || c->lang->prose ? r : check_brackets(c->text, answer, why);
}

static int check_lines(const struct conflict *c, struct text answer, struct err *why)
{
	int error = 0;
	const char *wrong = invariant_lines(c, answer, &error);

	if (error < 0)
		return error;
	return wrong ? REJECT(why, "%s", wrong) : 0;
}

static int check_class(const struct ai_case *k, enum ai_class class, struct text answer,
		       const struct token_set *names, struct err *why)
{
	int r = 0;

	if (class == AI_NEW)
		r = check_new(k, answer, names, why);
	else
		r = check_nowhere(k->conflict, answer, why);
	if (r == 0 && class == AI_BOTH)
		r = check_lines(k->conflict, answer, why);
	if (r == 0 && !k->conflict->lang->prose)
		r = check_removed(k, class, names, why);
	return r;
}

static int check_form(const struct conflict *c, const struct text whole[SIDES], struct text answer,
		      struct err *why)
{
	const char *wrong = invariant_form(c, answer);
	int r = wrong ? REJECT(why, "%s", wrong) : 0;

	if (r == 0)
		r = check_length(c->text, answer, why);
	if (r == 0)
		r = check_prose(c->lang->prose, c->text, answer, why);
	return r < 0 ? r : check_indents(whole, answer, why);
}

int ai_accept(const struct ai_case *k, enum ai_class class, struct text answer, struct err *why)
{
	struct token_set names = {0};
	int r;

	if (class == AI_NEW && text_blank(answer))
		return REJECT(why, "it is empty");
	r = check_form(k->conflict, k->whole, answer, why);
	if (r == 0)
		r = token_set_add(&names, answer, TOKEN_NAME);
	token_set_close(&names);
	if (r == 0)
		r = check_class(k, class, answer, &names, why);
	token_set_release(&names);
	return r;
}

/* ---- tier 4 ---- */

/* The file as one conflict. Errors: -ENOMEM. */
static int whole_case(const char *path, const struct text whole[SIDES], struct conflict *c,
		      struct ai_case *k)
{
	int r = 0;

	*c = (struct conflict){
		.path = path, .lang = language_of(path), .class = path_class_of(path)};
	for (int s = BASE; s < SIDES && r == 0; s++) {
		c->text[s] = whole[s];
		r = lines_split(whole[s], &c->lines[s]);
	}
	c->crlf = c->lines[OURS].n && c->lines[OURS].v[0].n > 1 &&
		  c->lines[OURS].v[0].p[c->lines[OURS].v[0].n - 2] == '\r';
	return r < 0 ? r : ai_case_init(k, c, whole);
}

int ai_accept_file(const char *path, const struct text whole[SIDES], struct text answer,
		   struct err *why)
{
	struct token_set names = {0};
	struct conflict c;
	struct ai_case k = {0};
	int r = whole_case(path, whole, &c, &k);

	if (r == 0 && text_blank(answer))
		r = REJECT(why, "it is empty");
	if (r == 0)
		r = check_form(&c, whole, answer, why);
	if (r == 0)
		r = token_set_add(&names, answer, TOKEN_NAME);
	token_set_close(&names);
	if (r == 0 && !c.lang->prose)
		r = check_added(&k, &names, why);
	token_set_release(&names);
	ai_case_release(&k);
	for (int s = BASE; s < SIDES; s++)
		free(c.lines[s].v);
	return r;
}
