/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting. Rows (area, operation, condition, expected result) lie in memory that is shared with children, so
 * that what a child asserts, whoever it has become, counts like the rest. One process counts at a
 * time: the parent waits for its child.
 */
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "posix.h"

enum { ROWS_MAX = 8192, TEXT_MAX = 80, SHOWN_MAX = 200 };

struct row {
	char area[16], operation[32], condition[TEXT_MAX], result[16];
	unsigned int checks, failed;
};

struct results {
	unsigned int nrows, checks, failed;
	char operation[32], condition[TEXT_MAX];
	struct row rows[ROWS_MAX];
};

static struct results *all;

static const struct {
	int err;
	const char *name;
} names[] = {
	{0, "0"},
	{EPERM, "EPERM"},
	{ENOENT, "ENOENT"},
	{EINTR, "EINTR"},
	{EIO, "EIO"},
	{ENXIO, "ENXIO"},
	{E2BIG, "E2BIG"},
	{EBADF, "EBADF"},
	{EAGAIN, "EAGAIN"},
	{ENOMEM, "ENOMEM"},
	{EACCES, "EACCES"},
	{EFAULT, "EFAULT"},
	{EBUSY, "EBUSY"},
	{EEXIST, "EEXIST"},
	{EXDEV, "EXDEV"},
	{ENODEV, "ENODEV"},
	{ENOTDIR, "ENOTDIR"},
	{EISDIR, "EISDIR"},
	{EINVAL, "EINVAL"},
	{ETXTBSY, "ETXTBSY"},
	{EFBIG, "EFBIG"},
	{ENOSPC, "ENOSPC"},
	{ESPIPE, "ESPIPE"},
	{EROFS, "EROFS"},
	{EMLINK, "EMLINK"},
	{ERANGE, "ERANGE"},
	{EDEADLK, "EDEADLK"},
	{ENAMETOOLONG, "ENAMETOOLONG"},
	{ENOSYS, "ENOSYS"},
	{ENOTEMPTY, "ENOTEMPTY"},
	{ELOOP, "ELOOP"},
	{ENODATA, "ENODATA"},
	{EOPNOTSUPP, "EOPNOTSUPP"},
	{EADDRINUSE, "EADDRINUSE"},
	{ECONNREFUSED, "ECONNREFUSED"},
	{ESTALE, "ESTALE"},
};

const char *errno_name(int err)
{
	static char other[16];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].err == err)
			return names[i].name;
	(void)snprintf(other, sizeof(other), "errno %d", err);
	return other;
}

void results_init(void)
{
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED) {
		perror("posix-suite: no memory");
		exit(2);
	}
}

unsigned int results_checks(void)
{
	return all->checks;
}

unsigned int results_failed(void)
{
	return all->failed;
}

static void set_condition(const char *format, va_list ap)
{
	(void)vsnprintf(all->condition, sizeof(all->condition), format, ap);
}

void about(const char *operation, const char *condition, ...)
{
	va_list ap;

	(void)snprintf(all->operation, sizeof(all->operation), "%s", operation);
	va_start(ap, condition);
	set_condition(condition, ap);
	va_end(ap);
}

void when(const char *condition, ...)
{
	va_list ap;

	va_start(ap, condition);
	set_condition(condition, ap);
	va_end(ap);
}

static struct row *row_of(const char *result)
{
	struct row *r;

	for (unsigned int i = all->nrows; i-- > 0;) {
		r = &all->rows[i];
		if (strcmp(r->condition, all->condition) == 0 && strcmp(r->result, result) == 0 &&
		    strcmp(r->operation, all->operation) == 0 && strcmp(r->area, suite.area) == 0)
			return r;
	}
	if (all->nrows == ROWS_MAX) {
		fprintf(stderr, "posix-suite: more than %d rows\n", ROWS_MAX);
		_exit(2);
	}
	r = &all->rows[all->nrows++];
	(void)snprintf(r->area, sizeof(r->area), "%s", suite.area);
	(void)snprintf(r->operation, sizeof(r->operation), "%s", all->operation);
	(void)snprintf(r->condition, sizeof(r->condition), "%s", all->condition);
	(void)snprintf(r->result, sizeof(r->result), "%s", result);
	return r;
}

static bool count(bool ok, const char *result)
{
	struct row *r = row_of(result);

	r->checks++;
	all->checks++;
	if (!ok) {
		r->failed++;
		all->failed++;
	}
	return ok;
}

static void complain(const char *text, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void complain(const char *text, const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	va_list ap;

	if (all->failed > SHOWN_MAX)
		return;
	printf("not ok %s: %s, %s: %s: ", suite.area, all->operation, all->condition, text);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf(" (%s:%d, uid %u)\n", base ? base + 1 : file, line, (unsigned int)geteuid());
	(void)fflush(stdout);
}

bool expect(int err, long r, const char *text, const char *file, int line)
{
	int got = r < 0 ? errno : 0;
	bool ok = count(got == err, errno_name(err));

	if (!ok)
		complain(text, file, line, "%s instead of %s", got ? errno_name(got) : "success",
			 err ? errno_name(err) : "success");
	errno = got;
	return ok;
}

bool expect_true(bool ok, const char *text, const char *file, int line)
{
	if (!count(ok, "holds"))
		complain(text, file, line, "is not so");
	return ok;
}

bool expect_same(long long got, long long want, const char *text, const char *file, int line)
{
	if (!count(got == want, "holds"))
		complain(text, file, line, "%lld instead of %lld", got, want);
	return got == want;
}

long expect_need(long r, const char *text, const char *file, int line)
{
	int err = errno;

	if (r >= 0)
		return r;
	(void)count(false, "prepared");
	complain(text, file, line, "%s while preparing", errno_name(err));
	return r;
}

void in_child(void (*fn)(void *arg), void *arg)
{
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		fn(arg);
		(void)fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		(void)expect_true(false, "a child of the suite ended well", __FILE__, __LINE__);
}

/* --- output --- */

void results_matrix(FILE *f)
{
	fprintf(f, "%-11s %-26s %-58s %-13s %s\n", "area", "operation", "condition", "expected",
		"checks");
	for (unsigned int i = 0; i < all->nrows; i++) {
		const struct row *r = &all->rows[i];

		fprintf(f, "%-11s %-26s %-58s %-13s %u", r->area, r->operation, r->condition,
			r->result, r->checks);
		fprintf(f, r->failed ? ", %u FAILED\n" : "\n", r->failed);
	}
}

static void json_string(FILE *f, const char *s)
{
	(void)fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			(void)fputc('\\', f);
		(void)fputc((unsigned char)*s < ' ' ? ' ' : *s, f);
	}
	(void)fputc('"', f);
}

void results_json(FILE *f, double seconds)
{
	fprintf(f,
		"{\"checks\": %u, \"failed\": %u, \"seconds\": %.2f, \"view\": %s, \"uid\": %u, ",
		all->checks, all->failed, seconds, suite.view ? "true" : "false",
		(unsigned int)suite.uid);
	fputs("\"matrix\": [", f);
	for (unsigned int i = 0; i < all->nrows; i++) {
		const struct row *r = &all->rows[i];

		fputs(i ? ",\n{\"area\": " : "\n{\"area\": ", f);
		json_string(f, r->area);
		fputs(", \"operation\": ", f);
		json_string(f, r->operation);
		fputs(", \"condition\": ", f);
		json_string(f, r->condition);
		fputs(", \"expected\": ", f);
		json_string(f, r->result);
		fprintf(f, ", \"checks\": %u, \"failed\": %u}", r->checks, r->failed);
	}
	fputs("\n]}\n", f);
}
