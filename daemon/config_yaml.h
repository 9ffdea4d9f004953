/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* YAML text as a tree that knows where everything was written. Strict: one document, and no
 * anchors, aliases, tags or duplicate keys. */
enum cfgnode_kind { CFG_TEXT, CFG_LIST, CFG_MAP };

struct cfgnode {
	enum cfgnode_kind kind;
	bool plain;		/* TEXT: written without quotes */
	unsigned line, col;	/* from 1 */
	char *text;		/* TEXT: without NUL bytes */
	struct cfgnode **items; /* LIST: its items; MAP: key, value, key, value … */
	size_t n;		/* of items */
};

/* *ret is NULL for an empty document; freed with cfgnode_free(). Errors: -EINVAL with
 * "name:line:column: sentence", -ENOMEM. */
int cfgnode_load(const char *text, size_t n, const char *name, struct cfgnode **ret,
		 struct err *reterr);
void cfgnode_free(struct cfgnode *y);

/* Sets "name:line:column: " and the sentence. Returns -EINVAL. */
int cfgnode_error(const char *name, const struct cfgnode *at, struct err *reterr, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
