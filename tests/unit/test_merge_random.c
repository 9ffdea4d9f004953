/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random histories, merged by us and by git's own
 * `merge-tree` (AGENTFS_SEED, AGENTFS_CASES). A clean merge of git's must be ours, byte for byte, and
 * its conflicts ours, but for:
 *   - a file that Myers' and histogram's diff merge to two different texts: we conflict;
 *   - a file in which Myers' diff finds no conflict and histogram's does: we merge it and say so.
 * Attributes of the trees count for us; git is told the same ones by its own repository's info/attributes, as
 * merge-tree does not look into the trees.
 */
#include <sys/wait.h>

#include "merge_fixture.h"

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
	if (one->path[0] == '.') /* the attributes stay alike on all sides */
		return;
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

static char oracle[UNIT_TMP_PATH +
		   16]; /* git's repository: the objects of ours, attributes of its own */

static void oracle_file(const char *name, const char *text)
{
	char path[sizeof(oracle) + 32];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", oracle, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void oracle_init(void)
{
	git_repository *git = NULL;
	char line[sizeof(folder) + 16];

	(void)snprintf(oracle, sizeof(oracle), "%s/oracle.git", folder);
	assert_int_equal(git_repository_init(&git, oracle, 1), 0);
	git_repository_free(git);
	(void)snprintf(line, sizeof(line), "%s/objects\n", folder);
	oracle_file("objects/info/alternates", line);
	oracle_file("info/attributes", "");
}

/* The same lines on all sides. */
static void random_attributes(struct files *f)
{
	static const char *const lines[] = {
		"f* merge=union\n",	      "g* -merge\n",	  "h* binary\n",
		"* conflict-marker-size=9\n", "* text=auto\n",	  "*1 eol=lf\n",
		"*2 text eol=crlf\n",	      "a/* merge=text\n", "*3 merge=binary\n"};
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (unsigned n = 1 + below(3); n > 0; n--)
		assert_int_equal(buf_adds(&b, lines[below(ARRAY_SIZE(lines))]), 0);
	set(f, ".gitattributes", 0100644, b.data);
}

static int ask_git(const git_oid *a, const git_oid *b, git_oid *ret, struct buf *paths)
{
	char command[256], x[GIT_OID_HEXSZ + 1], y[GIT_OID_HEXSZ + 1], line[512];
	int status;
	FILE *p;

	(void)snprintf(command, sizeof(command),
		       "git -C %s merge-tree --write-tree --name-only --no-messages %s %s", oracle,
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
	oracle_file("info/attributes", "");
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

static void one_history(struct tally *tally, bool attributes)
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
	if (attributes)
		random_attributes(&base);
	oracle_file("info/attributes", attributes ? find(&base, ".gitattributes")->text.data : "");
	copy(&ours, &base);
	copy(&theirs, &base);
	for (unsigned n = 1 + below(8); n > 0; n--)
		mutate(&ours);
	for (unsigned n = 1 + below(8); n > 0; n--)
		mutate(&theirs);
	commit(&base, NULL, NULL, &b);
	commit(&ours, &b, NULL, &o);
	commit(&theirs, &b, NULL, &t);
	if (below(6) == 0) { /* crossed: each has merged the other's, and gone on */
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
	oracle_init();
	for (unsigned i = 0; i < cases; i++) {
		seed = first + i * UINT64_C(0x9e3779b97f4a7c15);
		seed += !seed;
		if (i == 0)
			print_message("AGENTFS_SEED=%#llx AGENTFS_CASES=%u\n",
				      (unsigned long long)first, cases);
		if (i % 4 == 3)
			one_hard_file(&tally);
		else
			one_history(&tally, i % 4 == 2);
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
		cmocka_unit_test(test_merge__random_histories_as_git),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
