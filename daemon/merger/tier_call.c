/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to one resolver. Guarantees: (1) it runs in a sandbox, sees its program, the system's
 * libraries and what the configuration lets it read, and is gone when its time is over; (2) no call is made that
 * the budget does not cover, and each is counted, whatever came of it; (3) its key is in its environment, and nowhere
 * else: an answer that holds it is none, and words about a failure are told without it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sandbox.h"
#include "tier_parts.h"

enum { ANSWER_MAX = 4 << 20, WORDS_MAX = 300, GRACE_MS = 2000, BINDS_MAX = 64, ENV_MAX = 8 };
/* The address sanitizer, which our own resolvers have where we do, maps more than any limit, and traces itself to find
 * leaks, which a sandbox refuses. */
#ifdef __SANITIZE_ADDRESS__
static const uint64_t memory_max = 0;
static const char *const sanitizer_options = "detect_leaks=0";
#else
static const uint64_t memory_max = (uint64_t)2 << 30;
static const char *const sanitizer_options = NULL;
#endif

/* A run's arguments; all texts are borrowed but those of env. */
struct room {
	const char **argv;
	struct sandbox_bind binds[BINDS_MAX];
	size_t nbinds;
	char *env[ENV_MAX];
	size_t nenv;
};

static const char *str(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void room_release(struct room *x)
{
	free(x->argv);
	for (size_t i = 0; i < x->nenv; i++) {
		explicit_bzero(x->env[i], strlen(x->env[i]));
		free(x->env[i]);
	}
}

static int add_env(struct room *x, const char *name, const char *value)
{
	if (!name || !value || x->nenv + 1 >= ENV_MAX)
		return 0;
	if (asprintf(&x->env[x->nenv], "%s=%s", name, value) < 0)
		return -ENOMEM;
	x->nenv++;
	return 0;
}

static void add_binds(struct room *x, const json_t *paths)
{
	json_t *p;
	size_t i;

	json_array_foreach (paths, i, p)
		if (x->nbinds < BINDS_MAX)
			x->binds[x->nbinds++] = (struct sandbox_bind){.host = json_string_value(p)};
}

static int room_make(struct room *x, const json_t *settings)
{
	const json_t *argv = json_object_get(settings, "argv");
	size_t n = json_array_size(argv);
	int r;

	x->argv = calloc(n + 1, sizeof(*x->argv));
	if (!x->argv)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		x->argv[i] = json_string_value(json_array_get(argv, i));
	add_binds(x, json_object_get(settings, "programs"));
	add_binds(x, json_object_get(settings, "read"));
	r = add_env(x, str(settings, "key_env"), str(settings, "key"));
	return r < 0 ? r : add_env(x, "ASAN_OPTIONS", sanitizer_options);
}

/* ---- what came of it ---- */

static bool holds(const struct buf *b, const char *key)
{
	return key && *key && b->len && memmem(b->data, b->len, key, strlen(key));
}

/* The last line that it wrote on standard error, without control bytes. */
static void last_words(const struct buf *err, const char *key, char *ret, size_t size)
{
	const char *p = err->len ? err->data : "";
	size_t n = err->len, from;

	while (n && (unsigned char)p[n - 1] <= 0x20)
		n--;
	for (from = n; from && p[from - 1] != '\n';)
		from--;
	if (n - from >= size)
		n = from + size - 1;
	for (size_t i = from; i < n; i++)
		ret[i - from] =
			(char)((unsigned char)p[i] < 0x20 || (unsigned char)p[i] >= 0x7f ? ' '
											 : p[i]);
	ret[n - from] = '\0';
	if (holds(err, key))
		(void)snprintf(ret, size, "(its words hold the key)");
}

static int judge_run(const struct tier_resolver *v, const struct sandbox_result *res,
		     struct err *why)
{
	const char *key = str(v->settings, "key");
	char words[WORDS_MAX];

	if (res->timed_out)
		return err_set(
			why, -ETIMEDOUT, "it gave no answer within %lld s",
			(long long)json_integer_value(json_object_get(v->settings, "timeout")));
	if (res->truncated)
		return err_set(why, -EFBIG, "it printed more than %d bytes", ANSWER_MAX);
	if (holds(&res->out, key))
		return err_set(why, -EACCES, "its answer holds its key");
	if (res->status == 0)
		return 0;
	last_words(&res->err, key, words, sizeof(words));
	return err_set(why, -EIO, "it failed (exit %d)%s%s", res->status, *words ? ": " : "",
		       words);
}

/* One line for each call, whatever came of it. */
static void note_call(struct tier_ai *t, const struct tier_resolver *v, const char *path,
		      int64_t line, const struct ai_question *q, const struct tier_cost *cost,
		      const struct ai_answer *a, int r, const struct err *why)
{
	static const char *const asks[] = {
		[AI_ASK_CLASS] = "class", [AI_ASK_TEXT] = "text", [AI_ASK_FILE] = "file"};
	const char *result = r < 0 ? err_text(why) : a->declined ? "none" : ai_class_name(a->class);

	(void)json_array_append_new(
		t->asked,
		json_pack("{s:o,s:I,s:s,s:s,s:i,s:i,s:I,s:I,s:o}", "path",
			  worker_text(path, strlen(path)), "line", (json_int_t)line, "resolver",
			  v->label, "ask", asks[q->ask], "attempt", q->attempt, "sample", q->sample,
			  "ms", (json_int_t)cost->ms, "tokens", (json_int_t)cost->tokens, "result",
			  worker_text(result, strlen(result))));
}

static void spend(struct tier_ai *t, const struct tier_cost *c)
{
	t->left.calls -= c->calls;
	t->left.ms -= c->ms;
	t->left.tokens -= c->tokens;
	t->spent.calls += c->calls;
	t->spent.ms += c->ms;
	t->spent.tokens += c->tokens;
}

static int check_budget(struct tier_ai *t, struct err *why)
{
	const char *what = t->left.calls <= 0	 ? "calls"
			   : t->left.ms <= 0	 ? "seconds"
			   : t->left.tokens <= 0 ? "tokens"
						 : NULL;

	if (!what)
		return 0;
	t->exhausted = true;
	tier_note(t,
		  "the budget for asking resolvers is used up (%s of %s): merge.budget in the "
		  "configuration sets it",
		  what, t->by_day ? "the day" : "a merge");
	return err_set(why, -EDQUOT, "the budget is used up");
}

static int run(struct tier_ai *t, const struct tier_resolver *v, const char *request,
	       struct sandbox_result *res, struct err *why)
{
	int64_t ms = json_integer_value(json_object_get(v->settings, "timeout")) * 1000 + GRACE_MS;
	struct room room = {0};
	struct sandbox_spec spec = {
		.network = json_is_true(json_object_get(v->settings, "network")),
		.in = request,
		.in_len = strlen(request),
		.timeout_ms = (unsigned int)(ms < t->left.ms ? ms : t->left.ms),
		.output_max = ANSWER_MAX,
		.memory_max = memory_max,
	};
	int r = room_make(&room, v->settings);

	spec.argv = room.argv;
	spec.binds = room.binds;
	spec.nbinds = room.nbinds;
	spec.env = (const char *const *)room.env;
	if (r == 0)
		r = sandbox_run(&spec, res, why);
	room_release(&room);
	return r;
}

/* A resolver that fails by itself is not asked again in this merge. */
static int failed(struct tier_ai *t, struct tier_resolver *v, int r, const struct err *why)
{
	v->failed = true;
	tier_note(t, "resolver '%s': %s", v->name, err_text(why));
	return r;
}

int tier_call(struct tier_ai *t, struct tier_resolver *v, const char *path, int64_t line,
	      const json_t *request, const struct ai_question *q, struct ai_answer *ret,
	      struct err *why)
{
	const char *missing = str(v->settings, "missing");
	_cleanup_free_ char *text = NULL;
	struct sandbox_result res = {0};
	struct tier_cost cost = {.calls = 1};
	int r = check_budget(t, why);

	if (r < 0)
		return r;
	if (missing)
		return failed(t, v, err_set(why, -ENOENT, "%s", missing), why);
	text = json_dumps(request, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	worker_progress("asking resolvers", (uint64_t)t->spent.calls, 0);
	r = run(t, v, text, &res, why);
	if (r == 0)
		r = judge_run(v, &res, why);
	if (r == 0)
		r = ai_answer_parse(res.out.len ? res.out.data : "", res.out.len, ret, why);
	cost.ms = (int64_t)res.ms;
	cost.tokens = r == 0 && ret->tokens ? (int64_t)ret->tokens
					    : (int64_t)((strlen(text) + res.out.len) / 4);
	spend(t, &cost);
	note_call(t, v, path, line, q, &cost, ret, r, why);
	buf_release(&res.out);
	buf_release(&res.err);
	return r == 0 || r == -EBADMSG || r == -ENOMEM ? r : failed(t, v, r, why);
}
