/* SPDX-License-Identifier: Apache-2.0 */
/* Three versions of a file of keys and values: a path, and the versions, each behind a line "%%". Whatever they are,
 * the resolvers answer or decline; where all conflicts of a JSON file have an answer, the file parses, and
 * has no key twice. */
#include <git2.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fuzz.h"
#include "resolve.h"

static bool parses(struct text t)
{
	json_t *doc = json_loadb(t.p, t.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);

	json_decref(doc);
	return doc;
}

/* The file as one resolver would have it, if it has an answer to each conflict. */
static bool answered_by(struct resolve *r, const char *name, struct buf *out)
{
	for (size_t i = 0; i < r->n; i++) {
		r->v[i].taken = NULL;
		for (size_t k = 0; k < r->v[i].n; k++)
			if (strcmp(r->v[i].answers[k].by->name, name) == 0)
				r->v[i].taken = &r->v[i].answers[k];
		if (!r->v[i].taken)
			return false;
	}
	if (resolve_text(r, out) < 0)
		abort();
	return r->n > 0;
}

static void merge(const char *path, const struct text t[SIDES])
{
	const struct resolve_options o = {.cost_of_wrong = COST_OF_WRONG};
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct resolve r;

	if (resolve_file(path, t[BASE], t[OURS], t[THEIRS], &o, &r) < 0)
		abort();
	if (answered_by(&r, "json", &out) && parses(t[BASE]) && parses(t[OURS]) &&
	    parses(t[THEIRS]) && !parses((struct text){out.len ? out.data : "", out.len}))
		abort();
	resolve_release(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	char *text = malloc(size + 1);
	struct text part[SIDES + 1] = {0};
	size_t at = 0;

	if (!text || (!ready && git_libgit2_init() < 0))
		abort();
	ready = true;
	memcpy(text, data, size);
	text[size] = '\0';
	for (int i = 0; i <= SIDES; i++) {
		char *end = at < size ? memmem(text + at, size - at, "\n%%\n", 4) : NULL;
		size_t to = end ? (size_t)(end - text) + (i > 0) : size;

		part[i] = (struct text){text + at, to - at};
		at = end ? (size_t)(end - text) + 4 : size;
		if (i == 0 && end)
			*end = '\0';
	}
	if (part[0].n < 256 && memchr(text, '\0', size + 1) == text + part[0].n)
		merge(text, part + 1);
	free(text);
	return 0;
}
