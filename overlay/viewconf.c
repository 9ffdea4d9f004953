/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.conf, format 1: lines, each ended by one newline.
 *
 *     version 1                      first
 *     KEY VALUE                      each key of the tables below exactly once, in any order
 *     policy LENGTH                  followed by LENGTH bytes (no NUL) and a newline
 *     seed MODE PATH LENGTH          any number; followed by LENGTH bytes (any) and a newline
 *     seed-from PATH                 at most once; the main worktree that seed-path is of
 *     seed-path PATH                 any number, in the order in which they are to come
 *     end                            last; what is cut short is thereby seen
 *
 * In VALUE and PATH a newline is written "\n" and a backslash "\\"; nothing else is escaped, and
 * NUL cannot occur. PATH may hold spaces: it ends at the line's last one. MODE is octal, a regular
 * file or folder with permission bits; a folder has LENGTH 0. view-id is 32 hex digits, numbers are
 * decimal. A reader that sees another version says so; within a version an unknown key is damage: a
 * program that does not know seed-from and seed-path refuses such a view in a sentence, as it must.
 *
 * Guarantees: whatever viewconf_format() wrote parses back equal; viewconf_parse() never reads past
 * n, keeps nothing after an error, and lets through no name that could lead out of the folder it is
 * meant for (image, index, seeds).
 */
#include "viewconf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "io.h"
#include "sys.h"

enum { VERSION = 1, FILE_MAX = 256 << 20, SEEDS_MAX = 1 << 20, PATHS_MAX = 1 << 16 };

enum check { ANY, FILLED, ABSOLUTE, HEX, FILE_NAME };

static const struct text_key {
	const char *name;
	size_t offset;
	enum check check;
} text_keys[] = {
	{"agent", offsetof(struct viewconf, agent), FILLED},
	{"task", offsetof(struct viewconf, task), ANY},
	{"role", offsetof(struct viewconf, role), ANY},
	{"department", offsetof(struct viewconf, department), ANY},
	{"branch", offsetof(struct viewconf, branch), ANY},
	{"target", offsetof(struct viewconf, target), ANY},
	{"repository", offsetof(struct viewconf, repository), ABSOLUTE},
	{"objects", offsetof(struct viewconf, objects), ABSOLUTE},
	{"base-commit", offsetof(struct viewconf, base_commit), HEX},
	{"tree", offsetof(struct viewconf, tree), HEX},
	{"image", offsetof(struct viewconf, image), FILE_NAME},
	{"index", offsetof(struct viewconf, index), FILE_NAME},
	{"mount", offsetof(struct viewconf, mount), ABSOLUTE},
};

/* Keys that are not plain text, behind the text keys in the set of those seen. */
enum {
	SEEN_VIEW_ID = ARRAY_SIZE(text_keys),
	SEEN_UID,
	SEEN_GID,
	SEEN_CREATED,
	SEEN_POLICY,
	SEEN_MAX
};

static const char *const other_keys[] = {"view-id", "uid", "gid", "created", "policy"};

struct reader {
	const char *p, *end;
	unsigned line;
	uint32_t seen;
	size_t seeds_cap, paths_cap;
	struct viewconf *c;
	struct err *e;
};

static char **text_field(const struct viewconf *c, size_t i)
{
	return (char **)((char *)c + text_keys[i].offset);
}

static int bad(struct reader *rd, const char *what)
{
	return err_set(rd->e, -EBADMSG, "view.conf, line %u: %s", rd->line, what);
}

static int add_escaped(struct buf *b, const char *s)
{
	int r = 0;

	for (; r == 0 && *s; s++) {
		if (*s == '\n')
			r = buf_adds(b, "\\n");
		else if (*s == '\\')
			r = buf_adds(b, "\\\\");
		else
			r = buf_addc(b, *s);
	}
	return r;
}

/* Undoes add_escaped(); a new string, or NULL with *r set. */
static char *unescape(struct reader *rd, const char *p, size_t n, int *r)
{
	char *s = sys.malloc(n + 1), *q = s;

	*r = -ENOMEM;
	if (!s)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\0')
			goto refuse;
		if (p[i] != '\\') {
			*q++ = p[i];
			continue;
		}
		if (++i == n || (p[i] != 'n' && p[i] != '\\'))
			goto refuse;
		*q++ = p[i] == 'n' ? '\n' : '\\';
	}
	*q = '\0';
	*r = 0;
	return s;
refuse:
	free(s);
	*r = bad(rd, "a NUL byte or an unknown escape in a value");
	return NULL;
}

static bool parse_number(const char *p, size_t n, unsigned base, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned)(unsigned char)p[i] - '0';

		if (d >= base || __builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return false;
	}
	*ret = v;
	return v <= max;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_view_id(const char *p, size_t n, uint8_t id[16])
{
	if (n != 32)
		return false;
	for (size_t i = 0; i < 16; i++) {
		int hi = hex_digit(p[2 * i]), lo = hex_digit(p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		id[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

/* A relative path whose components are names: no "", "." or "..". */
static bool path_is_plain(const char *s)
{
	for (;;) {
		size_t n = strcspn(s, "/");

		if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

static const char *check_text(enum check check, const char *s)
{
	switch (check) {
	case ANY:
		return NULL;
	case FILLED:
		return *s ? NULL : "an empty value";
	case ABSOLUTE:
		return *s == '\0' || *s == '/' ? NULL : "a path that is not absolute";
	case HEX:
		while (hex_digit(*s) >= 0)
			s++;
		return *s ? "an object id that is not lower-case hex" : NULL;
	case FILE_NAME:
		return *s == '\0' || (path_is_plain(s) && !strchr(s, '/')) ? NULL
									   : "not a file name";
	}
	return "an unknown key";
}

static int mark(struct reader *rd, size_t key)
{
	if (rd->seen & 1u << key)
		return bad(rd, "a key that was given already");
	rd->seen |= 1u << key;
	return 0;
}

/* The LENGTH bytes behind a line, and the newline that ends them. */
static int take_bytes(struct reader *rd, uint64_t n, const char **ret)
{
	if (n >= (uint64_t)(rd->end - rd->p) || rd->p[n] != '\n')
		return bad(rd, "a length that does not fit what follows");
	*ret = rd->p;
	for (uint64_t i = 0; i <= n; i++)
		rd->line += rd->p[i] == '\n';
	rd->p += n + 1;
	return 0;
}

static int read_policy(struct reader *rd, const char *v, size_t n)
{
	const char *p = NULL;
	uint64_t len;
	int r;

	if (!parse_number(v, n, 10, FILE_MAX, &len))
		return bad(rd, "a length that is no number");
	r = take_bytes(rd, len, &p);
	if (r < 0)
		return r;
	if (memchr(p, 0, len))
		return bad(rd, "a NUL byte in the policy");
	rd->c->policy = sys.malloc(len + 1);
	if (!rd->c->policy)
		return -ENOMEM;
	memcpy(rd->c->policy, p, len);
	rd->c->policy[len] = '\0';
	return 0;
}

static int grow_seeds(struct reader *rd)
{
	size_t cap = rd->seeds_cap ? rd->seeds_cap * 2 : 16;
	struct viewconf_seed *s;

	if (rd->c->nseeds < rd->seeds_cap)
		return 0;
	if (cap > SEEDS_MAX)
		return bad(rd, "too many seeds");
	s = sys.realloc(rd->c->seeds, cap * sizeof(*s));
	if (!s)
		return -ENOMEM;
	rd->c->seeds = s;
	rd->seeds_cap = cap;
	return 0;
}

/* v = "MODE PATH LENGTH". */
static int read_seed(struct reader *rd, const char *v, size_t n)
{
	const char *path = memchr(v, ' ', n), *len = memrchr(v, ' ', n), *data = NULL;
	_cleanup_free_ char *name = NULL, *copy = NULL;
	uint64_t mode, size;
	int r;

	if (!path || path == len || !parse_number(v, (size_t)(path - v), 8, 0177777, &mode) ||
	    !parse_number(len + 1, (size_t)(v + n - len - 1), 10, FILE_MAX, &size))
		return bad(rd, "a seed is MODE PATH LENGTH");
	if ((mode & ~0777u) != S_IFREG && ((mode & ~0777u) != S_IFDIR || size))
		return bad(rd, "a seed is a regular file, or a folder of length 0");
	name = unescape(rd, path + 1, (size_t)(len - path - 1), &r);
	if (!name)
		return r;
	if (!path_is_plain(name))
		return bad(rd, "a seed's path must be relative, without empty, '.' and '..' parts");
	r = take_bytes(rd, size, &data);
	if (r < 0)
		return r;
	r = grow_seeds(rd);
	if (r < 0)
		return r;
	copy = sys.malloc(size + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, size);
	copy[size] = '\0';
	rd->c->seeds[rd->c->nseeds++] = (struct viewconf_seed){.path = TAKE_PTR(name),
							       .mode = (uint32_t)mode,
							       .data = TAKE_PTR(copy),
							       .len = size};
	return 0;
}

static int read_seed_from(struct reader *rd, const char *v, size_t n)
{
	const char *why;
	int r;

	if (rd->c->seed_from)
		return bad(rd, "a key that was given already");
	rd->c->seed_from = unescape(rd, v, n, &r);
	if (!rd->c->seed_from)
		return r;
	why = *rd->c->seed_from ? check_text(ABSOLUTE, rd->c->seed_from) : "an empty value";
	return why ? bad(rd, why) : 0;
}

static int read_seed_path(struct reader *rd, const char *v, size_t n)
{
	_cleanup_free_ char *path = NULL;
	int r;

	path = unescape(rd, v, n, &r);
	if (!path)
		return r;
	if (!path_is_plain(path))
		return bad(rd, "a seed's path must be relative, without empty, '.' and '..' parts");
	if (rd->c->nseed_paths == rd->paths_cap) {
		size_t cap = rd->paths_cap ? rd->paths_cap * 2 : 16;
		char **p;

		if (cap > PATHS_MAX)
			return bad(rd, "too many seeds");
		p = sys.realloc(rd->c->seed_paths, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		rd->c->seed_paths = p;
		rd->paths_cap = cap;
	}
	rd->c->seed_paths[rd->c->nseed_paths++] = TAKE_PTR(path);
	return 0;
}

static int read_text(struct reader *rd, size_t i, const char *v, size_t n)
{
	char **field = text_field(rd->c, i);
	const char *why;
	int r;

	*field = unescape(rd, v, n, &r);
	if (!*field)
		return r;
	why = check_text(text_keys[i].check, *field);
	return why ? bad(rd, why) : 0;
}

static int read_other(struct reader *rd, size_t key, const char *v, size_t n)
{
	uint64_t u = 0;
	bool ok = false;

	switch (key) {
	case SEEN_VIEW_ID:
		ok = parse_view_id(v, n, rd->c->view_id);
		break;
	case SEEN_UID:
		ok = parse_number(v, n, 10, UINT32_MAX - 1, &u);
		rd->c->uid = (uint32_t)u;
		break;
	case SEEN_GID:
		ok = parse_number(v, n, 10, UINT32_MAX - 1, &u);
		rd->c->gid = (uint32_t)u;
		break;
	case SEEN_CREATED:
		ok = parse_number(v, n, 10, UINT64_MAX, &rd->c->created);
		break;
	case SEEN_POLICY:
		return read_policy(rd, v, n);
	default:
		break;
	}
	return ok ? 0 : bad(rd, "a value that is not what its key needs");
}

static bool key_is(const char *name, const char *key, size_t n)
{
	return strlen(name) == n && memcmp(name, key, n) == 0;
}

/* One line key + value, behind the first. */
static int read_key(struct reader *rd, const char *key, size_t klen, const char *v, size_t n)
{
	int r;

	if (key_is("seed", key, klen))
		return read_seed(rd, v, n);
	if (key_is("seed-from", key, klen))
		return read_seed_from(rd, v, n);
	if (key_is("seed-path", key, klen))
		return read_seed_path(rd, v, n);
	for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++) {
		if (!key_is(text_keys[i].name, key, klen))
			continue;
		r = mark(rd, i);
		return r < 0 ? r : read_text(rd, i, v, n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(other_keys); i++) {
		if (!key_is(other_keys[i], key, klen))
			continue;
		r = mark(rd, SEEN_VIEW_ID + i);
		return r < 0 ? r : read_other(rd, SEEN_VIEW_ID + i, v, n);
	}
	return bad(rd, "an unknown key");
}

static int read_version(struct reader *rd)
{
	static const char head[] = "version ";
	const char *nl = rd->p == rd->end ? NULL : memchr(rd->p, '\n', (size_t)(rd->end - rd->p));
	uint64_t v;

	rd->line = 1;
	if (!nl || (size_t)(nl - rd->p) < sizeof(head) - 1 ||
	    memcmp(rd->p, head, sizeof(head) - 1) != 0 ||
	    !parse_number(rd->p + sizeof(head) - 1, (size_t)(nl - rd->p) - (sizeof(head) - 1), 10,
			  UINT32_MAX, &v))
		return bad(rd, "it must begin with 'version 1'");
	if (v != VERSION)
		return err_set(rd->e, -EPROTONOSUPPORT,
			       "view.conf has format %llu, this program knows format %d: use the "
			       "agentfs that wrote it, or a newer one",
			       (unsigned long long)v, VERSION);
	rd->p = nl + 1;
	return 0;
}

static int read_end(struct reader *rd)
{
	if (rd->p != rd->end)
		return bad(rd, "something behind 'end'");
	if (rd->c->nseed_paths && !rd->c->seed_from)
		return err_set(rd->e, -EBADMSG, "view.conf has seed-path, but no seed-from");
	if (rd->seen != (1u << SEEN_MAX) - 1) {
		size_t i = (size_t)__builtin_ctz(~rd->seen);

		return err_set(rd->e, -EBADMSG, "view.conf lacks the key '%s'",
			       i < SEEN_VIEW_ID ? text_keys[i].name : other_keys[i - SEEN_VIEW_ID]);
	}
	return 0;
}

static int read_lines(struct reader *rd)
{
	int r = read_version(rd);

	while (r == 0) {
		const char *line = rd->p, *sp, *nl;

		rd->line++;
		nl = line == rd->end ? NULL : memchr(line, '\n', (size_t)(rd->end - line));
		if (!nl)
			return bad(rd, "it ends without 'end': it was cut short");
		rd->p = nl + 1;
		if (key_is("end", line, (size_t)(nl - line)))
			return read_end(rd);
		sp = memchr(line, ' ', (size_t)(nl - line));
		if (!sp)
			return bad(rd, "a line is KEY VALUE");
		r = read_key(rd, line, (size_t)(sp - line), sp + 1, (size_t)(nl - sp - 1));
	}
	return r;
}

int viewconf_parse(const char *text, size_t n, struct viewconf *ret, struct err *reterr)
{
	struct viewconf c = {0};
	struct reader rd = {.p = text, .end = text + n, .c = &c, .e = reterr};
	int r = read_lines(&rd);

	if (r < 0) {
		viewconf_release(&c);
		return r == -ENOMEM ? err_set(reterr, r, "no memory to read view.conf") : r;
	}
	*ret = c;
	return 0;
}

static int format_seed(const struct viewconf_seed *s, struct buf *b)
{
	int r = buf_addf(b, "seed %o ", s->mode);

	if (r == 0)
		r = add_escaped(b, s->path);
	if (r == 0)
		r = buf_addf(b, " %zu\n", s->len);
	if (r == 0)
		r = buf_add(b, s->data, s->len);
	return r < 0 ? r : buf_addc(b, '\n');
}

static int format_line(const char *key, const char *v, struct buf *b)
{
	int r = buf_addf(b, "%s ", key);

	if (r == 0)
		r = add_escaped(b, v);
	return r < 0 ? r : buf_addc(b, '\n');
}

int viewconf_format(const struct viewconf *c, struct buf *b)
{
	const char *policy = c->policy ? c->policy : "";
	int r = buf_addf(b, "version %d\nview-id ", VERSION);

	for (size_t i = 0; r == 0 && i < sizeof(c->view_id); i++)
		r = buf_addf(b, "%02x", c->view_id[i]);
	if (r == 0)
		r = buf_addf(b, "\nuid %u\ngid %u\ncreated %llu\n", c->uid, c->gid,
			     (unsigned long long)c->created);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(text_keys); i++) {
		const char *v = *text_field(c, i);

		r = buf_addf(b, "%s ", text_keys[i].name);
		if (r == 0 && v)
			r = add_escaped(b, v);
		if (r == 0)
			r = buf_addc(b, '\n');
	}
	if (r == 0)
		r = buf_addf(b, "policy %zu\n%s\n", strlen(policy), policy);
	for (size_t i = 0; r == 0 && i < c->nseeds; i++)
		r = format_seed(&c->seeds[i], b);
	if (r == 0 && c->seed_from)
		r = format_line("seed-from", c->seed_from, b);
	for (size_t i = 0; r == 0 && i < c->nseed_paths; i++)
		r = format_line("seed-path", c->seed_paths[i], b);
	return r < 0 ? r : buf_adds(b, "end\n");
}

int viewconf_read(int view_dir, struct viewconf *ret, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = io_read_file(view_dir, "view.conf", FILE_MAX, &b);

	if (r < 0)
		return err_set(reterr, r, "cannot read view.conf: %s", strerror(-r));
	return viewconf_parse(b.data, b.len, ret, reterr);
}

int viewconf_write(int view_dir, const struct viewconf *c)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = viewconf_format(c, &b);

	return r < 0 ? r : io_replace_file(view_dir, "view.conf", b.data, b.len, 0644);
}

void viewconf_release(struct viewconf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++)
		free(*text_field(c, i));
	for (size_t i = 0; i < c->nseeds; i++) {
		free(c->seeds[i].path);
		free(c->seeds[i].data);
	}
	free(c->seeds);
	for (size_t i = 0; i < c->nseed_paths; i++)
		free(c->seed_paths[i]);
	free(c->seed_paths);
	free(c->seed_from);
	free(c->policy);
	*c = (struct viewconf){0};
}
