/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge of named items, conflict by conflict.
 *
 * Guarantees: (1) what is answered is bytes of the three versions, and commas; (2) items stand in the order
 * that ours has, what theirs added behind what it follows there, and behind ours at the same place; (3) two
 * different changes of one item, or of its comments, leave that conflict to others, as does a conflict that cuts an
 * item in two; (4) the file with the answers, read anew, is the three-way merge of the values (keyed_check.c), or
 * nothing is answered. Conflicts that are left count as ours in that.
 *
 * Lines that both sides have alike were taken out of a conflict at its ends, while the base's stay in it: here they
 * belong to it again, and are cut off its answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "keyed.h"

/* One file, assembled three times with its conflicts as each side has them. */
struct merge {
	const struct keyed_format *format;
	const struct conflict_file *f;
	struct buf text[SIDES];
	struct range *at[SIDES];
	struct keyed k[SIDES];
	struct keyed_index x[SIDES];
};

/* The items of one version that a conflict has: [first, first + n) of k->v. */
struct part {
	size_t first, n;
	struct text tail; /* comments and blank lines behind the last */
};

/* What comes of an item, in a list: `next` is the place of the one behind it, 0 at the end. */
struct placed {
	const struct keyed_item *item; /* as the side `of` has it */
	enum side of;
	struct text lead, body;
	bool gone, ours_only;
	size_t next;
};

/* v[0] is the list's head; ours' items follow in their order, then what theirs added. */
struct placing {
	struct placed *v;
	size_t n;
};

static struct text slice(const struct merge *m, enum side s, size_t from, size_t to)
{
	return (struct text){m->text[s].data + from, to - from};
}

/* Which items a conflict has; false where it cuts one. */
static bool part_of(const struct merge *m, enum side s, size_t conflict, struct part *ret)
{
	const struct keyed *k = &m->k[s];
	struct range at = m->at[s][conflict];
	size_t lo = 0, hi = k->n, end = at.from;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (k->v[mid].from < at.from)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo && k->v[lo - 1].to > at.from)
		return false;
	ret->first = lo;
	for (ret->n = 0; lo + ret->n < k->n && k->v[lo + ret->n].from < at.to; ret->n++) {
		end = k->v[lo + ret->n].to;
		if (end > at.to)
			return false;
	}
	ret->tail = slice(m, s, end, at.to);
	return true;
}

static const struct keyed_item *in_part(const struct merge *m, enum side s, const struct part *p,
					enum side of, const struct keyed_item *item)
{
	const struct keyed_item *i = keyed_find(&m->x[s], &m->k[of], item);
	size_t at = i ? (size_t)(i - m->k[s].v) : 0;

	return i && at >= p->first && at < p->first + p->n ? i : NULL;
}

static struct text lead_of(const struct merge *m, enum side s, size_t conflict,
			   const struct keyed_item *i)
{
	size_t from = m->at[s][conflict].from;

	return slice(m, s, i->lead > from ? i->lead : from, i->from);
}

/* Comments of an item that both sides have; blank lines are not worth a conflict. */
static bool choose_lead(struct text b, struct text o, struct text t, bool in_base, struct text *ret)
{
	if (text_equal(o, t) || (in_base && text_equal(t, b)) || (text_blank(o) && text_blank(t)))
		*ret = o;
	else if (in_base ? text_equal(o, b) : text_blank(o))
		*ret = t;
	else if (!in_base && text_blank(t))
		*ret = o;
	else
		return false;
	return true;
}

/* What comes of one item of ours or theirs. false: a conflict. */
static bool place(const struct merge *m, size_t conflict, const struct part p[SIDES], enum side of,
		  const struct keyed_item *item, struct placed *ret)
{
	const struct keyed_item *i[SIDES];
	struct text body[SIDES], lead[SIDES], want;

	for (int s = BASE; s < SIDES; s++) {
		i[s] = (enum side)s == of ? item : in_part(m, (enum side)s, &p[s], of, item);
		body[s] = i[s] ? slice(m, (enum side)s, i[s]->from, i[s]->end) : (struct text){0};
		lead[s] = i[s] ? lead_of(m, (enum side)s, conflict, i[s]) : (struct text){0};
	}
	if (!keyed_choose(m->format, body[BASE], body[OURS], body[THEIRS], &want))
		return false;
	*ret = (struct placed){item, of, lead[of], want, !want.p, !i[BASE] && !i[THEIRS], 0};
	if (i[OURS] && i[THEIRS] && want.p)
		return choose_lead(lead[BASE], lead[OURS], lead[THEIRS], i[BASE], &ret->lead);
	/* Gone with its comments, unless the other side changed those. */
	if (want.p || !i[BASE])
		return true;
	return text_equal(lead[BASE], lead[of]) || text_blank(lead[of]);
}

/* May an item that theirs added stand behind this one, which only ours has? In its own table it has to be. */
static bool may_follow(const struct merge *m, const struct keyed_item *item,
		       const struct placed *ours)
{
	struct text id = keyed_id(&m->k[OURS], ours->item);

	if (m->format->sections && ours->item->role == KEYED_OPEN && item->role != KEYED_OPEN)
		return false;
	return id.n > item->parent_len &&
	       memcmp(id.p, m->k[THEIRS].ids.data + item->id, item->parent_len) == 0;
}

/* Theirs' item that ours has not: behind the one it follows there, and behind what ours added at that place. */
static size_t insert(const struct merge *m, struct placing *to, size_t behind,
		     const struct placed *one)
{
	size_t at = behind, next = to->v[at].next;

	while (next && (to->v[next].gone ||
			(to->v[next].ours_only && may_follow(m, one->item, &to->v[next])))) {
		at = next;
		next = to->v[at].next;
	}
	to->v[to->n] = *one;
	to->v[to->n].next = next;
	to->v[at].next = to->n;
	return to->n++;
}

/* All items of a conflict in their order; to->v has room for them. false: a conflict. */
static bool place_all(const struct merge *m, size_t conflict, const struct part p[SIDES],
		      struct placing *to)
{
	size_t behind = 0;

	to->n = 1;
	for (size_t i = 0; i < p[OURS].n; i++, to->n++) {
		if (!place(m, conflict, p, OURS, &m->k[OURS].v[p[OURS].first + i], &to->v[to->n]))
			return false;
		to->v[to->n - 1].next = to->n;
	}
	for (size_t i = 0; i < p[THEIRS].n; i++) {
		const struct keyed_item *item = &m->k[THEIRS].v[p[THEIRS].first + i];
		const struct keyed_item *o = in_part(m, OURS, &p[OURS], THEIRS, item);
		struct placed one;

		if (o) {
			behind = (size_t)(o - m->k[OURS].v) - p[OURS].first + 1;
			continue;
		}
		if (!place(m, conflict, p, THEIRS, item, &one))
			return false;
		if (!one.gone)
			behind = insert(m, to, behind, &one);
	}
	return true;
}

static int put_end(const struct merge *m, struct buf *out)
{
	return buf_adds(out, m->f->crlf ? "\r\n" : "\n");
}

/* An item and a comma where another entry follows. */
static int put_item(const struct merge *m, const struct placed *one, const struct keyed_item *next,
		    struct buf *out)
{
	bool comma = m->format->commas && one->item->role != KEYED_OPEN && next &&
		     next->role != KEYED_CLOSE;
	int r = buf_add(out, one->lead.p, one->lead.n);

	if (r == 0)
		r = buf_add(out, one->body.p, one->body.n);
	if (r == 0 && comma)
		r = buf_addc(out, ',');
	return r < 0 ? r : put_end(m, out);
}

/* The item that stands behind the conflict, in every version. */
static const struct keyed_item *behind_part(const struct merge *m, const struct part *p)
{
	size_t at = p->first + p->n;

	return at < m->k[OURS].n ? &m->k[OURS].v[at] : NULL;
}

static int put_all(const struct merge *m, const struct part p[SIDES], const struct placing *to,
		   struct buf *out)
{
	struct text tail;
	int r = 0;

	for (size_t i = to->v[0].next, next; i && r == 0; i = next) {
		const struct keyed_item *follows = behind_part(m, &p[OURS]);

		for (next = to->v[i].next; next && to->v[next].gone; next = to->v[next].next)
			;
		if (next)
			follows = to->v[next].item;
		if (!to->v[i].gone)
			r = put_item(m, &to->v[i], follows, out);
	}
	if (!choose_lead(p[BASE].tail, p[OURS].tail, p[THEIRS].tail, true, &tail))
		return 0;
	return r < 0 || buf_add(out, tail.p, tail.n) < 0 ? -ENOMEM : 1;
}

/* Cuts off what was taken out of the conflict before; false where that is not how the answer begins and ends. */
static bool cut_ends(const struct merge *m, size_t conflict, struct buf *out)
{
	const struct diff3 *d = m->f->d;
	const struct chunk *head = NULL, *tail = NULL;
	struct text h = {"", 0}, t = {"", 0};
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].kind == CHUNK_CONFLICT && n++ == conflict)
			diff3_trimmed(d, &d->v[i], &head, &tail);
	if (head)
		h = diff3_text(d, head, OURS);
	if (tail)
		t = diff3_text(d, tail, OURS);
	if (h.n + t.n > out->len || (h.n && memcmp(out->data, h.p, h.n) != 0) ||
	    (t.n && memcmp(out->data + out->len - t.n, t.p, t.n) != 0))
		return false;
	out->len -= h.n + t.n;
	if (h.n)
		memmove(out->data, out->data + h.n, out->len);
	return true;
}

static int merge_conflict(const struct merge *m, size_t conflict, struct buf *out)
{
	_cleanup_free_ struct placed *v = NULL;
	struct part p[SIDES];
	struct placing to;

	for (int s = BASE; s < SIDES; s++)
		if (!part_of(m, (enum side)s, conflict, &p[s]))
			return 0;
	v = calloc(p[OURS].n + p[THEIRS].n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	to = (struct placing){v, 0};
	return place_all(m, conflict, p, &to) ? put_all(m, p, &to, out) : 0;
}

enum part_kind { OUTSIDE, HEAD, MIDDLE, TAIL };

/* Which part of a conflict the chunk is. */
static enum part_kind kind_of(const struct diff3 *d, size_t i)
{
	const struct chunk *head = NULL, *tail = NULL;

	if (d->v[i].kind == CHUNK_CONFLICT)
		return MIDDLE;
	if (i + 1 < d->n && d->v[i + 1].kind == CHUNK_CONFLICT) {
		diff3_trimmed(d, &d->v[i + 1], &head, &tail);
		if (head == &d->v[i])
			return HEAD;
	}
	if (i && d->v[i - 1].kind == CHUNK_CONFLICT) {
		diff3_trimmed(d, &d->v[i - 1], &head, &tail);
		if (tail == &d->v[i])
			return TAIL;
	}
	return OUTSIDE;
}

/* What a chunk is in the file as `side` has it. */
static struct text text_as(const struct diff3 *d, size_t i, enum part_kind kind, enum side side)
{
	const struct chunk *c = &d->v[i];

	if (kind == MIDDLE)
		return diff3_text(d, c, side);
	if (kind != OUTSIDE && side == BASE)
		return (struct text){"", 0};
	return diff3_text(d, c, c->kind == CHUNK_THEIRS ? THEIRS : OURS);
}

/* The file as `side` has it; with `v`, conflicts that have no answer as ours has them, and the others, if `answered`, as
 * answered. at (or NULL): where each conflict stands, with what was taken out of it. */
static int assemble(const struct diff3 *d, enum side side, const struct file_answer *v,
		    bool answered, struct buf *out, struct range *at)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < d->n && r == 0; i++) {
		enum part_kind kind = kind_of(d, i);
		size_t number = kind == TAIL ? n - 1 : n, from = out->len;
		bool left = v && kind != OUTSIDE && !v[number].has;
		struct text t = text_as(d, i, kind, left ? OURS : side);

		if (kind == MIDDLE && answered && !left)
			t = (struct text){v[n].text.len ? v[n].text.data : "", v[n].text.len};
		r = buf_add(out, t.p, t.n);
		n += kind == MIDDLE;
		if (!at || kind == OUTSIDE)
			continue;
		if (kind == HEAD || (kind == MIDDLE && (!i || kind_of(d, i - 1) != HEAD)))
			at[number].from = from;
		at[number].to = out->len;
	}
	return r;
}

/* Do the answers together make the file that they should? */
static int check(const struct merge *m, const struct file_answer *v)
{
	struct buf b[SIDES + 1] = {0};
	struct text t[SIDES + 1];
	int r = 0;

	for (int s = BASE; s <= SIDES && r == 0; s++) {
		r = assemble(m->f->d, s == SIDES ? OURS : (enum side)s, v, s == SIDES, &b[s], NULL);
		t[s] = (struct text){b[s].len ? b[s].data : "", b[s].len};
	}
	if (r == 0)
		r = keyed_agrees(m->format, t, t[SIDES]);
	for (int s = BASE; s <= SIDES; s++)
		buf_release(&b[s]);
	return r;
}

static void forget(struct file_answer *a)
{
	a->has = false;
	a->text.len = 0;
}

/* Answers that do not hold together are tried one by one where they are few, else dropped. */
static int check_all(const struct merge *m, struct file_answer *v)
{
	enum { FEW = 8 };
	size_t n = m->f->d->conflicts, has = 0;
	bool good[FEW] = {false};
	int r = check(m, v);

	for (size_t i = 0; i < n; i++)
		has += v[i].has;
	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < n && n <= FEW && has > 1; i++) {
		struct file_answer one[FEW] = {0};

		one[i] = v[i];
		r = v[i].has ? check(m, one) : 0;
		if (r < 0)
			return r;
		good[i] = r > 0;
	}
	for (size_t i = 0; i < n; i++)
		if (n > FEW || !good[i])
			forget(&v[i]);
	/* Each alone holds: together they have to as well. */
	r = check(m, v);
	for (size_t i = 0; i < n && r == 0; i++)
		forget(&v[i]);
	return r < 0 ? r : 0;
}

static int open_side(struct merge *m, enum side s)
{
	int r;

	m->at[s] = calloc(m->f->d->conflicts + 1, sizeof(struct range));
	if (!m->at[s] || buf_reserve(&m->text[s], 1) < 0)
		return -ENOMEM;
	r = assemble(m->f->d, s, NULL, false, &m->text[s], m->at[s]);
	if (r < 0)
		return r;
	m->k[s].text = (struct text){m->text[s].data, m->text[s].len};
	if (!keyed_is_text(m->k[s].text))
		return 0;
	r = m->format->read(m->k[s].text, &m->k[s]);
	return r > 0 ? keyed_index(&m->k[s], &m->x[s]) : r;
}

static bool any(const struct file_answer *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].has)
			return true;
	return false;
}

int keyed_resolve(const struct keyed_format *format, const struct conflict_file *f,
		  struct file_answer *v)
{
	struct merge m = {.format = format, .f = f};
	size_t n = f->d->conflicts;
	int r = 1;

	for (int s = BASE; s < SIDES && r > 0; s++)
		r = f->d->text[s].n <= KEYED_MAX ? open_side(&m, (enum side)s) : 0;
	for (size_t i = 0; i < n && r > 0; i++) {
		int k = merge_conflict(&m, i, &v[i].text);

		if (k > 0 && !cut_ends(&m, i, &v[i].text))
			k = 0;
		v[i].has = k > 0;
		if (k <= 0)
			v[i].text.len = 0;
		r = k < 0 ? k : 1;
	}
	if (r > 0 && any(v, n))
		r = check_all(&m, v);
	for (int s = BASE; s < SIDES; s++) {
		buf_release(&m.text[s]);
		free(m.at[s]);
		free(m.x[s].v);
		keyed_release(&m.k[s]);
	}
	return r < 0 ? r : 0;
}
