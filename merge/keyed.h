/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "buf.h"
#include "resolver.h"

/*
 * Files of keys and values (JSON, TOML, …) as a list of items in the order of their lines, each with a name that no
 * other has: the keys that lead to it. A format is a reader that fills the list, or declines; the rest is the same
 * for all: keyed_resolve().
 */

enum keyed_role {
	KEYED_ENTRY, /* a key and its value, of one line or several */
	KEYED_OPEN,  /* the line that begins a table whose entries are items of their own */
	KEYED_CLOSE, /* the line that ends one, where the format has such */
};

/* Whole lines: [lead, from) comments and blank lines, [from, to) the item; all are bytes of the text. */
struct keyed_item {
	size_t id, id_len; /* its name: bytes of keyed.ids */
	size_t parent_len; /* of these, its table's */
	size_t lead, from, to;
	size_t end; /* what is compared and kept: [from, end), without a comma and the line's end */
	struct text value; /* of an entry: what two files have to have alike */
	enum keyed_role role;
};

struct keyed {
	struct text text; /* borrowed */
	struct keyed_item *v;
	size_t n, cap;
	struct buf ids;
};

enum {
	KEYED_MAX = 4 << 20,  /* of one file: more is declined */
	KEYED_DEPTH_MAX = 64, /* tables in tables */
	KEYED_ID_MAX = 4096,  /* of one name */
};

/* Reads a text into *ret, which is empty. Returns 1; 0: something in it is not understood; -ENOMEM. */
typedef int (*keyed_reader)(struct text t, struct keyed *ret);

struct keyed_format {
	keyed_reader read;
	bool commas;   /* between the entries of a table, as in JSON */
	bool sections; /* a table ends where the next one begins, as in TOML */
	/* Both sides changed a value, differently: 1 ours, -1 theirs, 0 a conflict. NULL: the greater version. */
	int (*choose)(struct text ours, struct text theirs);
};

/* What a format makes of the file's conflicts; a resolver_file_fn but for the format. */
int keyed_resolve(const struct keyed_format *format, const struct conflict_file *f,
		  struct file_answer *v);

/* --- for readers --- */

/* Appends an item whose name is `parent` (or NULL) and `key`; lead is where the item before it ends. Returns 1; 0 where
 * a limit is passed; -ENOMEM. The item's other fields are the caller's. */
int keyed_add(struct keyed *k, const struct keyed_item *parent, struct text key,
	      enum keyed_role role, size_t from, size_t to);

/* Sorted by name, for keyed_find(). Returns 1; 0: two items have one name; -ENOMEM. */
struct keyed_index {
	const struct keyed *k;
	const struct keyed_item **v;
};
int keyed_index(const struct keyed *k, struct keyed_index *ret);
const struct keyed_item *keyed_find(const struct keyed_index *x, const struct keyed *of,
				    const struct keyed_item *like);
struct text keyed_id(const struct keyed *k, const struct keyed_item *i);
void keyed_release(struct keyed *k);

/* Valid UTF-8 without NUL, no longer than KEYED_MAX? */
bool keyed_is_text(struct text t);

/* The line that begins at `at`, with its end. */
struct text keyed_line(struct text t, size_t at);

/* Reads a text again and compares it, name by name, with what the three others say it has to be; conflicts are none.
 * Returns 1, 0 or -ENOMEM. */
int keyed_agrees(const struct keyed_format *format, const struct text version[SIDES],
		 struct text merged);

/* Which text a three-way choice takes: an empty one with p NULL is "not there". false: a conflict. */
bool keyed_choose(const struct keyed_format *format, struct text base, struct text ours,
		  struct text theirs, struct text *ret);
