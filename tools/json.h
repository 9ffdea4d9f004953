/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

/* Fields of a reply that a newer or older daemon may leave out: "" and 0 then. Borrowed. */
static inline const char *jstr(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static inline long long jint(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}
