/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * What the segments of journal and data have in common: numbered files in one folder, preallocated
 * and zeroed where nothing was written, and spares that are renamed into place.
 */
enum {
	SEGFILE_MIN = 32 << 10,	      /* size of the first segment */
	SEGFILE_SPARE_MAX = 16 << 20, /* no spare is preallocated larger */
	SEGFILE_SPARES = 2,
	SEGFILE_NAME_SIZE = 24,
};

/* "0000000007.jnl" for number 7 and suffix "jnl". */
void segfile_name(char ret[SEGFILE_NAME_SIZE], uint64_t number, const char *suffix);

/* The numbers of all segments in `dir`, ascending; the caller frees. Errors: -errno. */
int segfile_list(int dir, const char *suffix, uint64_t **ret, size_t *ret_n);

/* Opens segment `number`; flags as for open(2). Returns a descriptor. Errors: -errno. */
int segfile_open(int dir, uint64_t number, const char *suffix, int flags);

/* Size of an open file. Errors: -errno. */
int segfile_size(int fd, uint64_t *ret);

/* Gives the file blocks for all of [0, size); what is there stays. Errors: -ENOSPC, -errno. */
int segfile_allocate(int fd, uint64_t size);

/* Where the last byte of [from, size) that is not 0 ends; `from` where all are. Errors: -errno. */
int segfile_used_end(int fd, uint64_t from, uint64_t size, uint64_t *ret);

/* Writes zeros over [from, to). Errors: -errno. */
int segfile_zero(int fd, uint64_t from, uint64_t to);

struct spare {
	int fd; /* -1: there is none */
	uint64_t size;
};

/* Not locked. `dir` and `suffix` are borrowed. */
struct spares {
	int dir;
	const char *suffix;
	struct spare s[SEGFILE_SPARES];
};

/* Empty, nothing on disk is touched. */
void spares_init(struct spares *sp, int dir, const char *suffix);

/* Takes over the spares that an earlier process left, wiping a header that never came into place.
 * Errors: -errno. */
int spares_adopt(struct spares *sp);

/* Makes both spares be there with at least `size` bytes. What could not be had is left out, and
 * what there was stays. Errors: -ENOSPC, -errno. */
int spares_fill(struct spares *sp, uint64_t size);

/* How many there are, and their bytes. */
unsigned int spares_count(const struct spares *sp);
uint64_t spares_bytes(const struct spares *sp);

/* Finds (or makes) a spare with at least `need` bytes, `want` where the disk has them. It stays a
 * spare; spares_place() puts it into place. Returns its index. Errors: -ENOSPC, -errno. */
int spares_prepare(struct spares *sp, uint64_t need, uint64_t want);

/* Renames spare i to segment `number`; *ret takes over its descriptor. The folder is not synced.
 * Errors: -errno; it is a spare still. */
int spares_place(struct spares *sp, int i, uint64_t number, struct spare *ret);

/* Closes the descriptors; the files stay. */
void spares_release(struct spares *sp);
