/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a fuzzer every file of its corpus folder: whole, cut short at 64 places, and with 256
 * single bytes changed, so that a parser sees each kind of damage without a fuzzing engine. An
 * empty corpus is an error: the test would show nothing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "fuzz.h"
#include "io.h"
#include "sys.h"

/* Runs on a copy of exactly n bytes, so that a sanitizer sees the first one read too far. */
static void run(const char *p, size_t n)
{
	_cleanup_free_ uint8_t *copy = sys_memdup(p, n);

	if (!copy && n)
		abort();
	(void)LLVMFuzzerTestOneInput(copy, n);
}

static void run_damaged(struct buf *b)
{
	uint64_t seed = 1;

	run(b->data, b->len);
	for (size_t i = 0; i < 64; i++)
		run(b->data, b->len * i / 64);
	for (int i = 0; b->len && i < 256; i++) {
		size_t at;
		char old;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		at = (seed >> 33) % b->len;
		old = b->data[at];
		b->data[at] = (char)(seed >> 20);
		run(b->data, b->len);
		b->data[at] = old;
	}
}

int main(int argc, char **argv)
{
	DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *de;
	int files = 0, r;

	if (!d) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER (which must exist)\n", argv[0]);
		return 2;
	}
	while ((de = readdir(d))) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		if (de->d_name[0] == '.')
			continue;
		r = io_read_file(dirfd(d), de->d_name, 64 << 20, &b);
		if (r < 0) {
			fprintf(stderr, "cannot read %s: %s\n", de->d_name, strerror(-r));
			return 1;
		}
		run_damaged(&b);
		files++;
	}
	(void)closedir(d);
	printf("%d files\n", files);
	return files ? 0 : 1;
}
