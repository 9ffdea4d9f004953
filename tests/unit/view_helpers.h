/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tests of views share. */
#include "view_random.h"

#include <errno.h>

#include "fault.h"
#include "journal.h"
#include "snapshot.h"
#include "sys.h"

static const char FREE_POLICY[] = "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n";

static inline struct node_attr find(struct view_fixture *f, const char *name)
{
	struct node_attr a;

	assert_int_equal(view_lookup(f->view, &OWNER, NODE_ROOT, name, &a), 0);
	return a;
}
