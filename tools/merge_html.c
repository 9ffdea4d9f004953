/* SPDX-License-Identifier: Apache-2.0 */
#include "merge_html.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "json.h"
#include "merge_out.h"
#include "merge_page.h"
#include "out.h"

static void put_side(FILE *f, const json_t *hunk, const char *which, const char *title,
		     const char *name)
{
	(void)fprintf(f, "<section><h4>%s", title);
	if (*name) {
		(void)fputs(" <code>", f);
		html_put(f, name);
		(void)fputs("</code>", f);
	}
	(void)fputs("</h4>", f);
	html_put_text(f, hunk, which, jstr(hunk, which));
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
		html_put(f, jstr(said, "name"));
		(void)fputs("</b> kept this, in commit <code>", f);
		html_put_id(f, jstr(said, "reason"));
		(void)fputs("</code>.", f);
	} else {
		(void)fprintf(f, "%s <b>",
			      strcmp(jstr(said, "who"), "ai") == 0 ? "Model" : "Resolver");
		html_put(f, jstr(said, "name"));
		(void)fputs("</b>: ", f);
		html_put(f, jstr(said, "reason"));
		if (jint(said, "fired") > 0)
			(void)fprintf(f, ". Right in %lld of %lld past conflicts.",
				      jint(said, "right"), jint(said, "fired"));
		else
			(void)fputs(". It has no record here yet.", f);
	}
	put_verdict(f, said);
	(void)fputs("</p>", f);
}

static bool is_taken(const json_t *said)
{
	return json_is_true(json_object_get(said, "taken"));
}

/* An answer of a model that was not fit, and why. */
static void put_rejected(FILE *f, const json_t *hunk, const json_t *o)
{
	bool declined = json_is_true(json_object_get(o, "declined"));

	if (*jstr(o, "text"))
		html_put_text(f, hunk, "", jstr(o, "text"));
	(void)fputs("<p>Model <b>", f);
	html_put(f, jstr(o, "resolver"));
	(void)fputs(declined ? "</b> had no answer: " : "</b>, rejected: ", f);
	html_put(f, jstr(o, "why"));
	(void)fputs(".</p>", f);
}

/* The answers that were rejected, wherever the merge's result has them: below that path and line of `key`. */
static const json_t *rejected_of(const json_t *result, const char *list, const char *key,
				 const json_t *hunk)
{
	json_t *file, *o;
	size_t i, k;

	json_array_foreach (json_object_get(result, list), i, file)
		json_array_foreach (json_object_get(file, key), k, o)
			if (strcmp(jstr(file, "path"), jstr(hunk, "path")) == 0 &&
			    jint(o, "line") == jint(hunk, "line"))
				return json_object_get(o, "rejected");
	return NULL;
}

static void put_others(FILE *f, const json_t *hunk, const json_t *rejected, size_t n, bool open)
{
	json_t *o;
	size_t i;

	(void)fprintf(f, "<details%s><summary>%zu answer%s that %s not taken</summary>",
		      open ? " open" : "", n, n == 1 ? "" : "s", n == 1 ? "was" : "were");
	json_array_foreach (json_object_get(hunk, "said"), i, o)
		if (!is_taken(o)) {
			html_put_text(f, hunk, "", jstr(o, "text"));
			put_reason(f, o);
		}
	json_array_foreach (rejected, i, o)
		put_rejected(f, hunk, o);
	(void)fputs("</details>", f);
}

static void put_outcome(FILE *f, const json_t *hunk, const json_t *result)
{
	const json_t *rejected = rejected_of(result, "conflicts", "hunks", hunk);
	size_t i, taken = 0, others;
	json_t *said;

	if (!rejected)
		rejected = rejected_of(result, "resolved", "conflicts", hunk);
	others = json_array_size(rejected);
	json_array_foreach (json_object_get(hunk, "said"), i, said) {
		if (!is_taken(said)) {
			others++;
			continue;
		}
		taken++;
		(void)fputs("<div class=\"outcome\"><h4>What it became</h4>", f);
		html_put_text(f, hunk, "", jstr(said, "text"));
		put_reason(f, said);
		(void)fputs("</div>", f);
	}
	if (!taken)
		(void)fputs("<p class=\"open\">Left as a conflict: the target was not changed.</p>",
			    f);
	if (others)
		put_others(f, hunk, rejected, others, !taken);
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

static void put_hunk(FILE *f, const json_t *hunk, const json_t *record, const json_t *result)
{
	const char *state = hunk_state(hunk);

	(void)fprintf(f, "<article id=\"hunk-%lld\" tabindex=\"-1\"><h3><code>",
		      jint(hunk, "hunk"));
	html_put(f, jstr(hunk, "path"));
	(void)fprintf(f, "</code><span class=\"dim\">:%lld</span>", jint(hunk, "line"));
	if (*jstr(hunk, "declaration")) {
		(void)fputs(" <span class=\"dim\">in</span> <code>", f);
		html_put(f, jstr(hunk, "declaration"));
		(void)fputs("</code>", f);
	}
	(void)fprintf(f, " <b class=\"tag %s\">%s</b></h3><div class=\"three\">",
		      *state == 'c' ? "bad" : "good", state);
	put_side(f, hunk, "ours", "Target", jstr(record, "into"));
	put_side(f, hunk, "base", "Base", "");
	put_side(f, hunk, "theirs", "Source", jstr(record, "source"));
	(void)fputs("</div>", f);
	put_outcome(f, hunk, result);
	(void)fputs("</article>\n", f);
}

static bool has_hunk(const json_t *hunks, const char *path)
{
	json_t *o;
	size_t i;

	json_array_foreach (hunks, i, o)
		if (strcmp(jstr(o, "path"), path) == 0)
			return true;
	return false;
}

/* Paths that are left as conflicts, with why and what would end it: those that have no lines to look at. */
static void put_paths(FILE *f, const json_t *conflicts, const json_t *hunks)
{
	size_t i, n = 0;
	json_t *o;

	json_array_foreach (conflicts, i, o) {
		const char *to_do = merge_to_do(jstr(o, "kind"));

		if (has_hunk(hunks, jstr(o, "path")))
			continue;
		(void)fputs(n++ ? "<li><code>" : "<h3>Left as conflicts</h3><ul><li><code>", f);
		html_put(f, jstr(o, "path"));
		(void)fputs("</code>: ", f);
		html_put(f, *jstr(o, "reason") ? jstr(o, "reason") : jstr(o, "kind"));
		if (to_do)
			(void)fprintf(f, ".<br><span class=\"dim\">To do: %s.</span>", to_do);
		(void)fputs("</li>", f);
	}
	if (n)
		(void)fputs("</ul>\n", f);
}

static void put_notes(FILE *f, const json_t *notes)
{
	json_t *o;
	size_t i;

	if (!json_array_size(notes))
		return;
	(void)fputs("<ul class=\"notes\">", f);
	json_array_foreach (notes, i, o) {
		(void)fputs("<li>", f);
		html_put(f, json_string_value(o));
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
	html_put(f, jstr(record, "source"));
	(void)fputs("</code> into <code>", f);
	html_put(f, jstr(record, "into"));
	(void)fprintf(f, "</code> <b class=\"tag %s\">",
		      strcmp(state, "merged") == 0 ? "good" : "bad");
	html_put(f, state);
	(void)fputs("</b></h2><p class=\"dim\">", f);
	html_put(f, out_clock(jstr(record, "time"), when));
	if (*jstr(record, "tier")) {
		(void)fputs(", tier ", f);
		html_put(f, jstr(record, "tier"));
	}
	if (*jstr(record, "commit")) {
		(void)fputs(", commit <code>", f);
		html_put_id(f, jstr(record, "commit"));
		(void)fputs("</code>", f);
	}
	if (changed)
		(void)fprintf(f, ", %zu path%s changed", changed, changed == 1 ? "" : "s");
	(void)fputs(", in <code>", f);
	html_put(f, jstr(record, "repository"));
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
	put_notes(f, json_object_get(result, "notes"));
	if (json_array_size(hunks) > 1) {
		(void)fputs("<nav aria-label=\"Conflicts\"><ol>", f);
		json_array_foreach (hunks, i, o) {
			(void)fprintf(f, "<li><a href=\"#hunk-%lld\"><code>", jint(o, "hunk"));
			html_put(f, jstr(o, "path"));
			(void)fprintf(f, "</code>:%lld</a> <span class=\"dim\">%s</span></li>",
				      jint(o, "line"), hunk_state(o));
		}
		(void)fputs("</ol></nav>\n", f);
	}
	json_array_foreach (hunks, i, o)
		put_hunk(f, o, record, result);
	put_paths(f, json_object_get(result, "conflicts"), hunks);
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
