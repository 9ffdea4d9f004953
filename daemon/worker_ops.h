/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "err.h"

/* The functions behind the ops of worker.h; their contract is struct worker_op's. */
struct worker;

int op_apply(struct worker *w, json_t *ret, struct err *reterr);
int op_audit(struct worker *w, json_t *ret, struct err *reterr);
int create_prepare(struct worker *w, struct err *reterr);
int op_create(struct worker *w, json_t *ret, struct err *reterr);
void create_finish(struct worker *w);
int op_undo(struct worker *w, json_t *ret, struct err *reterr);
int op_uncreate(struct worker *w, json_t *ret, struct err *reterr);
int op_materialize(struct worker *w, json_t *ret, struct err *reterr);
int op_ignored(struct worker *w, json_t *ret, struct err *reterr);
int op_distances(struct worker *w, json_t *ret, struct err *reterr);
int op_diff(struct worker *w, json_t *ret, struct err *reterr);
int op_learn(struct worker *w, json_t *ret, struct err *reterr);
int op_recall(struct worker *w, json_t *ret, struct err *reterr);
int op_log(struct worker *w, json_t *ret, struct err *reterr);
int op_predict(struct worker *w, json_t *ret, struct err *reterr);
int op_preserve(struct worker *w, json_t *ret, struct err *reterr);
int op_close(struct worker *w, json_t *ret, struct err *reterr);
int op_merge(struct worker *w, json_t *ret, struct err *reterr);
int op_hold(struct worker *w, json_t *ret, struct err *reterr);
int op_land(struct worker *w, json_t *ret, struct err *reterr);
int op_drop_held(struct worker *w, json_t *ret, struct err *reterr);
int op_trial(struct worker *w, json_t *ret, struct err *reterr);
int sync_prepare(struct worker *w, struct err *reterr);
int op_sync(struct worker *w, json_t *ret, struct err *reterr);
void sync_finish(struct worker *w);
int op_next(struct worker *w, json_t *ret, struct err *reterr);
int op_verify_ask(struct worker *w, json_t *ret, struct err *reterr);
int op_verify_reset(struct worker *w, json_t *ret, struct err *reterr);
int verify_prepare(struct worker *w, struct err *reterr);
int op_verify(struct worker *w, json_t *ret, struct err *reterr);
void verify_finish(struct worker *w);
int op_sandbox(struct worker *w, json_t *ret, struct err *reterr);
int op_leftovers(struct worker *w, json_t *ret, struct err *reterr);
int op_repository(struct worker *w, json_t *ret, struct err *reterr);
int radar_prepare(struct worker *w, struct err *reterr);
int op_radar(struct worker *w, json_t *ret, struct err *reterr);
void radar_finish(struct worker *w);
