/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects of a repository, read with libgit2's object database alone.
 *
 * Guarantees:
 *  1. Nothing but the object folder and its alternates is opened: no repository, no configuration.
 *     Loose objects are read by odb_loose.c, packs by libgit2.
 *  2. What odb_read() and odb_get() return hashes to the id that was asked for. The hash is ours:
 *     libgit2's looks for collision attacks too, which is for whoever takes objects in, and takes
 *     longer than inflating (24 % against 19 % of the time of a worker that reads a thousand files);
 *     this one is done by the processor's own instructions. A header is not verified.
 *  3. An object that others move while we look (repack, gc, a new pack) is found: after a failure
 *     the handle's view of the folder is refreshed, then a handle is opened anew; only then is the
 *     object missing or damaged.
 *  4. Threads inflate in parallel. libgit2 documents git_odb as thread-safe, but it holds the
 *     handle's lock while it inflates. So there is a pool of handles, one thread in each at a time;
 *     their packs, windows and base cache are shared by libgit2 itself, under its own locks.
 *
 * Lock: odb.lock guards the pool (idle, nidle, nopen) and is never held during a call into git.
 */
#include "odb.h"

#include <git2.h>
#include <nettle/sha1.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "odb_loose.h"
#include "sys.h"

enum { HANDLES_MAX = 8 };

struct odb {
	char *path;
	pthread_mutex_t lock;
	pthread_cond_t returned; /* a handle came back */
	git_odb *idle[HANDLES_MAX];
	int nidle;
	int nopen;		/* idle ones and those that threads hold */
	uint64_t taken, rested; /* how often a handle was taken; when odb_rest() last looked */
};

/* A failure whose class says that the bytes are bad, not the call or the machine. */
static int class_errno(int klass)
{
	switch (klass) {
	case GIT_ERROR_NOMEMORY:
		return -ENOMEM;
	case GIT_ERROR_INVALID:
		return -EINVAL;
	case GIT_ERROR_ZLIB:
	case GIT_ERROR_ODB:
	case GIT_ERROR_OBJECT:
	case GIT_ERROR_TREE:
	case GIT_ERROR_TAG:
	case GIT_ERROR_INDEX:
	case GIT_ERROR_INDEXER:
	case GIT_ERROR_SHA1:
		return -EBADMSG;
	default:
		return -EIO;
	}
}

static int code_errno(int code)
{
	const git_error *e = git_error_last();

	switch (code) {
	case GIT_ENOTFOUND:
	case GIT_EUNBORNBRANCH:
		return -ENOENT;
	case GIT_EEXISTS:
		return -EEXIST;
	case GIT_EMISMATCH:
		return -EBADMSG;
	case GIT_EAMBIGUOUS:
	case GIT_EINVALIDSPEC:
	case GIT_EPEEL:
	case GIT_EINVALID:
		return -EINVAL;
	case GIT_EBUFS:
		return -ENOBUFS;
	case GIT_EUSER:
		return -ECANCELED;
	case GIT_EBAREREPO:
		return -EOPNOTSUPP;
	case GIT_ENONFASTFORWARD:
	case GIT_EUNMERGED:
	case GIT_ECONFLICT:
	case GIT_EMERGECONFLICT:
	case GIT_EUNCOMMITTED:
	case GIT_EINDEXDIRTY:
	case GIT_EAPPLYFAIL:
		return -EEXIST;
	case GIT_ELOCKED:
	case GIT_EMODIFIED:
		return -EBUSY;
	case GIT_EAUTH:
	case GIT_ECERTIFICATE:
	case GIT_EOWNER:
		return -EACCES;
	case GIT_EDIRECTORY:
		return -EISDIR;
	case GIT_EEOF:
		return -EBADMSG;
	default:
		return e ? class_errno(e->klass) : -EIO;
	}
}

int git_errno(int git_code, struct err *reterr, const char *fmt, ...)
{
	const git_error *e = git_error_last();
	_cleanup_free_ char *what = NULL;
	int r = code_errno(git_code);
	va_list ap;

	if (!reterr)
		return r;
	va_start(ap, fmt);
	if (vasprintf(&what, fmt, ap) < 0)
		what = NULL;
	va_end(ap);
	return err_set(reterr, r, "%s: %s", what ? what : "git",
		       e && e->message ? e->message : strerror(-r));
}

static int handle_open(const char *path, git_odb **ret)
{
	git_odb *h = NULL;
	int code = git_odb_open(&h, path);

	if (code == 0)
		code = odb_loose_add(h, path);
	if (code < 0) {
		git_odb_free(h);
		return code;
	}
	*ret = h;
	return 0;
}

static void odb_free(struct odb *o)
{
	for (int i = 0; i < o->nidle; i++)
		git_odb_free(o->idle[i]);
	(void)pthread_cond_destroy(&o->returned);
	(void)pthread_mutex_destroy(&o->lock);
	free(o->path);
	free(o);
	(void)git_libgit2_shutdown();
}

int odb_open(const char *objects_dir, struct odb **ret, struct err *reterr)
{
	struct odb *o;
	int r;

	/* libgit2 opens a folder that does not exist as an empty store. */
	if (access(objects_dir, R_OK | X_OK) < 0)
		return err_set(reterr, -errno, "open object store '%s': %s", objects_dir,
			       strerror(errno));
	r = git_libgit2_init();
	if (r < 0)
		return git_errno(r, reterr, "start libgit2");
	o = sys_calloc(1, sizeof(*o));
	if (!o) {
		(void)git_libgit2_shutdown();
		return err_set(reterr, -ENOMEM, "open object store '%s': out of memory",
			       objects_dir);
	}
	(void)pthread_mutex_init(&o->lock, NULL);
	(void)pthread_cond_init(&o->returned, NULL);
	o->path = sys_strdup(objects_dir);
	if (!o->path) {
		r = err_set(reterr, -ENOMEM, "open object store '%s': out of memory", objects_dir);
		odb_free(o);
		return r;
	}
	r = handle_open(o->path, &o->idle[0]);
	if (r < 0) {
		r = git_errno(r, reterr, "open object store '%s'", objects_dir);
		odb_free(o);
		return r;
	}
	o->nidle = o->nopen = 1;
	*ret = o;
	return 0;
}

void odb_verify_once(void)
{
	(void)git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 0);
}

void odb_close(struct odb *odb)
{
	if (odb)
		odb_free(odb);
}

/* Takes an idle handle, opens one more, or waits for one. NULL: libgit2 could not open it, its
 * code is in *ret_code. */
static git_odb *handle_take(struct odb *o, int *ret_code)
{
	git_odb *h = NULL;

	(void)pthread_mutex_lock(&o->lock);
	o->taken++;
	while (o->nidle == 0 && o->nopen == HANDLES_MAX)
		(void)pthread_cond_wait(&o->returned, &o->lock);
	if (o->nidle > 0)
		h = o->idle[--o->nidle];
	else
		o->nopen++;
	(void)pthread_mutex_unlock(&o->lock);
	if (h)
		return h;
	*ret_code = handle_open(o->path, &h);
	if (*ret_code == 0)
		return h;
	(void)pthread_mutex_lock(&o->lock);
	o->nopen--;
	(void)pthread_cond_signal(&o->returned);
	(void)pthread_mutex_unlock(&o->lock);
	return NULL;
}

static void handle_return(struct odb *o, git_odb *h)
{
	(void)pthread_mutex_lock(&o->lock);
	o->idle[o->nidle++] = h;
	(void)pthread_cond_signal(&o->returned);
	(void)pthread_mutex_unlock(&o->lock);
}

bool odb_rest(struct odb *o)
{
	git_odb *idle[HANDLES_MAX];
	int n = 0;

	(void)pthread_mutex_lock(&o->lock);
	if (o->rested == o->taken && o->nidle == o->nopen) {
		while (o->nidle > 0)
			idle[n++] = o->idle[--o->nidle];
		o->nopen = 0;
	}
	o->rested = o->taken;
	(void)pthread_mutex_unlock(&o->lock);
	for (int i = 0; i < n; i++)
		git_odb_free(idle[i]);
	return n > 0;
}

/* One of the two look-ups: `obj` for the content, else the header. */
struct lookup {
	git_oid id;
	git_odb_object *obj;
	size_t len;
	git_object_t type;
	int want_content;
};

/* Guarantee 2. 0 or GIT_EMISMATCH. */
static int verify(const git_oid *id, git_odb_object *obj)
{
	const size_t size = git_odb_object_size(obj);
	const char *type = git_object_type2string(git_odb_object_type(obj));
	uint8_t sum[SHA1_DIGEST_SIZE];
	struct sha1_ctx sha;
	char head[64];
	int n = snprintf(head, sizeof(head), "%s %zu", type, size);

	sha1_init(&sha);
	sha1_update(&sha, (size_t)n + 1, (const uint8_t *)head);
	sha1_update(&sha, size, git_odb_object_data(obj));
	sha1_digest(&sha, sizeof(sum), sum);
	return memcmp(sum, id->id, sizeof(sum)) == 0 ? 0 : GIT_EMISMATCH;
}

static int lookup_once(git_odb *h, struct lookup *l)
{
	int code;

	if (!l->want_content)
		return git_odb_read_header(&l->len, &l->type, h, &l->id);
	code = git_odb_read(&l->obj, h, &l->id);
	if (code == 0)
		code = verify(&l->id, l->obj);
	if (code < 0) {
		git_odb_object_free(l->obj);
		l->obj = NULL;
	}
	return code;
}

/* Guarantee 3. The handle may be replaced. */
static int lookup_retry(struct odb *o, git_odb **h, struct lookup *l)
{
	git_odb *fresh = NULL;
	int code = lookup_once(*h, l);

	if (code == 0)
		return 0;
	(void)git_odb_refresh(*h);
	code = lookup_once(*h, l);
	if (code == 0)
		return 0;
	/* A handle never forgets a pack that went away, nor sees alternates or a pack folder that
	 * were made after it. */
	if (handle_open(o->path, &fresh) < 0)
		return code;
	git_odb_free(*h);
	*h = fresh;
	return lookup_once(*h, l);
}

static int lookup(struct odb *o, const uint8_t *oid, struct lookup *l)
{
	int code = 0, r = 0;
	git_odb *h = handle_take(o, &code);

	if (!h)
		return code_errno(code);
	memcpy(l->id.id, oid, GIT_OID_RAWSZ);
	code = lookup_retry(o, &h, l);
	if (code < 0)
		r = code_errno(code);
	handle_return(o, h);
	return r;
}

static int known_type(git_object_t type, enum odb_type *ret)
{
	if (type < GIT_OBJECT_COMMIT || type > GIT_OBJECT_TAG)
		return -EBADMSG;
	*ret = (enum odb_type)type;
	return 0;
}

int odb_get(struct odb *odb, const uint8_t *oid, enum odb_type *ret_type, const void **ret,
	    size_t *ret_len, struct odb_object **ret_obj)
{
	struct lookup l = {.want_content = 1};
	int r = lookup(odb, oid, &l);

	if (r < 0)
		return r;
	r = known_type(git_odb_object_type(l.obj), ret_type);
	if (r < 0) {
		git_odb_object_free(l.obj);
		return r;
	}
	*ret = git_odb_object_data(l.obj);
	*ret_len = git_odb_object_size(l.obj);
	*ret_obj = (struct odb_object *)l.obj;
	return 0;
}

void odb_object_free(struct odb_object *obj)
{
	git_odb_object_free((git_odb_object *)obj);
}

int odb_read(struct odb *odb, const uint8_t *oid, enum odb_type *ret_type, void **ret,
	     size_t *ret_len)
{
	struct odb_object *obj;
	enum odb_type type;
	const void *bytes;
	size_t len;
	void *copy;
	int r = odb_get(odb, oid, &type, &bytes, &len, &obj);

	if (r < 0)
		return r;
	copy = sys_memdup(bytes, len);
	odb_object_free(obj);
	if (!copy)
		return -ENOMEM;
	*ret_type = type;
	*ret = copy;
	*ret_len = len;
	return 0;
}

int odb_read_header(struct odb *odb, const uint8_t *oid, enum odb_type *ret_type, size_t *ret_len)
{
	struct lookup l = {0};
	int r = lookup(odb, oid, &l);

	if (r < 0)
		return r;
	r = known_type(l.type, ret_type);
	if (r < 0)
		return r;
	*ret_len = l.len;
	return 0;
}

/*
 * libgit2 built with mbed TLS parses the system's certificates when it starts: 3.5 ms and 600 KiB in
 * every worker and every view's server, none of which ever opens a network connection. This definition
 * stands before the library's, and says that there are none.
 */
__attribute__((visibility("default"))) int mbedtls_x509_crt_parse_file(void *chain,
								       const char *path);

int mbedtls_x509_crt_parse_file(void *chain, const char *path)
{
	(void)chain;
	(void)path;
	return -1;
}
