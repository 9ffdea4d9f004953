/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people see. Everything that came from a repository, an agent or the daemon passes
 * out_escape() on its way to the screen: agents choose file names, and a file name must not be able
 * to clear the screen, rewrite a line above, or read as another name.
 */
#include "out.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "buf.h"
#include "cleanup.h"

static bool color_on;
static bool terminal; /* also through a pager */
static pid_t pager_pid = -1;

void out_setup(const char *color)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	terminal = isatty(STDOUT_FILENO);
	if (color && strcmp(color, "always") == 0)
		color_on = true;
	else if (color && strcmp(color, "never") == 0)
		color_on = false;
	else
		color_on = terminal && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

const char *out_on(enum out_color color)
{
	static const char *const codes[] = {
		[OUT_PLAIN] = "",	 [OUT_BOLD] = "\033[1m",   [OUT_DIM] = "\033[2m",
		[OUT_RED] = "\033[31m",	 [OUT_GREEN] = "\033[32m", [OUT_YELLOW] = "\033[33m",
		[OUT_CYAN] = "\033[36m",
	};

	return color_on ? codes[color] : "";
}

const char *out_off(enum out_color color)
{
	return color_on && color != OUT_PLAIN ? "\033[0m" : "";
}

static void no_memory(void)
{
	static const char text[] = "agentfsctl: out of memory\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(1);
}

/* Characters that are printable but lie about the text around them: line separators, directional
 * marks, overrides and isolates, zero-width ones, the byte order mark. */
static bool deceives(wchar_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x2069) || c == 0xfeff || c == 0x061c;
}

static int escape_into(struct buf *b, const char *s, size_t n, const char *keep)
{
	mbstate_t st = {0};
	wchar_t c;
	size_t k;
	int r = 0;

	for (; n > 0 && r == 0; s += k, n -= k) {
		k = mbrtowc(&c, s, n, &st);
		if (k == (size_t)-1 || k == (size_t)-2 || k == 0) {
			st = (mbstate_t){0};
			k = 1;
			r = buf_addf(b, "\\x%02x", (unsigned char)*s);
		} else if (strchr(keep, *s)) {
			r = buf_add(b, s, k);
		} else if (c == '\n' || c == '\t' || c == '\r') {
			r = buf_addf(b, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		} else if (c < 0x20 || c == 0x7f) {
			r = buf_addf(b, "\\x%02x", (unsigned)c);
		} else if (c >= 0x80 && (iswcntrl((wint_t)c) || deceives(c))) {
			r = buf_addf(b, "\\u{%x}", (unsigned)c);
		} else {
			r = buf_add(b, s, k);
		}
	}
	return r;
}

char *out_escape(const char *s)
{
	struct buf b = BUF_INIT;
	char *text;

	if (escape_into(&b, s, strlen(s), "") < 0)
		no_memory();
	text = buf_take(&b);
	if (!text)
		no_memory();
	return text;
}

void out_text(FILE *f, const char *s)
{
	_cleanup_free_ char *e = s ? out_escape(s) : NULL;

	if (e)
		(void)fputs(e, f);
}

size_t out_fit(const char *s, size_t n, size_t max)
{
	if (n <= max)
		return n;
	while (max > 0 && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	return max;
}

void out_line(FILE *f, const char *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (escape_into(&b, s, strlen(s), "\t") < 0)
		no_memory();
	(void)fwrite(b.data, 1, b.len, f);
}

void out_id(FILE *f, const char *id)
{
	_cleanup_free_ char *e = out_escape(id);

	(void)fprintf(f, "%.12s", e);
}

void out_quoted(FILE *f, const char *s)
{
	_cleanup_free_ char *e = out_escape(s);
	const char *plain =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./@:+=,";

	if (*e && !e[strspn(e, plain)]) {
		(void)fputs(e, f);
		return;
	}
	(void)fputc('\'', f);
	for (const char *p = e; *p; p++)
		if (*p == '\'')
			(void)fputs("'\\''", f);
		else
			(void)fputc(*p, f);
	(void)fputc('\'', f);
}

static enum out_color patch_color(const char *line)
{
	if (strncmp(line, "@@", 2) == 0)
		return OUT_CYAN;
	if (strncmp(line, "diff ", 5) == 0 || strncmp(line, "--- ", 4) == 0 ||
	    strncmp(line, "+++ ", 4) == 0 || strncmp(line, "index ", 6) == 0)
		return OUT_BOLD;
	return *line == '+' ? OUT_GREEN : *line == '-' ? OUT_RED : OUT_PLAIN;
}

void out_patch(const char *s)
{
	enum out_color color;
	size_t n;

	if (!terminal && !color_on) {
		(void)fputs(s, stdout);
		return;
	}
	for (; *s; s += n + (s[n] == '\n')) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		n = strcspn(s, "\n");
		if (escape_into(&b, s, n, "\t") < 0)
			no_memory();
		color = patch_color(s);
		(void)printf("%s%s%s\n", out_on(color), b.data ? b.data : "", out_off(color));
	}
}

void out_block(FILE *f, const char *s, int indent)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n;

	for (; *s; s += n + (s[n] == '\n')) {
		n = strcspn(s, "\n");
		buf_clear(&b);
		if (escape_into(&b, s, n, "\t") < 0)
			no_memory();
		(void)fprintf(f, "%*s%s\n", n ? indent : 0, "", b.data ? b.data : "");
	}
}

size_t out_width(const char *s)
{
	mbstate_t st = {0};
	size_t width = 0, k, n = strlen(s);
	wchar_t c;
	int w;

	for (; n > 0; s += k, n -= k) {
		k = mbrtowc(&c, s, n, &st);
		if (k == (size_t)-1 || k == (size_t)-2 || k == 0) {
			st = (mbstate_t){0};
			k = 1;
			width++;
			continue;
		}
		w = wcwidth(c);
		width += w > 0 ? (size_t)w : 0;
	}
	return width;
}

void out_row(struct out_table *t, enum out_color color, const char *const *cells)
{
	t->cells = realloc(t->cells, (t->rows + 1) * t->columns * sizeof(*t->cells));
	t->colors = realloc(t->colors, (t->rows + 1) * sizeof(*t->colors));
	if (!t->cells || !t->colors)
		no_memory();
	for (size_t i = 0; i < t->columns; i++)
		t->cells[t->rows * t->columns + i] = out_escape(cells[i] ? cells[i] : "-");
	t->colors[t->rows++] = color;
}

void out_table_print(FILE *f, const struct out_table *t)
{
	size_t widths[16] = {0}, w;

	for (size_t i = 0; i < t->rows * t->columns; i++) {
		w = out_width(t->cells[i]);
		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
	for (size_t i = 0; i < t->rows * t->columns; i++) {
		size_t col = i % t->columns;
		enum out_color color = t->colors[i / t->columns];
		bool last = col + 1 == t->columns;

		if (col == 0)
			(void)fputs(out_on(color), f);
		(void)fputs(t->cells[i], f);
		if (last)
			(void)fprintf(f, "%s\n", out_off(color));
		else
			(void)fprintf(f, "%*s", (int)(widths[col] - out_width(t->cells[i]) + 2),
				      "");
	}
}

void out_table_release(struct out_table *t)
{
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t->colors);
	*t = (struct out_table){.columns = t->columns};
}

const char *out_bytes(long long n, char buf[32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double v = (double)n;
	size_t u = 0;

	while (v >= 1024 && u + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		u++;
	}
	(void)snprintf(buf, 32, u && v < 10 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

void out_csv(FILE *f, const char *s, bool last)
{
	_cleanup_free_ char *e = out_escape(s ? s : "");
	bool quote = strpbrk(e, ",\"") || e[0] == ' ';

	if (quote)
		(void)fputc('"', f);
	for (const char *p = e; *p; p++) {
		if (*p == '"')
			(void)fputc('"', f);
		(void)fputc(*p, f);
	}
	if (quote)
		(void)fputc('"', f);
	(void)fputs(last ? "\r\n" : ",", f);
}

void out_pager_start(void)
{
	const char *pager = getenv("PAGER");
	int fds[2];

	if (!pager)
		pager = "command -v less >/dev/null && exec less; exec cat";
	if (!isatty(STDOUT_FILENO) || !*pager || strcmp(pager, "cat") == 0)
		return;
	(void)fflush(stdout);
	if (pipe(fds) < 0)
		return;
	pager_pid = fork();
	if (pager_pid == 0) {
		(void)dup2(fds[0], STDIN_FILENO);
		(void)close(fds[0]);
		(void)close(fds[1]);
		(void)setenv("LESS", "FRX", 0);
		(void)execl("/bin/sh", "sh", "-c", pager, (char *)NULL);
		_exit(127);
	}
	if (pager_pid > 0)
		(void)dup2(fds[1], STDOUT_FILENO);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)signal(SIGPIPE, SIG_IGN); /* who leaves the pager early has not failed */
}

void out_pager_end(void)
{
	if (pager_pid <= 0)
		return;
	(void)fflush(stdout);
	(void)fclose(stdout);
	(void)waitpid(pager_pid, NULL, 0);
	pager_pid = -1;
}
