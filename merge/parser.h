/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "diff3.h"
#include "err.h"

/*
 * agentfs-parser: syntax trees, in a process of its own with limits, one for each struct parser, started when it is
 * first asked. One that crashes or takes too long costs the file it was asked about; the next question
 * starts another.
 */

struct parser;

struct parser_options {
	const char *program;	 /* NULL: beside the running program, or where it is installed */
	const char *grammars;	 /* NULL: likewise */
	unsigned int timeout_ms; /* for one question; 0: PARSER_TIMEOUT_MS */
};
enum { PARSER_TIMEOUT_MS = 3000 };

/* Starts nothing yet. NULL where there are no grammars (why is in *reterr: which folder, what to do), or no memory. The
 * options' strings are copied. */
struct parser *parser_new(const struct parser_options *o, struct err *reterr);
void parser_free(struct parser *p);

/* The folder of its grammars. */
const char *parser_grammars(const struct parser *p);

/* What a structured merge had to decide to get a conflict's text, from the safest on. */
enum parser_class {
	PARSER_NONE, /* it stays a conflict */
	PARSER_DECL, /* each side changed, added or removed declarations of its own, at different places */
	PARSER_ADD,   /* both added declarations at one place: ours first */
	PARSER_LIST,  /* both changed a list whose order means nothing */
	PARSER_BLOCK, /* each side changed statements of its own in one block */
	PARSER_TOKEN, /* each side changed its own part of one statement */
	PARSER_CLASSES,
};

struct parser_answer {
	enum parser_class class;
	struct buf text; /* owned by whoever made the array */
};

/* One file: ret is d->conflicts of them, zero before. Errors: -ENOTSUP nobody knows the language, -ETIMEDOUT, -EPIPE
 * it crashed, -ENOMEM, -errno; the sentence in *reterr (or NULL). */
int parser_merge(struct parser *p, const char *path, const struct diff3 *d,
		 struct parser_answer *ret, struct err *reterr);

struct symbol {
	char *kind, *name, *params;
	uint32_t from, to;  /* lines, from 1 */
	uint32_t enclosing; /* index, or SYMBOL_NONE */
};

/* A name that is used: once for each declaration that it is used in. */
struct symbol_use {
	char *name;
	uint32_t in, line; /* index of the innermost declaration, or SYMBOL_NONE; the first line */
};
enum { SYMBOL_NONE = UINT32_MAX };

struct symbols {
	struct symbol *v;
	struct symbol_use *uses;
	size_t n, nuses;
};

/* The declarations of a text, in its order, and the names it uses. Errors: as parser_merge(). */
int parser_symbols(struct parser *p, const char *path, struct text t, struct symbols *ret,
		   struct err *reterr);
void symbols_release(struct symbols *s);

/* How many nodes of the text are errors. Errors: as parser_merge(). */
int parser_check(struct parser *p, const char *path, struct text t, unsigned int *ret,
		 struct err *reterr);
