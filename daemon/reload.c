/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration that was read again reaches the views that are open: rules, redirects, quotas.
 *
 * view.conf is replaced first, which is what a server reads that starts later; then the one that runs is
 * told, and journals the new policy before it holds. A view whose policy cannot be made any more (its role
 * is gone) keeps the one that it has, and that is said.
 */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "daemon.h"
#include "log.h"
#include "op.h"
#include "radar.h"
#include "viewctl.h"

enum { TELL_TIMEOUT_MS = 10000 };

struct telling {
	struct daemon *d;
	char agent[];
};

static void on_told(int r, const struct record *rec, const char *text, void *user)
{
	struct telling *t = user;
	struct view *v = views_get(t->d->views, t->agent);

	if (r < 0 && v && v->phase != PHASE_LIVE)
		v->policy_untold = true; /* it ended meanwhile: the next one reads view.conf */
	else if (r < 0 && v)
		log_warning(
			0, "the new policy of agent '%s' holds from the next start of its view: %s",
			t->agent, *text ? text : strerror(-r));
	free(t);
}

static void tell(struct daemon *d, struct view *v, const char *policy)
{
	struct record msg = {.type = VIEWCTL_POLICY};
	size_t n = strlen(v->row.agent) + 1;
	struct telling *t = malloc(sizeof(*t) + n);
	int r = t ? 0 : -ENOMEM;

	if (r == 0) {
		t->d = d;
		memcpy(t->agent, v->row.agent, n);
		RECORD_SET(&msg, value, F_VALUE, ((struct bytes){policy, strlen(policy)}));
		r = view_call(v, &msg, TELL_TIMEOUT_MS, on_told, t);
	}
	v->policy_untold = r == -ENOTCONN; /* one that starts just now may have read the old one */
	if (r == 0)
		return;
	free(t);
	if (r != -ENOTCONN)
		log_warning(r, "the new policy of agent '%s' holds from the next start of its view",
			    v->row.agent);
}

static void push(struct daemon *d, struct view *v, bool again)
{
	_cleanup_free_ char *policy = NULL;
	struct fault f = FAULT_INIT;
	int r = make_policy(d, &v->row, &policy, &f);

	if (r == 0)
		r = view_policy_update(d, v, policy, &f);
	if (r < 0)
		log_warning(0, "the policy of agent '%s' stays as it was: %s", v->row.agent,
			    f.message ? f.message : strerror(-r));
	else if (r > 0 || again)
		tell(d, v, policy);
	fault_release(&f);
}

int daemon_reload(struct daemon *d, struct err *reterr)
{
	struct config fresh;
	struct view *v;
	int r = config_read(d->paths.config, d->paths.config_given, &fresh, reterr);

	if (r < 0)
		return r;
	config_release(&d->config);
	d->config = fresh;
	radar_reconfigure(d->radar);
	for (v = views_next(d->views, NULL); v; v = views_next(d->views, v))
		if (view_is_open(v))
			push(d, v, false);
	return 0;
}

void daemon_policy_again(struct daemon *d, struct view *v)
{
	if (v->policy_untold && view_is_open(v))
		push(d, v, true);
}
