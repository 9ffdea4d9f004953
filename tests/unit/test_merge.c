/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merging commits: each case of the walk by name, and random histories against git's own
 * `merge-tree` (AGENTFS_SEED, AGENTFS_CASES). A clean merge of git's must be ours, byte for byte, and
 * its conflicts ours, but for:
 *   - a file that Myers' and histogram's diff merge to two different texts: we conflict;
 *   - a file in which Myers' diff finds no conflict and histogram's does: we merge it and say so.
 */
#include <git2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "merge.h"
#include "unit_tmp.h"

enum { FILES_MAX = 64, PATH_ROOM = 64 };

struct file {
	char path[PATH_ROOM];
	uint32_t mode;
	struct buf text;
};

struct files {
	struct file v[FILES_MAX];
	size_t n;
};

static char folder[UNIT_TMP_PATH];
static git_repository *repo;

static int setup(void **state)
{
	(void)state;
	(void)git_libgit2_init();
	(void)setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	(void)setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	unit_tmp(folder);
	return git_repository_init(&repo, folder, 1);
}

static int teardown(void **state)
{
	(void)state;
	git_repository_free(repo);
	assert_int_equal(io_rm_rf(-1, folder), 0);
	return git_libgit2_shutdown() < 0;
}

/* ---- trees of named files ---- */

static struct file *find(struct files *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].path, path) == 0)
			return &f->v[i];
	return NULL;
}

static void drop(struct files *f, size_t i)
{
	buf_release(&f->v[i].text);
	f->v[i] = f->v[--f->n];
	f->v[f->n] = (struct file){0};
}

/* Gives a path a content; what it cannot stand beside (file and folder of one name) goes. */
static void set(struct files *f, const char *path, uint32_t mode, const char *text)
{
	struct file *one = find(f, path);
	size_t n = strlen(path);

	for (size_t i = f->n; !one && i-- > 0;) {
		const char *p = f->v[i].path;
		size_t k = strlen(p);

		if ((k > n && p[n] == '/' && strncmp(p, path, n) == 0) ||
		    (n > k && path[k] == '/' && strncmp(p, path, k) == 0))
			drop(f, i);
	}
	if (!one) {
		if (f->n == FILES_MAX)
			return;
		one = &f->v[f->n++];
		(void)snprintf(one->path, sizeof(one->path), "%s", path);
	}
	one->mode = mode;
	buf_clear(&one->text);
	assert_int_equal(buf_adds(&one->text, text), 0);
}

static void copy(struct files *to, const struct files *from)
{
	for (size_t i = 0; i < from->n; i++)
		set(to, from->v[i].path, from->v[i].mode, from->v[i].text.data);
}

static void clear(struct files *f)
{
	while (f->n)
		drop(f, f->n - 1);
}

static void commit(const struct files *f, const git_oid *a, const git_oid *b, git_oid *ret)
{
	git_commit *parents[2] = {0};
	git_signature *who = NULL;
	git_index *index = NULL;
	git_tree *tree = NULL;
	git_oid id;

	assert_int_equal(git_index_new(&index), 0);
	for (size_t i = 0; i < f->n; i++) {
		git_index_entry e = {.mode = f->v[i].mode, .path = f->v[i].path};

		if (e.mode == GIT_FILEMODE_COMMIT)
			assert_int_equal(git_odb_hash(&e.id, f->v[i].text.data, f->v[i].text.len,
						      GIT_OBJECT_BLOB),
					 0);
		else
			assert_int_equal(git_blob_create_from_buffer(&e.id, repo, f->v[i].text.data,
								     f->v[i].text.len),
					 0);
		assert_int_equal(git_index_add(index, &e), 0);
	}
	assert_int_equal(git_index_write_tree_to(&id, index, repo), 0);
	assert_int_equal(git_tree_lookup(&tree, repo, &id), 0);
	assert_int_equal(git_signature_new(&who, "t", "t@t", 1700000000, 0), 0);
	if (a)
		assert_int_equal(git_commit_lookup(&parents[0], repo, a), 0);
	if (b)
		assert_int_equal(git_commit_lookup(&parents[1], repo, b), 0);
	assert_int_equal(git_commit_create(ret, repo, NULL, who, who, NULL, "c", tree,
					   b   ? 2
					   : a ? 1
					       : 0,
					   (const git_commit **)parents),
			 0);
	git_commit_free(parents[0]);
	git_commit_free(parents[1]);
	git_signature_free(who);
	git_tree_free(tree);
	git_index_free(index);
}

/* ---- named cases ---- */

struct three {
	struct files base, ours, theirs;
};

static void three_init(struct three *t)
{
	memset(t, 0, sizeof(*t));
	set(&t->base, "a", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	set(&t->base, "d/f", 0100644, "one\ntwo\nthree\nfour\nfive\n");
	set(&t->base, "d/g", 0100644, "uno\ndos\ntres\ncuatro\ncinco\n");
	set(&t->base, "e/h", 0100644, "un\ndeux\ntrois\nquatre\ncinq\n");
	copy(&t->ours, &t->base);
	copy(&t->theirs, &t->base);
}

static void merge_three(struct three *t, struct merge_out *out)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	git_oid base, ours, theirs;
	int r;

	commit(&t->base, NULL, NULL, &base);
	commit(&t->ours, &base, NULL, &ours);
	commit(&t->theirs, &base, NULL, &theirs);
	memset(out, 0, sizeof(*out));
	r = merge_commits(repo, &ours, &theirs, NULL, out, &e);
	if (r < 0)
		fail_msg("merge: %s", err_text(&e));
	clear(&t->base);
	clear(&t->ours);
	clear(&t->theirs);
}

static void expect_tree(struct merge_out *out, struct files *want)
{
	git_commit *c = NULL;
	git_oid id;

	for (size_t i = 0; i < out->conflicts.n; i++)
		print_message("%s\n", out->conflicts.v[i].reason);
	assert_int_equal(out->conflicts.n, 0);
	commit(want, NULL, NULL, &id);
	assert_int_equal(git_commit_lookup(&c, repo, &id), 0);
	assert_true(git_oid_equal(git_commit_tree_id(c), &out->tree));
	git_commit_free(c);
	clear(want);
	merge_out_release(out);
}

static void expect_conflict(struct merge_out *out, const char *path, const char *kind)
{
	bool found = false;

	for (size_t i = 0; i < out->conflicts.n; i++)
		found |= strcmp(out->conflicts.v[i].path, path) == 0 &&
			 strcmp(out->conflicts.v[i].kind, kind) == 0;
	for (size_t i = 0; !found && i < out->conflicts.n; i++)
		print_message("%s: %s: %s\n", out->conflicts.v[i].path, out->conflicts.v[i].kind,
			      out->conflicts.v[i].reason);
	assert_true(found);
	merge_out_release(out);
}

static void test_merge__takes_each_sides_change(void **state)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	(void)state;
	three_init(&t);
	set(&t.ours, "d/f", 0100644, "mine\n");
	set(&t.theirs, "e/h", 0100755, "theirs\n");
	set(&t.theirs, "n/new", 0100644, "new\n");
	drop(&t.ours, 0);
	copy(&want, &t.theirs);
	drop(&want, 0);
	set(&want, "d/f", 0100644, "mine\n");
	merge_three(&t, &out);
	assert_false(out.by_git);
	expect_tree(&out, &want);
}

static void test_merge__merges_lines_and_modes_of_one_file(void **state)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	(void)state;
	three_init(&t);
	copy(&want, &t.base);
	set(&t.ours, "a", 0100644, "X\n2\n3\n4\n5\n6\n7\n8\n9\n");
	set(&t.theirs, "a", 0100755, "1\n2\n3\n4\n5\n6\n7\n8\nY\n");
	set(&want, "a", 0100755, "X\n2\n3\n4\n5\n6\n7\n8\nY\n");
	merge_three(&t, &out);
	expect_tree(&out, &want);
}

static void one_conflict(const char *path, uint32_t om, const char *ours, uint32_t tm,
			 const char *theirs, const char *kind)
{
	struct merge_out out;
	struct three t;

	three_init(&t);
	if (om)
		set(&t.ours, path, om, ours);
	else
		drop(&t.ours, (size_t)(find(&t.ours, path) - t.ours.v));
	if (tm)
		set(&t.theirs, path, tm, theirs);
	else
		drop(&t.theirs, (size_t)(find(&t.theirs, path) - t.theirs.v));
	merge_three(&t, &out);
	expect_conflict(&out, path, kind);
}

static void test_merge__names_each_kind_of_conflict(void **state)
{
	(void)state;
	one_conflict("a", 0100644, "x\n", 0100644, "y\n", "content");
	one_conflict("n", 0100644, "x\n", 0100644, "y\n", "add/add");
	one_conflict("a", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", 0, "", "modify/delete");
	one_conflict("a", 0, "", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n", "delete/modify");
	one_conflict("m", 0160000, "x", 0160000, "y", "submodule");
}

static void test_merge__binary_files_are_not_merged_by_line(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	three_init(&t);
	set(&t.base, "b", 0100644, "1\n2\n3\n4\n5\n6\n7\n");
	set(&t.ours, "b", 0100644, "1\n2\n3\n4\n5\n6\n7\n");
	set(&t.theirs, "b", 0100644, "x\n2\n3\n4\n5\n6\n7\n");
	assert_int_equal(buf_add(&find(&t.ours, "b")->text, "\0\n", 2), 0);
	merge_three(&t, &out);
	expect_conflict(&out, "b", "binary");
}

static void attribute(const char *line, const char *kind)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	three_init(&t);
	set(&t.theirs, "d/.gitattributes", 0100644, line);
	set(&t.ours, "d/f", 0100644, "X\ntwo\nthree\nfour\nfive\n");
	set(&t.theirs, "d/f", 0100644,
	    kind ? "one\ntwo\nthree\nfour\nY\n" : "Y\ntwo\nthree\nfour\nfive\n");
	copy(&want, &t.theirs);
	set(&want, "d/f", 0100644, "X\nY\ntwo\nthree\nfour\nfive\n");
	merge_three(&t, &out);
	if (kind) {
		clear(&want);
		expect_conflict(&out, "d/f", kind);
	} else {
		expect_tree(&out, &want);
	}
}

static void test_merge__attributes_of_the_trees_count(void **state)
{
	(void)state;
	attribute("f merge=union\n", NULL);
	attribute("f -merge\n", "binary");
	attribute("f binary\n", "binary");
	attribute("* merge=ours\n", "content"); /* a driver of the repository's own */
}

static void test_merge__added_to_a_renamed_folder_is_never_silent(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	three_init(&t);
	for (size_t i = 0; i < t.ours.n; i++)
		if (t.ours.v[i].path[0] == 'd')
			t.ours.v[i].path[0] = 'z';
	set(&t.theirs, "d/new", 0100644, "new\n");
	merge_three(&t, &out);
	assert_true(out.by_git);
	assert_true(out.conflicts.n > 0);
	assert_string_equal(out.conflicts.v[0].kind, "folder rename");
	merge_out_release(&out);
}

static void test_merge__follows_a_rename(void **state)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	(void)state;
	three_init(&t);
	(void)snprintf(find(&t.ours, "a")->path, PATH_ROOM, "moved");
	set(&t.theirs, "a", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\nY\n");
	copy(&want, &t.ours);
	set(&want, "moved", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\nY\n");
	merge_three(&t, &out);
	assert_true(out.by_git);
	expect_tree(&out, &want);
}

static void test_merge__renamed_differently_conflicts(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	three_init(&t);
	(void)snprintf(find(&t.ours, "a")->path, PATH_ROOM, "here");
	(void)snprintf(find(&t.theirs, "a")->path, PATH_ROOM, "there");
	merge_three(&t, &out);
	expect_conflict(&out, "a", "rename/rename");
}

static void test_merge__unrelated_histories_are_refused(void **state)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct files one = {0}, two = {0};
	struct merge_out out = {0};
	git_oid a, b;

	(void)state;
	set(&one, "x", 0100644, "x");
	set(&two, "y", 0100644, "y");
	commit(&one, NULL, NULL, &a);
	commit(&two, NULL, NULL, &b);
	assert_true(merge_commits(repo, &a, &b, NULL, &out, &e) < 0);
	assert_string_equal(e.id, "Invalid");
	assert_non_null(strstr(e.text, "no common history"));
	clear(&one);
	clear(&two);
}

/* ---- random histories ---- */

static uint64_t seed;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed >> 33) % n;
}

static void random_path(char *room)
{
	static const char *const parts[] = {"a", "b", "c", "a.b", "a-b"};

	room[0] = 0;
	for (unsigned depth = below(3); depth > 0; depth--)
		(void)snprintf(room + strlen(room), 16, "%s/", parts[below(5)]);
	(void)snprintf(room + strlen(room), 16, "%c%u", 'f' + (char)below(3), below(4));
}

static void random_text(struct buf *b)
{
	buf_clear(b);
	for (unsigned n = 6 + below(25); n > 0; n--)
		assert_int_equal(buf_addf(b, below(3) ? "%c\n" : "line %u of this\n",
					  below(3) ? 'a' + (int)below(5) : (int)below(40)),
				 0);
}

/* Replaces, inserts or deletes a line. */
static void edit_text(struct buf *b)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t lines = 0, at, i = 0;

	for (const char *s = b->data; (s = strchr(s, '\n')); s++)
		lines++;
	at = lines ? below((unsigned)lines) : 0;
	for (const char *s = b->data, *end; *s; s = end + 1, i++) {
		end = strchr(s, '\n');
		if (i == at && below(3) < 2)
			assert_int_equal(buf_addf(&out, "edit %u\n", below(6)), 0);
		if (i != at || below(3) == 0)
			assert_int_equal(buf_add(&out, s, (size_t)(end - s) + 1), 0);
	}
	buf_clear(b);
	assert_int_equal(buf_adds(b, out.data ? out.data : ""), 0);
}

/* Moves or repeats a few lines: where the ways of comparing lines part. */
static void move_lines(struct buf *b)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t from = below((unsigned)b->len + 1), n = below((unsigned)(b->len - from) + 1);
	size_t to = below((unsigned)b->len + 1);
	bool keep = below(2);

	while (from > 0 && b->data[from - 1] != '\n')
		from--;
	while (to > 0 && b->data[to - 1] != '\n')
		to--;
	while (n > 0 && b->data[from + n - 1] != '\n')
		n--;
	for (size_t i = 0; i <= b->len; i++) {
		if (i == to)
			assert_int_equal(buf_add(&out, b->data + from, n), 0);
		if (i < b->len && (keep || i < from || i >= from + n))
			assert_int_equal(buf_addc(&out, b->data[i]), 0);
	}
	buf_clear(b);
	assert_int_equal(buf_adds(b, out.data ? out.data : ""), 0);
}

static void rename_folder(struct files *f, const char *path)
{
	char from[PATH_ROOM], to[PATH_ROOM];
	char *slash;

	(void)snprintf(from, sizeof(from), "%s", path);
	slash = strchr(from, '/');
	if (!slash)
		return;
	slash[1] = 0;
	for (size_t i = 0; i < f->n; i++)
		if (strncmp(f->v[i].path, from, strlen(from)) == 0) {
			(void)snprintf(to, sizeof(to), "r%.50s", f->v[i].path);
			(void)snprintf(f->v[i].path, PATH_ROOM, "%s", to);
		}
}

static void mutate(struct files *f)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	char path[PATH_ROOM];
	struct file *one;
	uint32_t mode;

	random_path(path);
	random_text(&text);
	if (!f->n)
		return;
	one = &f->v[below((unsigned)f->n)];
	switch (below(12)) {
	case 0:
		set(f, path, 0100644, text.data);
		break;
	case 1:
		drop(f, (size_t)(one - f->v));
		break;
	case 2:
		buf_clear(&text);
		assert_int_equal(buf_adds(&text, one->text.data), 0);
		mode = one->mode;
		drop(f, (size_t)(one - f->v));
		set(f, path, mode, text.data);
		break;
	case 3:
		if (one->mode != 0120000)
			one->mode ^= 0111;
		break;
	case 4:
		rename_folder(f, one->path);
		break;
	case 5:
		if (below(4) == 0)
			set(f, path, 0120000, "target");
		break;
	default:
		if (one->mode == 0120000 || !one->text.len)
			break;
		if (below(4))
			edit_text(&one->text);
		else
			move_lines(&one->text);
	}
}

static int ask_git(const git_oid *a, const git_oid *b, git_oid *ret, struct buf *paths)
{
	char command[256], x[GIT_OID_HEXSZ + 1], y[GIT_OID_HEXSZ + 1], line[512];
	int status;
	FILE *p;

	(void)snprintf(command, sizeof(command),
		       "git -C %s merge-tree --write-tree --name-only --no-messages %s %s", folder,
		       git_oid_tostr(x, sizeof(x), a), git_oid_tostr(y, sizeof(y), b));
	p = popen(command, "r");
	assert_non_null(p);
	assert_non_null(fgets(line, sizeof(line), p));
	assert_int_equal(git_oid_fromstrn(ret, line, GIT_OID_HEXSZ), 0);
	while (fgets(line, sizeof(line), p))
		assert_int_equal(buf_adds(paths, line), 0);
	status = pclose(p);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

struct tally {
	unsigned walk, clean, conflict, one_clean, two_texts;
};

static bool noted(const struct merge_out *out, const char *word)
{
	for (size_t i = 0; i < out->notes.n; i++)
		if (strstr(out->notes.v[i], word))
			return true;
	return false;
}

static bool conflicted_differently(const struct merge_out *out)
{
	for (size_t i = 0; i < out->conflicts.n; i++)
		if (strstr(out->conflicts.v[i].reason, "two different texts"))
			return true;
	return false;
}

static void compare(const git_oid *a, const git_oid *b, struct tally *tally)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_buf_ struct buf paths = BUF_INIT;
	struct merge_out out = {0};
	git_oid want;
	int status = ask_git(a, b, &want, &paths), r = merge_commits(repo, a, b, NULL, &out, &e);

	if (r < 0)
		fail_msg("merge: %s", err_text(&e));
	tally->walk += !out.by_git;
	if (status == 0 && out.conflicts.n && conflicted_differently(&out)) {
		tally->two_texts++;
	} else if (status == 0) {
		if (out.conflicts.n)
			fail_msg("git is clean, we are not: %s", out.conflicts.v[0].reason);
		assert_true(git_oid_equal(&out.tree, &want));
		tally->clean++;
	} else if (!out.conflicts.n) {
		assert_true(noted(&out, "(Myers); git's own"));
		tally->one_clean++;
	} else {
		tally->conflict++;
		for (size_t i = 0; !out.by_git && i < out.conflicts.n; i++)
			assert_true(strstr(paths.data, out.conflicts.v[i].path) ||
				    conflicted_differently(&out));
	}
	merge_out_release(&out);
}

/* One file of few different lines, blocks moved about: hard for whoever compares lines. */
static void one_hard_file(struct tally *tally)
{
	struct files base = {0}, ours = {0}, theirs = {0};
	_cleanup_buf_ struct buf text = BUF_INIT;
	git_oid b, o, t;

	for (unsigned n = 20 + below(30); n > 0; n--)
		assert_int_equal(
			buf_addf(&text, below(2) ? "}\n" : "%c%u\n", 'a' + (int)below(3), below(4)),
			0);
	set(&base, "f", 0100644, text.data);
	copy(&ours, &base);
	copy(&theirs, &base);
	move_lines(&ours.v[0].text);
	edit_text(&ours.v[0].text);
	edit_text(&theirs.v[0].text);
	if (below(2))
		move_lines(&theirs.v[0].text);
	commit(&base, NULL, NULL, &b);
	commit(&ours, &b, NULL, &o);
	commit(&theirs, &b, NULL, &t);
	compare(&o, &t, tally);
	clear(&base);
	clear(&ours);
	clear(&theirs);
}

static void one_history(struct tally *tally)
{
	struct files base = {0}, ours = {0}, theirs = {0};
	_cleanup_buf_ struct buf text = BUF_INIT;
	git_oid b, o, t, o2, t2;
	char path[PATH_ROOM];

	for (int i = 0; i < 14; i++) {
		random_path(path);
		random_text(&text);
		set(&base, path, 0100644, text.data);
	}
	copy(&ours, &base);
	copy(&theirs, &base);
	for (unsigned n = 1 + below(8); n > 0; n--)
		mutate(&ours);
	for (unsigned n = 1 + below(8); n > 0; n--)
		mutate(&theirs);
	commit(&base, NULL, NULL, &b);
	commit(&ours, &b, NULL, &o);
	commit(&theirs, &b, NULL, &t);
	if (below(10) == 0) { /* crossed: each has merged the other's, and gone on */
		mutate(&ours);
		mutate(&theirs);
		commit(&ours, &o, &t, &o2);
		commit(&theirs, &t, &o, &t2);
		o = o2;
		t = t2;
	}
	compare(&o, &t, tally);
	clear(&base);
	clear(&ours);
	clear(&theirs);
}

static void test_merge__random_histories_as_git(void **state)
{
	const char *s = getenv("AGENTFS_SEED"), *n = getenv("AGENTFS_CASES");
	unsigned cases = n ? (unsigned)strtoul(n, NULL, 10) : 160;
	uint64_t first = s ? strtoull(s, NULL, 0) : ((uint64_t)getpid() << 20) + 88172645463325252u;
	struct tally tally = {0};

	(void)state;
	for (unsigned i = 0; i < cases; i++) {
		seed = first + i * UINT64_C(0x9e3779b97f4a7c15);
		seed += !seed;
		if (i == 0)
			print_message("AGENTFS_SEED=%#llx AGENTFS_CASES=%u\n",
				      (unsigned long long)first, cases);
		if (i % 4 == 3)
			one_hard_file(&tally);
		else
			one_history(&tally);
	}
	print_message(
		"%u by the walk; clean %u, conflict %u, clean one way only %u, two texts %u\n",
		tally.walk, tally.clean, tally.conflict, tally.one_clean, tally.two_texts);
	if (cases >= 100) {
		assert_true(tally.walk > cases / 5 && tally.clean > cases / 5 &&
			    tally.conflict > cases / 20);
		assert_true(tally.one_clean + tally.two_texts < cases / 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge__takes_each_sides_change),
		cmocka_unit_test(test_merge__merges_lines_and_modes_of_one_file),
		cmocka_unit_test(test_merge__names_each_kind_of_conflict),
		cmocka_unit_test(test_merge__binary_files_are_not_merged_by_line),
		cmocka_unit_test(test_merge__attributes_of_the_trees_count),
		cmocka_unit_test(test_merge__added_to_a_renamed_folder_is_never_silent),
		cmocka_unit_test(test_merge__follows_a_rename),
		cmocka_unit_test(test_merge__renamed_differently_conflicts),
		cmocka_unit_test(test_merge__unrelated_histories_are_refused),
		cmocka_unit_test(test_merge__random_histories_as_git),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
