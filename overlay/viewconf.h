/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/*
 * What a view is, as the daemon tells its server and worker: STATE/views/<agent>/view.conf, lines
 * "key value", written once at creation and replaced when branch or task change. (view.json beside it
 * is the same for people and tools.) The format is at the head of viewconf.c. Keys: version, view-id, agent, task, role, department, branch,
 * target, repository, objects, base-commit, tree, image, index, uid, gid, mount, created (ns), and
 * any number of `seed MODE PATH LENGTH\n<bytes>\n`, the files of the view's own .git; or one, of the path
 * ".git", which is .git itself. Where untracked files are seeded (seed.h): seed-from, and any number of
 * seed-path.
 */
struct viewconf_seed {
	char *path;
	uint32_t mode; /* S_IFREG | 0644, S_IFDIR | 0755 */
	char *data;
	size_t len;
};

struct viewconf {
	uint8_t view_id[16];
	char *agent, *task, *role, *department, *branch, *target;
	char *repository;  /* its git folder (common dir), absolute */
	char *objects;	   /* its objects folder, absolute */
	char *base_commit; /* hex */
	char *tree;	   /* hex */
	char *image;	   /* file name below STATE/images */
	char *index; /* file name below STATE/images: shown as .git/index until git writes it; or "" */
	char *mount;  /* absolute */
	char *policy; /* policy text */
	uint32_t uid, gid;
	uint64_t created;
	struct viewconf_seed *seeds;
	size_t nseeds;
	char *seed_from;   /* the main worktree, absolute; NULL: nothing is seeded */
	char **seed_paths; /* files and folders in it that the view shows as its own */
	size_t nseed_paths;
};

/* The pure half: n bytes of text, which may be hostile, to *ret (caller releases) and back. Errors:
 * -EBADMSG with line and reason, -EPROTONOSUPPORT, -ENOMEM. */
int viewconf_parse(const char *text, size_t n, struct viewconf *ret, struct err *reterr);
int viewconf_format(const struct viewconf *c, struct buf *b);

/* Parses STATE/views/<agent>/view.conf. Errors: -ENOENT, -EBADMSG with line, -EPROTONOSUPPORT. */
int viewconf_read(int view_dir, struct viewconf *ret, struct err *reterr);

/* Replaces it atomically. Errors: -errno. */
int viewconf_write(int view_dir, const struct viewconf *c);
void viewconf_release(struct viewconf *c);
