/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of agentfs-parser. Guarantees: (1) no question takes longer than its time limit; a parser that does is
 * killed; (2) whatever it answers, lengths and numbers in it are checked before they are used.
 *
 * The last questions about a merge are remembered with their answers: the resolvers of one file each ask the same.
 */
#include "parser.h"

#include <errno.h>
#include <stdlib.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "parser_process.h"
#include "parser_wire.h"

enum { MEMO = 2 };

struct parser {
	struct parser_process process;
	struct memo {
		struct buf question, answer;
	} memo[MEMO];
	unsigned int oldest;
};

struct parser *parser_new(const struct parser_options *o, struct err *reterr)
{
	struct parser *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->process.to = p->process.from = -1;
	p->process.timeout_ms = o && o->timeout_ms ? o->timeout_ms : PARSER_TIMEOUT_MS;
	p->process.program = o && o->program ? strdup(o->program) : parser_process_program();
	p->process.grammars = o && o->grammars ? strdup(o->grammars) : parser_process_grammars();
	if (!p->process.program)
		(void)err_set(reterr, -ENOENT, "agentfs-parser is not installed");
	else if (!p->process.grammars)
		(void)err_set(
			reterr, -ENOENT,
			"there are no grammars beside the programs nor in '%s': run tools/grammars",
			AGENTFS_LIBDIR "/grammars");
	else
		return p;
	parser_free(p);
	return NULL;
}

const char *parser_grammars(const struct parser *p)
{
	return p->process.grammars;
}

void parser_free(struct parser *p)
{
	if (!p)
		return;
	parser_process_stop(&p->process);
	for (int i = 0; i < MEMO; i++) {
		buf_release(&p->memo[i].question);
		buf_release(&p->memo[i].answer);
	}
	free(p->process.program);
	free(p->process.grammars);
	free(p);
}

static int say(struct parser *p, int r, const char *path, struct err *reterr)
{
	parser_process_stop(&p->process);
	if (r == -ETIMEDOUT)
		return err_set(reterr, r, "'%s': its syntax took more than %u ms to read", path,
			       p->process.timeout_ms);
	if (r == -EPIPE)
		return err_set(reterr, r, "'%s': the parser died of it", path);
	return err_set(reterr, r, "'%s': cannot read its syntax: %s", path, strerror(-r));
}

/* Asks; on success *ret stands at the answer's first field behind the status. */
static int ask(struct parser *p, const char *path, struct buf *question, struct buf *answer,
	       struct wire *ret, struct err *reterr)
{
	uint32_t n = (uint32_t)question->len - 4, status;
	const unsigned char head[4] = {(unsigned char)n, (unsigned char)(n >> 8),
				       (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
	int r;

	if (question->len > PARSER_FRAME_MAX)
		return err_set(reterr, -EFBIG, "'%s' is too large to read its syntax", path);
	memcpy(question->data, head, sizeof(head));
	r = parser_process_ask(&p->process, question, answer);
	if (r < 0)
		return say(p, r, path, reterr);
	*ret = (struct wire){(const unsigned char *)answer->data, answer->len, false};
	status = wire_get(ret);
	if (status) {
		struct text t = wire_get_blob(ret);

		if (status > INT16_MAX)
			status = EBADMSG;
		return err_set(reterr, -(int)status, "'%s': %.*s", path, (int)t.n, t.p);
	}
	return 0;
}

/* The head of a question; room for the length is left. */
static int begin(struct buf *b, enum parser_op op, const char *path)
{
	int r = wire_put(b, 0);

	if (r == 0)
		r = wire_put(b, op);
	return r < 0 ? r : wire_put_blob(b, (struct text){path, strlen(path)});
}

/* --- merge --- */

static int put_conflicts(struct buf *b, const struct diff3 *d)
{
	int r = wire_put(b, (uint32_t)d->conflicts);

	for (size_t i = 0; i < d->n && r == 0; i++)
		for (int s = BASE; s < SIDES && r == 0 && d->v[i].kind == CHUNK_CONFLICT; s++) {
			struct text t = diff3_text(d, &d->v[i], (enum side)s);
			size_t from = (size_t)(t.p - d->text[s].p);

			r = wire_put(b, (uint32_t)from);
			if (r == 0)
				r = wire_put(b, (uint32_t)(from + t.n));
		}
	return r;
}

/* What stands around the conflicts, merged by line. */
static int put_between(struct buf *b, const struct diff3 *d)
{
	_cleanup_buf_ struct buf piece = BUF_INIT;
	int r = 0;

	for (size_t i = 0; i <= d->n && r == 0; i++) {
		const struct chunk *c = &d->v[i];

		if (i == d->n || c->kind == CHUNK_CONFLICT) {
			r = wire_put_blob(b, (struct text){piece.data, piece.len});
			buf_clear(&piece);
		} else {
			struct text t = diff3_text(d, c, c->kind == CHUNK_THEIRS ? THEIRS : OURS);

			r = buf_add(&piece, t.p, t.n);
		}
	}
	return r;
}

static int put_merge(struct buf *b, const struct diff3 *d)
{
	int r = 0;

	for (int s = BASE; s < SIDES && r == 0; s++)
		r = wire_put_blob(b, d->text[s]);
	if (r == 0)
		r = put_conflicts(b, d);
	return r < 0 ? r : put_between(b, d);
}

static struct memo *remembered(struct parser *p, const struct buf *question)
{
	for (int i = 0; i < MEMO; i++) {
		struct memo *m = &p->memo[i];

		/* The first four bytes are the length, which is written last. */
		if (m->question.len == question->len && m->question.len > 4 &&
		    memcmp(m->question.data + 4, question->data + 4, question->len - 4) == 0)
			return m;
	}
	return NULL;
}

static int read_answers(struct wire *w, size_t n, struct parser_answer *ret)
{
	if (wire_get(w) != n)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		uint32_t class = wire_get(w);
		struct text t = wire_get_blob(w);

		if (w->bad || class >= PARSER_CLASSES)
			return -EBADMSG;
		ret[i].class = (enum parser_class) class;
		if (buf_add(&ret[i].text, t.p, t.n) < 0)
			return -ENOMEM;
	}
	return 0;
}

int parser_merge(struct parser *p, const char *path, const struct diff3 *d,
		 struct parser_answer *ret, struct err *reterr)
{
	_cleanup_buf_ struct buf question = BUF_INIT;
	struct memo *m;
	struct wire w = {0};
	int r = begin(&question, PARSER_MERGE, path);

	if (r == 0)
		r = put_merge(&question, d);
	if (r < 0)
		return r;
	m = remembered(p, &question);
	if (m) {
		w = (struct wire){(const unsigned char *)m->answer.data, m->answer.len, false};
		(void)wire_get(&w);
		return read_answers(&w, d->conflicts, ret);
	}
	m = &p->memo[p->oldest++ % MEMO];
	buf_release(&m->question);
	r = ask(p, path, &question, &m->answer, &w, reterr);
	if (r < 0)
		return r;
	r = read_answers(&w, d->conflicts, ret);
	if (r < 0)
		return say(p, r, path, reterr);
	m->question = question;
	question = BUF_INIT;
	return 0;
}

/* --- symbols, check --- */

static char *take_blob(struct wire *w)
{
	struct text t = wire_get_blob(w);

	return strndup(t.p, t.n);
}

static uint32_t take_index(struct wire *w, size_t n)
{
	uint32_t i = wire_get(w);

	if (i > n)
		w->bad = true;
	return i && !w->bad ? i - 1 : SYMBOL_NONE;
}

static int read_symbols(struct wire *w, struct symbols *ret)
{
	uint32_t n = wire_get(w);

	/* A symbol is six numbers at least, a use three. */
	if (n > w->n / 24 + 1)
		return -EBADMSG;
	ret->v = calloc(n + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	for (ret->n = 0; ret->n < n && !w->bad; ret->n++) {
		struct symbol *s = &ret->v[ret->n];

		s->kind = take_blob(w);
		s->name = take_blob(w);
		s->params = take_blob(w);
		s->from = wire_get(w);
		s->to = wire_get(w);
		s->enclosing = take_index(w, n);
		if (!s->kind || !s->name || !s->params)
			return -ENOMEM;
	}
	n = wire_get(w);
	if (w->bad || n > w->n / 12 + 1)
		return -EBADMSG;
	ret->uses = calloc(n + 1, sizeof(*ret->uses));
	if (!ret->uses)
		return -ENOMEM;
	for (ret->nuses = 0; ret->nuses < n && !w->bad; ret->nuses++) {
		struct symbol_use *u = &ret->uses[ret->nuses];

		u->name = take_blob(w);
		u->in = take_index(w, ret->n);
		u->line = wire_get(w);
		if (!u->name)
			return -ENOMEM;
	}
	return w->bad ? -EBADMSG : 0;
}

int parser_symbols(struct parser *p, const char *path, struct text t, struct symbols *ret,
		   struct err *reterr)
{
	_cleanup_buf_ struct buf question = BUF_INIT, answer = BUF_INIT;
	struct symbols s = {0};
	struct wire w = {0};
	int r = begin(&question, PARSER_SYMBOLS, path);

	if (r == 0)
		r = wire_put_blob(&question, t);
	if (r < 0)
		return r;
	r = ask(p, path, &question, &answer, &w, reterr);
	if (r < 0)
		return r;
	r = read_symbols(&w, &s);
	if (r < 0) {
		symbols_release(&s);
		return say(p, r, path, reterr);
	}
	*ret = s;
	return 0;
}

void symbols_release(struct symbols *s)
{
	for (size_t i = 0; s->v && i <= s->n; i++) {
		free(s->v[i].kind);
		free(s->v[i].name);
		free(s->v[i].params);
	}
	for (size_t i = 0; s->uses && i <= s->nuses; i++)
		free(s->uses[i].name);
	free(s->v);
	free(s->uses);
	*s = (struct symbols){0};
}

int parser_check(struct parser *p, const char *path, struct text t, unsigned int *ret,
		 struct err *reterr)
{
	_cleanup_buf_ struct buf question = BUF_INIT, answer = BUF_INIT;
	struct wire w = {0};
	int r = begin(&question, PARSER_CHECK, path);

	if (r == 0)
		r = wire_put_blob(&question, t);
	if (r < 0)
		return r;
	r = ask(p, path, &question, &answer, &w, reterr);
	if (r == 0)
		*ret = wire_get(&w);
	return r;
}
