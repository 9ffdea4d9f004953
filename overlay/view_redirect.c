/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redirected folders: node_modules/, target/ and the like, which a rule of the policy names, lie in a plain
 * folder of the view's own outside the overlay, STATE/views/<agent>/redirect/<node>. fs/redirect.c mounts it
 * on the node, which stays an empty folder here; this file knows which nodes those are.
 *
 * Invariants: (1) a folder is redirected when it is made, or never; the plain folder is there before the
 * record that says so (OP_REDIRECT), and goes before the one that removes the node; (2) nothing is ever
 * made below the node: a request that comes there, because its caller stands below the mount or the mount is
 * not there yet, hears ESTALE, upon which the kernel walks the path anew; (3) what is in the plain folder is
 * in no journal, checkpoint or snapshot, is bounded by no quota and goes with the view; its bytes are as
 * durable as its owner has made them.
 *
 * In the tree, and so in checkpoints, the node bears the extended attribute TREE_REDIRECT, which nobody is
 * shown. A crash between MKDIR and OP_REDIRECT leaves an ordinary folder and an empty plain one, which the
 * next start removes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "io.h"
#include "journal.h"
#include "log.h"
#include "sys.h"
#include "view_internal.h"

enum { RECORD_ROOM = 1024, EXCLUDE_MAX = 1 << 20, NAME_ROOM = 24 };

static const char EXCLUDE[] = ".git/info/exclude";

static void plain_name(uint64_t place, char name[static NAME_ROOM])
{
	(void)snprintf(name, NAME_ROOM, "%" PRIu64, place);
}

bool view_redirected(const struct view *v, uint64_t id)
{
	return v->redirects.used && table_get(&v->redirects, id) != NULL;
}

int view_redirect_inside(struct view *v, uint64_t dir)
{
	if (!view_redirected(v, dir))
		return 0;
	if (v->notify && v->notify->inside)
		v->notify->inside(dir, v->notify->inside_user);
	return -ESTALE;
}

/* --- plain folders --- */

static int open_redirect_dir(struct view *v)
{
	int r;

	if (v->redirect_dir >= 0)
		return 0;
	r = io_mkdir(v->view_dir, "redirect", 0711);
	if (r < 0)
		return r;
	v->redirect_dir =
		openat(v->view_dir, "redirect", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return v->redirect_dir < 0 ? -errno : 0;
}

static int make_plain(struct view *v, uint64_t place, const struct node_attr *a)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_ROOM];
	int r = open_redirect_dir(v);

	if (r < 0)
		return r;
	plain_name(place, name);
	if (mkdirat(v->redirect_dir, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(v->redirect_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fchown(fd, a->uid, a->gid) < 0 || fchmod(fd, a->mode & 07777) < 0) {
		r = -errno;
		(void)unlinkat(v->redirect_dir, name, AT_REMOVEDIR);
		return r;
	}
	return 0;
}

static int remove_plain(struct view *v, uint64_t place)
{
	char name[NAME_ROOM];

	plain_name(place, name);
	if (v->redirect_dir < 0 || unlinkat(v->redirect_dir, name, AT_REMOVEDIR) == 0 ||
	    errno == ENOENT)
		return 0;
	return errno == EEXIST ? -ENOTEMPTY : -errno;
}

/* --- which ones there are, lock held --- */

static int add(struct view *v, uint64_t node, uint64_t place)
{
	struct redirect *r = sys_calloc(1, sizeof(*r));

	if (!r || table_put(&v->redirects, node, r) < 0) {
		free(r);
		return -ENOMEM;
	}
	*r = (struct redirect){.node = node, .place = place, .state = VIEW_REDIRECT_WANTED};
	return 0;
}

static int journal_redirect(struct view *v, const struct view_ctx *ctx, uint64_t node,
			    uint64_t place, uint32_t rule)
{
	struct record rec;
	int r = place ? journal_reserve(v->rec.journal, RECORD_ROOM)
		      : journal_reserve_vital(v->rec.journal, RECORD_ROOM);

	if (r < 0)
		return r;
	view_record(v, ctx, &rec, OP_REDIRECT);
	RECORD_SET(&rec, node, F_NODE, node);
	RECORD_SET(&rec, place, F_PLACE, place);
	if (place)
		RECORD_SET(&rec, rule, F_RULE, rule);
	return view_commit(v, &rec);
}

/* The folder that was just made: is it one? */
static bool wanted(const struct view *v, const struct place *at, uint32_t *ret_rule)
{
	_cleanup_buf_ struct buf path = BUF_INIT;

	return v->can_redirect && v->redirects.used < VIEW_REDIRECTS_MAX &&
	       tree_path_child(&v->rec.tree, at->dir, at->name, at->len, &path) == 0 &&
	       policy_redirects(v->policy, path.data, ret_rule) &&
	       policy_may_make_in(v->policy, path.data) &&
	       !policy_hidden(v->policy, path.data, true) && !view_path_in_base(v, path.data);
}

void view_redirect_make(struct view *v, const struct view_ctx *ctx, const struct place *at,
			struct node_attr *a)
{
	uint32_t rule;
	int r;

	if (ctx->internal || !wanted(v, at, &rule))
		return;
	r = make_plain(v, a->id, a);
	if (r == 0)
		r = add(v, a->id, a->id);
	if (r == 0)
		r = journal_redirect(v, ctx, a->id, a->id, rule);
	if (r < 0) {
		free(table_remove(&v->redirects, a->id));
		(void)remove_plain(v, a->id);
		(void)log_warning(r, "redirect '%.*s', it stays in the overlay", (int)at->len,
				  at->name);
		return;
	}
	a->redirected = true;
}

int view_redirect_before_rmdir(struct view *v, uint64_t node)
{
	const struct redirect *r = table_get(&v->redirects, node);

	return r ? remove_plain(v, r->place) : 0;
}

void view_redirect_forget(struct view *v, uint64_t node)
{
	free(table_remove(&v->redirects, node));
}

/* --- opening and closing the view --- */

/* Empty ones that no node has: a crash came between two steps. Others are not ours to remove. */
static void remove_strays(struct view *v)
{
	int fd = v->redirect_dir < 0 ? -1 : fcntl(v->redirect_dir, F_DUPFD_CLOEXEC, 3);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		(void)safe_close(fd);
		return;
	}
	while ((e = readdir(d))) {
		uint64_t node = strtoull(e->d_name, NULL, 10);

		if (node && !table_get(&v->redirects, node))
			(void)unlinkat(v->redirect_dir, e->d_name, AT_REMOVEDIR);
	}
	(void)closedir(d);
}

int view_redirects_load(struct view *v)
{
	const struct node *n;
	struct node_attr a;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && (n = table_next(&v->rec.tree.nodes, &pos))) {
		uint64_t place = n->nlink ? tree_redirect(&v->rec.tree, n->id) : 0;

		if (!place)
			continue;
		r = tree_attr(&v->rec.tree, n->id, &a);
		if (r == 0)
			r = make_plain(v, place, &a); /* gone with the power, or there */
		if (r == 0)
			r = add(v, n->id, place);
	}
	if (r == 0 && faccessat(v->view_dir, "redirect", F_OK, 0) == 0 && open_redirect_dir(v) == 0)
		remove_strays(v);
	return r;
}

void view_redirects_release(struct view *v)
{
	struct redirect *r;
	size_t pos = 0;

	while ((r = table_next(&v->redirects, &pos)))
		free(r);
	table_release(&v->redirects);
	(void)safe_close(v->redirect_dir);
}

/* --- for the server that mounts them --- */

void view_redirect_enable(struct view *v)
{
	pthread_mutex_lock(&v->lock);
	v->can_redirect = true;
	pthread_mutex_unlock(&v->lock);
}

int view_redirects(struct view *v, struct view_redirect **ret, size_t *ret_n)
{
	const struct redirect *r;
	struct view_redirect *all;
	size_t pos = 0, n = 0;

	pthread_mutex_lock(&v->lock);
	all = sys_calloc(v->redirects.used + 1, sizeof(*all));
	while (all && (r = table_next(&v->redirects, &pos)))
		all[n++] = (struct view_redirect){r->node, r->state, r->bytes};
	pthread_mutex_unlock(&v->lock);
	if (!all)
		return -ENOMEM;
	*ret = all;
	*ret_n = n;
	return 0;
}

int view_redirect_path(struct view *v, uint64_t node, struct buf *ret)
{
	int r = -ENOENT;

	pthread_mutex_lock(&v->lock);
	if (view_redirected(v, node))
		r = tree_path(&v->rec.tree, node, ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}

int view_redirect_open(struct view *v, uint64_t node)
{
	const struct redirect *rd;
	char name[NAME_ROOM];
	int fd = -ENOENT;

	pthread_mutex_lock(&v->lock);
	rd = table_get(&v->redirects, node);
	if (rd && v->redirect_dir >= 0) {
		plain_name(rd->place, name);
		fd = openat(v->redirect_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			fd = -errno;
	}
	pthread_mutex_unlock(&v->lock);
	return fd;
}

void view_redirect_set(struct view *v, uint64_t node, enum view_redirect_state state)
{
	struct redirect *r;

	pthread_mutex_lock(&v->lock);
	r = table_get(&v->redirects, node);
	if (r)
		r->state = state;
	pthread_mutex_unlock(&v->lock);
}

void view_redirect_set_bytes(struct view *v, uint64_t node, uint64_t bytes)
{
	struct redirect *r;

	pthread_mutex_lock(&v->lock);
	r = table_get(&v->redirects, node);
	if (r)
		r->bytes = bytes;
	pthread_mutex_unlock(&v->lock);
}

int view_redirect_drop(struct view *v, uint64_t node)
{
	const struct view_ctx self = {.uid = v->conf.uid, .gid = v->conf.gid, .internal = true};
	const struct redirect *rd;
	int r = -ENOENT;

	pthread_mutex_lock(&v->lock);
	rd = table_get(&v->redirects, node);
	if (rd)
		r = remove_plain(v, rd->place);
	if (r == 0)
		r = journal_redirect(v, &self, node, 0, 0);
	if (r == 0)
		view_redirect_forget(v, node);
	pthread_mutex_unlock(&v->lock);
	return r;
}

int view_redirect_uncover(struct view *v, uint64_t node)
{
	bool empty;

	pthread_mutex_lock(&v->lock);
	empty = tree_dir_empty(&v->rec.tree, node);
	pthread_mutex_unlock(&v->lock);
	return empty ? -ENODATA : view_redirect_drop(v, node);
}

/* --- git must not list it as untracked --- */

static bool has_line(const struct buf *b, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = b->data; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strncmp(p, line, n) == 0 && (p[n] == '\n' || !p[n]))
			return true;
	return false;
}

/* The pattern that names the folder, and the file where git looks; lock held. -ENOENT: nothing to do. */
static int find_exclude(struct view *v, uint64_t node, uint64_t *ret_file, char **ret_pattern)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	const struct tree *t = &v->rec.tree;
	uint64_t git, info;
	uint32_t rule;
	int r = tree_path(t, node, &path);

	if (r < 0 || !policy_redirects(v->policy, path.data, &rule))
		return -ENOENT;
	if (tree_lookup(t, NODE_ROOT, ".git", 4, &git) < 0 || !tree_is_dir(t, git))
		return -ENOENT;
	*ret_file = 0;
	if (tree_lookup(t, git, "info", 4, &info) == 0 &&
	    tree_lookup(t, info, "exclude", 7, ret_file) < 0)
		*ret_file = 0;
	*ret_pattern = sys_strdup(policy_rule_pattern(v->policy, rule));
	return *ret_pattern ? 0 : -ENOMEM;
}

int view_redirect_exclude(struct view *v, uint64_t node)
{
	const struct view_ctx self = {.internal = true};
	_cleanup_free_ char *pattern = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_close_ int fd = -1;
	struct node_attr a = {0};
	uint64_t file;
	ssize_t n = 0;
	int r;

	pthread_mutex_lock(&v->lock);
	r = find_exclude(v, node, &file, &pattern);
	if (r == 0 && file)
		r = tree_attr(&v->rec.tree, file, &a);
	pthread_mutex_unlock(&v->lock);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (a.size > EXCLUDE_MAX || buf_reserve(&b, a.size + strlen(pattern) + 2) < 0)
		return -EFBIG;
	if (file)
		n = view_read(v, &self, file, 0, b.data, a.size);
	if (n < 0)
		return (int)n;
	b.len = (size_t)n;
	b.data[n] = '\0';
	if (has_line(&b, pattern))
		return 0;
	r = buf_addf(&b, "%s%s\n", n && b.data[n - 1] != '\n' ? "\n" : "", pattern);
	fd = memfd_create("exclude", MFD_CLOEXEC);
	if (r == 0)
		r = fd < 0 ? -errno : io_pwrite_full(fd, b.data, b.len, 0);
	return r < 0 ? r : view_path_put(v, EXCLUDE, 0644, fd, NULL, NULL, &a);
}
