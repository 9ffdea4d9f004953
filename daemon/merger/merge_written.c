/* SPDX-License-Identifier: Apache-2.0 */
/* Merges that were tried are kept, with all that was said of them. */
#include <string.h>

#include "cleanup.h"
#include "history.h"
#include "log.h"
#include "merge_request.h"
#include "sys.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

void merge_write_down(struct daemon *d, uid_t uid, json_t *result)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *text = json_dumps(result, JSON_COMPACT | JSON_SORT_KEYS);
	struct state_merge m = {.time = sys_now_ns(),
				.uid = uid,
				.repository = text_of(result, "repository"),
				.source = text_of(result, "source"),
				.into = text_of(result, "into"),
				.state = text_of(result, "state"),
				.tier = text_of(result, "tier"),
				.commit = text_of(result, "commit"),
				.result = text ? text : "{}"};

	if (state_merge_add(d->db, &m, &e) < 0)
		(void)log_warning(e.code, "%s: the merge itself is done", err_text(&e));
	else
		(void)json_object_set_new(result, "merge", json_integer(m.id));
	if (m.id)
		history_write(d, result, m.id);
}
