/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of named items: what readers and the merge of them share. */
#include "keyed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

struct text keyed_id(const struct keyed *k, const struct keyed_item *i)
{
	return (struct text){k->ids.data + i->id, i->id_len};
}

/* Parts of a name are divided by a byte that no text has. */
static int add_id(struct keyed *k, const struct keyed_item *parent, struct text key)
{
	size_t n = parent ? parent->id_len : 0, from = parent ? parent->id : 0;
	int r = buf_reserve(&k->ids, n + key.n + 2);

	if (r == 0 && n)
		r = buf_add(&k->ids, k->ids.data + from, n);
	if (r == 0)
		r = buf_addc(&k->ids, '\0');
	return r < 0 ? r : buf_add(&k->ids, key.n ? key.p : "", key.n);
}

int keyed_add(struct keyed *k, const struct keyed_item *parent, struct text key,
	      enum keyed_role role, size_t from, size_t to)
{
	size_t id = k->ids.len, id_len = (parent ? parent->id_len : 0) + 1 + key.n;

	if (id_len > KEYED_ID_MAX || k->ids.len > 16 * (size_t)KEYED_MAX)
		return 0;
	if (k->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 64;
		ptrdiff_t at = parent ? parent - k->v : 0;
		struct keyed_item *v = realloc(k->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		k->v = v;
		k->cap = cap;
		parent = parent ? v + at : NULL;
	}
	if (add_id(k, parent, key) < 0)
		return -ENOMEM;
	k->v[k->n] = (struct keyed_item){.id = id,
					 .id_len = id_len,
					 .parent_len = id_len - key.n - 1,
					 .lead = k->n ? k->v[k->n - 1].to : 0,
					 .from = from,
					 .to = to,
					 .end = to,
					 .role = role};
	while (k->v[k->n].end > from && strchr("\r\n", k->text.p[k->v[k->n].end - 1]))
		k->v[k->n].end--;
	k->n++;
	return 1;
}

void keyed_release(struct keyed *k)
{
	free(k->v);
	buf_release(&k->ids);
	*k = (struct keyed){0};
}

static int compare_text(struct text a, struct text b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int compare(const void *a, const void *b, void *k)
{
	const struct keyed_item *const *x = a, *const *y = b;
	int c = compare_text(keyed_id(k, *x), keyed_id(k, *y));

	return c ? c : (int)(*x)->role - (int)(*y)->role;
}

int keyed_index(const struct keyed *k, struct keyed_index *ret)
{
	const struct keyed_item **v = calloc(k->n + 1, sizeof(struct keyed_item *));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < k->n; i++)
		v[i] = &k->v[i];
	qsort_r(v, k->n, sizeof(struct keyed_item *), compare, (void *)k);
	*ret = (struct keyed_index){k, v};
	for (size_t i = 1; i < k->n; i++) {
		bool same = compare_text(keyed_id(k, v[i - 1]), keyed_id(k, v[i])) == 0;

		/* A table's two lines share its name; an entry shares it with nothing. */
		if (same && (v[i - 1]->role == v[i]->role || v[i - 1]->role == KEYED_ENTRY))
			return 0;
	}
	return 1;
}

const struct keyed_item *keyed_find(const struct keyed_index *x, const struct keyed *of,
				    const struct keyed_item *like)
{
	struct text id = keyed_id(of, like);
	size_t lo = 0, hi = x->k->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = compare_text(keyed_id(x->k, x->v[mid]), id);

		c = c ? c : (int)x->v[mid]->role - (int)like->role;
		if (c == 0)
			return x->v[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Length of the character at p, or 0: overlong forms, surrogates and beyond Unicode are none. */
static size_t utf8(const unsigned char *p, size_t n)
{
	size_t len = *p < 0x80	 ? 1
		     : *p < 0xc2 ? 0
		     : *p < 0xe0 ? 2
		     : *p < 0xf0 ? 3
		     : *p < 0xf5 ? 4
				 : 0;

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
	    (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

bool keyed_is_text(struct text t)
{
	if (t.n > KEYED_MAX)
		return false;
	for (size_t i = 0, n; i < t.n; i += n) {
		n = t.p[i] ? utf8((const unsigned char *)t.p + i, t.n - i) : 0;
		if (!n)
			return false;
	}
	return true;
}

struct text keyed_line(struct text t, size_t at)
{
	const char *end = at < t.n ? memchr(t.p + at, '\n', t.n - at) : NULL;

	return (struct text){t.p + at, end ? (size_t)(end - t.p) + 1 - at : t.n - at};
}
