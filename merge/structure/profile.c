/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles are ours, not the user's: a mistake in one is told with its line and refuses that language. A kind or field
 * that the grammar does not have is such a mistake, so that a new version of a grammar cannot silently
 * take a rule away.
 */
#include "profile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "io.h"

enum { PROFILE_MAX = 1 << 16, DECLARES_MAX = 64 };

/* The next word of a line; *line goes behind it. Empty at the end. */
static struct text word(struct text *line)
{
	struct text w;

	while (line->n && (*line->p == ' ' || *line->p == '\t')) {
		line->p++;
		line->n--;
	}
	w = (struct text){line->p, 0};
	while (w.n < line->n && w.p[w.n] != ' ' && w.p[w.n] != '\t')
		w.n++;
	line->p += w.n;
	line->n -= w.n;
	return w;
}

static struct text next_line(struct text *rest)
{
	const char *end = memchr(rest->p, '\n', rest->n);
	struct text line = {rest->p, end ? (size_t)(end - rest->p) : rest->n};
	size_t step = line.n + (end != NULL);

	rest->p += step;
	rest->n -= step;
	return line;
}

static int read_head(struct profile *p, struct text line)
{
	struct text copy = line, key = word(&copy), w;

	if (!key.n || *key.p == '#')
		return 0;
	if (text_is(key, "grammar")) {
		w = word(&copy);
		free(p->grammar);
		p->grammar = strndup(w.p, w.n);
		return p->grammar ? 0 : -ENOMEM;
	}
	if (text_is(key, "files")) {
		for (w = word(&copy); w.n; w = word(&copy))
			if (buf_add(&p->files, w.p, w.n) < 0 || buf_addc(&p->files, '\0') < 0)
				return -ENOMEM;
		return 0;
	}
	if (buf_add(&p->rest, line.p, line.n) < 0)
		return -ENOMEM;
	return buf_addc(&p->rest, '\n');
}

static int read_one(int dir, const char *file, struct profile *p, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct text rest;
	int r = io_read_file(dir, file, PROFILE_MAX, &b);

	if (r < 0)
		return err_set(reterr, r, "reading the language profile '%s': %s", file,
			       strerror(-r));
	p->name = strndup(file, strlen(file) - strlen(".profile"));
	if (!p->name)
		return -ENOMEM;
	rest = (struct text){b.data ? b.data : "", b.len};
	while (rest.n && r == 0)
		r = read_head(p, next_line(&rest));
	if (r == 0 && (!p->grammar || !p->files.len))
		return err_set(reterr, -EINVAL, "the language profile '%s' names no %s", file,
			       p->grammar ? "files" : "grammar");
	return r;
}

static bool is_profile(const char *name)
{
	size_t n = strlen(name), e = strlen(".profile");

	return n > e && strcmp(name + n - e, ".profile") == 0 && *name != '.';
}

int profiles_read(const char *folder, struct profiles *ret, struct err *reterr)
{
	struct profiles p = {0};
	struct dirent **names;
	int n = scandir(folder, &names, NULL, alphasort), r = 0;
	_cleanup_close_ int dir = n < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_set(reterr, -errno, "cannot read the language profiles in '%s': %s",
			       folder, strerror(errno));
	p.v = calloc((size_t)n + 1, sizeof(*p.v));
	if (!p.v)
		r = -ENOMEM;
	for (int i = 0; i < n; i++) {
		if (r == 0 && is_profile(names[i]->d_name))
			r = read_one(dir, names[i]->d_name, &p.v[p.n++], reterr);
		free(names[i]);
	}
	free(names);
	if (r < 0)
		profiles_release(&p);
	else
		*ret = p;
	return r;
}

static void profile_release(struct profile *p)
{
	free(p->name);
	free(p->grammar);
	buf_release(&p->files);
	buf_release(&p->rest);
	for (unsigned int i = 0; i < p->ndeclares; i++)
		free(p->declares[i].label);
	free(p->declares);
	free(p->kinds);
}

void profiles_release(struct profiles *p)
{
	for (size_t i = 0; i < p->n; i++)
		profile_release(&p->v[i]);
	free(p->v);
	*p = (struct profiles){0};
}

struct profile *profiles_find(const struct profiles *p, struct text path)
{
	const char *slash = memrchr(path.p, '/', path.n);
	size_t skip = slash ? (size_t)(slash - path.p) + 1 : 0;
	_cleanup_free_ char *base = strndup(path.p + skip, path.n - skip);

	for (size_t i = 0; base && i < p->n; i++) {
		const struct buf *f = &p->v[i].files;

		for (const char *s = f->data; s < f->data + f->len; s += strlen(s) + 1)
			if (fnmatch(s, base, 0) == 0)
				return &p->v[i];
	}
	return NULL;
}

/* --- with the grammar --- */

struct reader {
	struct profile *p;
	const struct ts_api *ts;
	struct err *reterr;
	struct text line;
};

static int wrong(struct reader *rd, const char *what, struct text w)
{
	return err_set(rd->reterr, -EINVAL, "the language profile '%s' %s '%.*s' in '%.*s'",
		       rd->p->name, what, (int)w.n, w.p, (int)rd->line.n, rd->line.p);
}

/* The named kind of that name. */
static int kind_of(struct reader *rd, struct text name, uint16_t *ret)
{
	uint16_t id =
		rd->ts->language_symbol_for_name(rd->p->language, name.p, (uint32_t)name.n, true);

	if (!id || id >= rd->p->nkinds)
		return wrong(rd, "has the kind, which the grammar has not,", name);
	*ret = id;
	return 0;
}

static int flag_kinds(struct reader *rd, struct text *rest, uint8_t flag)
{
	int r = 0;

	for (struct text w = word(rest); w.n && r == 0; w = word(rest)) {
		uint16_t id = 0;

		r = kind_of(rd, w, &id);
		if (r == 0)
			rd->p->kinds[id].flags |= flag;
	}
	return r;
}

static int read_step(struct reader *rd, struct text s, struct step *ret)
{
	if (text_is(s, ".")) {
		ret->what = STEP_SELF;
		return 0;
	}
	if (s.n > 1 && *s.p == '#') {
		ret->what = STEP_KIND;
		return kind_of(rd, (struct text){s.p + 1, s.n - 1}, &ret->id);
	}
	ret->what = s.n && s.p[s.n - 1] == '*' ? STEP_FIELDS : STEP_FIELD;
	s.n -= ret->what == STEP_FIELDS;
	ret->id = rd->ts->language_field_id_for_name(rd->p->language, s.p, (uint32_t)s.n);
	return ret->id ? 0 : wrong(rd, "has the field, which the grammar has not,", s);
}

static int read_path(struct reader *rd, struct text all, struct path *ret)
{
	int r = 0;

	while (all.n && r == 0) {
		const char *bar = memchr(all.p, '|', all.n);
		struct text one = {all.p, bar ? (size_t)(bar - all.p) : all.n};
		unsigned int k = 0;

		if (ret->n == PATHS_MAX)
			return wrong(rd, "has too many paths in", all);
		all.p += one.n + (bar != NULL);
		all.n -= one.n + (bar != NULL);
		while (one.n && r == 0) {
			const char *slash = memchr(one.p, '/', one.n);
			struct text s = {one.p, slash ? (size_t)(slash - one.p) : one.n};

			if (k == STEPS_MAX)
				return wrong(rd, "has too many steps in", one);
			one.p += s.n + (slash != NULL);
			one.n -= s.n + (slash != NULL);
			r = read_step(rd, s, &ret->v[ret->n][k++]);
		}
		ret->n++;
	}
	return r;
}

static int read_declare(struct reader *rd, struct text rest)
{
	struct text kind = word(&rest), label = word(&rest);
	struct declare *d = &rd->p->declares[rd->p->ndeclares];
	int r;

	if (rd->p->ndeclares == DECLARES_MAX)
		return wrong(rd, "has too many declarations at", kind);
	r = kind_of(rd, kind, &d->kind);
	if (r < 0)
		return r;
	rd->p->ndeclares++;
	rd->p->kinds[d->kind].declare = (uint16_t)rd->p->ndeclares;
	if (!text_is(label, "-"))
		d->label = strndup(label.p, label.n);
	for (struct text w = word(&rest); w.n && r == 0; w = word(&rest)) {
		if (text_starts(w, "name="))
			r = read_path(rd, (struct text){w.p + 5, w.n - 5}, &d->name);
		else if (text_starts(w, "params="))
			r = read_path(rd, (struct text){w.p + 7, w.n - 7}, &d->params);
		else
			r = wrong(rd, "has an unknown word", w);
	}
	return r < 0 || d->name.n ? r : wrong(rd, "says not where the name is of", kind);
}

static int read_commute(struct reader *rd, struct text rest)
{
	struct text parent = word(&rest);
	uint16_t id = 0, child = 0;
	int r;

	if (!parent.n || parent.p[parent.n - 1] != ':')
		return wrong(rd, "has no ':' behind", parent);
	parent.n--;
	r = kind_of(rd, parent, &id);
	for (struct text w = word(&rest); w.n && r == 0; w = word(&rest)) {
		r = kind_of(rd, w, &child);
		if (r == 0 && !rd->p->kinds[child].declare)
			return wrong(rd, "does not declare, before it lets it commute,", w);
		if (r == 0)
			rd->p->kinds[id].commutes |= UINT64_C(1)
						     << (rd->p->kinds[child].declare - 1);
	}
	if (r == 0)
		rd->p->kinds[id].flags |= KIND_COMMUTE | KIND_BLOCK;
	return r;
}

static int read_line(struct reader *rd)
{
	static const struct {
		const char *word;
		uint8_t flag;
	} flags[] = {{"comment", KIND_COMMENT},
		     {"prefix", KIND_PREFIX},
		     {"identifier", KIND_IDENTIFIER},
		     {"import", KIND_IMPORT},
		     {"block", KIND_BLOCK}};
	struct text rest = rd->line, key = word(&rest);

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (text_is(key, flags[i].word))
			return flag_kinds(rd, &rest, flags[i].flag);
	if (text_is(key, "declare"))
		return read_declare(rd, rest);
	return text_is(key, "commute") ? read_commute(rd, rest)
				       : wrong(rd, "has an unknown word", key);
}

int profile_open(struct profile *p, const struct ts_api *ts, const char *grammars,
		 struct err *reterr)
{
	struct reader rd = {p, ts, reterr, {0}};
	struct text rest = {p->rest.data ? p->rest.data : "", p->rest.len};
	const TSLanguage *language;
	int r = 0;

	if (p->language)
		return 0;
	if (p->kinds)
		return err_set(reterr, -EINVAL, "the language profile '%s' is not usable", p->name);
	r = ts_grammar(grammars, p->grammar, &language, reterr);
	if (r < 0)
		return r;
	p->language = language;
	p->nkinds = ts->language_symbol_count(language);
	p->type_field = ts->language_field_id_for_name(language, "type", 4);
	p->kinds = calloc(p->nkinds + 1, sizeof(*p->kinds));
	p->declares = calloc(DECLARES_MAX, sizeof(*p->declares));
	if (!p->kinds || !p->declares)
		r = -ENOMEM;
	while (rest.n && r == 0) {
		rd.line = next_line(&rest);
		r = read_line(&rd);
	}
	if (r < 0)
		p->language = NULL;
	return r;
}
