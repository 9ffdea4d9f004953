/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of new objects: a backend of libgit2's object database, asked before all others.
 *
 * Guarantees:
 *  1. An object that a pack of the repository has is not written again, but freshened as git does, so
 *     that no prune that is under way takes it. Another is written, whether it is there loose or not.
 *  2. After objects_flush() every object of the batch is on the disk: up to LOOSE_MAX as loose objects,
 *     each synced (no pack for every single file); more of them as one pack (pack.c).
 *  3. A crash before the end of objects_flush() leaves nothing, or remainders that git gc removes.
 *  4. Ids are computed with collision detection (libgit2's hash), as git does.
 *
 * Why a pack: a loose object costs a file, a rename and a sync of its own; in a pack all share three
 * syncs. Measured: materialize of 1,000 changed files of 50,000 (2,350 objects) took 670 ms with loose
 * objects and one syncfs, which also waits for everybody else's dirty pages, and takes 120 ms.
 *
 * Compression: pack.compression, core.compression, else the fastest, which is what git takes for loose
 * objects; a later git gc packs all of it anew. By libdeflate, which has the whole at hand as we do:
 * with zlib deflating was 30 % of a worker's time.
 *
 * Lock: `lock` guards the table, the pack and the pool of compressors; nothing of libgit2 is called
 * under it (libgit2 calls the backend under a lock of its own, and that under packs_lock). Hashing and deflating run outside.
 */
#include "objects.h"

#include <git2/sys/odb_backend.h>
#include <libdeflate.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "buf.h"
#include "cleanup.h"
#include "odb.h"
#include "pack.h"
#include "sys.h"

enum { LOOSE_MAX = 16, SQUEEZERS_MAX = 4, HEAD_MAX = 10, LEVEL_FASTEST = 1 };
#define PACK_MAX (UINT64_C(1) << 30) /* offsets in an index of ours have 31 bits */

struct object {
	struct pack_entry e; /* its id is the key */
	struct pack *pack;
	uint64_t size;
	git_object_t type;
	UT_hash_handle hh;
};

struct part {
	struct pack *pack;
	bool placed; /* in the repository, as a pack or loose */
	struct part *next;
};

struct objects {
	git_odb_backend backend; /* first: libgit2 hands us its address */
	char *folder;
	int level;
	pthread_mutex_t lock;
	pthread_mutex_t packs_lock; /* one thread asks the other backends; nothing else under it */
	struct object *table;
	struct part *parts; /* newest first */
	struct libdeflate_compressor *idle[SQUEEZERS_MAX];
	size_t nidle;
	git_odb *plain; /* the folder without this batch, for streams */
};

static struct objects *of_backend(git_odb_backend *b)
{
	return (struct objects *)b;
}

/* --- deflating ---------------------------------------------------------------------------------
 */

static struct libdeflate_compressor *squeezer_take(struct objects *o)
{
	struct libdeflate_compressor *c = NULL;

	pthread_mutex_lock(&o->lock);
	if (o->nidle)
		c = o->idle[--o->nidle];
	pthread_mutex_unlock(&o->lock);
	return c ? c : libdeflate_alloc_compressor(o->level);
}

static void squeezer_return(struct objects *o, struct libdeflate_compressor *c)
{
	pthread_mutex_lock(&o->lock);
	if (o->nidle < SQUEEZERS_MAX) {
		o->idle[o->nidle++] = c;
		c = NULL;
	}
	pthread_mutex_unlock(&o->lock);
	libdeflate_free_compressor(c);
}

/* Type and size in front of a packed entry: 4 bits of the size, then 7 a byte, lowest first. */
static size_t entry_head(git_object_t type, uint64_t size, uint8_t *p)
{
	size_t n = 0;
	uint8_t c = (uint8_t)((unsigned)type << 4 | (size & 15));

	for (size >>= 4; size; size >>= 7) {
		p[n++] = c | 0x80;
		c = size & 0x7f;
	}
	p[n++] = c;
	return n;
}

/* Appends the packed entry. */
static int pack_up(struct objects *o, git_object_t type, const void *p, size_t n, struct buf *b)
{
	struct libdeflate_compressor *c = squeezer_take(o);
	uint8_t head[HEAD_MAX];
	size_t room, got;
	int r = c ? buf_add(b, head, entry_head(type, n, head)) : -ENOMEM;

	if (r == 0)
		r = buf_reserve(b, libdeflate_zlib_compress_bound(c, n));
	if (r == 0) {
		room = b->cap - b->len;
		got = libdeflate_zlib_compress(c, p, n, b->data + b->len, room);
		b->len += got;
		r = got ? 0 : -EIO;
	}
	if (c)
		squeezer_return(o, c);
	return r;
}

/* --- the batch ---------------------------------------------------------------------------------
 */

static struct object *find(struct objects *o, const git_oid *id)
{
	struct object *found = NULL;

	pthread_mutex_lock(&o->lock);
	HASH_FIND(hh, o->table, id, sizeof(*id), found);
	pthread_mutex_unlock(&o->lock);
	return found; /* objects stay until the batch goes */
}

/* The pack that is being filled. Under the lock. */
static int current_pack(struct objects *o, struct pack **ret)
{
	struct part *part = o->parts;
	int r;

	if (!part || part->placed || pack_size(part->pack) > PACK_MAX) {
		part = sys_calloc(1, sizeof(*part));
		r = part ? pack_new(o->folder, &part->pack) : -ENOMEM;
		if (r < 0) {
			free(part);
			return r;
		}
		part->next = o->parts;
		o->parts = part;
	}
	*ret = part->pack;
	return 0;
}

static int append(struct objects *o, struct object *obj, const struct buf *b)
{
	int r = current_pack(o, &obj->pack);

	if (r == 0)
		r = pack_append(obj->pack, b->data, b->len, &obj->e.off);
	obj->e.len = b->len;
	obj->e.crc = libdeflate_crc32(0, b->data, b->len);
	return r;
}

/* Under no lock; another thread may bring the same object. */
static int add(struct objects *o, const git_oid *id, const void *p, size_t n, git_object_t type)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct object *obj = sys_calloc(1, sizeof(*obj)), *known = NULL;
	int r = obj ? pack_up(o, type, p, n, &b) : -ENOMEM;

	if (r < 0) {
		free(obj);
		return r;
	}
	obj->e.oid = *id;
	obj->size = n;
	obj->type = type;
	pthread_mutex_lock(&o->lock);
	HASH_FIND(hh, o->table, id, sizeof(*id), known);
	if (!known)
		r = append(o, obj, &b);
	if (!known && r == 0)
		HASH_ADD(hh, o->table, e.oid, sizeof(obj->e.oid), obj);
	pthread_mutex_unlock(&o->lock);
	if (known || r < 0)
		free(obj);
	return r;
}

static int load(struct objects *o, const struct object *obj, void *ret)
{
	_cleanup_free_ uint8_t *packed = sys.malloc(obj->e.len);
	uint8_t head[HEAD_MAX];
	size_t skip = entry_head(obj->type, obj->size, head);
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	int r = packed && d ? 0 : -ENOMEM;

	if (r == 0) {
		pthread_mutex_lock(&o->lock);
		r = pack_read(obj->pack, obj->e.off, packed, obj->e.len);
		pthread_mutex_unlock(&o->lock);
	}
	/* Without a place for the size it must come out exactly. */
	if (r == 0 && libdeflate_zlib_decompress(d, packed + skip, obj->e.len - skip, ret,
						 obj->size, NULL) != LIBDEFLATE_SUCCESS)
		r = -EIO;
	libdeflate_free_decompressor(d);
	return r;
}

/* --- as a backend ------------------------------------------------------------------------------
 */

static int backend_read(void **ret, size_t *ret_n, git_object_t *ret_type, git_odb_backend *b,
			const git_oid *id)
{
	struct objects *o = of_backend(b);
	const struct object *obj = find(o, id);
	char *p;

	if (!obj)
		return GIT_ENOTFOUND;
	p = git_odb_backend_data_alloc(b, obj->size + 1);
	if (!p || load(o, obj, p) < 0) {
		git_odb_backend_data_free(b, p);
		return GIT_ERROR;
	}
	p[obj->size] = '\0'; /* libgit2's own do so */
	*ret = p;
	*ret_n = obj->size;
	*ret_type = obj->type;
	return 0;
}

static int backend_read_header(size_t *ret_n, git_object_t *ret_type, git_odb_backend *b,
			       const git_oid *id)
{
	const struct object *obj = find(of_backend(b), id);

	if (!obj)
		return GIT_ENOTFOUND;
	*ret_n = obj->size;
	*ret_type = obj->type;
	return 0;
}

static int backend_write(git_odb_backend *b, const git_oid *id, const void *p, size_t n,
			 git_object_t type)
{
	int r = add(of_backend(b), id, p, n, type);

	if (r < 0)
		(void)git_error_set_str(GIT_ERROR_ODB, strerror(-r));
	return r < 0 ? GIT_ERROR : 0;
}

static int backend_exists(git_odb_backend *b, const git_oid *id)
{
	return find(of_backend(b), id) != NULL;
}

static void backend_free(git_odb_backend *b)
{
	struct objects *o = of_backend(b);
	struct object *obj, *tmp;

	HASH_ITER (hh, o->table, obj, tmp) {
		HASH_DEL(o->table, obj);
		free(obj);
	}
	while (o->parts) {
		struct part *part = o->parts;

		o->parts = part->next;
		pack_free(part->pack);
		free(part);
	}
	while (o->nidle)
		libdeflate_free_compressor(o->idle[--o->nidle]);
	git_odb_free(o->plain);
	(void)pthread_mutex_destroy(&o->lock);
	(void)pthread_mutex_destroy(&o->packs_lock);
	free(o->folder);
	free(o);
}

static int level_of(git_repository *git)
{
	static const char *const keys[] = {"pack.compression", "core.compression"};
	git_config *config = NULL;
	int32_t level = LEVEL_FASTEST;
	bool found = false;

	if (git_repository_config_snapshot(&config, git) < 0)
		return level;
	for (size_t i = 0; !found && i < ARRAY_SIZE(keys); i++)
		found = git_config_get_int32(&level, config, keys[i]) == 0;
	git_config_free(config);
	if (level == -1) /* zlib's own choice */
		return 6;
	return level >= 0 && level <= 9 ? level : LEVEL_FASTEST;
}

int objects_begin(git_repository *git, const char *folder, struct objects **ret, struct err *reterr)
{
	struct objects *o = sys_calloc(1, sizeof(*o));
	git_odb *odb = NULL;
	int r;

	if (!o)
		return -ENOMEM;
	(void)pthread_mutex_init(&o->lock, NULL);
	(void)pthread_mutex_init(&o->packs_lock, NULL);
	o->folder = folder ? sys_strdup(folder) : NULL;
	o->level = level_of(git);
	r = git_odb_init_backend(&o->backend, GIT_ODB_BACKEND_VERSION);
	o->backend.read = backend_read;
	o->backend.read_header = backend_read_header;
	o->backend.write = backend_write;
	o->backend.exists = backend_exists;
	o->backend.free = backend_free;
	if (r == 0)
		r = git_repository_odb(&odb, git);
	if (r == 0 && folder && !o->folder)
		r = -1;
	if (r == 0)
		r = git_odb_add_backend(odb, &o->backend, 1000);
	git_odb_free(odb);
	if (r < 0) {
		backend_free(&o->backend);
		return git_errno(r, reterr, "opening the objects");
	}
	*ret = o;
	return 0;
}

/* --- from outside ------------------------------------------------------------------------------
 */

static struct objects *batch_of(git_odb *odb)
{
	for (size_t i = 0; i < git_odb_num_backends(odb); i++) {
		git_odb_backend *b = NULL;

		if (git_odb_get_backend(&b, odb, i) == 0 && b->read == backend_read)
			return of_backend(b);
	}
	return NULL;
}

/* Is it in a pack? Loose objects are not asked for: a walk through folders for each new object costs
 * more than the few that are then in a pack, too, which the next gc finds out. */
static bool is_packed(git_odb *odb, const git_oid *id)
{
	for (size_t i = 0; i < git_odb_num_backends(odb); i++) {
		git_odb_backend *b = NULL;

		if (git_odb_get_backend(&b, odb, i) == 0 && b->writepack && b->exists &&
		    b->exists(b, id))
			return true;
	}
	return false;
}

/* Guarantee 1: git_odb_write() freshens what is there. It would look for what is not by reading the
 * pack folder once more for every object, which is why it is asked only then. */
static int put(struct objects *o, git_odb *odb, git_object_t type, const void *p, size_t n,
	       git_oid *ret)
{
	int r = git_odb_hash(ret, p, n, type);
	bool packed;

	if (r < 0)
		return git_errno(r, NULL, "hashing");
	if (find(o, ret))
		return 0;
	(void)pthread_mutex_lock(&o->packs_lock);
	packed = is_packed(odb, ret);
	if (packed)
		r = git_odb_write(ret, odb, p, n, type);
	(void)pthread_mutex_unlock(&o->packs_lock);
	if (r < 0)
		return git_errno(r, NULL, "writing");
	return packed ? 0 : add(o, ret, p, n, type);
}

int objects_put(git_repository *git, git_object_t type, const void *p, size_t n, git_oid *ret)
{
	git_odb *odb = NULL;
	struct objects *o;
	int r = git_repository_odb(&odb, git);

	if (r < 0)
		return git_errno(r, NULL, "opening the objects");
	o = batch_of(odb);
	if (o) {
		r = put(o, odb, type, p, n, ret);
	} else {
		r = git_odb_write(ret, odb, p, n, type);
		r = r < 0 ? git_errno(r, NULL, "writing") : 0;
	}
	git_odb_free(odb);
	return r;
}

int objects_stream(git_repository *git, uint64_t size, git_odb_stream **ret)
{
	git_odb *odb = NULL;
	struct objects *o;
	int r = git_repository_odb(&odb, git);

	o = r == 0 ? batch_of(odb) : NULL;
	if (o && o->folder && !o->plain)
		r = git_odb_open(&o->plain, o->folder);
	if (r == 0)
		r = git_odb_open_wstream(ret, o && o->plain ? o->plain : odb, size,
					 GIT_OBJECT_BLOB);
	git_odb_free(odb);
	return r < 0 ? git_errno(r, NULL, "writing") : 0;
}

/* --- to the disk -------------------------------------------------------------------------------
 */

static size_t count_in(const struct objects *o, const struct pack *pack)
{
	size_t n = 0;

	for (const struct object *obj = o->table; obj; obj = obj->hh.next)
		n += obj->pack == pack;
	return n;
}

/* The table keeps the order in which objects came: what a tree refers to stands before it. */
static int write_loose(struct objects *o, const struct pack *pack, struct err *reterr)
{
	git_odb_backend *loose = NULL;
	int r = git_odb_backend_loose(&loose, o->folder, o->level, 1, 0, 0);

	for (const struct object *obj = o->table; r == 0 && obj; obj = obj->hh.next) {
		_cleanup_free_ void *p = obj->pack == pack ? sys.malloc(obj->size + 1) : NULL;

		if (obj->pack != pack)
			continue;
		r = p ? load(o, obj, p) : -ENOMEM;
		if (r == 0)
			r = loose->write(loose, &obj->e.oid, p, obj->size, obj->type);
	}
	if (r < 0)
		r = git_errno(r, reterr, "writing objects to '%s'", o->folder);
	if (loose)
		loose->free(loose);
	return r;
}

static int write_pack(struct objects *o, struct pack *pack, size_t n, struct err *reterr)
{
	_cleanup_free_ struct pack_entry *entries = sys_calloc(n, sizeof(*entries));
	size_t at = 0;

	if (!entries)
		return -ENOMEM;
	for (const struct object *obj = o->table; obj; obj = obj->hh.next)
		if (obj->pack == pack)
			entries[at++] = obj->e;
	return pack_land(pack, entries, n, reterr);
}

int objects_flush(struct objects *o, struct err *reterr)
{
	int r = 0;

	for (struct part *part = o->parts; r == 0 && part; part = part->next) {
		size_t n = part->placed ? 0 : count_in(o, part->pack);

		if (!n)
			continue;
		r = n <= LOOSE_MAX ? write_loose(o, part->pack, reterr)
				   : write_pack(o, part->pack, n, reterr);
		part->placed = r == 0;
	}
	return r;
}

void objects_release(struct objects *o)
{
	for (struct part *part = o->parts; part; part = part->next)
		pack_release(part->pack);
}
