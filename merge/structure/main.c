/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfs-parser GRAMMARS: answers questions about syntax, one after the other, until its input ends (parser_wire.h has
 * the format, parser.h is its client). It loads a grammar when it is first needed, from that folder only, and has given
 * up everything else by then (jail.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "io.h"
#include "jail.h"
#include "parser_wire.h"
#include "profile.h"
#include "symbols.h"
#include "syntax.h"
#include "treemerge.h"

enum { QUESTION_SECONDS = 10 };

struct helper {
	const char *grammars;
	struct ts_api ts;
	struct profiles profiles;
	struct syntax_kept kept;
};

/* Beside the program, as in a build folder, or where they are installed. */
static int read_profiles(struct profiles *ret, struct err *reterr)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 32);
	char *slash;

	self[n < 0 ? 0 : n] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		strcpy(slash, "/structure/profiles");
		if (access(self, R_OK) == 0)
			return profiles_read(self, ret, reterr);
	}
	return profiles_read(AGENTFS_DATADIR "/profiles", ret, reterr);
}

static int put_answers(struct parser_answer *v, uint32_t n, struct buf *out)
{
	int r = wire_put(out, n);

	for (uint32_t i = 0; i < n; i++) {
		if (r == 0)
			r = wire_put(out, v[i].class);
		if (r == 0)
			r = wire_put_blob(out, (struct text){v[i].text.data, v[i].text.len});
		buf_release(&v[i].text);
	}
	return r;
}

/* Conflicts ascend in each version; anything else is refused. */
static int get_conflicts(struct wire *w, const struct text t[SIDES], uint32_t n, struct range *v)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t s = BASE; s < SIDES; s++) {
			struct range *c = &v[s * n + i];

			c->from = wire_get(w);
			c->to = wire_get(w);
			if (w->bad || c->from > c->to || c->to > t[s].n ||
			    (i && c->from < c[-1].to))
				return -EBADMSG;
		}
	return 0;
}

static int answer_merge(struct helper *h, const struct profile *p, struct wire *w, struct buf *out)
{
	struct treemerge in = {.ts = &h->ts, .profile = p, .kept = &h->kept};
	_cleanup_free_ struct range *conflicts = NULL;
	_cleanup_free_ struct parser_answer *v = NULL;
	_cleanup_free_ struct text *between = NULL;
	uint32_t n;
	int r;

	for (int s = BASE; s < SIDES; s++)
		in.text[s] = wire_get_blob(w);
	n = wire_get(w);
	if (w->bad || n > w->n / (SIDES * 8))
		return -EBADMSG;
	conflicts = calloc((size_t)SIDES * n + 1, sizeof(*conflicts));
	v = calloc(n + 1, sizeof(*v));
	between = calloc(n + 1, sizeof(*between));
	if (!conflicts || !v || !between)
		return -ENOMEM;
	r = get_conflicts(w, in.text, n, conflicts);
	for (uint32_t i = 0; i <= n; i++)
		between[i] = wire_get_blob(w);
	if (w->bad)
		r = -EBADMSG;
	if (r < 0)
		return r;
	for (int s = BASE; s < SIDES; s++)
		in.conflict[s] = conflicts + (size_t)s * n;
	in.between = between;
	in.n = n;
	r = treemerge(&in, v);
	if (r == 0)
		return put_answers(v, n, out);
	for (uint32_t i = 0; i < n; i++)
		buf_release(&v[i].text);
	return r;
}

static int answer_symbols(struct helper *h, const struct profile *p, struct wire *w,
			  struct buf *out)
{
	struct text t = wire_get_blob(w);
	struct syntax s;
	int r = w->bad ? -EBADMSG : syntax_parse(&h->ts, p, t, NULL, &s);

	if (r < 0)
		return r;
	r = symbols_put(&s, out);
	syntax_release(&s);
	return r;
}

static int answer_check(struct helper *h, const struct profile *p, struct wire *w, struct buf *out)
{
	struct text t = wire_get_blob(w);
	struct syntax s;
	int r = w->bad ? -EBADMSG : syntax_kept_parse(&h->kept, &h->ts, p, t, NULL, &s);

	return r < 0 ? r : wire_put(out, s.errors);
}

static int answer(struct helper *h, struct wire *w, struct buf *out, struct err *reterr)
{
	uint32_t op = wire_get(w);
	struct text path = wire_get_blob(w);
	struct profile *p = profiles_find(&h->profiles, path);
	int r;

	if (w->bad)
		return -EBADMSG;
	if (!p)
		return err_set(reterr, -ENOTSUP, "there is no language profile for it");
	r = profile_open(p, &h->ts, h->grammars, reterr);
	if (r < 0)
		return r;
	switch (op) {
	case PARSER_MERGE:
		return answer_merge(h, p, w, out);
	case PARSER_SYMBOLS:
		return answer_symbols(h, p, w, out);
	case PARSER_CHECK:
		return answer_check(h, p, w, out);
	default:
		return -EBADMSG;
	}
}

/* Reads exactly n bytes. Returns 1, 0 at the end, -errno. */
static int read_full(void *to, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = read(STDIN_FILENO, (char *)to + done, n - done);

		if (r == 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0)
			done += (size_t)r;
	}
	return 1;
}

/* The frame of an answer: length, status, what was put or the sentence. */
static int reply(int status, const struct buf *body, const struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *why = e->code ? err_text(e) : strerror(-status);
	struct text text = {status < 0 ? why : body->data, status < 0 ? strlen(why) : body->len};
	int r = wire_put(&b, (uint32_t)(text.n + 4 + (status < 0 ? 4 : 0)));

	if (r == 0)
		r = wire_put(&b, (uint32_t)-status);
	if (r == 0)
		r = status < 0 ? wire_put_blob(&b, text) : buf_add(&b, text.p, text.n);
	return r < 0 ? r : io_write_full(STDOUT_FILENO, b.data, b.len);
}

static int serve_one(struct helper *h, struct buf *question)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_(err_release) struct err e = ERR_INIT;
	unsigned char head[4];
	struct wire w = {head, sizeof(head), false};
	uint32_t n;
	int r = read_full(head, sizeof(head));

	if (r <= 0)
		return r;
	n = wire_get(&w);
	if (n > PARSER_FRAME_MAX)
		return -EBADMSG;
	buf_clear(question);
	r = buf_reserve(question, n);
	if (r == 0)
		r = read_full(question->data, n);
	if (r <= 0)
		return r;
	jail_allow_seconds(QUESTION_SECONDS);
	w = (struct wire){(const unsigned char *)question->data, n, false};
	r = answer(h, &w, &out, &e);
	r = reply(r, &out, &e);
	return r < 0 ? r : 1;
}

int main(int argc, char **argv)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_buf_ struct buf question = BUF_INIT;
	struct helper h = {0};
	int r;

	if (argc != 2) {
		(void)fprintf(stderr,
			      "Usage: agentfs-parser GRAMMARS\n"
			      "Started by agentfs: answers questions about syntax on its input.\n");
		return 2;
	}
	h.grammars = argv[1];
	r = read_profiles(&h.profiles, &e);
	if (r == 0)
		r = ts_load(h.grammars, &h.ts, &e);
	if (r == 0)
		r = jail_enter(h.grammars);
	if (r < 0) {
		(void)fprintf(stderr, "agentfs-parser: %s\n", e.code ? err_text(&e) : strerror(-r));
		return 1;
	}
	do
		r = serve_one(&h, &question);
	while (r > 0);
	syntax_kept_release(&h.kept);
	profiles_release(&h.profiles);
	return r < 0;
}
