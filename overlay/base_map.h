/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which node number each place of the current base image has. Runs of neighbours that are numbered
 * in order: one after a view was made, more after each sync, in proportion to what the bases differ
 * in. Place 0, the root, always has number 1, whatever its run says.
 */
struct base_run {
	uint32_t place, len;
	uint64_t id;  /* of the first; the others follow */
	int64_t time; /* ns: what its nodes show as mtime and ctime */
};

struct base_map {
	struct base_run *runs; /* by place, without gaps from 0 */
	uint32_t *by_id;       /* indices of runs, in order of their numbers */
	uint32_t n, cap;
};

/* Appends a run behind the last, joining it where it continues it. Errors: -ENOMEM, -EBADMSG a place is
 * left out or a number is none. */
int base_map_add(struct base_map *m, const struct base_run *run);

/* To be called once after the last base_map_add(). Errors: -ENOMEM; -EBADMSG they do not cover exactly
 * `count` places, or two places have one number. */
int base_map_finish(struct base_map *m, uint32_t count);
void base_map_release(struct base_map *m);

/* The run that has the place; place < count. */
const struct base_run *base_map_run(const struct base_map *m, uint32_t place);
uint64_t base_map_number(const struct base_map *m, uint32_t place);

/* The place that has this number, and how many from it on are numbered in order. */
bool base_map_place(const struct base_map *m, uint64_t id, uint32_t *ret_place, uint32_t *ret_len);
