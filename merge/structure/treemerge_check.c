/* SPDX-License-Identifier: Apache-2.0 */
/* What has to hold for a structured merge before a conflict is answered by it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "items.h"
#include "treemerge.h"

/* --- the conflicts in the result --- */

/* Where the text behind conflict k - 1 stands in the result, at `at` or later: where a side's own text goes on behind
 * that conflict, else in the only place where it stands at all. */
static bool find_between(const struct merging *m, size_t k, size_t at, size_t *ret)
{
	struct text t = m->in->between[k];
	const char *all = m->out.data, *first, *more;

	for (size_t i = 0; i < m->n; i++) {
		const struct piece *p = &m->pieces[i];
		size_t from = p->side == BASE ? 0 : m->in->conflict[p->side][k - 1].to;
		size_t place = p->at + (from - p->from);

		if (from < p->from || from >= p->to || place < at || t.n > m->out.len - place)
			continue;
		if (memcmp(all + place, t.p, t.n) == 0) {
			*ret = place;
			return true;
		}
	}
	first = t.n ? memmem(all + at, m->out.len - at, t.p, t.n) : NULL;
	if (!first || (first != all && first[-1] != '\n'))
		return false;
	more = memmem(first + 1, m->out.len - (size_t)(first + 1 - all), t.p, t.n);
	*ret = (size_t)(first - all);
	return !more;
}

static bool ends_line(const struct merging *m, struct range r)
{
	return r.from == r.to || m->out.data[r.to - 1] == '\n';
}

bool treemerge_split(const struct merging *m, struct range *at)
{
	struct text first = m->in->between[0], last = m->in->between[m->in->n];
	size_t pos = first.n;

	if (m->out.len < first.n + last.n || memcmp(m->out.data, first.p, first.n) != 0 ||
	    memcmp(m->out.data + m->out.len - last.n, last.p, last.n) != 0)
		return false;
	for (size_t k = 0; k < m->in->n; k++) {
		at[k].from = pos;
		if (k + 1 == m->in->n)
			at[k].to = m->out.len - last.n;
		else if (!find_between(m, k + 1, pos, &at[k].to))
			return false;
		pos = at[k].to;
		if (pos < at[k].from || (pos < m->out.len && !ends_line(m, at[k])))
			return false;
		if (k + 1 < m->in->n)
			pos += m->in->between[k + 1].n;
	}
	return pos + last.n == m->out.len;
}

/* --- words --- */

enum { RESULT = SIDES, COLUMNS };

struct count {
	uint64_t hash; /* 0: free */
	uint32_t n[COLUMNS];
};

struct counts {
	struct count *v;
	size_t mask;
};

static bool in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (unsigned char)c >= 0x80;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void count(struct counts *c, uint64_t hash, int column)
{
	size_t i = hash & c->mask;

	hash = hash ? hash : 1;
	while (c->v[i].hash && c->v[i].hash != hash)
		i = (i + 1) & c->mask;
	c->v[i].hash = hash;
	c->v[i].n[column]++;
}

/* Words and signs of a text, without what stands in conflicts that were given up. */
static void count_words(struct counts *c, struct text t, const struct range *leave,
			const bool *failed, size_t n, int column)
{
	size_t k = 0;

	for (size_t i = 0; i < t.n;) {
		uint64_t h = UINT64_C(0xcbf29ce484222325);

		while (k < n && (!failed[k] || leave[k].to <= i))
			k++;
		if (k < n && i >= leave[k].from) {
			i = leave[k].to;
			continue;
		}
		if (is_space(t.p[i])) {
			i++;
			continue;
		}
		do
			h = (h ^ (unsigned char)t.p[i++]) * UINT64_C(0x100000001b3);
		while (i < t.n && in_word(t.p[i]) && in_word(t.p[i - 1]));
		count(c, h ^ h >> 29, column);
	}
}

/* As with lines (invariant.c): no less than either side wants, no more than both. */
static bool fair(const uint32_t n[COLUMNS])
{
	uint32_t nb = n[BASE], no = n[OURS], nt = n[THEIRS];
	uint32_t more_o = no > nb ? no - nb : 0, more_t = nt > nb ? nt - nb : 0;
	uint32_t less_o = nb > no ? nb - no : 0, less_t = nb > nt ? nb - nt : 0;
	uint32_t low = nb + (more_o > more_t ? more_o : more_t);
	uint32_t high = nb + more_o + more_t - (less_o > less_t ? less_o : less_t);

	low = low > less_o + less_t ? low - less_o - less_t : 0;
	return n[RESULT] >= low && n[RESULT] <= high;
}

static int words_hold(const struct merging *m, const struct range *at)
{
	size_t size = 1024, all = m->out.len;
	struct counts c;
	bool good = true;

	for (int s = BASE; s < SIDES; s++)
		all += m->in->text[s].n;
	while (size < all)
		size *= 2;
	c = (struct counts){calloc(size, sizeof(*c.v)), size - 1};
	if (!c.v)
		return -ENOMEM;
	for (int s = BASE; s < SIDES; s++)
		count_words(&c, m->in->text[s], m->in->conflict[s], m->failed, m->in->n, s);
	count_words(&c, (struct text){m->out.data, m->out.len}, at, m->failed, m->in->n, RESULT);
	for (size_t i = 0; i < size && good; i++)
		good = !c.v[i].hash || fair(c.v[i].n);
	free(c.v);
	return good;
}

int treemerge_holds(const struct merging *m, const struct range *at)
{
	struct text t = {m->out.data ? m->out.data : "", m->out.len};
	size_t dup = 0, more, mine = 0;
	struct syntax s;
	int r = words_hold(m, at);

	if (r <= 0)
		return r;
	r = syntax_kept_parse(m->in->kept, m->in->ts, m->in->profile, t, &m->s[OURS], &s);
	if (r < 0)
		return r;
	if (s.errors > m->s[OURS].errors && s.errors > m->s[THEIRS].errors)
		return 0;
	r = items_duplicates(&s, &mine);
	for (int i = OURS; i < SIDES && r == 0 && mine; i++) {
		r = items_duplicates(&m->s[i], &more);
		dup = more > dup ? more : dup;
	}
	return r < 0 ? r : mine <= dup;
}

/* --- the whole of it --- */

static int answer(struct merging *m, struct parser_answer *ret)
{
	_cleanup_free_ struct range *at = calloc(m->in->n + 1, sizeof(*at));
	int r;

	if (!at)
		return -ENOMEM;
	if (!treemerge_split(m, at))
		return 0;
	r = treemerge_holds(m, at);
	for (size_t i = 0; i < m->in->n && r > 0; i++) {
		if (m->failed[i] || m->class[i] == PARSER_NONE)
			continue;
		ret[i].class = m->class[i];
		r = buf_add(&ret[i].text, m->out.data + at[i].from, at[i].to - at[i].from) < 0
			    ? -ENOMEM
			    : 1;
	}
	return r < 0 ? r : 0;
}

int treemerge(const struct treemerge *in, struct parser_answer *ret)
{
	struct merging m = {.in = in};
	int r = 0;

	m.class = calloc(in->n + 1, sizeof(*m.class));
	m.failed = calloc(in->n + 1, sizeof(*m.failed));
	if (!m.class || !m.failed)
		r = -ENOMEM;
	else
		r = buf_adds(&m.out, "");
	for (int s = BASE; s < SIDES && r == 0; s++)
		r = syntax_kept_parse(in->kept, in->ts, in->profile, in->text[s],
				      s ? &m.s[BASE] : NULL, &m.s[s]);
	if (r == 0) {
		treemerge_run(&m);
		r = m.error ? m.error : answer(&m, ret);
	}
	free(m.class);
	free(m.failed);
	free(m.pieces);
	buf_release(&m.out);
	return r;
}
