/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "views.h"

/* What views.c (the state table) and views_set.c (the set, their stats) share. */
struct views {
	struct views_options opt;
	struct view *all;
	bool ending; /* nothing is started any more */
};

/* Lets go of everything that belongs to one life of a view's server. */
void view_let_go(struct view *v);
