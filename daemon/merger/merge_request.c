/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_request.h"

#include "ai_settings.h"
#include "history.h"
#include "methods.h"
#include "op.h"

static void add_regenerate(const struct config_regenerate *g, void *user)
{
	(void)json_object_set_new(user, g->name,
				  json_pack("{s:s,s:i,s:b}", "command", g->command, "timeout",
					    (int)g->timeout_s, "network", g->network));
}

void merge_request_knows(struct daemon *d, const char *repository, json_t *request)
{
	const char *into = json_string_value(json_object_get(request, "into"));
	json_t *regenerate = json_object();

	(void)json_object_set_new(request, "records", learned_records(d));
	(void)json_object_set_new(
		request, "cost_of_wrong",
		json_integer(config_cost_of_wrong(
			&d->config, repository,
			config_verify_find(&d->config, repository, into ? into : ""))));
	history_knows(d, repository, request);
	config_regenerate_each(&d->config, repository, add_regenerate, regenerate);
	(void)json_object_set_new(request, "regenerate", regenerate);
	ai_settings_add(d, repository, request);
}

void merge_request_done(struct daemon *d, json_t *answer)
{
	ai_settings_settle(d, answer);
}

const char *merge_request_repository(const struct op *op)
{
	const char *given = arg_str(op->call, "repository");
	json_t *sources = json_object_get(op->call->in.parameters, "sources"), *s;
	size_t i;

	if (given)
		return given;
	json_array_foreach (sources, i, s) {
		struct view *v = views_get(op->d->views, json_string_value(s));

		if (v && may_use(v, op->uid))
			return v->row.repository;
	}
	return NULL;
}
