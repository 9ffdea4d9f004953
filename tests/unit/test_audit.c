/* SPDX-License-Identifier: Apache-2.0 */
/* audit: paths as they were, every filter, several views as one list, cursors, times. */
#include "view_fixture.h"

#include "audit.h"
#include "cleanup.h"
#include "journal.h"
#include "sys.h"
#include "unit_tmp.h"

static const char POLICY[] =
	"agentfs-policy 1\nrole builder\nscratch none\nwrite src/\nwrite a.c\n";
static const char VIEW_ID[] = "01020300000000000000000000000000";

/* What an agent did: a folder, a file, bytes, a rename of its folder, more bytes, its end, a
 * refusal. */
static void scene(struct view_fixture *f)
{
	struct view *v = f->view;
	struct node_attr src, file, other;

	assert_int_equal(view_mkdir(v, &OWNER, NODE_ROOT, "src", 0755, &src), 0);
	assert_int_equal(view_mknod(v, &OWNER, src.id, "main.c", S_IFREG | 0644, 0, &file), 0);
	assert_int_equal(view_write(v, &OWNER, file.id, 0, "hello", 5), 5);
	assert_int_equal(view_rename(v, &OWNER, src.id, "main.c", src.id, "new.c", 0), 0);
	assert_int_equal(view_write(v, &OWNER, file.id, 5, "more", 4), 4);
	assert_int_equal(view_unlink(v, &OWNER, src.id, "new.c"), 0);
	assert_int_equal(view_mknod(v, &OWNER, NODE_ROOT, "outside", S_IFREG | 0644, 0, &other),
			 -EACCES);
	assert_int_equal(view_lookup(v, &OWNER, NODE_ROOT, "a.c", &other), 0);
	assert_int_equal(view_write(v, &OWNER, other.id, 0, "x", 1), 1);
}

/* The records that match, as "op path[>to] result" lines; the last cursor goes to `cursor`. */
static char *ask(struct view_fixture *f, json_t *req, char *cursor)
{
	int images = openat(f->state, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct audit *a = NULL;
	json_t *rec;
	int r;

	if (audit_new(req, sys_now_ns(), &a, &e) < 0 ||
	    audit_add_view(a, "a1", VIEW_ID, f->dir, images, &e) < 0)
		fail_msg("audit: %s", err_text(&e));
	while ((r = audit_next(a, &rec, &e)) > 0) {
		const char *op = json_string_value(json_object_get(rec, "op"));
		const char *path = json_string_value(json_object_get(rec, "path"));
		const char *to = json_string_value(json_object_get(rec, "to"));

		assert_string_equal(json_string_value(json_object_get(rec, "agent")), "a1");
		assert_string_equal(json_string_value(json_object_get(rec, "view")), VIEW_ID);
		if (op)
			assert_int_equal(
				buf_addf(&b, "%s %s%s%s %s\n", op, path ? path : "-", to ? ">" : "",
					 to ? to : "",
					 json_string_value(json_object_get(rec, "result"))),
				0);
		if (cursor)
			(void)strcpy(cursor, json_string_value(json_object_get(rec, "cursor")));
		json_decref(rec);
	}
	if (r < 0)
		fail_msg("audit: %s", err_text(&e));
	audit_free(a);
	json_decref(req);
	(void)close(images);
	assert_int_equal(buf_adds(&b, ""), 0);
	return buf_take(&b);
}

static void expect(struct view_fixture *f, json_t *req, const char *want)
{
	char *got = ask(f, req, NULL);

	assert_string_equal(got, want);
	free(got);
}

static void test_audit__paths_are_those_of_the_time(void **state)
{
	struct view_fixture f;

	view_fixture_init(&f, POLICY);
	scene(&f);
	expect(&f, json_object(),
	       "mkdir src ok\nmknod src/main.c ok\nwrite src/main.c ok\n"
	       "rename src/main.c>src/new.c ok\nwrite src/new.c ok\nunlink src/new.c ok\n"
	       "mknod outside denied\nwrite a.c ok\n");
	view_fixture_crash(&f);
	expect(&f, json_pack("{s:s}", "result", "denied"), "mknod outside denied\n");
	view_fixture_release(&f);
}

static void test_audit__every_filter_filters(void **state)
{
	struct view_fixture f;

	view_fixture_init(&f, POLICY);
	scene(&f);
	expect(&f, json_pack("{s:s}", "path", "/src/new.c"),
	       "rename src/main.c>src/new.c ok\nwrite src/new.c ok\nunlink src/new.c ok\n");
	expect(&f, json_pack("{s:s,s:[s,s]}", "path", "src/**", "ops", "write", "unlink"),
	       "write src/main.c ok\nwrite src/new.c ok\nunlink src/new.c ok\n");
	expect(&f, json_pack("{s:[s],s:s}", "ops", "mknod", "result", "ok"),
	       "mknod src/main.c ok\n");
	expect(&f, json_pack("{s:s}", "result", "failed"), "");
	expect(&f, json_pack("{s:s}", "grep", "^a\\.c$"), "write a.c ok\n");
	expect(&f, json_pack("{s:s}", "rule", "no such rule"), "");
	expect(&f, json_pack("{s:i}", "pid", 999), "");
	expect(&f, json_pack("{s:s}", "until", "1h"), "");
	expect(&f, json_pack("{s:s,s:[s]}", "since", "1h", "ops", "rename"),
	       "rename src/main.c>src/new.c ok\n");
	expect(&f, json_pack("{s:s,s:[s]}", "since", "2999-01-01T00:00:00Z", "ops", "rename"), "");
	view_fixture_release(&f);
}

static void test_audit__own_git_is_shown_on_request(void **state)
{
	struct view_fixture f;
	struct node_attr git, head;
	char *with, *without;

	view_fixture_init(&f, POLICY);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, ".git", 0755, &git), 0);
	assert_int_equal(view_mknod(f.view, &OWNER, git.id, "HEAD", S_IFREG | 0644, 0, &head), 0);
	without = ask(&f, json_object(), NULL);
	with = ask(&f, json_pack("{s:b}", "git", 1), NULL);
	assert_null(strstr(without, ".git"));
	assert_non_null(strstr(with, "mknod .git/HEAD ok\n"));
	free(with);
	free(without);
	view_fixture_release(&f);
}

static void test_audit__cursor_goes_on_behind(void **state)
{
	struct view_fixture f;
	char cursor[128] = "", *all;
	struct node_attr a;

	view_fixture_init(&f, POLICY);
	scene(&f);
	all = ask(&f, json_object(), cursor);
	free(all);
	expect(&f, json_pack("{s:s}", "cursor", cursor), "");
	assert_int_equal(view_lookup(f.view, &OWNER, NODE_ROOT, "src", &a), 0);
	assert_int_equal(view_rmdir(f.view, &OWNER, NODE_ROOT, "src"), 0);
	expect(&f, json_pack("{s:s}", "cursor", cursor), "rmdir src ok\n");
	view_fixture_release(&f);
}

static void test_audit__goes_on_with_what_comes(void **state)
{
	struct view_fixture f;
	struct audit *a = NULL;
	struct node_attr n;
	json_t *rec;
	int images, seen = 0;

	view_fixture_init(&f, POLICY);
	images = openat(f.state, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(audit_new(json_object_get(NULL, ""), 0, &a, NULL), 0);
	assert_int_equal(audit_add_view(a, "a1", VIEW_ID, f.dir, images, NULL), 0);
	while (audit_next(a, &rec, NULL) > 0)
		json_decref(rec);
	for (int i = 0; i < 3; i++) {
		char name[16];

		assert_int_equal(audit_next(a, &rec, NULL), 0);
		(void)snprintf(name, sizeof(name), "d%d", i);
		if (i == 0)
			assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, "src", 0755, &n), 0);
		else
			assert_int_equal(
				view_mknod(f.view, &OWNER, NODE_ROOT, name, S_IFREG | 0644, 0, &n),
				-EACCES);
		while (audit_next(a, &rec, NULL) > 0) {
			seen++;
			assert_string_equal(json_string_value(json_object_get(rec, "path")),
					    i ? name : "src");
			json_decref(rec);
		}
		assert_int_equal(seen, i + 1);
	}
	audit_free(a);
	(void)close(images);
	view_fixture_release(&f);
}

/* Two journals by hand: the list is in the order of their times. */
static void test_audit__views_are_merged_by_time(void **state)
{
	char path[UNIT_TMP_PATH];
	struct audit *a = NULL;
	uint64_t last = 0;
	int dir, n = 0;
	json_t *rec;

	unit_tmp(path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(audit_new(NULL, 0, &a, NULL), 0);
	for (int v = 0; v < 2; v++) {
		struct journal_options opt = {.owner_id = {(uint8_t)v}};
		char name[] = "v0";
		struct journal *j;
		int view, folder;

		name[1] = (char)('0' + v);
		assert_int_equal(io_mkdir(dir, name, 0700), 0);
		view = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(io_mkdir(view, "journal", 0700), 0);
		folder = openat(view, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_int_equal(journal_open(folder, &opt, 0, NULL, NULL, &j, NULL, NULL), 0);
		for (unsigned int i = 0; i < 50; i++) {
			struct record r = {.type = RECORD_NOTE,
					   .time = 1000 + i * (2u + (unsigned)v)};

			RECORD_SET(&r, value, F_VALUE, ((struct bytes){"note", 4}));
			assert_int_equal(journal_append(j, &r), 0);
		}
		journal_close(j);
		assert_int_equal(audit_add_view(a, name, name, view, dir, NULL), 0);
		(void)close(folder);
		(void)close(view);
	}
	while (audit_next(a, &rec, NULL) > 0) {
		uint64_t time =
			strtoull(json_string_value(json_object_get(rec, "cursor")), NULL, 10);

		assert_true(time >= last);
		assert_string_equal(json_string_value(json_object_get(rec, "value")), "note");
		last = time;
		n++;
		json_decref(rec);
	}
	assert_int_equal(n, 100);
	audit_free(a);
	assert_int_equal(io_rm_rf(AT_FDCWD, path), 0);
	(void)close(dir);
}

static void test_audit__wrong_questions_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{"since", "yesterday-ish"},
		{"until", "2026-13-01T00:00:00Z"},
		{"result", "perhaps"},
		{"grep", "("},
		{"path", ""},
		{"cursor", "1:2"},
		{"cursor", "x"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *req = json_pack("{s:s}", bad[i][0], bad[i][1]);
		struct err e = ERR_INIT;
		struct audit *a = NULL;

		assert_int_equal(audit_new(req, 0, &a, &e), -EINVAL);
		assert_string_equal(e.id, "Invalid");
		assert_non_null(strstr(e.text, bad[i][0]));
		err_release(&e);
		json_decref(req);
	}
}

static void test_audit__times_are_understood(void **state)
{
	static const uint64_t s = 1000000000u, now = 2000000000u * UINT64_C(1000000000);
	static const struct {
		const char *text;
		uint64_t want;
	} good[] = {
		{"90s", now - 90 * s},
		{"10m", now - 600 * s},
		{"2h", now - 7200 * s},
		{"3d", now - 259200 * s},
		{"1w", now - 604800 * s},
		{"4000000000s", 0},
		{"1970-01-02T00:00:00Z", 86400 * s},
		{"1970-01-02 00:00:01Z", 86401 * s},
		{"1970-01-02T01:00:00+01:00", 86400 * s},
		{"1970-01-02T00:00:00.25-00:30", 88200 * s + 250000000},
	};
	static const char *const bad[] = {"",
					  "10",
					  "10x",
					  "10mm",
					  "-1h",
					  "1970-01-02",
					  "1970-01-02T00:00:00",
					  "1970-01-02T00:00:00Zz",
					  "1970-01-02T00:00:00+1:00",
					  "1970-01-02T25:00:00Z",
					  "1970-01-02T00:00:00.Z",
					  "1960-01-02T00:00:00Z"};
	uint64_t got;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(audit_parse_time(good[i].text, now, &got), 0);
		assert_int_equal(got, good[i].want);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(audit_parse_time(bad[i], now, &got), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit__paths_are_those_of_the_time),
		cmocka_unit_test(test_audit__every_filter_filters),
		cmocka_unit_test(test_audit__own_git_is_shown_on_request),
		cmocka_unit_test(test_audit__cursor_goes_on_behind),
		cmocka_unit_test(test_audit__goes_on_with_what_comes),
		cmocka_unit_test(test_audit__views_are_merged_by_time),
		cmocka_unit_test(test_audit__wrong_questions_are_refused),
		cmocka_unit_test(test_audit__times_are_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
