/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_request.h"

#include "history.h"
#include "methods.h"

void merge_request_knows(struct daemon *d, const char *repository, json_t *request)
{
	(void)json_object_set_new(request, "records", learned_records(d));
	(void)json_object_set_new(request, "cost_of_wrong",
				  json_integer(config_cost_of_wrong(&d->config, repository)));
	history_knows(d, repository, request);
}
