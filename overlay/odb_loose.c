/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend of libgit2's object database that reads loose objects.
 *
 * libgit2's own loops for ever over a loose object that was cut off (its inflate loop takes no
 * progress for more to come, seen in 1.5): one such file would hang a view. This one is
 * asked first and answers for every loose object that it can open, good or bad.
 *
 * Guarantees:
 *  1. It ends on any bytes: a stream that does not end with exactly the size that its header
 *     says is an error of class ODB, which becomes -EBADMSG.
 *  2. Memory is bounded by the file's size times 1,100: deflate cannot yield more (1,032 times), so
 *     a header that promises more is refused before anything is allocated.
 *
 * A loose object is zlib(type SP decimal-size NUL content). The id is checked by libgit2.
 */
#include "odb_loose.h"

#include <fcntl.h>
#include <git2/sys/odb_backend.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "sys.h"

enum {
	FOLDERS_MAX = 16, /* the store and its alternates */
	DEPTH_MAX = 5,	  /* of alternates of alternates, as in git */
	HEADER_MAX = 64,
	RATIO_MAX = 1100,
	ALTERNATES_FILE_MAX = 1 << 20,
};

struct loose {
	git_odb_backend parent;
	char *folders[FOLDERS_MAX];
	int n;
};

static int bad_object(const git_oid *id, const char *why)
{
	char hex[GIT_OID_HEXSZ + 1];

	git_error_set(GIT_ERROR_ODB, "loose object %s is damaged: %s",
		      git_oid_tostr(hex, sizeof(hex), id), why);
	return GIT_ERROR;
}

/* Opens the object's file in the first folder that has it. GIT_ENOTFOUND: none has. */
static int open_object(const struct loose *l, const git_oid *id, int *ret)
{
	char hex[GIT_OID_HEXSZ + 1];

	(void)git_oid_tostr(hex, sizeof(hex), id);
	for (int i = 0; i < l->n; i++) {
		_cleanup_free_ char *path = NULL;
		int fd;

		if (asprintf(&path, "%s/%.2s/%s", l->folders[i], hex, hex + 2) < 0)
			return GIT_ERROR;
		fd = sys.openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
		if (fd >= 0) {
			*ret = fd;
			return 0;
		}
	}
	return GIT_ENOTFOUND;
}

static git_object_t parse_type(const char *s, size_t n)
{
	static const struct {
		const char *name;
		git_object_t type;
	} types[] = {
		{"commit", GIT_OBJECT_COMMIT},
		{"tree", GIT_OBJECT_TREE},
		{"blob", GIT_OBJECT_BLOB},
		{"tag", GIT_OBJECT_TAG},
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strlen(types[i].name) == n && memcmp(types[i].name, s, n) == 0)
			return types[i].type;
	return GIT_OBJECT_INVALID;
}

/* The header of n inflated bytes; its length with the NUL, 0 where it is none. */
static size_t parse_header(const char *p, size_t n, git_object_t *ret_type, uint64_t *ret_size)
{
	const char *nul = memchr(p, '\0', n), *space = nul ? memchr(p, ' ', n) : NULL;
	uint64_t size = 0;

	if (!space || space > nul || nul == space + 1 || nul - space > 20)
		return 0;
	for (const char *d = space + 1; d < nul; d++) {
		if (*d < '0' || *d > '9')
			return 0;
		size = size * 10 + (uint64_t)(*d - '0');
	}
	*ret_type = parse_type(p, (size_t)(space - p));
	*ret_size = size;
	return *ret_type == GIT_OBJECT_INVALID ? 0 : (size_t)(nul - p) + 1;
}

/* Inflates up to n bytes to `out`; how many came. Ends without progress. */
static size_t inflate_some(z_stream *z, void *out, size_t n, bool *ret_end)
{
	size_t done = 0;
	int r = Z_OK;

	*ret_end = false;
	while (r == Z_OK && done < n) {
		uInt room = n - done > (1u << 30) ? 1u << 30 : (uInt)(n - done);

		z->next_out = (Bytef *)out + done;
		z->avail_out = room;
		r = inflate(z, Z_NO_FLUSH);
		if (r == Z_OK && z->avail_out == room)
			break;
		done += room - z->avail_out;
	}
	*ret_end = r == Z_STREAM_END;
	return done;
}

/* The stream is complete: nothing comes after the content and the checksum is right. */
static bool at_end(z_stream *z)
{
	char more;
	bool end;

	return inflate_some(z, &more, 1, &end) == 0 && end;
}

struct object {
	git_object_t type;
	uint64_t size;
	char head[HEADER_MAX]; /* the first inflated bytes, of which `skip` are the header */
	size_t skip;
	size_t have;
};

static int start_object(z_stream *z, const git_oid *id, struct object *o, bool *ret_end)
{
	o->have = inflate_some(z, o->head, sizeof(o->head), ret_end);
	o->skip = parse_header(o->head, o->have, &o->type, &o->size);
	return o->skip ? 0 : bad_object(id, "it has no header");
}

static int inflate_content(struct loose *l, z_stream *z, const git_oid *id, struct object *o,
			   bool end, char **ret)
{
	size_t first = o->have - o->skip;
	char *p;

	if (first > o->size)
		return bad_object(id, "it is longer than its header says");
	p = git_odb_backend_data_alloc(&l->parent, (size_t)o->size + 1);
	if (!p) {
		git_error_set_oom();
		return GIT_ERROR;
	}
	memcpy(p, o->head + o->skip, first);
	if (!end)
		first += inflate_some(z, p + first, (size_t)o->size - first, &end);
	if (first != o->size || (!end && !at_end(z))) {
		git_odb_backend_data_free(&l->parent, p);
		return bad_object(id, "it does not end where its header says");
	}
	p[o->size] = '\0';
	*ret = p;
	return 0;
}

static int read_bytes(struct loose *l, struct buf *file, const git_oid *id, struct object *o,
		      char **ret)
{
	z_stream z = {.next_in = (Bytef *)file->data, .avail_in = (uInt)file->len};
	bool end;
	int r;

	if (inflateInit(&z) != Z_OK) {
		git_error_set_oom();
		return GIT_ERROR;
	}
	r = start_object(&z, id, o, &end);
	if (r == 0 && o->size > file->len * (uint64_t)RATIO_MAX)
		r = bad_object(id, "its header says more than it can hold");
	if (r == 0)
		r = inflate_content(l, &z, id, o, end, ret);
	(void)inflateEnd(&z);
	return r;
}

static int system_error(const git_oid *id, int r)
{
	char hex[GIT_OID_HEXSZ + 1];

	git_error_set(r == -ENOMEM ? GIT_ERROR_NOMEMORY : GIT_ERROR_OS, "read loose object %s: %s",
		      git_oid_tostr(hex, sizeof(hex), id), strerror(-r));
	return GIT_ERROR;
}

static int loose_read(void **ret, size_t *ret_len, git_object_t *ret_type, git_odb_backend *b,
		      const git_oid *id)
{
	struct loose *l = (struct loose *)b;
	_cleanup_close_ int fd = -1;
	_cleanup_buf_ struct buf file = BUF_INIT;
	struct object o = {0};
	char *p = NULL;
	int r = open_object(l, id, &fd);

	if (r < 0)
		return r;
	/* zlib counts its input in 32 bits; git's files of that size stand in packs. */
	r = io_read_fd(fd, UINT32_MAX, &file);
	if (r < 0)
		return system_error(id, r);
	r = read_bytes(l, &file, id, &o, &p);
	if (r < 0)
		return r;
	*ret = p;
	*ret_len = (size_t)o.size;
	*ret_type = o.type;
	return 0;
}

static int loose_read_header(size_t *ret_len, git_object_t *ret_type, git_odb_backend *b,
			     const git_oid *id)
{
	_cleanup_close_ int fd = -1;
	struct object o = {0};
	Bytef start[256];
	z_stream z = {.next_in = start};
	ssize_t n;
	bool end;
	int r = open_object((struct loose *)b, id, &fd);

	if (r < 0)
		return r;
	n = sys.pread(fd, start, sizeof(start), 0);
	if (n < 0)
		return system_error(id, -errno);
	z.avail_in = (uInt)n;
	if (inflateInit(&z) != Z_OK)
		return system_error(id, -ENOMEM);
	r = start_object(&z, id, &o, &end);
	(void)inflateEnd(&z);
	if (r < 0)
		return r;
	*ret_len = (size_t)o.size;
	*ret_type = o.type;
	return 0;
}

static int loose_exists(git_odb_backend *b, const git_oid *id)
{
	_cleanup_close_ int fd = -1;

	return open_object((struct loose *)b, id, &fd) == 0;
}

static void loose_free(git_odb_backend *b)
{
	struct loose *l = (struct loose *)b;

	for (int i = 0; i < l->n; i++)
		free(l->folders[i]);
	free(l);
}

/* A folder that cannot be remembered is left to libgit2's own reader. */
static void add_folder(struct loose *l, const char *folder, int depth);

static void add_alternate(struct loose *l, const char *folder, const char *line, int depth)
{
	_cleanup_free_ char *path = NULL;

	if (*line == '\0' || *line == '#')
		return;
	if (*line == '/')
		add_folder(l, line, depth);
	else if (asprintf(&path, "%s/%s", folder, line) >= 0)
		add_folder(l, path, depth);
}

static void add_folder(struct loose *l, const char *folder, int depth)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	char *save = NULL;

	if (l->n == FOLDERS_MAX || depth > DEPTH_MAX)
		return;
	l->folders[l->n] = sys_strdup(folder);
	if (!l->folders[l->n])
		return;
	l->n++;
	if (asprintf(&path, "%s/info/alternates", folder) < 0 ||
	    io_read_file(AT_FDCWD, path, ALTERNATES_FILE_MAX, &b) < 0 || !b.data)
		return;
	for (char *s = strtok_r(b.data, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		add_alternate(l, folder, s, depth + 1);
}

int odb_loose_add(git_odb *odb, const char *objects_dir)
{
	/* libgit2 asks in the order of priority: packs have 2, its own loose reader 1, and equals
	 * come in the order in which they were added. */
	enum { AFTER_PACKS = 2 };
	struct loose *l = sys_calloc(1, sizeof(*l));
	int r;

	if (!l) {
		git_error_set_oom();
		return GIT_ERROR;
	}
	(void)git_odb_init_backend(&l->parent, GIT_ODB_BACKEND_VERSION);
	l->parent.read = loose_read;
	l->parent.read_header = loose_read_header;
	l->parent.exists = loose_exists;
	l->parent.free = loose_free;
	add_folder(l, objects_dir, 0);
	r = git_odb_add_backend(odb, &l->parent, AFTER_PACKS);
	if (r < 0)
		loose_free(&l->parent);
	return r;
}
