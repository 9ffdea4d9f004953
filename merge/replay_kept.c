/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person did with a conflict. Everything is kept where each line (or, within lines, each word and sign) is there
 * as often as invariant.c asks of an answer; lines that no side has are the person's own and take nothing away.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "replay.h"
#include "token.h"

enum { PERSON = SIDES, TEXTS };

/* Lines or words, and in which of the texts they stand. */
struct piece {
	struct text t;
	int of;
};

struct pieces {
	struct piece *v;
	size_t n;
};

static int compare(const void *a, const void *b)
{
	struct text x = ((const struct piece *)a)->t, y = ((const struct piece *)b)->t;
	int c = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);

	return c ? c : (x.n > y.n) - (x.n < y.n);
}

static bool next_line(struct text t, size_t *at, struct text *ret)
{
	while (*at < t.n) {
		const char *end = memchr(t.p + *at, '\n', t.n - *at);
		size_t next = end ? (size_t)(end - t.p) + 1 : t.n;

		*ret = text_trim((struct text){t.p + *at, next - *at});
		*at = next;
		if (ret->n)
			return true;
	}
	return false;
}

static bool next_piece(struct text t, bool words, size_t *at, struct text *ret)
{
	enum token_kind kind;

	return words ? token_next(t, at, ret, &kind) : next_line(t, at, ret);
}

/* Is everything kept? Returns 1, 0, -ENOMEM. */
static int keeps_all(const struct text v[TEXTS], bool words)
{
	_cleanup_free_ struct piece *p = NULL;
	size_t n = 0, k = 0;
	struct text one;

	for (int s = BASE; s < TEXTS; s++)
		for (size_t at = 0; next_piece(v[s], words, &at, &one);)
			n++;
	p = calloc(n + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	for (int s = BASE; s < TEXTS; s++)
		for (size_t at = 0; next_piece(v[s], words, &at, &one);)
			p[k++] = (struct piece){one, s};
	qsort(p, n, sizeof(*p), compare);
	for (size_t i = 0, end; i < n; i = end) {
		size_t count[TEXTS] = {0};

		for (end = i; end < n && compare(&p[i], &p[end]) == 0; end++)
			count[p[end].of]++;
		if (count[BASE] + count[OURS] + count[THEIRS] && invariant_count(count))
			return 0;
	}
	return 1;
}

static bool only_lines_of(const struct text v[TEXTS])
{
	struct text line, other;

	for (size_t at = 0; next_line(v[PERSON], &at, &line);) {
		bool known = false;

		for (int s = BASE; s < SIDES && !known; s++)
			for (size_t k = 0; !known && next_line(v[s], &k, &other);)
				known = text_equal(line, other);
		if (!known)
			return false;
	}
	return true;
}

int replay_kept(const struct diff3 *d, const struct chunk *chunk, struct text person)
{
	struct chunk c = *chunk;
	struct text v[TEXTS];
	int r;

	/* As far as replay_region() looked. */
	for (int s = OURS; s < SIDES; s++) {
		c.from[s] -= c.head;
		c.to[s] += c.tail;
	}
	for (int s = BASE; s < SIDES; s++)
		v[s] = diff3_text(d, &c, (enum side)s);
	v[PERSON] = person;
	r = keeps_all(v, false);
	if (r)
		return r < 0 ? r : REPLAY_KEPT_ALL;
	if (text_equal_but_space(v[OURS], person))
		return REPLAY_KEPT_OURS;
	if (text_equal_but_space(v[THEIRS], person))
		return REPLAY_KEPT_THEIRS;
	if (text_equal_but_space(v[BASE], person))
		return REPLAY_KEPT_BASE;
	if (text_blank(person))
		return REPLAY_KEPT_NOTHING;
	r = keeps_all(v, true);
	if (r)
		return r < 0 ? r : REPLAY_KEPT_WORDS;
	return only_lines_of(v) ? REPLAY_KEPT_SOME : REPLAY_KEPT_NEW;
}

const char *replay_kept_name(int kept)
{
	static const char *const names[] = {
		[REPLAY_KEPT_ALL] = "all",   [REPLAY_KEPT_WORDS] = "words",
		[REPLAY_KEPT_OURS] = "ours", [REPLAY_KEPT_THEIRS] = "theirs",
		[REPLAY_KEPT_BASE] = "base", [REPLAY_KEPT_NOTHING] = "nothing",
		[REPLAY_KEPT_SOME] = "some", [REPLAY_KEPT_NEW] = "new",
	};

	return kept >= 0 && (size_t)kept < ARRAY_SIZE(names) ? names[kept] : "error";
}
