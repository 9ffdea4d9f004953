/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "daemon.h"
#include "server.h"
#include "views.h"

/* The arguments of Create as a new view's row: names, repository, scope, user, branch, id. Errors: told
 * in f. */
int view_ask(struct daemon *d, const struct call *call, struct view_row *row, struct fault *f);

/* Where it shall be mounted: asked for, or after the configuration's template; it may not overlap a view.
 * Errors: told in f. */
int view_ask_mount(struct daemon *d, const struct call *call, struct view_row *row,
		   struct fault *f);

/* Does the agent's view have what is asked for in words? What was left out is not compared. Errors:
 * NameTaken, told in f. */
int view_ask_same(const struct call *call, const struct view_row *asked, const struct view *v,
		  struct fault *f);

/* Draws an id of 128 random bits. Errors: -EIO, -ENOMEM. */
int view_ask_id(struct view_row *row);
