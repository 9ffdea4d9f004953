/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) a final name in STATE/images is never replaced, so views that map an image and
 * indexes made for it stay true to each other; (2) what the child is told is a kind and a tree
 * name, checked to be 40 hex digits: nothing that an unprivileged parent says can name another
 * file; (3) temporary files are gone when the worker is, however it ended.
 */
#include "publish.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"

enum { TREE_HEX = 40 };

struct message {
	uint32_t kind;
	char tree[TREE_HEX];
};

static const char *suffix(enum publish_kind kind)
{
	return kind == PUBLISH_IMAGE ? "img" : "idx";
}

void publish_name(const struct publish *p, enum publish_kind kind, const char *tree, char *room)
{
	if (kind == PUBLISH_IMAGE)
		(void)snprintf(room, PUBLISH_NAME_MAX, "%.40s.img", tree);
	else
		(void)snprintf(room, PUBLISH_NAME_MAX, "%.40s.%u.%u.idx", tree, p->uid, p->gid);
}

static void temp_name(enum publish_kind kind, const char *view_id, char *room)
{
	(void)snprintf(room, PUBLISH_NAME_MAX, ".%.40s.%s.tmp", view_id, suffix(kind));
}

static int child_put(const struct publish *p, const char *view_id, const struct message *m)
{
	char from[PUBLISH_NAME_MAX], to[PUBLISH_NAME_MAX];

	if (m->kind != PUBLISH_IMAGE && m->kind != PUBLISH_INDEX)
		return -EINVAL;
	if (strspn(m->tree, "0123456789abcdef") < TREE_HEX)
		return -EINVAL;
	temp_name((enum publish_kind)m->kind, view_id, from);
	publish_name(p, (enum publish_kind)m->kind, m->tree, to);
	/* link(2) refuses where the name is taken, on every file system. */
	if (linkat(p->dir, from, p->dir, to, 0) < 0 && errno != EEXIST)
		return -errno;
	if (fsync(p->dir) < 0)
		return -errno;
	return 0;
}

static void child_main(const struct publish *p, const char *view_id, int sock)
{
	char name[PUBLISH_NAME_MAX];
	struct {
		struct message m;
		char end;
	} in = {0};

	while (read(sock, &in.m, sizeof(in.m)) == sizeof(in.m)) {
		int r = child_put(p, view_id, &in.m);

		if (write(sock, &r, sizeof(r)) != sizeof(r))
			break;
	}
	for (enum publish_kind k = PUBLISH_IMAGE; k <= PUBLISH_INDEX; k++) {
		temp_name(k, view_id, name);
		(void)unlinkat(p->dir, name, 0);
	}
	_exit(0);
}

static int open_temp(int dir, enum publish_kind kind, const char *view_id)
{
	char name[PUBLISH_NAME_MAX];
	int fd;

	temp_name(kind, view_id, name);
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

static int start_child(struct publish *p, const char *view_id)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	p->child = fork();
	if (p->child < 0) {
		(void)close(pair[0]);
		(void)close(pair[1]);
		return -errno;
	}
	if (p->child == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		/* The daemon waits for the end of our output: the child must not hold it open. */
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)close(pair[0]);
		(void)close(p->lock);
		child_main(p, view_id, pair[1]);
	}
	(void)close(pair[1]);
	p->pipe = pair[0];
	return 0;
}

int publish_open(int state_fd, const char *view_id, uint32_t uid, uint32_t gid, struct publish *ret,
		 struct err *reterr)
{
	struct publish p = {-1, -1, -1, -1, -1, -1, uid, gid};
	struct stat st;
	int r;

	/* Readable by the owners that workers become; STATE above it is what keeps others out. */
	r = io_mkdir(state_fd, "images", 0755);
	if (r >= 0) {
		p.dir = openat(state_fd, "images", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = p.dir < 0 ? -errno : 0;
	}
	if (r >= 0 && fstat(p.dir, &st) == 0 && (st.st_mode & 0555) != 0555)
		(void)fchmod(p.dir, 0755);
	if (r >= 0) {
		p.lock = openat(p.dir, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = p.lock < 0 ? -errno : 0;
	}
	if (r >= 0)
		r = p.image = open_temp(p.dir, PUBLISH_IMAGE, view_id);
	if (r >= 0)
		r = p.index = open_temp(p.dir, PUBLISH_INDEX, view_id);
	if (r >= 0)
		r = start_child(&p, view_id);
	if (r < 0) {
		publish_close(&p);
		return err_set(reterr, r, "preparing the folder of images: %s", strerror(-r));
	}
	*ret = p;
	return 0;
}

int publish_put(struct publish *p, enum publish_kind kind, const char *tree, struct err *reterr)
{
	struct message m = {.kind = kind};
	int r = -EIO;

	memcpy(m.tree, tree, TREE_HEX);
	if (write(p->pipe, &m, sizeof(m)) != sizeof(m) || read(p->pipe, &r, sizeof(r)) != sizeof(r))
		r = -EIO;
	return r < 0 ? err_set(reterr, r, "keeping the image of tree %.40s: %s", tree, strerror(-r))
		     : 0;
}

void publish_close(struct publish *p)
{
	p->pipe = safe_close(p->pipe);
	if (p->child > 0)
		(void)waitpid(p->child, NULL, 0);
	p->child = -1;
	p->dir = safe_close(p->dir);
	p->image = safe_close(p->image);
	p->index = safe_close(p->index);
	p->lock = safe_close(p->lock);
}
