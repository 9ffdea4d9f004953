/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_html.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "json.h"
#include "merge_page.h"
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

static void put(FILE *f, const char *s)
{
	put_line(f, s, strlen(s));
}

static void put_id(FILE *f, const char *id)
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

static void put_text(FILE *f, const json_t *hunk, const char *which, const char *text)
{
	(void)fputs("<pre tabindex=\"0\">", f);
	if (!*text)
		(void)fputs("<span class=\"none\">(nothing)</span>", f);
	while (*text) {
		size_t n = strcspn(text, "\n");
		char mark = mark_of(hunk, which, text, n);

		(void)fprintf(f, "<span class=\"l %s\"><i>%s</i>", class_of(mark),
			      mark == '<'   ? "&lt;"
			      : mark == '>' ? "&gt;"
					    : (char[]){mark, '\0'});
		put_line(f, text, n);
		(void)fputs("</span>", f);
		text += n + (text[n] == '\n');
	}
	(void)fputs("</pre>", f);
}

static void put_side(FILE *f, const json_t *hunk, const char *which, const char *title,
		     const char *name)
{
	(void)fprintf(f, "<section><h4>%s", title);
	if (*name) {
		(void)fputs(" <code>", f);
		put(f, name);
		(void)fputs("</code>", f);
	}
	(void)fputs("</h4>", f);
	put_text(f, hunk, which, jstr(hunk, which));
	(void)fputs("</section>", f);
}

static void put_verdict(FILE *f, const json_t *said)
{
	const char *verdict = jstr(said, "verdict");

	if (strcmp(verdict, "right") == 0)
		(void)fputs(" <b class=\"tag good\">right</b> by what people made of it.", f);
	else if (strcmp(verdict, "wrong") == 0)
		(void)fputs(" <b class=\"tag bad\">wrong</b> by what people made of it.", f);
}

/* Who said it, why, with which record. */
static void put_reason(FILE *f, const json_t *said)
{
	(void)fputs("<p>", f);
	if (strcmp(jstr(said, "who"), "person") == 0) {
		(void)fputs("<b>", f);
		put(f, jstr(said, "name"));
		(void)fputs("</b> kept this, in commit <code>", f);
		put_id(f, jstr(said, "reason"));
		(void)fputs("</code>.", f);
	} else {
		(void)fprintf(f, "%s <b>",
			      strcmp(jstr(said, "who"), "ai") == 0 ? "Model" : "Resolver");
		put(f, jstr(said, "name"));
		(void)fputs("</b>: ", f);
		put(f, jstr(said, "reason"));
		(void)fprintf(f, ". Right in %lld of %lld past conflicts.", jint(said, "right"),
			      jint(said, "fired"));
	}
	put_verdict(f, said);
	(void)fputs("</p>", f);
}

static bool is_taken(const json_t *said)
{
	return json_is_true(json_object_get(said, "taken"));
}

static void put_outcome(FILE *f, const json_t *hunk)
{
	json_t *said;
	size_t i, taken = 0, others = 0;

	json_array_foreach (json_object_get(hunk, "said"), i, said) {
		if (!is_taken(said)) {
			others++;
			continue;
		}
		taken++;
		(void)fputs("<div class=\"outcome\"><h4>What it became</h4>", f);
		put_text(f, hunk, "", jstr(said, "text"));
		put_reason(f, said);
		(void)fputs("</div>", f);
	}
	if (!taken)
		(void)fputs("<p class=\"open\">Left as a conflict: the target was not changed.</p>",
			    f);
	if (!others)
		return;
	(void)fprintf(f, "<details%s><summary>%zu answer%s that %s not taken</summary>",
		      taken ? "" : " open", others, others == 1 ? "" : "s",
		      others == 1 ? "was" : "were");
	json_array_foreach (json_object_get(hunk, "said"), i, said)
		if (!is_taken(said)) {
			put_text(f, hunk, "", jstr(said, "text"));
			put_reason(f, said);
		}
	(void)fputs("</details>", f);
}

static const char *hunk_state(const json_t *hunk)
{
	json_t *said;
	size_t i;

	json_array_foreach (json_object_get(hunk, "said"), i, said)
		if (is_taken(said))
			return strcmp(jstr(said, "who"), "person") == 0 ? "by hand" : "resolved";
	return "conflict";
}

static void put_hunk(FILE *f, const json_t *hunk, const json_t *record)
{
	const char *state = hunk_state(hunk);

	(void)fprintf(f, "<article id=\"hunk-%lld\" tabindex=\"-1\"><h3><code>",
		      jint(hunk, "hunk"));
	put(f, jstr(hunk, "path"));
	(void)fprintf(f, "</code><span class=\"dim\">:%lld</span>", jint(hunk, "line"));
	if (*jstr(hunk, "declaration")) {
		(void)fputs(" <span class=\"dim\">in</span> <code>", f);
		put(f, jstr(hunk, "declaration"));
		(void)fputs("</code>", f);
	}
	(void)fprintf(f, " <b class=\"tag %s\">%s</b></h3><div class=\"three\">",
		      *state == 'c' ? "bad" : "good", state);
	put_side(f, hunk, "ours", "Target", jstr(record, "into"));
	put_side(f, hunk, "base", "Base", "");
	put_side(f, hunk, "theirs", "Source", jstr(record, "source"));
	(void)fputs("</div>", f);
	put_outcome(f, hunk);
	(void)fputs("</article>\n", f);
}

/* Paths that are left as conflicts, with why: of kinds that have no lines, too. */
static void put_paths(FILE *f, const json_t *conflicts)
{
	json_t *o;
	size_t i;

	if (!json_array_size(conflicts))
		return;
	(void)fputs("<h3>Left as conflicts then</h3><ul>", f);
	json_array_foreach (conflicts, i, o) {
		(void)fputs("<li><code>", f);
		put(f, jstr(o, "path"));
		(void)fputs("</code>: ", f);
		put(f, jstr(o, "kind"));
		if (*jstr(o, "reason")) {
			(void)fputs(" <span class=\"dim\">", f);
			put(f, jstr(o, "reason"));
			(void)fputs("</span>", f);
		}
		(void)fputs("</li>", f);
	}
	(void)fputs("</ul>\n", f);
}

static void put_facts(FILE *f, const json_t *record, const json_t *result)
{
	size_t changed = json_array_size(json_object_get(result, "changes"));
	const char *state = jstr(record, "state");
	char when[40];

	(void)fprintf(f, "<h2>Merge %lld: <code>", jint(record, "merge"));
	put(f, jstr(record, "source"));
	(void)fputs("</code> into <code>", f);
	put(f, jstr(record, "into"));
	(void)fprintf(f, "</code> <b class=\"tag %s\">",
		      strcmp(state, "merged") == 0 ? "good" : "bad");
	put(f, state);
	(void)fputs("</b></h2><p class=\"dim\">", f);
	put(f, out_clock(jstr(record, "time"), when));
	if (*jstr(record, "tier")) {
		(void)fputs(", tier ", f);
		put(f, jstr(record, "tier"));
	}
	if (*jstr(record, "commit")) {
		(void)fputs(", commit <code>", f);
		put_id(f, jstr(record, "commit"));
		(void)fputs("</code>", f);
	}
	if (changed)
		(void)fprintf(f, ", %zu path%s changed", changed, changed == 1 ? "" : "s");
	(void)fputs(", in <code>", f);
	put(f, jstr(record, "repository"));
	(void)fputs("</code></p>\n", f);
}

static void put_merge(FILE *f, const json_t *explained)
{
	const json_t *record = json_object_get(explained, "record");
	const json_t *result = json_object_get(explained, "result"), *hunks;
	json_t *o;
	size_t i;

	hunks = json_object_get(explained, "hunks");
	put_facts(f, record, result);
	if (json_array_size(hunks) > 1) {
		(void)fputs("<nav aria-label=\"Conflicts\"><ol>", f);
		json_array_foreach (hunks, i, o) {
			(void)fprintf(f, "<li><a href=\"#hunk-%lld\"><code>", jint(o, "hunk"));
			put(f, jstr(o, "path"));
			(void)fprintf(f, "</code>:%lld</a> <span class=\"dim\">%s</span></li>",
				      jint(o, "line"), hunk_state(o));
		}
		(void)fputs("</ol></nav>\n", f);
	}
	json_array_foreach (hunks, i, o)
		put_hunk(f, o, record);
	put_paths(f, json_object_get(result, "conflicts"));
	if (!json_array_size(hunks) && !json_array_size(json_object_get(result, "conflicts")))
		(void)fputs("<p>No lines conflicted.</p>\n", f);
}

void merge_html(FILE *f, const json_t *explained)
{
	json_t *o;
	size_t i;

	(void)fputs(merge_page_head, f);
	json_array_foreach (explained, i, o)
		put_merge(f, o);
	if (!i)
		(void)fputs("<p>No merge was tried yet.</p>", f);
	(void)fputs(merge_page_tail, f);
}
