/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "merge.h"

struct worker;

/*
 * Lock files and other files that programs write are never merged by line. Where they are all that conflicts, and
 * the request says how each is written anew ("regenerate": {name: {command, timeout, network}}), the merged tree with
 * ours' version of them is put into a folder of its own, the commands run there in the sandbox, and what the
 * files hold then is taken: out->tree, told as resolved by "regenerate". Else the conflicts stay, and say what
 * would help. Errors: -ECANCELED and the like; a command that fails is no error but a conflict that says so.
 */
/* Does the request (of the struct worker) say how the path is written anew? As resolve_options.written. */
bool merge_regenerate_has(void *w, const char *path);
int merge_regenerate(struct worker *w, struct merge_out *out, struct err *reterr);
