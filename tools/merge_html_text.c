/* SPDX-License-Identifier: Apache-2.0 */
/* Texts in the page of merge html: everything escaped, each line with the side that it is of. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "json.h"
#include "merge_html.h"
#include "out.h"

/* Part of a line: no tab or newline in it. */
static void put_part(FILE *f, const char *s, size_t n)
{
	_cleanup_free_ char *part = strndup(s, n), *plain = part ? out_escape(part) : NULL;

	for (const char *p = plain ? plain : ""; *p; p++) {
		const char *entity = *p == '&'	  ? "&amp;"
				     : *p == '<'  ? "&lt;"
				     : *p == '>'  ? "&gt;"
				     : *p == '"'  ? "&quot;"
				     : *p == '\'' ? "&#39;"
						  : NULL;

		if (entity)
			(void)fputs(entity, f);
		else
			(void)fputc(*p, f);
	}
}

/* A text in which tabs may stand. */
static void put_line(FILE *f, const char *s, size_t n)
{
	while (n) {
		const char *tab = memchr(s, '\t', n);
		size_t m = tab ? (size_t)(tab - s) : n;

		put_part(f, s, m);
		if (tab)
			(void)fputc('\t', f);
		m += tab != NULL;
		s += m;
		n -= m;
	}
}

void html_put(FILE *f, const char *s)
{
	put_line(f, s, strlen(s));
}

void html_put_id(FILE *f, const char *id)
{
	put_line(f, id, strnlen(id, 12));
}

/* Is the line one of that text's? */
static bool has_line(const char *text, const char *line, size_t n)
{
	while (*text) {
		size_t m = strcspn(text, "\n");

		if (m == n && memcmp(text, line, n) == 0)
			return true;
		text += m + (text[m] == '\n');
	}
	return false;
}

/* What a line of `which` ("ours", "theirs", "base", or a result) is: its mark, told in the legend. */
static char mark_of(const json_t *hunk, const char *which, const char *line, size_t n)
{
	bool base = has_line(jstr(hunk, "base"), line, n);
	bool ours = has_line(jstr(hunk, "ours"), line, n);
	bool theirs = has_line(jstr(hunk, "theirs"), line, n);

	if (strcmp(which, "base") == 0)
		return ours && theirs ? ' ' : '-';
	if (strcmp(which, "ours") == 0 || strcmp(which, "theirs") == 0)
		return base ? ' ' : '+';
	return base || (ours && theirs) ? ' ' : ours ? '<' : theirs ? '>' : '*';
}

static const char *class_of(char mark)
{
	switch (mark) {
	case '+':
		return "add";
	case '-':
		return "del";
	case '<':
		return "ours";
	case '>':
		return "theirs";
	case '*':
		return "new";
	default:
		return "";
	}
}

/* The base's line in the same place, where the texts have as many lines. */
static const char *peer_of(const json_t *hunk, const char *text, const char *line, size_t *ret_n)
{
	const char *base = jstr(hunk, "base"), *peer = NULL;

	for (; *text && *base; text += *text == '\n', base += *base == '\n') {
		size_t n = strcspn(text, "\n"), m = strcspn(base, "\n");

		if (text == line) {
			peer = base;
			*ret_n = m;
		}
		text += n;
		base += m;
	}
	return *text || *base ? NULL : peer;
}

/* The line with what differs from the base's in it. Nothing is marked where next to nothing is alike. */
static void put_marked(FILE *f, const char *s, size_t n, const char *peer, size_t m)
{
	size_t head = 0, tail = 0, least = n < m ? n : m;

	while (head < least && s[head] == peer[head])
		head++;
	while (tail < least - head && s[n - 1 - tail] == peer[m - 1 - tail])
		tail++;
	while (head && ((unsigned char)s[head] & 0xc0) == 0x80)
		head--;
	while (tail && ((unsigned char)s[n - tail] & 0xc0) == 0x80)
		tail--;
	if (head + tail < n / 4 || head + tail == n) {
		put_line(f, s, n);
		return;
	}
	put_line(f, s, head);
	(void)fputs("<mark>", f);
	put_line(f, s + head, n - head - tail);
	(void)fputs("</mark>", f);
	put_line(f, s + n - tail, tail);
}

void html_put_text(FILE *f, const json_t *hunk, const char *which, const char *text)
{
	const char *all = text;

	(void)fputs("<pre tabindex=\"0\">", f);
	if (!*text)
		(void)fputs("<span class=\"none\">(nothing)</span>", f);
	while (*text) {
		size_t n = strcspn(text, "\n"), m = 0;
		char mark = mark_of(hunk, which, text, n);
		const char *peer = mark == ' ' || mark == '-' ? NULL : peer_of(hunk, all, text, &m);

		(void)fprintf(f, "<span class=\"l %s\"><i>%s</i>", class_of(mark),
			      mark == '<'   ? "&lt;"
			      : mark == '>' ? "&gt;"
					    : (char[]){mark, '\0'});
		if (peer)
			put_marked(f, text, n, peer, m);
		else
			put_line(f, text, n);
		(void)fputs("</span>", f);
		text += n + (text[n] == '\n');
	}
	(void)fputs("</pre>", f);
}
