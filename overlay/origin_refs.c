/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Branches and tags of the shared repository, as the text of a packed-refs file: what is loose wins
 * over what is packed, a branch that names another is followed, and what git would not accept as a
 * ref is left out. Read anew each time, so a fetch in a view sees what the repository holds now;
 * refs of ours (refs/agentfs/), other remotes' and the stash are not shown.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "origin_internal.h"

enum {
	HEX = 40,
	REF_FILE_MAX = 4096,
	PACKED_MAX = 256 << 20,
	SHALLOW_MAX = 64 << 20,
	DEPTH_MAX = 64,
	SYMREFS_MAX = 5,
	REFS_MAX = 1 << 20
};

struct ref {
	char *name, *link; /* link: the ref that it names, instead of an id */
	char hex[HEX + 1];
	size_t order; /* of two of a name the later counts */
};

struct refs {
	struct ref *v;
	size_t n, cap;
};

static void refs_release(struct refs *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].link);
	}
	free(l->v);
	*l = (struct refs){0};
}

static bool is_shown(const char *name)
{
	return strncmp(name, "refs/heads/", 11) == 0 || strncmp(name, "refs/tags/", 10) == 0;
}

static bool is_legal(const char *name)
{
	size_t n = strlen(name);

	for (const char *p = name; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || strchr("~^:?*[\\", *p))
			return false;
	return n && name[n - 1] != '/' && !strstr(name, "..") && !strstr(name, "//") &&
	       !strstr(name, "/.") && !strstr(name, "@{") &&
	       !(n > 5 && strcmp(name + n - 5, ".lock") == 0);
}

static int add_ref(struct refs *l, const char *name, const char *hex, const char *link)
{
	struct ref *r;

	if (!is_shown(name) || !is_legal(name) || l->n >= REFS_MAX)
		return 0;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct ref *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	r = &l->v[l->n];
	*r = (struct ref){.name = strdup(name), .link = link ? strdup(link) : NULL, .order = l->n};
	l->n++;
	if (hex)
		(void)snprintf(r->hex, sizeof(r->hex), "%.*s", HEX, hex);
	return r->name && (!link || r->link) ? 0 : -ENOMEM;
}

static bool is_id(const char *p, size_t n)
{
	return n >= HEX && strspn(p, "0123456789abcdef") >= HEX;
}

/* "<id>" or "ref: <name>", as loose refs and HEAD hold it; ends the text in place. */
static int parse_ref(struct buf *b, const char **ret_hex, const char **ret_link)
{
	while (b->len && isspace((unsigned char)b->data[b->len - 1]))
		b->data[--b->len] = '\0';
	*ret_hex = *ret_link = NULL;
	if (!b->len)
		return -EBADMSG;
	if (strncmp(b->data, "ref:", 4) == 0) {
		*ret_link = b->data + 4 + strspn(b->data + 4, " \t");
		return is_legal(*ret_link) ? 0 : -EBADMSG;
	}
	*ret_hex = b->data;
	return b->len == HEX && is_id(b->data, b->len) ? 0 : -EBADMSG;
}

/* --- reading; as the owner --- */

static int read_at(int dir, const char *name, size_t max, struct buf *b)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? io_read_fd(fd, max, b) : -ENOENT;
}

static int add_packed(int dir, struct refs *l)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = read_at(dir, "packed-refs", PACKED_MAX, &b);
	char *save = NULL;

	if (r < 0 || !b.data)
		return r == -ENOENT ? 0 : r;
	for (char *s = strtok_r(b.data, "\n", &save); s && r == 0; s = strtok_r(NULL, "\n", &save))
		if (is_id(s, strlen(s)) && s[HEX] == ' ')
			r = add_ref(l, s + HEX + 1, s, NULL);
	return r;
}

static int add_loose(int dir, struct buf *name, unsigned depth, struct refs *l);

static int add_entry(int dir, const char *entry, struct buf *name, unsigned depth, struct refs *l)
{
	_cleanup_close_ int fd = openat(dir, entry, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *hex, *link;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* it went meanwhile */
	if (S_ISDIR(st.st_mode))
		return depth < DEPTH_MAX ? add_loose(TAKE_FD(fd), name, depth + 1, l) : 0;
	if (!S_ISREG(st.st_mode) || io_read_fd(fd, REF_FILE_MAX, &b) < 0 ||
	    parse_ref(&b, &hex, &link) < 0)
		return 0;
	return add_ref(l, name->data, hex, link);
}

/* Consumes dir, whose name (such as "refs/heads") is in `name`. */
static int add_loose(int dir, struct buf *name, unsigned depth, struct refs *l)
{
	DIR *d = fdopendir(dir);
	size_t old = name->len;
	struct dirent *e;
	int r = 0;

	if (!d) {
		(void)safe_close(dir);
		return 0;
	}
	while (r == 0 && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		r = buf_addc(name, '/');
		if (r == 0)
			r = buf_adds(name, e->d_name);
		if (r == 0)
			r = add_entry(dirfd(d), e->d_name, name, depth, l);
		name->len = old;
		name->data[old] = '\0';
	}
	(void)closedir(d);
	return r;
}

static int add_all_loose(int dir, struct refs *l)
{
	static const char *const tops[] = {"refs/heads", "refs/tags"};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tops) && r == 0; i++) {
		_cleanup_buf_ struct buf name = BUF_INIT;
		int fd = openat(dir, tops[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r = buf_adds(&name, tops[i]);
		if (fd >= 0 && r == 0)
			r = add_loose(fd, &name, 0, l);
		else
			(void)safe_close(fd);
	}
	return r;
}

static int by_name(const void *a, const void *b)
{
	const struct ref *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : x->order < y->order ? -1 : 1;
}

/* Sorted, and each name once. */
static void settle(struct refs *l)
{
	size_t kept = 0;

	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_name);
	for (size_t i = 0; i < l->n; i++) {
		if (kept && strcmp(l->v[kept - 1].name, l->v[i].name) == 0) {
			kept--;
			free(l->v[kept].name);
			free(l->v[kept].link);
		}
		l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

static const struct ref *find(const struct refs *l, const char *name)
{
	const struct ref key = {.name = (char *)name};
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(key.name, l->v[mid].name);

		if (c == 0)
			return &l->v[mid];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

static const char *id_of(const struct refs *l, const struct ref *r)
{
	for (unsigned i = 0; r && r->link && i < SYMREFS_MAX; i++)
		r = find(l, r->link);
	return r && !r->link ? r->hex : NULL;
}

static int packed_refs(int dir, struct buf *ret)
{
	struct refs l = {0};
	int r = add_packed(dir, &l);

	if (r == 0)
		r = add_all_loose(dir, &l);
	if (r == 0)
		settle(&l);
	if (r == 0)
		r = buf_adds(ret, "# pack-refs with: sorted \n");
	for (size_t i = 0; r == 0 && i < l.n; i++) {
		const char *hex = id_of(&l, &l.v[i]);

		if (hex)
			r = buf_addf(ret, "%s %s\n", hex, l.v[i].name);
	}
	refs_release(&l);
	return r;
}

static int head(int dir, struct buf *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *hex, *link;
	int r = read_at(dir, "HEAD", REF_FILE_MAX, &b);

	if (r == 0)
		r = parse_ref(&b, &hex, &link);
	if (r < 0)
		return buf_adds(ret, "ref: refs/heads/main\n");
	return link ? buf_addf(ret, "ref: %s\n", link) : buf_addf(ret, "%s\n", hex);
}

int origin_text(struct origin *o, enum origin_text what, struct buf *ret)
{
	_cleanup_close_ int dir = -1;
	int r = origin_as_owner(o);

	if (r < 0)
		return r;
	dir = open(o->repository, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : 0;
	if (r == 0)
		switch (what) {
		case ORIGIN_HEAD:
			r = head(dir, ret);
			break;
		case ORIGIN_CONFIG:
			r = buf_adds(ret, "[core]\n\trepositoryformatversion = 0\n\tbare = true\n");
			break;
		case ORIGIN_PACKED_REFS:
			r = packed_refs(dir, ret);
			break;
		case ORIGIN_SHALLOW:
			r = read_at(dir, "shallow", SHALLOW_MAX, ret);
			break;
		}
	origin_as_self(o);
	return r;
}
