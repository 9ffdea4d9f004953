/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "syntax.h"

/*
 * The syntax of the last texts: a merge is asked about with its sides swapped as well, and its result and both sides once more
 * before they are believed.
 */
enum { SYNTAX_KEPT = 8 };

struct syntax_kept {
	struct kept_text {
		struct syntax s; /* of `text` */
		char *text;
		uint64_t used; /* 0: empty */
	} v[SYNTAX_KEPT];
	uint64_t clock;
};

/* As syntax_parse(); *ret is borrowed until SYNTAX_KEPT - 1 other texts have been asked for. */
int syntax_kept_parse(struct syntax_kept *k, const struct ts_api *ts, const struct profile *p,
		      struct text t, const struct syntax *like, struct syntax *ret);
void syntax_kept_release(struct syntax_kept *k);
