/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object files of the shared repository, for git in a view.
 *
 * Guarantees:
 *  1. Files are opened with the file-system identity of the repository's owner (setfsuid), so that
 *     root's server shows nothing that the owner could not read, wherever a symlink of his leads.
 *  2. Nothing is written, no configuration is read, no program is run.
 *  3. A file's key follows from its name alone, so that it means the same to a successor.
 *  4. The last ORIGIN_FDS_MAX files stay open while they are used, and a minute longer: a pack that
 *     git gc removes can be read on by whoever has it mapped, and its space is free soon after.
 *
 * A key is 40 bits of the file's hash << 2 | kind. Two files of a kind that agree in these cannot be
 * told apart; git finds that by the hash (one pair is to be expected at a million loose objects).
 *
 * Only what git cannot do without is shown: loose objects, and pack-*.{pack,idx,rev}. Alternates of
 * the repository are united with it, since their paths may be out of reach as well.
 */
#include "origin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "origin_internal.h"
#include "sys.h"

enum { HASH_HEX = 40, KEY_HEX = 10, DEPTH_MAX = 5, ALTERNATES_MAX = 1 << 20, NAMES_MAX = 1 << 20 };
#define IDLE_NS (UINT64_C(60) * 1000000000)

enum kind { KIND_LOOSE, KIND_PACK, KIND_IDX, KIND_REV };
static const char *const suffixes[] = {"", ".pack", ".idx", ".rev"};

/* --- who reads --- */

int origin_as_owner(const struct origin *o)
{
	if (!o->act)
		return 0;
	(void)setfsgid(o->group);
	(void)setfsuid(o->owner);
	if ((uint32_t)setfsuid((uid_t)-1) == o->owner)
		return 0;
	origin_as_self(o);
	return -EPERM;
}

void origin_as_self(const struct origin *o)
{
	if (!o->act)
		return;
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
}

static bool sees_our_mounts(const struct origin *o, uint32_t pid)
{
	char path[64], root[8];
	struct stat st;

	if (!pid || !o->ns_ino)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%u/ns/mnt", pid);
	if (stat(path, &st) < 0 || st.st_ino != o->ns_ino || st.st_dev != o->ns_dev)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%u/root", pid);
	return readlink(path, root, sizeof(root)) == 1 && root[0] == '/';
}

static bool may_read(const char *folder)
{
	_cleanup_free_ char *pack = NULL;

	if (faccessat(AT_FDCWD, folder, R_OK | X_OK, AT_EACCESS) < 0)
		return false;
	if (asprintf(&pack, "%s/pack", folder) < 0) {
		pack = NULL;
		return false;
	}
	return faccessat(AT_FDCWD, pack, R_OK | X_OK, AT_EACCESS) == 0 || errno == ENOENT;
}

bool origin_reachable(struct origin *o, uint32_t pid)
{
	bool act = geteuid() == 0 && o->uid != 0, may = true;

	if (!sees_our_mounts(o, pid))
		return false;
	if (act) {
		(void)setfsgid(o->gid);
		(void)setfsuid(o->uid);
		may = (uint32_t)setfsuid((uid_t)-1) == o->uid;
	}
	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < o->nstores && may; i++)
		may = may_read(o->stores[i]);
	pthread_mutex_unlock(&o->lock);
	if (act) {
		(void)setfsuid(geteuid());
		(void)setfsgid(getegid());
	}
	return may;
}

const char *origin_objects(const struct origin *o)
{
	return o->stores[0]; /* never changes */
}

/* --- the folders --- */

static void add_store(struct origin *o, const char *folder, unsigned depth);

static void add_alternate(struct origin *o, const char *folder, const char *line, unsigned depth)
{
	_cleanup_free_ char *path = NULL;

	if (!*line || *line == '#')
		return;
	if (*line == '/')
		add_store(o, line, depth);
	else if (asprintf(&path, "%s/%s", folder, line) >= 0)
		add_store(o, path, depth);
	else
		path = NULL;
}

static void add_store(struct origin *o, const char *folder, unsigned depth)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	char *save = NULL;

	if (o->nstores == ORIGIN_STORES_MAX || depth > DEPTH_MAX)
		return;
	for (size_t i = 0; i < o->nstores; i++)
		if (strcmp(o->stores[i], folder) == 0)
			return;
	o->stores[o->nstores] = sys_strdup(folder);
	if (!o->stores[o->nstores])
		return;
	o->nstores++;
	if (asprintf(&path, "%s/info/alternates", folder) < 0) {
		path = NULL;
		return;
	}
	if (io_read_file(AT_FDCWD, path, ALTERNATES_MAX, &b) < 0 || !b.data)
		return;
	for (char *s = strtok_r(b.data, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		add_alternate(o, folder, s, depth + 1);
}

int origin_new(const char *repository, const char *objects, uint32_t uid, uint32_t gid,
	       struct origin **ret)
{
	struct origin *o = sys_calloc(1, sizeof(*o));
	struct stat st;

	if (!o)
		return -ENOMEM;
	pthread_mutex_init(&o->lock, NULL);
	o->repository = sys_strdup(repository);
	o->uid = o->owner = uid;
	o->gid = o->group = gid;
	if (stat(repository, &st) == 0) {
		o->owner = st.st_uid;
		o->group = st.st_gid;
	}
	o->act = geteuid() == 0 && o->owner != 0;
	if (stat("/proc/self/ns/mnt", &st) == 0) {
		o->ns_dev = st.st_dev;
		o->ns_ino = st.st_ino;
	}
	if (origin_as_owner(o) == 0) {
		add_store(o, objects, 0);
		origin_as_self(o);
	}
	if (!o->repository || !o->nstores) {
		origin_free(o);
		return -ENOMEM;
	}
	*ret = o;
	return 0;
}

void origin_free(struct origin *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->nstores; i++)
		free(o->stores[i]);
	for (size_t i = 0; i < ORIGIN_FDS_MAX; i++)
		if (o->files[i].used)
			(void)safe_close(o->files[i].fd);
	pthread_mutex_destroy(&o->lock);
	free(o->repository);
	free(o);
}

/* --- names and keys --- */

static int hex_key(const char *hex, enum kind kind, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < KEY_HEX; i++) {
		const char *digits = "0123456789abcdef",
			   *d = hex[i] ? strchr(digits, hex[i]) : NULL;

		if (!d)
			return -ENOENT;
		v = v << 4 | (uint64_t)(d - digits);
	}
	*ret = v << 2 | kind;
	return 0;
}

int origin_key(const char *folder, const char *name, uint64_t *ret)
{
	char hex[HASH_HEX + 1];

	if (strcmp(folder, "pack") != 0) {
		if (strlen(folder) != 2 || strlen(name) != HASH_HEX - 2)
			return -ENOENT;
		(void)snprintf(hex, sizeof(hex), "%s%s", folder, name);
		return strspn(hex, "0123456789abcdef") == HASH_HEX ? hex_key(hex, KIND_LOOSE, ret)
								   : -ENOENT;
	}
	if (strncmp(name, "pack-", 5) != 0 || strspn(name + 5, "0123456789abcdef") != HASH_HEX)
		return -ENOENT;
	for (enum kind k = KIND_PACK; k <= KIND_REV; k++)
		if (strcmp(name + 5 + HASH_HEX, suffixes[k]) == 0)
			return hex_key(name + 5, k, ret);
	return -ENOENT;
}

/* The folder that a key's file lies in, and what it begins with there. */
static void of_key(uint64_t key, char folder[8], char start[32])
{
	char hex[sizeof("0123456789abcdef")];

	(void)snprintf(hex, sizeof(hex), "%010llx", (unsigned long long)(key >> 2));
	if ((key & 3) == KIND_LOOSE) {
		(void)snprintf(folder, 8, "%.2s", hex);
		(void)snprintf(start, 32, "%s", hex + 2);
	} else {
		(void)snprintf(folder, 8, "pack");
		(void)snprintf(start, 32, "pack-%s", hex);
	}
}

/* --- opening; o->lock held, as the owner --- */

static int open_name(const struct origin *o, const char *name)
{
	int r = -ENOENT;

	for (size_t i = 0; i < o->nstores; i++) {
		_cleanup_free_ char *path = NULL;
		_cleanup_close_ int fd = -1;
		struct stat st;

		if (asprintf(&path, "%s/%s", o->stores[i], name) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
			r = -errno;
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			return TAKE_FD(fd);
	}
	return r;
}

static DIR *open_folder(const struct origin *o, size_t store, const char *folder)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", o->stores[store], folder) < 0) {
		path = NULL;
		return NULL;
	}
	return opendir(path);
}

static int open_key(const struct origin *o, uint64_t key)
{
	char folder[8], start[32], name[512];
	int r = -ENOENT;

	of_key(key, folder, start);
	for (size_t i = 0; i < o->nstores && r == -ENOENT; i++) {
		DIR *d = open_folder(o, i, folder);
		struct dirent *e;

		while (d && r == -ENOENT && (e = readdir(d))) {
			uint64_t k;

			if (strncmp(e->d_name, start, strlen(start)) != 0 ||
			    origin_key(folder, e->d_name, &k) < 0 || k != key)
				continue;
			(void)snprintf(name, sizeof(name), "%s/%s", folder, e->d_name);
			r = open_name(o, name);
		}
		if (d)
			(void)closedir(d);
	}
	return r;
}

/* Keeps fd open under its key, in the place of the file that was not used for longest. */
static void keep(struct origin *o, uint64_t key, int fd)
{
	size_t at = 0;

	for (size_t i = 0; i < ORIGIN_FDS_MAX; i++)
		if (o->files[i].used < o->files[at].used)
			at = i;
	if (o->files[at].used)
		(void)safe_close(o->files[at].fd);
	o->files[at].key = key;
	o->files[at].fd = fd;
	o->files[at].used = sys_now_ns();
}

static int find_kept(struct origin *o, uint64_t key)
{
	for (size_t i = 0; i < ORIGIN_FDS_MAX; i++)
		if (o->files[i].used && o->files[i].key == key) {
			o->files[i].used = sys_now_ns();
			return o->files[i].fd;
		}
	return -1;
}

int origin_file(struct origin *o, uint64_t key, const char *name)
{
	int fd, r;

	pthread_mutex_lock(&o->lock);
	fd = find_kept(o, key);
	if (fd < 0) {
		fd = origin_as_owner(o);
		if (fd == 0) {
			fd = name ? open_name(o, name) : open_key(o, key);
			origin_as_self(o);
		}
		if (fd >= 0)
			keep(o, key, fd);
	}
	r = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0 && r < 0)
		r = -errno;
	pthread_mutex_unlock(&o->lock);
	return r;
}

void origin_trim(struct origin *o)
{
	uint64_t now = sys_now_ns();

	pthread_mutex_lock(&o->lock);
	for (size_t i = 0; i < ORIGIN_FDS_MAX; i++)
		if (o->files[i].used && now - o->files[i].used > IDLE_NS) {
			(void)safe_close(o->files[i].fd);
			o->files[i].used = 0;
		}
	pthread_mutex_unlock(&o->lock);
}

/* --- listing --- */

struct name {
	uint64_t key;
	char text[64];
};

static int by_key(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

static int add_names(const struct origin *o, size_t store, const char *folder, uint64_t from,
		     struct buf *names)
{
	DIR *d = open_folder(o, store, folder);
	struct dirent *e;
	int r = 0;

	while (d && r == 0 && (e = readdir(d))) {
		struct name n = {0};

		if (origin_key(folder, e->d_name, &n.key) < 0 || n.key < from ||
		    names->len / sizeof(n) >= NAMES_MAX)
			continue;
		(void)snprintf(n.text, sizeof(n.text), "%.63s", e->d_name);
		r = buf_add(names, &n, sizeof(n));
	}
	if (d)
		(void)closedir(d);
	return r;
}

int origin_list(struct origin *o, const char *folder, uint64_t from, origin_name_fn fn, void *user)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct name *names;
	int r;

	pthread_mutex_lock(&o->lock);
	r = origin_as_owner(o);
	for (size_t i = 0; r == 0 && i < o->nstores; i++)
		r = add_names(o, i, folder, from, &b);
	origin_as_self(o);
	pthread_mutex_unlock(&o->lock);
	names = (struct name *)(void *)b.data;
	if (b.len > sizeof(*names))
		qsort(names, b.len / sizeof(*names), sizeof(*names), by_key);
	for (size_t i = 0; r == 0 && i < b.len / sizeof(*names); i++)
		if (!i || names[i].key != names[i - 1].key)
			r = fn(names[i].text, names[i].key, user);
	return r;
}

int64_t origin_changed(struct origin *o, const char *folder)
{
	int64_t newest = 0;

	pthread_mutex_lock(&o->lock);
	if (origin_as_owner(o) == 0)
		for (size_t i = 0; i < o->nstores; i++) {
			_cleanup_free_ char *path = NULL;
			struct stat st;
			int64_t at;

			if (asprintf(&path, "%s/%s", o->stores[i], folder) < 0) {
				path = NULL;
				continue;
			}
			if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
				continue;
			at = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
			newest = at > newest ? at : newest;
		}
	origin_as_self(o);
	pthread_mutex_unlock(&o->lock);
	return newest;
}
