/* SPDX-License-Identifier: Apache-2.0 */
/* Recovery: torn is cut, damage is refused; every cut, every byte, every wrong file. */
#include <xxhash.h>

#include "fault.h"
#include "journal_impl.h"
#include "journal_tools.h"

enum { TRACE = 300, DURABLE = 280, MAX_SEGMENTS = 8 };

/* A journal with known places: off[i] is where record i ends, in segment seg[i]. */
struct trace {
	struct tool_dir d;
	struct tool_files files;
	struct buf *bytes[MAX_SEGMENTS]; /* by segment number */
	unsigned int seg[TRACE + 1], nsegs;
	uint64_t off[TRACE + 1];
};

static void trace_init(struct trace *t, int records, size_t size, int sync_at)
{
	struct journal *j;

	*t = (struct trace){.d = tool_dir_new()};
	j = tool_open(t->d.fd, 0, NULL, NULL);

	t->seg[0] = 1;
	t->off[0] = JOURNAL_HEADER_SIZE;
	for (int i = 1; i <= records; i++) {
		tool_append(j, size);
		t->seg[i] = (unsigned int)j->number;
		t->off[i] = j->pos;
		if (i == sync_at)
			assert_int_equal(journal_sync(j, NULL, 0), 0);
	}
	t->nsegs = (unsigned int)j->number;
	journal_close(j);
	t->files = tool_save(t->d.fd);
	for (size_t i = 0; i < t->files.n; i++)
		if (t->files.f[i].name[0] == '0')
			t->bytes[atoi(t->files.f[i].name)] = &t->files.f[i].b;
}

static void trace_free(struct trace *t)
{
	tool_files_free(&t->files);
	tool_dir_free(&t->d);
}

static const char *name_of(unsigned int n)
{
	static char name[4][SEGFILE_NAME_SIZE];
	static unsigned int i;

	segfile_name(name[i++ % 4], n, JOURNAL_SUFFIX);
	return name[(i - 1) % 4];
}

static int try_read_only(int dir, struct tool_count *c, uint64_t *dropped)
{
	struct journal *j = NULL;
	int r;

	*c = (struct tool_count){0};
	r = journal_open(dir, &tool_read_only, 0, tool_replay, c, &j, dropped, NULL);
	journal_close(j);
	return r;
}

/* Removes all files and writes the stream up to `cut` in segment `seg`. */
static void write_cut(struct trace *t, unsigned int seg, uint64_t cut, bool zeros)
{
	tool_remove_all(t->d.fd);
	for (unsigned int i = 1; i < seg; i++)
		tool_write(t->d.fd, name_of(i), t->bytes[i]->data, t->bytes[i]->len);
	tool_write(t->d.fd, name_of(seg), t->bytes[seg]->data, cut);
	if (zeros) {
		_cleanup_close_ int fd = openat(t->d.fd, name_of(seg), O_RDWR | O_CLOEXEC);

		assert_int_equal(ftruncate(fd, (off_t)t->bytes[seg]->len), 0);
	}
}

/* The record ends in zeros, so that a file filled up with zeros has it whole. */
static bool only_zeros(const struct trace *t, unsigned int seg, uint64_t cut, unsigned int record)
{
	if (record > TRACE || t->seg[record] != seg)
		return false;
	for (uint64_t i = cut; i < t->off[record]; i++)
		if (t->bytes[seg]->data[i] != 0)
			return false;
	return true;
}

static void test_journal__every_cut_leaves_a_prefix(void **state)
{
	struct trace t;
	unsigned int whole = 0;

	trace_init(&t, TRACE, 20, 0);
	assert_int_equal(t.nsegs, 2);
	for (unsigned int seg = 1; seg <= 2; seg++) {
		uint64_t end = seg == t.seg[TRACE] ? t.off[TRACE] : t.bytes[seg]->len;

		for (uint64_t cut = JOURNAL_HEADER_SIZE; cut <= end; cut += 8) {
			struct tool_count c;
			unsigned int want;
			uint64_t dropped;

			while (whole < TRACE &&
			       (t.seg[whole + 1] < seg ||
				(t.seg[whole + 1] == seg && t.off[whole + 1] <= cut)))
				whole++;
			write_cut(&t, seg, cut, cut / 8 % 2);
			want = whole + (cut / 8 % 2 && only_zeros(&t, seg, cut, whole + 1));
			if (cut % 64 != 0) {
				assert_int_equal(try_read_only(t.d.fd, &c, &dropped), 0);
				assert_int_equal(c.n, want);
				continue;
			}
			/* Now and then whole recovery, and on from there. */
			struct journal *j = tool_open(t.d.fd, 0, &c, &dropped);

			assert_int_equal(c.n, want);
			tool_append(j, 33);
			journal_close(j);
			assert_int_equal(tool_try(t.d.fd, 0, &c, &dropped), 0);
			assert_int_equal(c.n, want + 1);
			assert_int_equal(dropped, 0);
		}
	}
	assert_int_equal(whole, TRACE);
	trace_free(&t);
}

/* Each byte of each segment in turn; nothing is ever changed by a refusal. */
static void test_journal__every_damaged_byte_is_judged_by_the_durable_point(void **state)
{
	struct trace t;
	unsigned long refused = 0, cut = 0;

	trace_init(&t, TRACE, 20, DURABLE);
	assert_int_equal(t.seg[DURABLE], 2);
	for (unsigned int seg = 1; seg <= 2; seg++) {
		_cleanup_close_ int fd = openat(t.d.fd, name_of(seg), O_RDWR | O_CLOEXEC);
		uint64_t end = seg == 2 ? t.off[TRACE] : 0;

		for (int i = 0; i <= TRACE; i++)
			if (t.seg[i] == seg && t.off[i] > end)
				end = t.off[i];
		for (uint64_t i = 0; i < end; i++) {
			char old = t.bytes[seg]->data[i], bad = (char)(old ^ (1 << i % 8));
			struct tool_count c;
			uint64_t dropped = 0;
			int r;

			assert_int_equal(pwrite(fd, &bad, 1, (off_t)i), 1);
			r = try_read_only(t.d.fd, &c, &dropped);
			if (seg == 1 || i < t.off[DURABLE]) {
				assert_int_equal(r, -EBADMSG);
				refused++;
			} else {
				assert_int_equal(r, 0);
				assert_in_range(c.n, DURABLE, TRACE - 1);
				assert_true(dropped > 0);
				cut++;
			}
			assert_int_equal(pwrite(fd, &old, 1, (off_t)i), 1);
		}
	}
	assert_true(refused > 30000 && cut > 1500);
	trace_free(&t);
}

static void test_journal__refusal_changes_nothing(void **state)
{
	struct trace t;
	_cleanup_close_ int fd = -1;
	struct tool_files before, after;
	struct tool_count c;

	trace_init(&t, TRACE, 20, DURABLE);
	fd = openat(t.d.fd, name_of(1), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)t.off[100] + 60), 1);
	before = tool_save(t.d.fd);
	assert_int_equal(tool_try(t.d.fd, 0, &c, NULL), -EBADMSG);
	assert_int_equal(c.n, 100);
	after = tool_save(t.d.fd);
	assert_int_equal(before.n, after.n);
	for (size_t i = 0; i < before.n; i++) {
		assert_string_equal(before.f[i].name, after.f[i].name);
		assert_int_equal(before.f[i].b.len, after.f[i].b.len);
		assert_memory_equal(before.f[i].b.data, after.f[i].b.data, before.f[i].b.len);
	}
	tool_files_free(&before);
	tool_files_free(&after);
	trace_free(&t);
}

/* Old bytes behind a cut never come back: cut, append less, look for what stood there. */
static void test_journal__cut_tail_is_zeroed(void **state)
{
	struct trace t;
	_cleanup_close_ int fd = -1;
	struct tool_count c;
	uint64_t dropped, end;

	trace_init(&t, 100, 100, 0);
	fd = openat(t.d.fd, name_of(1), O_RDWR | O_CLOEXEC);
	assert_int_equal(t.nsegs, 1);
	assert_int_equal(pwrite(fd, "X", 1, (off_t)t.off[50] + 60), 1);
	assert_int_equal(tool_try(t.d.fd, 0, &c, &dropped), 0);
	assert_int_equal(c.n, 50);
	assert_in_range(dropped, t.off[100] - t.off[50] - 16, t.off[100] - t.off[50]);
	assert_int_equal(segfile_used_end(fd, t.off[50], t.bytes[1]->len, &end), 0);
	assert_int_equal(end, t.off[50]);
	trace_free(&t);
}

static void test_journal__wrong_segments_are_found(void **state)
{
	struct trace t, other;
	struct tool_count c;

	trace_init(&t, TRACE, 1500, TRACE - 5);
	assert_true(t.nsegs >= 4 && t.nsegs < MAX_SEGMENTS && t.seg[TRACE - 5] == t.nsegs);
	for (unsigned int i = 1; i < t.nsegs; i++) { /* missing */
		assert_int_equal(unlinkat(t.d.fd, name_of(i), 0), 0);
		assert_int_equal(tool_try(t.d.fd, 0, &c, NULL), -EBADMSG);
		tool_restore(t.d.fd, &t.files);
	}
	/* The last one can only be missed by who knows how far it went. */
	assert_int_equal(unlinkat(t.d.fd, name_of(t.nsegs), 0), 0);
	assert_int_equal(tool_try(t.d.fd, TRACE - 5, &c, NULL), -EBADMSG);
	tool_restore(t.d.fd, &t.files);
	for (unsigned int i = 1; i <= t.nsegs; i++) /* swapped, or one in the place of another */
		for (unsigned int k = 1; k <= t.nsegs; k++) {
			if (i == k)
				continue;
			tool_write(t.d.fd, name_of(i), t.bytes[k]->data, t.bytes[k]->len);
			assert_int_equal(tool_try(t.d.fd, 0, &c, NULL), -EBADMSG);
			tool_write(t.d.fd, name_of(k), t.bytes[i]->data, t.bytes[i]->len);
			assert_int_equal(tool_try(t.d.fd, 0, &c, NULL), -EBADMSG);
			tool_restore(t.d.fd, &t.files);
		}
	trace_init(&other, TRACE, 1500, TRACE - 5); /* of another journal of the same view */
	for (unsigned int i = 1; i <= t.nsegs; i++) {
		tool_write(t.d.fd, name_of(i), other.bytes[i]->data, other.bytes[i]->len);
		assert_int_equal(tool_try(t.d.fd, 0, &c, NULL), -EBADMSG);
		tool_restore(t.d.fd, &t.files);
	}
	assert_int_equal(tool_try(t.d.fd, 0, &c, NULL), 0);
	assert_int_equal(c.n, TRACE);
	trace_free(&other);
	trace_free(&t);
}

static void test_journal__moved_batches_are_found(void **state)
{
	struct trace t;
	_cleanup_close_ int fd = -1;
	uint64_t len;
	const char *p;
	struct tool_count c;

	trace_init(&t, 100, 100, 90);
	fd = openat(t.d.fd, name_of(1), O_RDWR | O_CLOEXEC);
	len = t.off[11] - t.off[10];
	p = t.bytes[1]->data;
	assert_int_equal(len, t.off[21] - t.off[20]);
	/* 11 and 21 swapped; then 21 alone repeated; then 21 left out, the rest moved up. */
	assert_int_equal(pwrite(fd, p + t.off[20], len, (off_t)t.off[10]), len);
	assert_int_equal(try_read_only(t.d.fd, &c, NULL), -EBADMSG);
	assert_int_equal(c.n, 10);
	assert_int_equal(pwrite(fd, p + t.off[10], len, (off_t)t.off[20]), len);
	assert_int_equal(try_read_only(t.d.fd, &c, NULL), -EBADMSG);
	assert_int_equal(pwrite(fd, p + t.off[10], len, (off_t)t.off[10]), len);
	assert_int_equal(pwrite(fd, p + t.off[21], t.off[100] - t.off[21], (off_t)t.off[20]),
			 t.off[100] - t.off[21]);
	assert_int_equal(try_read_only(t.d.fd, &c, NULL), -EBADMSG);
	assert_int_equal(c.n, 20);
	trace_free(&t);
}

/* An agent may write anything into a name; without the salt it is no batch header. */
static void test_journal__forged_header_in_a_value_is_no_evidence(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct journal_batch_head h = {.length = 48, .durable = 1000, .first_seq = 1001};
	struct record rec = {.type = RECORD_NOTE};
	uint64_t torn_at = 0;
	struct tool_count c;
	char value[4096] = {0};
	int fd;

	tool_append(j, 10);
	for (size_t i = 0; i + 48 <= sizeof(value); i += 57)
		journal_batch_write((uint8_t *)value + i, &h, journal_seed(0, 1));
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){value, sizeof(value)}));
	torn_at = j->pos + 50;
	assert_int_equal(journal_append(j, &rec), 0);
	journal_close(j);
	fd = openat(d.fd, name_of(1), O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "XYZ", 3, (off_t)torn_at), 3);
	(void)safe_close(fd);
	assert_int_equal(tool_try(d.fd, 0, &c, NULL), 0);
	assert_int_equal(c.n, 1);
	tool_dir_free(&d);
}

/* A segment that was renamed and whose header never got to the disk; a stale spare. */
static void test_journal__half_made_segments_are_harmless(void **state)
{
	struct trace t;
	char *zeros = calloc(1, 65536);
	struct journal *j;
	struct tool_count c;
	uint64_t dropped;
	unsigned int in_first = 0;

	trace_init(&t, TRACE, 20, 0);
	while (t.seg[in_first + 1] == 1)
		in_first++;
	tool_write(t.d.fd, name_of(2), zeros, 65536);
	assert_int_equal(tool_try(t.d.fd, 0, &c, &dropped), 0);
	assert_int_equal(c.n, in_first);
	tool_restore(t.d.fd, &t.files);
	/* Its header only, torn in the middle. */
	memcpy(zeros, t.bytes[2]->data, 100);
	tool_write(t.d.fd, name_of(2), zeros, 65536);
	assert_int_equal(tool_try(t.d.fd, 0, &c, &dropped), 0);
	assert_int_equal(c.n, in_first);
	assert_in_range(dropped, 1, 100);
	/* Spares full of an old segment. */
	tool_restore(t.d.fd, &t.files);
	tool_write(t.d.fd, "spare-0.jnl", t.bytes[1]->data, t.bytes[1]->len);
	tool_write(t.d.fd, "spare-1.jnl", t.bytes[2]->data, t.bytes[2]->len);
	j = tool_open(t.d.fd, 0, NULL, NULL);
	for (int i = 0; i < 3000; i++)
		tool_append(j, 50);
	assert_true(j->number >= 4);
	journal_close(j);
	assert_int_equal(tool_try(t.d.fd, 0, &c, &dropped), 0);
	assert_int_equal(c.n, TRACE + 3000);
	assert_int_equal(dropped, 0);
	free(zeros);
	trace_free(&t);
}

static void test_journal__newer_format_is_refused(void **state)
{
	struct trace t;
	static const struct {
		off_t at;
		uint16_t v;
	} change[] = {{8, 2}, {10, 9}, {20, 1}};

	trace_init(&t, 10, 20, 0);
	for (size_t i = 0; i < 3; i++) {
		_cleanup_close_ int fd = openat(t.d.fd, name_of(1), O_RDWR | O_CLOEXEC);
		struct err e = ERR_INIT;
		struct journal *j = NULL;
		char head[192];
		uint64_t sum;

		memcpy(head, t.bytes[1]->data, sizeof(head));
		memcpy(head + change[i].at, &change[i].v, 2);
		sum = XXH3_64bits(head, 184);
		memcpy(head + 184, &sum, 8);
		assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
		assert_int_equal(journal_open(t.d.fd, &tool_options, 0, NULL, NULL, &j, NULL, &e),
				 -EPROTONOSUPPORT);
		assert_string_equal(e.id, "Unsupported");
		err_release(&e);
	}
	trace_free(&t);
}

/* A recovery that is itself interrupted at every call, then done again. */
static void test_journal__recovery_may_fail_at_every_call(void **state)
{
	struct trace t;
	bool reached = true;

	trace_init(&t, TRACE, 500, 20);
	assert_true(t.nsegs >= 3 && t.seg[50] == 1);
	t.bytes[1]->data[t.off[40] + 60] ^= 1;
	for (long n = 1; reached; n++) {
		struct tool_count c;
		struct journal *j = NULL;
		unsigned int fds;
		int r;

		tool_restore(t.d.fd, &t.files);
		fds = tool_open_fds();
		fault_arm(n, EIO);
		r = journal_open(t.d.fd, &tool_options, 0, NULL, NULL, &j, NULL, NULL);
		reached = fault_disarm();
		journal_close(j);
		assert_true(!reached || r < 0);
		assert_int_equal(tool_open_fds(), fds);
		assert_int_equal(tool_try(t.d.fd, 0, &c, NULL), 0);
		assert_int_equal(c.n, 40);
		assert_true(n < 500);
	}
	trace_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal__every_cut_leaves_a_prefix),
		cmocka_unit_test(test_journal__every_damaged_byte_is_judged_by_the_durable_point),
		cmocka_unit_test(test_journal__refusal_changes_nothing),
		cmocka_unit_test(test_journal__cut_tail_is_zeroed),
		cmocka_unit_test(test_journal__wrong_segments_are_found),
		cmocka_unit_test(test_journal__moved_batches_are_found),
		cmocka_unit_test(test_journal__forged_header_in_a_value_is_no_evidence),
		cmocka_unit_test(test_journal__half_made_segments_are_harmless),
		cmocka_unit_test(test_journal__newer_format_is_refused),
		cmocka_unit_test(test_journal__recovery_may_fail_at_every_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
