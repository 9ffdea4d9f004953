/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The data files of the shared content cache; described at the head of content_store.c, which alone
 * uses this. */
enum { CONTENT_FILES_MAX = 256 };

/* Zero-initialised but for `dir` (borrowed): no file is open. Thread-safe. */
struct content_data {
	int dir;
	_Atomic int fds[CONTENT_FILES_MAX]; /* descriptor + 1, 0 while not open */
};

void content_data_release(struct content_data *d);

/* What all data files take together, and the first number that none has. Errors: -errno. */
int content_data_survey(int dir, uint64_t *ret_total, uint32_t *ret_next);

/* Removes the table and every data file: nobody may have the cache open. */
void content_data_drop(int dir);

/* The descriptor of a data file, opened once per process; borrowed until content_data_release().
 * Errors: -EBADMSG no such number, -errno. */
int content_data_fd(struct content_data *d, uint32_t file, bool create);

/* Allocates the file of `size` bytes up to `end` or beyond, so that a later write finds room. Under
 * the flock. Errors: -ENOSPC (also: the cache's limit), -errno. */
int content_data_reserve(struct content_data *d, int fd, uint64_t size, uint64_t end);

/* Is the cache at its limit? */
bool content_data_full(uint64_t total, uint32_t next);
