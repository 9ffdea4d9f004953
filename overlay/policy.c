/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a policy, format 1, and what a policy says of itself; policy_decide.c decides.
 *
 *     agentfs-policy 1
 *     role NAME
 *     scratch none|beside|all        "beside" where the line is missing
 *     quota bytes|nodes NUMBER       what the view may hold; no line, or 0: no limit
 *     iron PATTERN [TAB ORIGIN]      any number of each of these five; within a kind their order
 *     hide PATTERN [TAB ORIGIN]      counts: the last pattern that covers a path decides
 *     write PATTERN [TAB ORIGIN]
 *     scope PATTERN [TAB ORIGIN]
 *     redirect PATTERN [TAB ORIGIN]  folders that are kept outside the overlay: these decide nothing
 *
 * A program from before quota and redirect refuses a text that has one, in a sentence; a text without
 * them is what it was.
 *
 * The first line is the first; the others may come in any order; empty lines and lines that begin
 * with "#" are skipped. PATTERN is gitignore's, with "!" in front to negate. One that is empty,
 * holds control bytes, begins with a double quote, or begins or ends with a space is written in
 * double quotes, where \" \\ and \ooo (three octal digits) stand for bytes: so a pattern may hold
 * any byte but NUL and newline. ORIGIN (where the administrator wrote it, "agentfs.yaml:12") is any
 * text without control bytes.
 *
 * Canonical form: the lines in the order above, each given (scratch included, quotas that are none
 * left out), rules by kind in their order, quotes only where needed, spaces at a pattern's end dropped as git drops them. It
 * parses to itself; its SHA-256 is the policy's identity in the journal, and an index of a rule
 * counts the built-in ones and then the canonical form's.
 *
 * A pattern covers a path that it matches and everything below a folder that it matches: the last
 * pattern of a list that covers a path decides, so that "!docs/" then "docs/api/" leaves docs/api
 * writable, which gitignore's own "an excluded folder is never looked into" would not.
 */
#include "policy.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "policy_rules.h"
#include "sys.h"

enum { VERSION = 1, TEXT_MAX = 1 << 20, RULES_MAX = 10000 };

static const char *const kind_names[RULE_KINDS] = {"iron", "hide", "write", "scope", "redirect"};
static const char *const quota_names[2] = {"bytes", "nodes"};
static const char *const scratch_names[] = {"none", "beside", "all"};

static const char *const op_names[] = {
	[POLICY_CREATE] = "create",
	[POLICY_MKDIR] = "mkdir",
	[POLICY_WRITE] = "write",
	[POLICY_ATTR] = "chmod",
	[POLICY_UNLINK] = "unlink",
	[POLICY_RMDIR] = "rmdir",
	[POLICY_RENAME_FROM] = "rename-from",
	[POLICY_RENAME_TO] = "rename-to",
	[POLICY_LINK] = "link",
};

static const struct {
	const char *name;
	enum policy_op op;
} op_aliases[] = {
	{"rename", POLICY_RENAME_FROM},	 {"rename_from", POLICY_RENAME_FROM},
	{"rename_to", POLICY_RENAME_TO}, {"truncate", POLICY_WRITE},
	{"attr", POLICY_ATTR},		 {"setattr", POLICY_ATTR},
	{"chown", POLICY_ATTR},		 {"setxattr", POLICY_ATTR},
	{"delete", POLICY_UNLINK},	 {"symlink", POLICY_CREATE},
	{"mknod", POLICY_CREATE},
};

/* A rule as it was read, before the rules are put in order. */
struct line {
	enum rule_kind kind;
	char *pattern;
	char *origin; /* or NULL */
};

struct parser {
	unsigned number; /* of the line */
	char *role;
	int scratch; /* -1: not given */
	bool has_quota[2];
	uint64_t quota[2]; /* by quota_names */
	struct line *lines;
	size_t n, cap;
	struct err *e;
};

static void parser_release(struct parser *ps)
{
	for (size_t i = 0; i < ps->n; i++) {
		free(ps->lines[i].pattern);
		free(ps->lines[i].origin);
	}
	free(ps->lines);
	free(ps->role);
}

static int bad(struct parser *ps, const char *what)
{
	return err_set(ps->e, -EINVAL, "policy, line %u: %s", ps->number, what);
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static char *copy_range(const char *p, const char *end)
{
	char *s = sys.malloc((size_t)(end - p) + 1);

	if (!s)
		return NULL;
	memcpy(s, p, (size_t)(end - p));
	s[end - p] = '\0';
	return s;
}

/* Undoes the escape behind the backslash at **p; 0: broken. */
static char unquote_byte(const char **p, const char *end)
{
	const char *s = *p + 1;
	int v;

	if (s < end && (*s == '"' || *s == '\\')) {
		*p = s + 1;
		return *s;
	}
	if (end - s < 3 || s[0] < '0' || s[0] > '3' || s[1] < '0' || s[1] > '7' || s[2] < '0' ||
	    s[2] > '7')
		return 0;
	v = (s[0] - '0') * 64 + (s[1] - '0') * 8 + (s[2] - '0');
	*p = s + 3;
	return v == '\n' ? 0 : (char)v;
}

/* A quoted pattern at p; *ret_end is behind its closing quote. */
static int unquote(struct parser *ps, const char *p, const char *end, char **ret,
		   const char **ret_end)
{
	_cleanup_free_ char *s = sys.malloc((size_t)(end - p) + 1);
	char *q = s;

	if (!s)
		return -ENOMEM;
	for (p++; p < end && *p != '"';) {
		char c = *p == '\\' ? unquote_byte(&p, end) : *p++;

		if (c == '\0')
			return bad(ps, "a quoted pattern knows only \\\", \\\\ and \\ooo, and no "
				       "NUL or newline");
		*q++ = c;
	}
	if (p == end)
		return bad(ps, "a quoted pattern is not closed");
	*q = '\0';
	*ret = TAKE_PTR(s);
	*ret_end = p + 1;
	return 0;
}

static int read_pattern(struct parser *ps, const char *p, const char *end, struct line *ret)
{
	const char *tab = memchr(p, '\t', (size_t)(end - p));
	int r;

	if (p < end && *p == '"') {
		r = unquote(ps, p, end, &ret->pattern, &tab);
		if (r < 0)
			return r;
	} else {
		tab = tab ? tab : end;
		ret->pattern = copy_range(p, tab);
		if (!ret->pattern)
			return -ENOMEM;
	}
	if (tab == end)
		return 0;
	if (*tab != '\t')
		return bad(ps, "a TAB must follow the pattern's closing quote");
	for (const char *s = tab + 1; s < end; s++)
		if (is_control(*s))
			return bad(ps, "the origin holds a control byte");
	ret->origin = copy_range(tab + 1, end);
	return ret->origin ? 0 : -ENOMEM;
}

static int read_rule(struct parser *ps, enum rule_kind kind, const char *p, const char *end)
{
	struct line *line;
	int r;

	if (ps->n >= RULES_MAX)
		return bad(ps, "more than 10000 rules");
	if (ps->n == ps->cap) {
		size_t cap = ps->cap ? ps->cap * 2 : 16;

		line = sys.realloc(ps->lines, cap * sizeof(*line));
		if (!line)
			return -ENOMEM;
		ps->lines = line;
		ps->cap = cap;
	}
	line = &ps->lines[ps->n++];
	*line = (struct line){.kind = kind};
	r = read_pattern(ps, p, end, line);
	if (r == 0 && line->origin && !*line->origin) {
		free(line->origin);
		line->origin = NULL;
	}
	return r;
}

static int read_role(struct parser *ps, const char *p, const char *end)
{
	if (ps->role)
		return bad(ps, "the role was given already");
	if (p == end)
		return bad(ps, "the role's name is empty");
	for (const char *s = p; s < end; s++)
		if (is_control(*s))
			return bad(ps, "the role's name holds a control byte");
	ps->role = copy_range(p, end);
	return ps->role ? 0 : -ENOMEM;
}

static bool word_is(const char *p, const char *end, const char *word)
{
	return strlen(word) == (size_t)(end - p) && memcmp(p, word, (size_t)(end - p)) == 0;
}

static int read_scratch(struct parser *ps, const char *p, const char *end)
{
	if (ps->scratch >= 0)
		return bad(ps, "scratch was given already");
	for (size_t i = 0; i < ARRAY_SIZE(scratch_names); i++)
		if (word_is(p, end, scratch_names[i]))
			ps->scratch = (int)i;
	return ps->scratch >= 0 ? 0 : bad(ps, "scratch is none, beside or all");
}

/* "bytes 1000" */
static int read_quota(struct parser *ps, const char *p, const char *end)
{
	const char *sp = memchr(p, ' ', (size_t)(end - p));
	uint64_t n = 0;
	size_t k = 0;

	while (sp && k < ARRAY_SIZE(quota_names) && !word_is(p, sp, quota_names[k]))
		k++;
	if (!sp || k == ARRAY_SIZE(quota_names) || sp + 1 == end)
		return bad(ps, "a quota is 'bytes' or 'nodes' and a number");
	if (ps->has_quota[k])
		return bad(ps, "this quota was given already");
	for (p = sp + 1; p < end; p++)
		if (*p < '0' || *p > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return bad(ps, "a quota's number is not one");
	ps->has_quota[k] = true;
	ps->quota[k] = n;
	return 0;
}

static int read_line(struct parser *ps, const char *p, const char *end)
{
	const char *sp = memchr(p, ' ', (size_t)(end - p));

	if (p == end || *p == '#')
		return 0;
	if (!sp)
		return bad(ps, "a line is a word, one space and its value");
	if (word_is(p, sp, "role"))
		return read_role(ps, sp + 1, end);
	if (word_is(p, sp, "scratch"))
		return read_scratch(ps, sp + 1, end);
	if (word_is(p, sp, "quota"))
		return read_quota(ps, sp + 1, end);
	for (int k = 0; k < RULE_KINDS; k++)
		if (word_is(p, sp, kind_names[k]))
			return read_rule(ps, (enum rule_kind)k, sp + 1, end);
	return bad(ps, "it begins with none of role, scratch, quota, iron, hide, write, scope, "
		       "redirect");
}

static int read_head(struct parser *ps, const char *p, const char *end)
{
	static const char head[] = "agentfs-policy ";

	if (word_is(p, end, "agentfs-policy 1"))
		return 0;
	if ((size_t)(end - p) < sizeof(head) || memcmp(p, head, sizeof(head) - 1) != 0 ||
	    strspn(p + sizeof(head) - 1, "0123456789") != (size_t)(end - p) - (sizeof(head) - 1))
		return bad(ps, "it must begin with 'agentfs-policy 1'");
	return err_set(
		ps->e, -EPROTONOSUPPORT,
		"policy format %.*s is newer than this program, which knows %d: use the agentfs "
		"that wrote it",
		(int)(end - p) - (int)(sizeof(head) - 1), p + sizeof(head) - 1, VERSION);
}

static int read_lines(struct parser *ps, const char *text)
{
	const char *p = text, *end;
	int r = 0;

	if (strnlen(text, TEXT_MAX + 1) > TEXT_MAX)
		return err_set(ps->e, -EINVAL, "the policy is larger than 1 MiB");
	for (ps->number = 1; r == 0; ps->number++) {
		end = strchrnul(p, '\n');
		r = ps->number == 1 ? read_head(ps, p, end) : read_line(ps, p, end);
		if (!*end)
			break;
		p = end + 1;
	}
	if (r == 0 && !ps->role)
		return bad(ps, "the role is missing");
	return r;
}

static int add_pattern(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	bool plain = n && s[0] != '"' && s[0] != ' ' && s[n - 1] != ' ';
	int r = 0;

	for (size_t i = 0; i < n; i++)
		plain &= !is_control(s[i]);
	if (plain)
		return buf_adds(b, s);
	r = buf_addc(b, '"');
	for (; r == 0 && *s; s++) {
		if (is_control(*s))
			r = buf_addf(b, "\\%03o", (unsigned char)*s);
		else if (*s == '"' || *s == '\\')
			r = buf_addf(b, "\\%c", *s);
		else
			r = buf_addc(b, *s);
	}
	return r < 0 ? r : buf_addc(b, '"');
}

/* "kind PATTERN", then the origin between `before` and `after`. A new string, NULL: no memory. */
static char *rule_line(const struct line *line, const char *before, const char *after)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = buf_addf(&b, "%s ", kind_names[line->kind]);

	if (r == 0)
		r = add_pattern(&b, line->pattern);
	if (r == 0 && line->origin)
		r = buf_addf(&b, "%s%s%s", before, line->origin, after);
	return r < 0 ? NULL : buf_take(&b);
}

/* As git does: unescaped spaces at the end are not part of the pattern. */
static void trim(char *s)
{
	char *end = s;

	for (; *s; s++) {
		if (*s == ' ')
			continue;
		if (*s == '\\' && s[1])
			s++;
		end = s + 1;
	}
	*end = '\0';
}

static int compile_rule(struct parser *ps, struct line *line, struct rule *ret)
{
	const char *why = NULL;
	int r;

	r = pattern_compile(line->pattern, &ret->pattern, &why);
	if (r == -EINVAL)
		return err_set(ps->e, r, "%s pattern '%s'%s%s: %s", kind_names[line->kind],
			       line->pattern, line->origin ? " of " : "",
			       line->origin ? line->origin : "", why);
	if (r < 0)
		return r;
	ret->text = rule_line(line, " (", ")");
	if (!ret->text)
		return -ENOMEM;
	ret->source = TAKE_PTR(line->pattern);
	return 0;
}

/* Puts the rules in order; read_only follows from them. */
static int compile_rules(struct parser *ps, struct policy *p, struct buf *text)
{
	uint32_t n = 0;
	bool writes = false;
	int r;

	p->rules = sys_calloc(ps->n + 1, sizeof(*p->rules));
	if (!p->rules)
		return -ENOMEM;
	for (int k = 0; k < RULE_KINDS; k++) {
		p->first[k] = n;
		for (size_t i = 0; i < ps->n; i++) {
			_cleanup_free_ char *line = NULL;

			if (ps->lines[i].kind != (enum rule_kind)k)
				continue;
			p->first[RULE_KINDS] = n + 1; /* so that policy_free() sees it */
			trim(ps->lines[i].pattern);
			line = rule_line(&ps->lines[i], "\t", "");
			if (!line)
				return -ENOMEM;
			r = compile_rule(ps, &ps->lines[i], &p->rules[n++]);
			if (r < 0)
				return r;
			r = buf_addf(text, "%s\n", line);
			if (r < 0)
				return r;
			writes |= k == RULE_WRITE && !pattern_negated(p->rules[n - 1].pattern);
		}
	}
	p->first[RULE_KINDS] = n;
	p->read_only = !writes && p->scratch == SCRATCH_NONE;
	return 0;
}

/* "outside the scope of the task: src/auth/, docs/" */
static int scope_text(const struct policy *p, struct buf *b)
{
	int r = buf_adds(b, "built in: outside the scope of the task");

	for (uint32_t i = p->first[RULE_SCOPE]; r == 0 && i < p->first[RULE_SCOPE + 1]; i++)
		r = buf_addf(b, "%s %s", i == p->first[RULE_SCOPE] ? ":" : ",",
			     p->rules[i].text + strlen("scope "));
	return r;
}

static int set_builtin(struct policy *p)
{
	_cleanup_buf_ struct buf scope = BUF_INIT, none = BUF_INIT, scratch = BUF_INIT;
	int r = scope_text(p, &scope);

	if (r == 0)
		r = buf_addf(&scratch,
			     "built in: scratch %s (kept in the view, never materialized)",
			     scratch_names[p->scratch]);
	if (r == 0 && p->read_only)
		r = buf_addf(&none, "role %s writes nothing", p->role);
	else if (r == 0)
		r = buf_addf(&none, "no rule of role %s allows it", p->role);
	if (r < 0)
		return r;
	p->builtin[BUILTIN_GIT] = sys_strdup("built in: the view's own .git is the agent's");
	p->builtin[BUILTIN_GIT_TOP] =
		sys_strdup("built in: the view's own .git may not be removed, renamed or replaced");
	p->builtin[BUILTIN_CONTROL] = sys_strdup(
		"built in: .agentfs/control is read-only, and .agentfs stays in its place");
	p->builtin[BUILTIN_SCRATCH] = buf_take(&scratch);
	p->builtin[BUILTIN_SCOPE] = buf_take(&scope);
	p->no_rule = buf_take(&none);
	for (int i = 0; i < BUILTIN_COUNT; i++)
		if (!p->builtin[i])
			return -ENOMEM;
	return p->no_rule ? 0 : -ENOMEM;
}

static int compile_policy(struct parser *ps, struct policy *p)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int r;

	p->role = TAKE_PTR(ps->role);
	p->scratch = ps->scratch < 0 ? SCRATCH_BESIDE : (enum scratch)ps->scratch;
	r = buf_addf(&text, "agentfs-policy %d\nrole %s\nscratch %s\n", VERSION, p->role,
		     scratch_names[p->scratch]);
	p->quota = (struct policy_quota){ps->quota[0], ps->quota[1]};
	for (size_t k = 0; k < ARRAY_SIZE(quota_names) && r == 0; k++)
		if (ps->quota[k])
			r = buf_addf(&text, "quota %s %" PRIu64 "\n", quota_names[k], ps->quota[k]);
	if (r == 0)
		r = compile_rules(ps, p, &text);
	if (r == 0)
		r = set_builtin(p);
	if (r < 0)
		return r;
	(void)crypto_hash_sha256(p->hash, (const unsigned char *)text.data, text.len);
	p->text = buf_take(&text);
	return p->text ? 0 : -ENOMEM;
}

int policy_parse(const char *text, struct policy **ret, struct err *reterr)
{
	struct parser ps = {.scratch = -1, .e = reterr};
	struct policy *p = sys_calloc(1, sizeof(*p));
	int r = p ? read_lines(&ps, text) : -ENOMEM;

	if (r == 0)
		r = compile_policy(&ps, p);
	parser_release(&ps);
	if (r < 0) {
		policy_free(p);
		return r == -ENOMEM ? err_set(reterr, r, "no memory to compile the policy") : r;
	}
	*ret = p;
	return 0;
}

void policy_free(struct policy *p)
{
	if (!p)
		return;
	for (uint32_t i = 0; i < p->first[RULE_KINDS]; i++) {
		pattern_free(p->rules[i].pattern);
		free(p->rules[i].text);
		free(p->rules[i].source);
	}
	for (int i = 0; i < BUILTIN_COUNT; i++)
		free(p->builtin[i]);
	free(p->rules);
	free(p->no_rule);
	free(p->role);
	free(p->text);
	free(p);
}

const char *policy_rule_text(const struct policy *p, uint32_t rule)
{
	if (rule < BUILTIN_COUNT)
		return p->builtin[rule];
	if (rule - BUILTIN_COUNT < p->first[RULE_KINDS])
		return p->rules[rule - BUILTIN_COUNT].text;
	return p->no_rule;
}

const char *policy_rule_pattern(const struct policy *p, uint32_t rule)
{
	if (rule < BUILTIN_COUNT || rule - BUILTIN_COUNT >= p->first[RULE_KINDS])
		return "";
	return p->rules[rule - BUILTIN_COUNT].source;
}

struct policy_quota policy_quota(const struct policy *p)
{
	return p->quota;
}

const char *policy_role(const struct policy *p)
{
	return p->role;
}

const char *policy_text(const struct policy *p)
{
	return p->text;
}

const uint8_t *policy_hash(const struct policy *p)
{
	return p->hash;
}

bool policy_read_only(const struct policy *p)
{
	return p->read_only;
}

int policy_op_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(op_names); i++)
		if (strcmp(op_names[i], name) == 0)
			return (int)i;
	for (size_t i = 0; i < ARRAY_SIZE(op_aliases); i++)
		if (strcmp(op_aliases[i].name, name) == 0)
			return (int)op_aliases[i].op;
	return -EINVAL;
}

const char *policy_op_name(enum policy_op op)
{
	return (size_t)op < ARRAY_SIZE(op_names) ? op_names[op] : "unknown";
}

const char *policy_result_name(enum policy_result r)
{
	switch (r) {
	case POLICY_ALLOW:
		return "allowed";
	case POLICY_SCRATCH:
		return "scratch";
	case POLICY_DENY:
		return "denied";
	case POLICY_DENY_RO:
		return "read-only";
	}
	return "unknown";
}
