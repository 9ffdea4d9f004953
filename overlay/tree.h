/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base_map.h"
#include "buf.h"
#include "extent.h"
#include "image.h"
#include "table.h"

/*
 * A view's tree: the base image plus, in memory, only what was changed. Not locked: its owner
 * serialises (view.h has the lock table). Changed by apply.c alone.
 *
 * Node numbers: layer << 48 | place + 2; the root is 1. Layer 0 holds what the view made (`place` is a
 * counter), layer 1 the nodes of the first base image, layer n + 1 what the nth sync brought (tree_sync.h);
 * what a sync left as it was keeps its number, so a number's place in the current image is asked of
 * base_map.h. Never reused, the same after a restart.
 */
#define NODE_ROOT	   UINT64_C(1)
#define NODE_AGENTFS	   UINT64_C(2) /* /.agentfs where the base has none */
#define NODE_CONTROL	   UINT64_C(3) /* /.agentfs/control and, behind it, its files (view_control.c) */
#define NODE_UPPER_FIRST   UINT64_C(64) /* what the view makes */
#define NODE_LAYER_SHIFT   48
#define NODE_CONTROL_LAYER (UINT64_C(0xffff) << NODE_LAYER_SHIFT) /* virtual files */
#define NODE_LAYERS_MAX	   UINT32_C(0xfffe)
/* The number that a place gets when layer `layer` brings it; the root's is never used. */
#define NODE_LAYERED(layer, place) ((uint64_t)(layer) << NODE_LAYER_SHIFT | ((uint64_t)(place) + 2))

/* Paths may be long, since a folder is made in a folder: beyond these, a path is -ENAMETOOLONG. */
enum { TREE_PATH_MAX = 65535, TREE_DEPTH_MAX = 2048 };

/* Cookies of names in a listing: those of the base below, the others above. */
#define COOKIE_UPPER (UINT64_C(1) << 32)

/* A name in a folder that the base does not have there, or a whiteout over one that it has. */
struct entry {
	uint64_t dir;
	uint64_t child;		 /* 0: whiteout */
	uint64_t cookie;	 /* place in the listing; 0 for whiteouts */
	struct entry *hash_next; /* names in the same bucket */
	struct entry *link_next; /* other names of the same child */
	uint32_t hash;
	uint16_t len;
	bool scratch; /* made by a scratch verdict */
	char name[];
};

struct xattr {
	struct xattr *next;
	char *name;
	void *value;
	size_t len;
};

enum node_flags {
	NODE_F_BASE_NAME = 1 << 0,   /* still reached by its name in the base */
	NODE_F_DIRTY = 1 << 1,	     /* changed since the last checkpoint */
	NODE_F_BASE_TARGET = 1 << 2, /* symlink whose target is the base's blob (tree_content()) */
	NODE_F_SEED = 1 << 3,	     /* from the main worktree, unchanged (seed.h) */
};

struct node {
	uint64_t id;
	uint32_t mode, uid, gid, rdev, nlink;
	uint32_t flags;
	uint64_t size;
	int64_t atime, mtime, ctime, btime; /* ns */
	struct entry *names;		    /* names other than the one in the base */
	struct xattr *xattrs;
	struct seed *seed; /* where it still comes from, or NULL */
	uint64_t lookups;  /* the kernel's, of nodes that are not in the image */
	union {
		struct extent_map extents; /* regular files */
		char *target;		   /* symlinks (size is its length) */
		struct {		   /* folders: the names above, by cookie; NULL = gone */
			struct entry **list;
			uint32_t n, cap, live, entries; /* live names; entries with whiteouts */
			uint32_t first;			/* all before it are gone */
			uint64_t next_cookie;
		} dir;
	};
};

/* Content of a base that is gone, which extents and symlinks still name by its old number. */
struct kept {
	uint64_t id, size;
	uint8_t oid[IMAGE_OID_MAX];
};

/* Where a sync finds its image (a name in STATE/images). */
struct image_source {
	int (*open)(const char *name, const struct image **ret, void *user);
	void (*close)(const struct image *img, void *user);
	void *user;
};

struct tree {
	const struct image *image; /* borrowed, or `images`' where a sync has brought it */
	bool image_opened;
	struct image_source images;
	struct base_map base; /* the image's places and their numbers */
	struct table kept;    /* struct kept by number */
	uint32_t layer;	      /* 1, and one more for each sync */
	char *image_name;     /* of the last sync; NULL: there was none */
	char *base_commit;    /* the same, hex */
	uint16_t *
		base_lookups; /* the kernel's, by place of the image, or NULL: not counted. Sticky at
				   the maximum: kept too long, never dropped early */
	struct tree_next *next; /* prepared for the next apply: what a sync makes of this tree */
	uint32_t uid, gid;	/* what base nodes show */
	struct table nodes;	/* changed nodes by number */
	struct entry **buckets; /* changed names by (folder, name) */
	size_t nbuckets, nentries;
	uint64_t next_upper; /* number of the next node made */
	uint64_t seq;	     /* last record applied */
	struct extent_live live;
	struct buf dirty_nodes; /* uint64_t numbers of nodes that changed or went since the last */
	struct buf dirty_names; /* checkpoint; {uint64_t dir, uint16_t len, bytes} */
	uint64_t nchanged;	/* nodes in `nodes` that are not folders; for STATUS */
	struct node *spare_nodes[2]; /* prepared for the next apply */
	struct entry *spare_entries[2];
	struct xattr *spare_xattr;
	struct extent *spare_copy; /* OP_COPY: what is copied, offsets in the destination */
	uint32_t spare_ncopy;
	struct spare_seeds *spare_seeds;
	uint64_t nseeds, seed_bytes; /* nodes with NODE_F_SEED, and the data that they refer to */
	struct table *seed_dirs;     /* folders that `seed` of a node refers to, by hash; or NULL */
	bool seeded;		     /* what view.conf names of the main worktree is in */
	uint64_t notes_lost; /* changes that no memory was left to note: only a full one will do */
	bool track;	     /* note what changes for the next checkpoint */
	char *policy;	     /* text of the last RECORD_POLICY, or NULL */
};

/* What stat(2) shows, for changed and unchanged nodes alike. */
struct node_attr {
	uint64_t id, ino, size, blocks; /* blocks of 512 bytes */
	uint32_t mode, uid, gid, rdev, nlink;
	int64_t atime, mtime, ctime, btime;
	bool redirected; /* a folder that lies elsewhere (view_redirect.c), where the view says so */
};

int tree_init(struct tree *t, const struct image *img, uint32_t uid, uint32_t gid);
void tree_release(struct tree *t);

/* The changed node, or NULL (an unchanged base node, or none). */
struct node *tree_node(const struct tree *t, uint64_t id);

/* The node of the current image that has this number (the root's included), or NULL. */
const struct image_node *tree_base(const struct tree *t, uint64_t id);

/* Its place, and the number of a place. */
bool tree_place(const struct tree *t, uint64_t id, uint32_t *ret);
uint64_t tree_number(const struct tree *t, uint32_t place);

/* Content that extents name by the number of a base node: of the current base, or of an earlier one. */
struct base_content {
	uint8_t oid[IMAGE_OID_MAX];
	uint64_t size;
};
int tree_content(const struct tree *t, uint64_t id, struct base_content *ret);

/* Has the file the very bytes that the base node with its number has? */
bool tree_has_base_content(const struct tree *t, const struct node *n);

/* Errors: -ENOENT (-ESTALE is the caller's to say). */
int tree_attr(const struct tree *t, uint64_t id, struct node_attr *ret);
bool tree_is_dir(const struct tree *t, uint64_t id);

/* Number of the child. Errors: -ENOENT, -ENOTDIR, -ENAMETOOLONG. */
int tree_lookup(const struct tree *t, uint64_t dir, const char *name, size_t len, uint64_t *ret);

/* Is it a name that a folder can have? */
bool tree_name_ok(const char *name, size_t len);

/* Whether folder `dir` (by number) has the name in the base. */
bool tree_base_has(const struct tree *t, uint64_t dir, const char *name, size_t len, uint64_t *ret);

/* The changed name, whiteouts included, or NULL. */
struct entry *tree_entry(const struct tree *t, uint64_t dir, const char *name, size_t len);

bool tree_dir_empty(const struct tree *t, uint64_t dir);

/* The next name of a folder behind `cookie` (0 starts; "." and ".." are the caller's). Returns 1, or
 * 0 at the end. The name is borrowed until the tree changes. Cookies stay valid while names come and
 * go: what was there all along is listed once. */
int tree_readdir(const struct tree *t, uint64_t dir, uint64_t cookie, uint64_t *ret_cookie,
		 uint64_t *ret_id, const char **ret_name, size_t *ret_len);

/* One parent of a node (folders have exactly one). Errors: -ENOENT unlinked. */
int tree_parent(const struct tree *t, uint64_t id, uint64_t *ret_parent, const char **ret_name,
		size_t *ret_len);

/* Appends the node's path from the root without a leading slash ("" for the root). With several
 * names, the first; tree_path_of_entry gives that of one. Errors: -ENOENT unlinked,
 * -ENAMETOOLONG, -ENOMEM. */
int tree_path(const struct tree *t, uint64_t id, struct buf *b);
int tree_path_child(const struct tree *t, uint64_t dir, const char *name, size_t len,
		    struct buf *b);

/* Calls fn for each name of the node; stops at a non-zero return. */
int tree_each_name(const struct tree *t, uint64_t id,
		   int (*fn)(uint64_t dir, const char *name, size_t len, void *user), void *user);

/* Is `id` the folder `below` or below it? (rename's EINVAL) */
bool tree_is_below(const struct tree *t, uint64_t id, uint64_t below);

struct xattr *tree_xattr(const struct tree *t, uint64_t id, const char *name, size_t len);

/* The attribute that says where a folder lies (OP_REDIRECT), as a decimal number; nobody is shown it. */
#define TREE_REDIRECT "agentfs.redirect"
uint64_t tree_redirect(const struct tree *t, uint64_t id); /* 0: it is none */

/* The mode that a base node shows. */
uint32_t node_base_mode(const struct image_node *b);

/* st_ino of a number: 1; place + 2 in the image that brought it, with the layers above the first in the
 * upper half; 2^31 + … for what the view made. */
uint64_t node_ino(uint64_t id);

/* --- for apply.c and checkpoint.c --- */

/* Makes a base node a changed one, equal to what it was. Errors: -ENOMEM, -ENOENT. */
int tree_copy_up(struct tree *t, uint64_t id, struct node **ret);
int tree_names_reserve(struct tree *t, size_t n);
void tree_entry_insert(struct tree *t, struct entry *e);
void tree_entry_unhash(struct tree *t, struct entry *e);
void tree_node_drop(struct tree *t, struct node *n);
void tree_node_free(struct node *n, const struct extent_live *live);
struct entry *entry_new(uint64_t dir, const char *name, size_t len);
int dir_reserve(struct node *dir, uint32_t n);
void dir_list_add(struct node *dir, struct entry *e);
void dir_list_remove(struct node *dir, struct entry *e);
