/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `resolvers` and `budget` of `merge` in the configuration: who is asked about conflicts that no rule
 * resolves, and how much that may cost. Keys of servers never stand here: `key-env` names the variable
 * of the daemon's environment that holds one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_parts.h"
#include "config_yaml.h"
#include "language.h"
#include "policy_pattern.h"
#include "sys.h"

enum { TIMEOUT_DEFAULT_S = 60, TIMEOUT_MAX_S = 3600, RESOLVERS_MAX = 8 };
static const int64_t budget_max = INT64_C(1000000000);

struct reading {
	const char *name; /* of the file */
	struct config_resolver *to;
	struct err *e;
};

typedef int (*read_fn)(struct reading *rd, const struct cfgnode *v);

#define FAIL(rd, at, ...) cfgnode_error((rd)->name, (at), (rd)->e, __VA_ARGS__)

/* Text of one line that is not empty. */
static int check_text(struct reading *rd, const struct cfgnode *v, const char *what)
{
	if (v->kind != CFG_TEXT || !*v->text)
		return FAIL(rd, v, "%s is expected here", what);
	for (const char *s = v->text; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return FAIL(rd, v, "control bytes are not allowed here");
	return 0;
}

static int set_text(struct reading *rd, const struct cfgnode *v, const char *what, char **ret)
{
	int r = check_text(rd, v, what);

	if (r < 0)
		return r;
	*ret = sys_strdup(v->text);
	return *ret ? 0 : -ENOMEM;
}

static int read_name(struct reading *rd, const struct cfgnode *v)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	int r = set_text(rd, v, "a name", &rd->to->name);

	if (r == 0 && config_check_name("resolver", v->text, &why) < 0)
		return FAIL(rd, v, "%s", err_text(&why));
	return r;
}

static int read_adapter(struct reading *rd, const struct cfgnode *v)
{
	static const char *const names[] = {[CONFIG_ADAPTER_OPENAI] = "openai",
					    [CONFIG_ADAPTER_ANTHROPIC] = "anthropic",
					    [CONFIG_ADAPTER_COMMAND] = "command"};

	for (size_t i = 1; v->kind == CFG_TEXT && i < ARRAY_SIZE(names); i++)
		if (strcmp(v->text, names[i]) == 0) {
			rd->to->adapter = (enum config_adapter)i;
			return 0;
		}
	return FAIL(rd, v, "adapter is openai, anthropic or command");
}

static int read_model(struct reading *rd, const struct cfgnode *v)
{
	return set_text(rd, v, "the name of a model", &rd->to->model);
}

static int read_url(struct reading *rd, const struct cfgnode *v)
{
	int r = set_text(rd, v, "the address of a server", &rd->to->url);

	if (r == 0 && strncmp(v->text, "https://", 8) != 0 && strncmp(v->text, "http://", 7) != 0)
		return FAIL(rd, v, "url begins with https:// or http://");
	return r == 0 && strchr(v->text, '@')
		       ? FAIL(rd, v, "url has no user and password: a key comes from key-env")
		       : r;
}

static bool is_variable(const char *s)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

	return strspn(s, letters) > 0 &&
	       !s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")] &&
	       strncmp(s, "LD_", 3) != 0 && strcmp(s, "PATH") != 0 && strcmp(s, "HOME") != 0;
}

static int read_key_env(struct reading *rd, const struct cfgnode *v)
{
	int r = set_text(rd, v, "the name of an environment variable", &rd->to->key_env);

	/* The value is not repeated: it may be a key. */
	return r == 0 && !is_variable(v->text)
		       ? FAIL(rd, v,
			      "key-env is the name of the environment variable of agentfsd that "
			      "holds the key, such as OPENAI_API_KEY")
		       : r;
}

static int refuse_key(struct reading *rd, const struct cfgnode *v)
{
	return FAIL(rd, v,
		    "a key never stands in the configuration: key-env names the environment "
		    "variable that holds it");
}

/* A list of words, or a text for the shell. */
static int read_command(struct reading *rd, const struct cfgnode *v)
{
	struct config_list *l = &rd->to->command;
	int r = 0;

	if (v->kind == CFG_TEXT) {
		r = check_text(rd, v, "a command");
		if (r == 0)
			r = config_list_add(l, "/bin/sh", "");
		if (r == 0)
			r = config_list_add(l, "-c", "");
		return r < 0 ? r : config_list_add(l, v->text, "");
	}
	if (v->kind != CFG_LIST || !v->n)
		return FAIL(rd, v, "command is a list of words, or a text for the shell");
	for (size_t i = 0; i < v->n && r == 0; i++) {
		r = check_text(rd, v->items[i], "a word");
		if (r == 0)
			r = config_list_add(l, v->items[i]->text, "");
	}
	return r;
}

static int read_number(struct reading *rd, const struct cfgnode *v, const char *what, int64_t most,
		       int64_t *ret)
{
	char *end = NULL;
	long long n = v->kind == CFG_TEXT ? strtoll(v->text, &end, 10) : 0;

	if (n < 1 || n > most || *end)
		return FAIL(rd, v, "%s is a number from 1 to %lld", what, (long long)most);
	*ret = n;
	return 0;
}

static int read_timeout(struct reading *rd, const struct cfgnode *v)
{
	int64_t n = 0;
	int r = read_number(rd, v, "timeout, in seconds,", TIMEOUT_MAX_S, &n);

	rd->to->timeout_s = (unsigned int)n;
	return r;
}

static int read_bool(struct reading *rd, const struct cfgnode *v, const char *what, bool *ret)
{
	if (v->kind != CFG_TEXT || !v->plain ||
	    (strcmp(v->text, "true") != 0 && strcmp(v->text, "false") != 0))
		return FAIL(rd, v, "%s is true or false", what);
	*ret = v->text[0] == 't';
	return 0;
}

static int read_network(struct reading *rd, const struct cfgnode *v)
{
	return read_bool(rd, v, "network", &rd->to->network);
}

static int read_list(struct reading *rd, const struct cfgnode *v, struct config_list *l,
		     const char *(*wrong)(const char *text))
{
	if (v->kind != CFG_LIST)
		return FAIL(rd, v, "expected a list here");
	l->set = true;
	for (size_t i = 0; i < v->n; i++) {
		int r = check_text(rd, v->items[i], "text");
		const char *why = r == 0 ? wrong(v->items[i]->text) : NULL;

		if (why)
			return FAIL(rd, v->items[i], "'%s': %s", v->items[i]->text, why);
		if (r == 0)
			r = config_list_add(l, v->items[i]->text, "");
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *wrong_language(const char *text)
{
	return language_named(text) ? NULL
				    : "no language is called so (docs/MERGING.md lists them)";
}

static const char *wrong_pattern(const char *text)
{
	struct pattern *p = NULL;
	const char *why = "no pattern";
	int r = pattern_compile(text, &p, &why);

	pattern_free(p);
	return r < 0 ? why : NULL;
}

static const char *wrong_path(const char *text)
{
	return *text == '/' && !strstr(text, "/../") ? NULL : "expected an absolute path here";
}

static int read_languages(struct reading *rd, const struct cfgnode *v)
{
	return read_list(rd, v, &rd->to->languages, wrong_language);
}

static int read_paths(struct reading *rd, const struct cfgnode *v)
{
	return read_list(rd, v, &rd->to->paths, wrong_pattern);
}

static int read_read(struct reading *rd, const struct cfgnode *v)
{
	return read_list(rd, v, &rd->to->read, wrong_path);
}

static const struct {
	const char *name;
	read_fn read;
} keys[] = {
	{"name", read_name},	   {"adapter", read_adapter}, {"command", read_command},
	{"model", read_model},	   {"url", read_url},	      {"key-env", read_key_env},
	{"timeout", read_timeout}, {"network", read_network}, {"languages", read_languages},
	{"paths", read_paths},	   {"read", read_read},	      {"key", refuse_key},
	{"api-key", refuse_key},
};

static int read_keys(struct reading *rd, const struct cfgnode *v)
{
	const char *words[ARRAY_SIZE(keys)], *near;
	int r = 0;

	if (v->kind != CFG_MAP)
		return FAIL(rd, v, "a resolver is a map: name, and adapter or command");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		words[i] = keys[i].name;
	for (size_t i = 0; i < v->n && r == 0; i += 2) {
		const struct cfgnode *k = v->items[i];
		size_t at = 0;

		while (at < ARRAY_SIZE(keys) && strcmp(k->text, keys[at].name) != 0)
			at++;
		if (at < ARRAY_SIZE(keys)) {
			r = keys[at].read(rd, v->items[i + 1]);
			continue;
		}
		near = config_nearest(k->text, words, ARRAY_SIZE(words) - 2);
		return FAIL(rd, k, "unknown key '%s'%s%s%s", k->text,
			    near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
	}
	return r;
}

/* What has to be there, and what has no place beside it. */
static int check_whole(struct reading *rd, const struct cfgnode *v)
{
	const struct config_resolver *c = rd->to;
	bool http = c->adapter == CONFIG_ADAPTER_OPENAI || c->adapter == CONFIG_ADAPTER_ANTHROPIC;

	if (!c->name)
		return FAIL(rd, v, "a resolver needs a name");
	if (!http && (c->model || c->url))
		return FAIL(rd, v,
			    "resolver '%s': model and url are for adapter openai or anthropic",
			    c->name);
	if (!http)
		return c->command.n ? 0
				    : FAIL(rd, v, "resolver '%s' needs a command, or an adapter",
					   c->name);
	if (c->command.n)
		return FAIL(rd, v, "resolver '%s' has an adapter for a server, and a command too",
			    c->name);
	if (!c->model)
		return FAIL(rd, v, "resolver '%s' needs a model", c->name);
	if (!c->network)
		return FAIL(rd, v, "resolver '%s' asks a server: that needs network: true",
			    c->name);
	if (!c->url && !c->key_env)
		return FAIL(rd, v,
			    "resolver '%s' needs key-env, or the url of a server without keys",
			    c->name);
	return 0;
}

void config_resolver_release(struct config_resolver *c)
{
	free(c->name);
	free(c->model);
	free(c->url);
	free(c->key_env);
	config_list_release(&c->command);
	config_list_release(&c->languages);
	config_list_release(&c->paths);
	config_list_release(&c->read);
}

int config_read_resolvers(const char *name, const struct cfgnode *v, struct config_ai *ai,
			  struct err *reterr)
{
	struct reading rd = {.name = name, .e = reterr};

	if (v->kind != CFG_LIST || v->n > RESOLVERS_MAX)
		return FAIL(&rd, v, "resolvers is a list of at most %d resolvers", RESOLVERS_MAX);
	ai->resolvers = sys_calloc(v->n + 1, sizeof(*ai->resolvers));
	if (!ai->resolvers)
		return -ENOMEM;
	ai->has_resolvers = true;
	for (size_t i = 0; i < v->n; i++) {
		int r;

		rd.to = &ai->resolvers[ai->nresolvers++];
		rd.to->timeout_s = TIMEOUT_DEFAULT_S;
		r = read_keys(&rd, v->items[i]);
		if (r == 0)
			r = check_whole(&rd, v->items[i]);
		for (size_t k = 0; k < i && r == 0; k++)
			if (strcmp(ai->resolvers[k].name, rd.to->name) == 0)
				r = FAIL(&rd, v->items[i], "there are two resolvers '%s'",
					 rd.to->name);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_limits(struct reading *rd, const struct cfgnode *v, struct config_budget *b)
{
	static const char *const names[] = {"calls", "seconds", "tokens"};
	int64_t *const to[] = {&b->calls, &b->seconds, &b->tokens};

	if (v->kind != CFG_MAP)
		return FAIL(rd, v, "expected a map of calls, seconds and tokens here");
	for (size_t i = 0; i < v->n; i += 2) {
		size_t at = 0;
		int r;

		while (at < ARRAY_SIZE(names) && strcmp(v->items[i]->text, names[at]) != 0)
			at++;
		if (at == ARRAY_SIZE(names))
			return FAIL(rd, v->items[i],
				    "unknown key '%s': a budget has calls, seconds and tokens",
				    v->items[i]->text);
		r = read_number(rd, v->items[i + 1], names[at], budget_max, to[at]);
		if (r < 0)
			return r;
	}
	return 0;
}

int config_read_budget(const char *name, const struct cfgnode *v, struct config_ai *ai,
		       struct err *reterr)
{
	struct reading rd = {.name = name, .e = reterr};
	int r = 0;

	if (v->kind != CFG_MAP)
		return FAIL(&rd, v, "budget is a map of merge and day");
	for (size_t i = 0; i < v->n && r == 0; i += 2) {
		const char *key = v->items[i]->text;

		if (strcmp(key, "merge") == 0)
			r = read_limits(&rd, v->items[i + 1], &ai->merge);
		else if (strcmp(key, "day") == 0)
			r = read_limits(&rd, v->items[i + 1], &ai->day);
		else
			r = FAIL(&rd, v->items[i],
				 "unknown key '%s': a budget is for a merge or a day", key);
	}
	return r;
}

int config_read_reimagine(const char *name, const struct cfgnode *v, struct config_ai *ai,
			  struct err *reterr)
{
	struct reading rd = {.name = name, .e = reterr};
	bool on = false;
	int r = read_bool(&rd, v, "reimagine", &on);

	if (r == 0)
		ai->reimagine = on ? CONFIG_YES : CONFIG_NO;
	return r;
}
