/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) a key is read from the daemon's environment at the last moment, and goes nowhere but into
 * the request of the worker that asks, which is memory only; (2) what a day's budget leaves is reserved before
 * a merge begins, so that merges side by side stay within it, too.
 */
#include "ai_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "log.h"
#include "spawn_env.h"
#include "sys.h"

static const uint64_t day_ns = UINT64_C(86400) * 1000000000, hour_ns = UINT64_C(3600) * 1000000000;

/* Of what resolvers said before a worker is told so much. */
enum { SAID_MAX = 512 << 10 };

static json_t *list_json(const struct config_list *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(a, json_string(l->v[i].text));
	return a;
}

static void add_word(json_t *argv, const char *option, const char *value)
{
	if (!value)
		return;
	(void)json_array_append_new(argv, json_string(option));
	(void)json_array_append_new(argv, json_string(value));
}

static const char *program_of(enum config_adapter a)
{
	switch (a) {
	case CONFIG_ADAPTER_OPENAI:
		return "agentfs-resolve-openai";
	case CONFIG_ADAPTER_ANTHROPIC:
		return "agentfs-resolve-anthropic";
	case CONFIG_ADAPTER_COMMAND:
		return "agentfs-resolve-command";
	case CONFIG_ADAPTER_NONE:
		break;
	}
	return NULL;
}

/* Our own program: its path is the first word, and what the sandbox has to show. */
static void add_program(json_t *o, json_t *argv, const struct config_resolver *c)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *path = NULL;
	char seconds[16];

	if (spawn_find(program_of(c->adapter), "tools/resolvers", AGENTFS_LIBEXECDIR, &path, &e) <
	    0) {
		(void)json_object_set_new(
			o, "missing",
			json_sprintf("the program %s is not installed%s", program_of(c->adapter),
				     c->adapter == CONFIG_ADAPTER_COMMAND
					     ? ""
					     : " (agentfs was built without libcurl)"));
		return;
	}
	(void)json_array_append_new(json_object_get(o, "programs"), json_string(path));
	(void)json_array_append_new(argv, json_string(path));
	(void)snprintf(seconds, sizeof(seconds), "%u", c->timeout_s);
	add_word(argv, "--timeout", seconds);
	add_word(argv, "--url", c->url);
	add_word(argv, "--model", c->model);
	add_word(argv, "--key-env", c->adapter == CONFIG_ADAPTER_COMMAND ? NULL : c->key_env);
	if (c->adapter == CONFIG_ADAPTER_COMMAND)
		(void)json_array_append_new(argv, json_string("--"));
}

static void add_key(json_t *o, const struct config_resolver *c)
{
	const char *key = c->key_env ? getenv(c->key_env) : NULL;

	if (!c->key_env)
		return;
	(void)json_object_set_new(o, "key_env", json_string(c->key_env));
	if (key && *key)
		(void)json_object_set_new(o, "key", json_string(key));
	if (!json_object_get(o, "key"))
		(void)json_object_set_new(
			o, "missing",
			json_sprintf("the environment variable %s, which holds its key, is not set "
				     "where agentfsd runs",
				     c->key_env));
}

/* Is the program in every sandbox, or looked for there? */
static bool is_system(const char *path)
{
	static const char *const folders[] = {"/usr/", "/bin/", "/sbin/"};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (strncmp(path, folders[i], strlen(folders[i])) == 0)
			return true;
	return *path != '/';
}

static json_t *resolver_json(const struct config_resolver *c)
{
	json_t *argv = json_array(),
	       *o = json_pack("{s:s,s:i,s:b,s:o,s:o,s:o,s:[]}", "name", c->name, "timeout",
			      (int)c->timeout_s, "network", c->network, "languages",
			      list_json(&c->languages), "paths", list_json(&c->paths), "read",
			      list_json(&c->read), "programs");

	if (program_of(c->adapter))
		add_program(o, argv, c);
	for (size_t i = 0; i < c->command.n; i++)
		(void)json_array_append_new(argv, json_string(c->command.v[i].text));
	if (c->command.n && !is_system(c->command.v[0].text))
		(void)json_array_append_new(json_object_get(o, "programs"),
					    json_string(c->command.v[0].text));
	(void)json_object_set_new(o, "argv", argv);
	add_key(o, c);
	return o;
}

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? (a > 0 ? a : 0) : b;
}

/* What this merge may spend: its own budget, or what is left of the day's. Errors: logged. */
static int reserve(struct daemon *d, const char *repository, const struct config_ai *ai, json_t *o)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	const uint64_t now = sys_now_ns();
	struct state_cost spent = {0}, most;
	int64_t id = 0;
	int r = state_ai_spent(d->db, now - day_ns, &spent, &e);

	most = (struct state_cost){
		.calls = at_most(ai->day.calls - spent.calls, ai->merge.calls),
		.ms = at_most(ai->day.seconds * 1000 - spent.ms, ai->merge.seconds * 1000),
		.tokens = at_most(ai->day.tokens - spent.tokens, ai->merge.tokens)};
	if (r == 0)
		r = state_ai_reserve(d->db, now, repository ? repository : "", &most, &id, &e);
	if (r < 0)
		return log_warning(r, "%s: merging without resolvers of tier 3", err_text(&e));
	(void)json_object_set_new(o, "reservation", json_integer(id));
	(void)json_object_set_new(
		o, "budget",
		json_pack("{s:I,s:I,s:I,s:b}", "calls", (json_int_t)most.calls, "ms",
			  (json_int_t)most.ms, "tokens", (json_int_t)most.tokens, "by_day",
			  most.calls < ai->merge.calls || most.ms < ai->merge.seconds * 1000 ||
				  most.tokens < ai->merge.tokens));
	return 0;
}

struct said {
	json_t *all;
	size_t bytes;
};

static int add_said(const char *key, const char *answer, void *user)
{
	struct said *s = user;
	json_t *o = json_loads(answer, 0, NULL);

	s->bytes += strlen(answer);
	if (o && s->bytes < SAID_MAX)
		(void)json_object_set(s->all, key, o);
	json_decref(o);
	return s->bytes < SAID_MAX ? 0 : 1;
}

/* A week old, and an hour where it has to be verified: such a one may have been what verification failed by. */
static json_t *said_json(struct daemon *d, const char *repository)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct said s = {.all = json_object()};
	const uint64_t now = sys_now_ns();
	int r = state_ai_said_forget(d->db, now - 7 * day_ns, now - hour_ns, &e);

	if (r == 0)
		r = state_ai_said(d->db, repository ? repository : "", add_said, &s, &e);
	if (r < 0)
		(void)log_warning(r, "%s: resolvers are asked anew", err_text(&e));
	return s.all;
}

static void keep_said(struct daemon *d, int64_t reservation, json_t *said)
{
	const char *key;
	json_t *o;

	json_object_foreach (said, key, o) {
		_cleanup_(err_release) struct err e = ERR_INIT;
		_cleanup_free_ char *text = json_dumps(o, JSON_COMPACT);
		const char *basis = json_string_value(json_object_get(o, "basis"));

		if (text && strlen(text) < SAID_MAX &&
		    state_ai_said_put(d->db, reservation, sys_now_ns(), key, text,
				      basis && strcmp(basis, "verify") == 0, &e) < 0)
			(void)log_warning(e.code, "%s", err_text(&e));
	}
}

void ai_settings_add(struct daemon *d, const char *repository, json_t *request)
{
	const struct config_ai ai = config_ai(&d->config, repository);
	const char *op = json_string_value(json_object_get(request, "op"));
	bool merges = op && (strcmp(op, "merge") == 0 || strcmp(op, "hold") == 0);
	bool ask = merges && (!json_is_true(json_object_get(request, "dry_run")) ||
			      json_is_true(json_object_get(request, "ask_models")));
	const char *into = json_string_value(json_object_get(request, "into"));
	json_t *o, *all;

	if (!ai.nresolvers)
		return;
	if (into && !json_object_get(request, "verify"))
		(void)json_object_set_new(
			request, "verify",
			json_boolean(config_verify_find(&d->config, repository, into) != NULL));
	o = json_object();
	all = json_array();
	for (size_t i = 0; i < ai.nresolvers; i++)
		(void)json_array_append_new(all,
					    ask ? resolver_json(&ai.resolvers[i])
						: json_pack("{s:s}", "name", ai.resolvers[i].name));
	(void)json_object_set_new(o, "resolvers", all);
	(void)json_object_set_new(o, "ask", json_boolean(ask));
	(void)json_object_set_new(o, "reimagine", json_boolean(ai.reimagine == CONFIG_YES));
	if (ask)
		(void)json_object_set_new(o, "said", said_json(d, repository));
	if (!ask || reserve(d, repository, &ai, o) == 0)
		(void)json_object_set(request, "ai", o);
	json_decref(o);
}

void ai_settings_settle(struct daemon *d, json_t *answer)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	const json_t *o = json_object_get(answer, "ai_spent");
	const struct state_cost spent = {.calls = json_integer_value(json_object_get(o, "calls")),
					 .ms = json_integer_value(json_object_get(o, "ms")),
					 .tokens =
						 json_integer_value(json_object_get(o, "tokens"))};
	int64_t id = json_integer_value(json_object_get(o, "reservation"));
	json_t *one;
	size_t i;

	/* Many merges of one request: each tells what it and those before it spent. */
	json_array_foreach (json_object_get(answer, "merges"), i, one) {
		ai_settings_settle(d, one);
		ai_settings_settle(d, json_object_get(json_object_get(one, "error"), "details"));
	}
	if (id > 0 && state_ai_settle(d->db, id, &spent, &e) < 0)
		(void)log_warning(e.code, "%s: the most that the merge could cost counts",
				  err_text(&e));
	if (id > 0)
		keep_said(d, id, json_object_get(o, "said"));
	if (o)
		(void)json_object_del(answer, "ai_spent");
}

static char *wrong_of(const struct config_ai *ai)
{
	char *said = NULL;

	for (size_t i = 0; i < ai->nresolvers && !said; i++) {
		json_t *o = resolver_json(&ai->resolvers[i]);
		const char *missing = json_string_value(json_object_get(o, "missing"));

		if (missing &&
		    asprintf(&said, "resolver '%s': %s", ai->resolvers[i].name, missing) < 0)
			said = NULL;
		json_decref(o);
	}
	return said;
}

char *ai_settings_wrong(const struct daemon *d)
{
	char *said = wrong_of(&d->config.ai);

	for (size_t i = 0; i < d->config.nrepositories && !said; i++)
		said = wrong_of(&d->config.repositories[i].part.ai);
	return said;
}
