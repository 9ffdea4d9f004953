/* SPDX-License-Identifier: Apache-2.0 */
/* viewconf: round trips of hostile values, every damage refused, every allocation failing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "io.h"
#include "sys.h"
#include "viewconf.h"

static struct viewconf_seed seeds[] = {
	{(char *)"refs/heads/agents", S_IFDIR | 0755, (char *)"", 0},
	{(char *)"HEAD", S_IFREG | 0644, (char *)"ref: refs/heads/agents/a/work\n", 30},
	{(char *)"odd name\nwith \\n 12", S_IFREG | 0755, (char *)"\0\nend\n", 6},
};

static const struct viewconf sample = {
	.view_id = {0, 1, 2, 3, 0xff, 0xab, [15] = 9},
	.agent = (char *)"builder-1",
	.task = (char *)"work",
	.role = (char *)"builder",
	.department = (char *)"",
	.branch = (char *)"agents/builder-1/work",
	.target = (char *)"main",
	.repository = (char *)"/tmp/a b\\c\nd/.git",
	.objects = (char *)"/tmp/a b\\c\nd/.git/objects",
	.base_commit = (char *)"0123456789abcdef0123456789abcdef01234567",
	.tree = (char *)"89abcdef0123456789abcdef0123456789abcdef",
	.image = (char *)"89ab.img",
	.index = (char *)"",
	.mount = (char *)"/tmp/agents/builder-1",
	.policy = (char *)"agentfs-policy 1\nrole builder\nend\n",
	.uid = 1000,
	.gid = 4294967294u,
	.created = 1700000000123456789u,
	.seeds = seeds,
	.nseeds = ARRAY_SIZE(seeds),
};

static void assert_same(const struct viewconf *a, const struct viewconf *b)
{
	assert_memory_equal(a->view_id, b->view_id, 16);
	assert_string_equal(a->agent, b->agent);
	assert_string_equal(a->repository, b->repository);
	assert_string_equal(a->mount, b->mount);
	assert_string_equal(a->policy, b->policy);
	assert_string_equal(a->index, b->index);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_true(a->created == b->created);
	assert_int_equal(a->nseeds, b->nseeds);
	for (size_t i = 0; i < a->nseeds; i++) {
		assert_string_equal(a->seeds[i].path, b->seeds[i].path);
		assert_int_equal(a->seeds[i].mode, b->seeds[i].mode);
		assert_int_equal(a->seeds[i].len, b->seeds[i].len);
		assert_memory_equal(a->seeds[i].data, b->seeds[i].data, a->seeds[i].len);
	}
}

static void test_viewconf__write_then_read_is_equal(void **state)
{
	char dir[] = "/tmp/test-viewconf-XXXXXX";
	_cleanup_close_ int fd = -1;
	struct viewconf c = {0};
	struct err e = ERR_INIT;

	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(viewconf_read(fd, &c, &e), -ENOENT);
	assert_int_equal(viewconf_write(fd, &sample), 0);
	assert_int_equal(viewconf_read(fd, &c, &e), 0);
	assert_same(&sample, &c);
	viewconf_release(&c);
	err_release(&e);
	assert_int_equal(io_rm_rf(AT_FDCWD, dir), 0);
}

/* Takes the sample's text, replaces `from` by `to`, parses. */
static int parse_changed(const char *from, const char *to, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT, out = BUF_INIT;
	struct viewconf c = {0};
	const char *at;
	int r;

	assert_int_equal(viewconf_format(&sample, &b), 0);
	at = memmem(b.data, b.len, from, strlen(from));
	assert_non_null(at);
	assert_int_equal(buf_add(&out, b.data, (size_t)(at - b.data)), 0);
	assert_int_equal(buf_adds(&out, to), 0);
	at += strlen(from);
	assert_int_equal(buf_add(&out, at, (size_t)(b.data + b.len - at)), 0);
	r = viewconf_parse(out.data, out.len, &c, e);
	if (r == 0)
		viewconf_release(&c);
	return r;
}

static void test_viewconf__damage_is_refused(void **state)
{
	static const struct {
		const char *from, *to;
		int r;
	} cases[] = {
		{"version 1", "version 2", -EPROTONOSUPPORT},
		{"version 1", "version x", -EBADMSG},
		{"uid 1000", "uid -1", -EBADMSG},
		{"uid 1000", "uid 4294967295", -EBADMSG},
		{"uid 1000\n", "", -EBADMSG},
		{"uid 1000\n", "uid 1000\nuid 1000\n", -EBADMSG},
		{"uid 1000\n", "uid 1000\ncolour red\n", -EBADMSG},
		{"agent builder-1", "agent ", -EBADMSG},
		{"mount /tmp", "mount tmp", -EBADMSG},
		{"image 89ab.img", "image ../89ab.img", -EBADMSG},
		{"image 89ab.img", "image ..", -EBADMSG},
		{"tree 89abc", "tree 89abC", -EBADMSG},
		{"seed 100644 HEAD", "seed 100644 ../HEAD", -EBADMSG},
		{"seed 100644 HEAD", "seed 100644 /HEAD", -EBADMSG},
		{"seed 100644 HEAD", "seed 104755 HEAD", -EBADMSG},
		{"seed 100644 HEAD", "seed 120777 HEAD", -EBADMSG},
		{"HEAD 30", "HEAD 31", -EBADMSG},
		{"HEAD 30", "HEAD 999999999999999999999999", -EBADMSG},
		{"task work", "task wo\\rk", -EBADMSG},
		{"task work", "taskwork", -EBADMSG},
		{"task work", "task other", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = ERR_INIT;

		assert_int_equal(parse_changed(cases[i].from, cases[i].to, &e), cases[i].r);
		if (cases[i].r < 0)
			assert_non_null(e.text);
		err_release(&e);
	}
}

static void test_viewconf__every_cut_is_refused(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	assert_int_equal(viewconf_format(&sample, &b), 0);
	for (size_t n = 0; n < b.len; n++) {
		char *copy = malloc(n ? n : 1);
		struct viewconf c = {0};

		assert_non_null(copy);
		memcpy(copy, b.data, n);
		assert_int_equal(viewconf_parse(copy, n, &c, NULL), -EBADMSG);
		free(copy);
	}
}

static int countdown;

static void *failing_malloc(size_t n)
{
	return countdown-- == 0 ? NULL : malloc(n);
}

static void *failing_realloc(void *p, size_t n)
{
	return countdown-- == 0 ? NULL : realloc(p, n);
}

static void test_viewconf__no_memory_leaves_nothing(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct sys saved = sys;
	int r = -ENOMEM, n = 0;

	assert_int_equal(viewconf_format(&sample, &b), 0);
	sys.malloc = failing_malloc;
	sys.realloc = failing_realloc;
	for (; r < 0; n++) {
		struct viewconf c = {0};

		countdown = n;
		r = viewconf_parse(b.data, b.len, &c, NULL);
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
			assert_null(c.agent);
		}
		viewconf_release(&c);
	}
	sys = saved;
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_viewconf__write_then_read_is_equal),
		cmocka_unit_test(test_viewconf__damage_is_refused),
		cmocka_unit_test(test_viewconf__every_cut_is_refused),
		cmocka_unit_test(test_viewconf__no_memory_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
