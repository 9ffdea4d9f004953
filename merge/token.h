/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "lines.h"

/* Texts as words and signs, whatever the language: what names a text uses, how alike two are. */

enum token_kind {
	TOKEN_SIGN,   /* one byte that is no letter, digit or white space */
	TOKEN_NUMBER, /* begins with a digit */
	TOKEN_NAME,   /* letters, digits, _, $ and bytes from 128 on */
};

/* The next token from *at on, which moves behind it. False at the end. */
bool token_next(struct text t, size_t *at, struct text *ret, enum token_kind *ret_kind);

/* The tokens of some texts, each once, sorted. Borrows the texts. */
struct token_set {
	struct text *v;
	size_t n, cap;
};

/* Adds all tokens of a text from `least` on (TOKEN_SIGN: all, TOKEN_NAME: names alone). Errors: -ENOMEM. */
int token_set_add(struct token_set *s, struct text t, enum token_kind least);

/* Sorts it, and leaves each token as often as it was added: to be walked, not to be asked. */
void token_set_sort(struct token_set *s);

/* The order they are in: less than 0, 0, more. */
int token_compare(struct text a, struct text b);

/* Sorts it; to be called after the last token_set_add() and before the first question. */
void token_set_close(struct token_set *s);
bool token_set_has(const struct token_set *s, struct text token);
void token_set_release(struct token_set *s);

/* What two sets share, of all they have: 0 … 1; 0 where both are empty. */
double token_set_alike(const struct token_set *a, const struct token_set *b);
