/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "err.h"

/*
 * What happened, out of the journals of one or more views: records in the order of their times,
 * filtered as method Audit wants, as JSON of type Record. A view's journal is read from its first
 * record through the same apply code that serves the view, so that node numbers become the paths
 * that they had when the record was written.
 */
struct audit;

/* Takes the filters from a request: since, until (RFC 3339, or 90s, 10m, 2h, 3d before now), path
 * (a gitignore pattern), op (list), result, pid, rule, git, grep (POSIX extended), cursor.
 * `now_ns` is what relative times count from. Errors: -EINVAL with a sentence, -ENOMEM. */
int audit_new(const json_t *req, uint64_t now_ns, struct audit **ret, struct err *reterr);
void audit_free(struct audit *a);

/* Adds a view: its folder (with view.conf and journal/) and that of the base images, both borrowed
 * during the call only. A view without journal has no records. Errors: -EBADMSG, -errno. */
int audit_add_view(struct audit *a, const char *agent, const char *view_id, int view_dir,
		   int images_dir, struct err *reterr);

/* Adds the control plane's journal, which lies in `dir` itself. */
int audit_add_control(struct audit *a, int dir, struct err *reterr);

/* 1: *ret is the next record that matches (the caller's reference). 0: no more for now; may be
 * asked again later. Errors: -EBADMSG, -errno. */
int audit_next(struct audit *a, json_t **ret, struct err *reterr);

/* Adds an inotify watch of each journal's folder to `fd`. Errors: -errno. */
int audit_watch(struct audit *a, int fd);

/* RFC 3339 or a span before now → ns since the epoch. Errors: -EINVAL. */
int audit_parse_time(const char *text, uint64_t now_ns, uint64_t *ret);
