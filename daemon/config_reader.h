/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "config.h"
#include "config_yaml.h"

/* How the tables of config_schema.c and its neighbours read YAML: maps by key, lists, texts. */

struct reader {
	const char *name;
	const struct config *top; /* for names that a repository's part may use */
	struct config *c;	  /* what is filled */
	struct err *e;
};

typedef int (*reader_fn)(struct reader *rd, const struct cfgnode *v, void *target);
typedef int (*reader_check)(struct reader *rd, const struct cfgnode *v);

struct key {
	const char *name;
	reader_fn read; /* NULL: not supported by this version */
};

/* Errors of all: -EINVAL with the place and a sentence, -ENOMEM. */
#define FAIL(rd, at, ...) cfgnode_error((rd)->name, (at), (rd)->e, __VA_ARGS__)

int reader_kind(struct reader *rd, const struct cfgnode *v, enum cfgnode_kind kind);

/* Keys are checked in the file's order, then read in the table's. */
int reader_map(struct reader *rd, const struct cfgnode *v, const struct key *keys, size_t n,
	       void *target);

/* Text that is not empty, not YAML's null, and of one line. */
int reader_text(struct reader *rd, const struct cfgnode *v);

/* Replaces a field by a copy. */
int reader_set(char **field, const char *text);

/* A gitignore pattern. */
int reader_pattern(struct reader *rd, const struct cfgnode *v);

/* A list of texts, each of which passes `check`, replaces what a lower layer gave, also with nothing. */
int reader_list(struct reader *rd, const struct cfgnode *v, struct config_list *l,
		reader_check check);
