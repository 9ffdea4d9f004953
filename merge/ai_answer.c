/* SPDX-License-Identifier: Apache-2.0 */
#include "ai_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { REASON_MAX = 400, TEXT_MAX = 16 << 20 };

static const struct {
	const char *name, *does;
} classes[AI_CLASSES] = {
	[AI_OURS] = {"ours", "the target's lines"},
	[AI_THEIRS] = {"theirs", "the source's lines"},
	[AI_BOTH] = {"both", "both sides' lines"},
	[AI_BASE] = {"base", "neither side's change"},
	[AI_NEW] = {"new", "new text for both changes"},
};

const char *ai_class_name(enum ai_class c)
{
	return classes[c].name;
}

const char *ai_class_does(enum ai_class c)
{
	return classes[c].does;
}

int ai_class_parse(const char *name)
{
	for (int i = 0; i < AI_CLASSES; i++)
		if (strcmp(name, classes[i].name) == 0)
			return i;
	return -EINVAL;
}

/* A copy without control bytes, at most REASON_MAX bytes, cut between characters. */
static char *one_line(const char *s)
{
	size_t n = strlen(s);
	char *copy;

	if (n > REASON_MAX)
		for (n = REASON_MAX; n && ((unsigned char)s[n] & 0xc0) == 0x80;)
			n--;
	copy = strndup(s, n);
	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	return copy;
}

static int take_text(const json_t *o, const char *key, char **ret, size_t *ret_n,
		     struct err *reterr)
{
	const json_t *v = json_object_get(o, key);
	size_t n = json_string_length(v);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return err_set(reterr, -EBADMSG, "its '%s' is no text", key);
	if (n > TEXT_MAX)
		return err_set(reterr, -EBADMSG, "its '%s' is too long", key);
	*ret = malloc(n + 1);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, json_string_value(v), n + 1);
	*ret_n = n;
	return 0;
}

static int take_class(const json_t *o, struct ai_answer *a, struct err *reterr)
{
	const char *name = json_string_value(json_object_get(o, "class"));
	int class;

	if (!name && a->file) {
		a->class = AI_NEW;
		return 0;
	}
	if (!name)
		return err_set(reterr, -EBADMSG, "it names no class");
	if (strcmp(name, "none") == 0) {
		a->declined = true;
		return 0;
	}
	class = ai_class_parse(name);
	if (class < 0)
		return err_set(reterr, -EBADMSG,
			       "its class is none of ours, theirs, both, base, new and none");
	a->class = (enum ai_class) class;
	return 0;
}

static int take_rest(const json_t *o, struct ai_answer *a, struct err *reterr)
{
	const char *reason = json_string_value(json_object_get(o, "reason"));
	const json_t *confidence = json_object_get(o, "confidence"),
		     *tokens = json_object_get(o, "tokens");

	a->confidence = -1;
	if (json_is_number(confidence))
		a->confidence = json_number_value(confidence);
	if (a->confidence != -1 && !(a->confidence >= 0 && a->confidence <= 1))
		return err_set(reterr, -EBADMSG, "its confidence is no number from 0 to 1");
	if (json_is_integer(tokens) && json_integer_value(tokens) > 0)
		a->tokens = (uint64_t)json_integer_value(tokens);
	a->reason = one_line(reason ? reason : "");
	return a->reason ? 0 : -ENOMEM;
}

int ai_answer_parse(const char *p, size_t n, struct ai_answer *ret, struct err *reterr)
{
	struct ai_answer a = {0};
	json_t *o = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL);
	int r;

	if (!json_is_object(o)) {
		json_decref(o);
		return err_set(reterr, -EBADMSG, "it is no JSON object");
	}
	r = take_rest(o, &a, reterr);
	if (r == 0)
		r = take_text(o, "text", &a.text, &a.len, reterr);
	if (r == 0)
		r = take_text(o, "file", &a.file, &a.file_len, reterr);
	if (r == 0)
		r = take_class(o, &a, reterr);
	json_decref(o);
	if (r < 0)
		ai_answer_release(&a);
	else
		*ret = a;
	return r;
}

void ai_answer_release(struct ai_answer *a)
{
	free(a->text);
	free(a->file);
	free(a->reason);
	*a = (struct ai_answer){0};
}

int ai_text_ends(struct text t, bool crlf, bool ended, struct buf *ret)
{
	int r = 0;

	for (size_t i = 0; i < t.n && r == 0; i++) {
		if (t.p[i] == '\r' && i + 1 < t.n && t.p[i + 1] == '\n')
			continue;
		r = t.p[i] == '\n' ? buf_adds(ret, crlf ? "\r\n" : "\n") : buf_addc(ret, t.p[i]);
	}
	if (r < 0 || !ret->len)
		return r;
	if (ended && ret->data[ret->len - 1] != '\n')
		return buf_adds(ret, crlf ? "\r\n" : "\n");
	while (!ended && ret->len &&
	       (ret->data[ret->len - 1] == '\n' || ret->data[ret->len - 1] == '\r'))
		ret->data[--ret->len] = '\0';
	return 0;
}

static bool ended(struct text t)
{
	return !t.n || t.p[t.n - 1] == '\n';
}

/* Ends as both sides do, or as the side does that changed it. */
static bool wants_end(const struct conflict *c)
{
	bool ours = ended(c->text[OURS]), theirs = ended(c->text[THEIRS]);

	return ours != theirs && ended(c->text[BASE]) == ours ? theirs : ours;
}

/* Both sides' lines, ours first. */
static int join(const struct conflict *c, struct buf *ret)
{
	int r = put_lines(ret, c, c->lines[OURS].v, c->lines[OURS].n);

	return r < 0 ? r : put_lines(ret, c, c->lines[THEIRS].v, c->lines[THEIRS].n);
}

static int plain_text(const struct conflict *c, enum ai_class class, struct buf *ret)
{
	static const enum side side[] = {[AI_OURS] = OURS, [AI_THEIRS] = THEIRS, [AI_BASE] = BASE};
	const struct text *t;

	if (class == AI_BOTH)
		return join(c, ret);
	t = &c->text[side[class]];
	return buf_add(ret, t->n ? t->p : "", t->n);
}

int ai_answer_text(const struct conflict *c, const struct ai_answer *a, struct buf *ret,
		   struct err *why)
{
	_cleanup_buf_ struct buf given = BUF_INIT, plain = BUF_INIT;
	int r = a->text ? ai_text_ends((struct text){a->text, a->len}, c->crlf, wants_end(c),
				       &given)
			: 0;

	if (r < 0 || (a->class == AI_NEW && !a->text))
		return r;
	if (a->class == AI_NEW || (a->class == AI_BOTH && a->text && a->len)) {
		r = buf_add(ret, given.len ? given.data : "", given.len);
		return r < 0 ? r : 1;
	}
	r = plain_text(c, a->class, &plain);
	if (r < 0)
		return r;
	if (a->text && a->len &&
	    !text_equal_but_space((struct text){given.len ? given.data : "", given.len},
				  (struct text){plain.len ? plain.data : "", plain.len}))
		return err_set(why, -EBADMSG, "it says '%s', but its text is another",
			       ai_class_name(a->class));
	r = buf_add(ret, plain.len ? plain.data : "", plain.len);
	return r < 0 ? r : 1;
}
