/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "profile.h"

/* A text's syntax tree as one array in document order: a node's subtree is [i, v[i].end). */

enum syn_flags {
	SYN_NAMED = 1 << 0,
	SYN_EXTRA = 1 << 1,
	SYN_ERROR = 1 << 2,  /* this node is one, or is missing in the text */
	SYN_BROKEN = 1 << 3, /* there is one in the subtree */
};

struct syn_node {
	uint16_t kind, field;
	uint8_t flags;
	uint32_t from, to; /* bytes */
	uint32_t end, parent;
};

struct syntax {
	struct text text; /* borrowed */
	const struct profile *profile;
	struct syn_node *v;
	uint32_t n;
	unsigned int errors;
	const struct ts_api *ts;
	TSTree *tree;
};

enum { SYN_NONE = UINT32_MAX };

/* like: the syntax of a similar text, whose unchanged parts are taken over, or NULL. Errors: -EFBIG (text over 4 MiB, or
 * over 2 million nodes), -ENOMEM. */
int syntax_parse(const struct ts_api *ts, const struct profile *p, struct text t,
		 const struct syntax *like, struct syntax *ret);
void syntax_release(struct syntax *s);

static inline struct text syn_text(const struct syntax *s, uint32_t i)
{
	return (struct text){s->text.p + s->v[i].from, s->v[i].to - s->v[i].from};
}

static inline const struct kind *syn_kind(const struct syntax *s, uint32_t i)
{
	return profile_kind(s->profile, s->v[i].kind);
}

/* The declaration rule of a node, or NULL. */
static inline const struct declare *syn_declare(const struct syntax *s, uint32_t i)
{
	const struct kind *k = syn_kind(s, i);

	return k->declare ? &s->profile->declares[k->declare - 1] : NULL;
}

/* Follows a path of the profile from node i; SYN_NONE where it leads nowhere. */
uint32_t syn_follow(const struct syntax *s, uint32_t i, const struct path *p);

/* The name of a declaration; empty where there is none. */
struct text syn_name(const struct syntax *s, uint32_t i);

/* What distinguishes overloads: types of parameters. Appends to out. Errors: -ENOMEM. */
int syn_params(const struct syntax *s, uint32_t i, struct buf *out);
