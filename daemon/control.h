/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/*
 * The journal of the control plane, STATE/control-journal/: every call that changes something, before
 * it acts, and how it ended. Records of type RECORD_CONTROL: name = method; the first of a call has
 * uid, pid and value = its arguments (JSON), the second count = sequence number of the first, result
 * and outcome = a sentence.
 */
struct control;

/* Opens (or creates) it in folder STATE. Errors: as journal_open(). */
int control_open(int state_dir, struct control **ret, struct err *reterr);
void control_close(struct control *c);

/* A call begins. Returns with its number in *ret_seq. Errors: -ENOSPC, -EROFS …: it must not act. */
int control_begin(struct control *c, uid_t uid, pid_t pid, const char *method,
		  const json_t *arguments, uint64_t *ret_seq);

/* It has ended; result 0 or -errno. A failure is logged and survived. */
void control_end(struct control *c, uint64_t seq, const char *method, int result,
		 const char *outcome);
