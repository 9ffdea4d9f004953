/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal of one hostile segment. As it is, and with right checksums, so that what stands behind
 * them is reached: recovery is refused, or leaves a journal that opens again to the same record,
 * and a reader reads as many.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "cleanup.h"
#include "fuzz.h"
#include "io.h"
#include "journal_impl.h"

static const struct journal_options writing = {.owner_id = "fuzz"};
static const struct journal_options reading = {.owner_id = "fuzz", .read_only = true};
static char folder[] = "/tmp/agentfs-fuzz-XXXXXX";

static void remove_folder(void)
{
	(void)io_rm_rf(AT_FDCWD, folder);
}

static int open_folder(void)
{
	static int dir = -1;

	if (dir < 0) {
		if (!mkdtemp(folder) || atexit(remove_folder) != 0)
			abort();
		dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			abort();
	}
	return dir;
}

static void put_segment(int dir, const uint8_t *p, size_t n)
{
	int fd = openat(dir, "0000000001.jnl", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || io_pwrite_full(fd, p, n, 0) < 0)
		abort();
	(void)safe_close(fd);
}

/* The bytes of a record with the checksum that follows `chain`; 0: no record stands here. */
static size_t sign_record(uint8_t *p, size_t n, uint64_t *chain)
{
	uint64_t first;
	uint32_t len;

	if (n < RECORD_HEADER_SIZE)
		return 0;
	memcpy(&len, p, 4);
	if (len < RECORD_HEADER_SIZE || len > n)
		return 0;
	memcpy(&first, p, 8);
	*chain = XXH3_64bits_withSeed(p + 16, len - 16,
				      *chain ^ (first * UINT64_C(0x9e3779b97f4a7c15)));
	memcpy(p + 8, chain, 8);
	return len;
}

static void sign_segment(uint8_t *p, size_t n)
{
	struct journal_head h = {.number = 1, .first_seq = 1, .salt = 5, .owner_id = "fuzz"};
	uint64_t chain = 0, sum;
	size_t pos = JOURNAL_HEADER_SIZE;

	if (n < pos)
		return;
	journal_head_write(p, &h);
	while (n - pos >= JOURNAL_BATCH_HEADER) {
		uint8_t *q = p + pos;
		uint32_t len;
		size_t k, i = JOURNAL_BATCH_HEADER;

		memcpy(&len, q + 4, 4);
		if (len < JOURNAL_BATCH_HEADER || len > n - pos)
			return;
		memcpy(q + 32, &chain, 8);
		sum = XXH3_64bits_withSeed(q, 40, journal_seed(5, 1));
		memcpy(q + 40, &sum, 8);
		while ((k = sign_record(q + i, len - i, &chain)) > 0)
			i += k;
		pos += len;
	}
}

static int count(const struct record *rec, void *user)
{
	if (rec->seq != ++*(uint64_t *)user)
		abort();
	return 0;
}

static uint64_t read_all(int dir)
{
	struct journal_reader *r = NULL;
	struct record rec;
	uint64_t n = 0;
	int k;

	if (journal_reader_open(dir, 0, &r, NULL) < 0)
		abort();
	while ((k = journal_reader_next(r, &rec, NULL)) > 0)
		n++;
	if (k < 0)
		abort();
	journal_reader_close(r);
	return n;
}

static void try_segment(int dir, const uint8_t *p, size_t n)
{
	struct journal *j = NULL;
	uint64_t first = 0, second = 0, dropped = 0;
	int r;

	put_segment(dir, p, n);
	r = journal_open(dir, &reading, 0, count, &first, &j, NULL, NULL);
	journal_close(j);
	second = first;
	first = 0;
	j = NULL;
	if (journal_open(dir, &writing, 0, count, &first, &j, NULL, NULL) != r || first != second)
		abort();
	journal_close(j);
	if (r < 0)
		return;
	if (read_all(dir) != first)
		abort();
	second = 0;
	if (journal_open(dir, &writing, 0, count, &second, &j, &dropped, NULL) < 0 ||
	    second != first || dropped != 0)
		abort();
	journal_close(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	int dir;

	if (size > 1 << 20)
		return 0;
	copy = malloc(size + 1);
	if (!copy)
		abort();
	dir = open_folder();
	try_segment(dir, data, size);
	memcpy(copy, data, size);
	sign_segment(copy, size);
	try_segment(dir, copy, size);
	free(copy);
	return 0;
}
