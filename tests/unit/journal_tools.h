/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A journal in a folder of its own, filled with records that can be told apart. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "cleanup.h"
#include "io.h"
#include "journal.h"
#include "unit_tmp.h"

static const struct journal_options tool_options = {.owner_id = "0123456789abcde"};
static const struct journal_options tool_read_only = {.owner_id = "0123456789abcde",
						      .read_only = true};

struct tool_dir {
	char path[UNIT_TMP_PATH];
	int fd;
};

static inline struct tool_dir tool_dir_new(void)
{
	struct tool_dir d;

	unit_tmp(d.path);
	d.fd = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(d.fd >= 0);
	return d;
}

static inline void tool_dir_free(struct tool_dir *d)
{
	(void)safe_close(d->fd);
	assert_int_equal(io_rm_rf(AT_FDCWD, d->path), 0);
}

/* Everything in a folder, to be compared or put back. */
struct tool_files {
	size_t n;
	struct {
		char name[256];
		struct buf b;
	} f[16];
};

static inline struct tool_files tool_save(int dir)
{
	struct tool_files files = {0};
	DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *de;

	assert_non_null(d);
	while ((de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		assert_true(files.n < 16);
		(void)snprintf(files.f[files.n].name, 256, "%s", de->d_name);
		assert_int_equal(io_read_file(dir, de->d_name, 1 << 28, &files.f[files.n].b), 0);
		files.n++;
	}
	(void)closedir(d);
	return files;
}

static inline void tool_remove_all(int dir)
{
	struct tool_files files = tool_save(dir);

	for (size_t i = 0; i < files.n; i++) {
		assert_int_equal(unlinkat(dir, files.f[i].name, 0), 0);
		buf_release(&files.f[i].b);
	}
}

static inline void tool_write(int dir, const char *name, const void *p, size_t n)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t used = n;

	assert_true(fd >= 0);
	while (used > 0 && ((const char *)p)[used - 1] == 0)
		used--;
	assert_int_equal(io_pwrite_full(fd, p, used, 0), 0);
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
}

static inline void tool_restore(int dir, const struct tool_files *files)
{
	tool_remove_all(dir);
	for (size_t i = 0; i < files->n; i++)
		tool_write(dir, files->f[i].name, files->f[i].b.data, files->f[i].b.len);
}

static inline void tool_files_free(struct tool_files *files)
{
	for (size_t i = 0; i < files->n; i++)
		buf_release(&files->f[i].b);
}

/* Record number `seq`; its value has `size` bytes made from the number. */
static inline void tool_append(struct journal *j, size_t size)
{
	uint64_t seq = journal_seq(j) + 1;
	_cleanup_free_ char *value = malloc(size + 1);
	struct record rec = {.type = RECORD_NOTE, .time = 1000 + seq};

	assert_non_null(value);
	memset(value, (int)('a' + seq % 26), size);
	RECORD_SET(&rec, count, F_COUNT, seq * 7);
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){value, size}));
	assert_int_equal(journal_append(j, &rec), 0);
	assert_int_equal(rec.seq, seq);
}

/* A replay that checks each record and counts them. */
struct tool_count {
	uint64_t first, last, n;
};

static inline int tool_replay(const struct record *rec, void *user)
{
	struct tool_count *c = user;

	assert_int_equal(rec->count, rec->seq * 7);
	assert_int_equal(rec->type, RECORD_NOTE);
	for (size_t i = 0; i < rec->value.n; i++)
		assert_int_equal(rec->value.p[i], (char)('a' + rec->seq % 26));
	if (c->n++ == 0)
		c->first = rec->seq;
	else
		assert_int_equal(rec->seq, c->last + 1);
	c->last = rec->seq;
	return 0;
}

static inline struct journal *tool_open(int dir, uint64_t after, struct tool_count *c,
					uint64_t *dropped)
{
	struct tool_count none = {0};
	struct err e = ERR_INIT;
	struct journal *j = NULL;
	int r;

	if (!c)
		c = &none;
	*c = (struct tool_count){0};
	r = journal_open(dir, &tool_options, after, tool_replay, c, &j, dropped, &e);
	if (r < 0)
		print_error("%d: %s\n", r, err_text(&e));
	assert_int_equal(r, 0);
	assert_null(e.text);
	return j;
}

/* The result of an opening that may fail; closes again. */
static inline int tool_try(int dir, uint64_t after, struct tool_count *c, uint64_t *dropped)
{
	struct err e = ERR_INIT;
	struct journal *j = NULL;
	int r;

	*c = (struct tool_count){0};
	r = journal_open(dir, &tool_options, after, tool_replay, c, &j, dropped, &e);
	if (r == -EBADMSG)
		assert_non_null(e.text);
	err_release(&e);
	journal_close(j);
	return r;
}

static inline unsigned int tool_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	(void)closedir(d);
	return n;
}
