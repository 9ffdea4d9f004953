/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeds: untracked, git-ignored files of the main worktree (.env, node_modules/ …) that appear in
 * every new view, copy-on-write, although nothing is copied when it is made.
 *
 * view.conf names the main worktree and the paths to take (a folder is one path, whatever is in it;
 * the worker resolves the patterns, daemon/create_untracked.c). From there:
 *
 *     view.conf ──first opening──► names of these paths      one OP_SEED per path
 *     folder    ──looked into────► its names                 one OP_SEED per folder (large: several)
 *     file      ──first read or──► its bytes in the view's   one OP_SEED per file
 *                 write, rename    own data segments
 *
 * What is promised:
 * (1) What was never looked at costs nothing: no node, no record, no byte. Creation costs the same for
 *     one file in a folder as for 100,000.
 * (2) A name of the base is never replaced, and no name that the agent made or removed.
 * (3) Replaying the journal needs no look at the main worktree: names, numbers, modes, sizes, times
 *     and bytes are those that were taken over, in every process that reads the view's files.
 * (4) The main worktree is never written, and is read as the view's user: what that user could not
 *     read there, the view does not show, whoever runs the server (seed_source.c).
 * (5) A file's bytes are those of one moment. They are taken over at the first read if the file stood
 *     still meanwhile (size, times and inode before and after are equal; else it is tried again). If it
 *     changed since its name was taken over, the new bytes are taken, the attributes corrected and the
 *     kernel told before the reader is answered: who reads to the end gets all of it (who asked for the
 *     size before, and reads no further, so many bytes). After that the main worktree does not matter to it. Taken over are all files up to
 *     SEED_OWN_MAX (64 MiB); a larger one, which every view would copy whole for one look into it, is
 *     read through, each read being checked before and after: if it changed, the pages that the kernel
 *     has are dropped, the attributes corrected, and the reader who might have mixed old and new hears
 *     EIO once. A file that there is no room to copy is read so, too. A write takes over a file of up to 1 GiB; beyond
 *     that it is EFBIG.
 * (6) What is gone from the main worktree: a file that nobody read answers EIO, with a sentence in the
 *     log, until it is back or the agent replaces or removes it. A folder that nobody looked into is
 *     empty from then on. (EIO for it would keep the agent from removing it or filling it anew.)
 * (7) An unchanged seed is no change of the view's: not in diff, status or materialize, not counted by
 *     list. It becomes the agent's own by a write, chmod, rename or link. Below a folder that the agent
 *     moved all is the agent's; what was not taken over by then is so when a snapshot is asked for.
 * (8) Only what git ignores is taken, from `seed:` as from .worktreeinclude: a secret that is no
 *     change may be added by `git add -A` all the same if git does not ignore it.
 * (9) A folder that a redirect rule names, too, is seeded, in the overlay; made anew by the agent it is
 *     redirected (view_redirect.c).
 *
 * Seeds are owned by the view's user, without suid and sgid; times are those of the main worktree.
 * Symlinks stay symlinks, wherever they lead: the kernel follows them as the agent. Hard links are
 * files of their own. Fifos, sockets, devices, mount points and everything called .git are left out.
 *
 * In a tree: NODE_F_SEED is a node that came so and is unchanged. `node.seed` is where it still comes
 * from: a file with bytes has then one extent of EXTENT_SEED over its whole size, a folder has no
 * names; it goes with the record that takes them over. A regular node with `seed` has NODE_F_SEED.
 *
 * OP_SEED (little-endian); mask is one of enum seed_kind:
 *
 *   SEED_NAMES   node = the folder; path = that folder in the main worktree; node2 = number of the first
 *                name's node, the others follow; value = names, each
 *                    0  u32  mode, type and permissions
 *                    4  u16  length of the name
 *                    6  u16  length of a symlink's target, else 0
 *                    8  u64  size
 *                   16  u64  inode
 *                   24  i64  mtime, ns
 *                   32  i64  ctime, ns
 *                   40  …    name, target
 *                bit 31 of the mode: a folder of which only what is named is taken (SEED_HOLDER).
 *                With SEED_MORE further names follow: a crash between two such records leaves a folder
 *                that is looked into once more; names that are there are passed over.
 *   SEED_BYTES   node; size, mtime = the file as it was taken; value = pieces of u64 offset, u64 length,
 *                u64 data address, which together are the file
 *   SEED_ATTRS   node; size, mtime, offset = ctime, count = inode
 *   SEED_DONE    node = the root
 *
 * Bytes are in the data segments before the record that names them. A crash between leaves bytes that
 * nothing refers to.
 */
#include "seed.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_HEADER = 40, PIECE = 24 };
#define SEED_HOLDER (UINT32_C(1) << 31)

static void put(char *p, uint64_t v, size_t n)
{
	v = htole64(v);
	memcpy(p, &v, n);
}

static uint64_t get(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return le64toh(v);
}

int seed_encode(struct buf *b, const struct seed_name *n)
{
	char h[NAME_HEADER];
	int r = buf_reserve(b, sizeof(h) + n->name.n + n->target.n);

	if (r < 0)
		return r;
	put(h, n->mode | (n->holder ? SEED_HOLDER : 0), 4);
	put(h + 4, n->name.n, 2);
	put(h + 6, n->target.n, 2);
	put(h + 8, n->size, 8);
	put(h + 16, n->ino, 8);
	put(h + 24, (uint64_t)n->mtime, 8);
	put(h + 32, (uint64_t)n->ctime, 8);
	(void)buf_add(b, h, sizeof(h));
	(void)buf_add(b, n->name.p, n->name.n);
	return n->target.n ? buf_add(b, n->target.p, n->target.n) : 0;
}

static bool name_is_sound(const struct seed_name *n)
{
	if (!tree_name_ok(n->name.p, n->name.n) || (n->mode & ~(uint32_t)(S_IFMT | 0777)))
		return false;
	switch (n->mode & S_IFMT) {
	case S_IFREG:
		return !n->target.n && !n->holder && n->size <= INT64_MAX;
	case S_IFDIR:
		return !n->target.n;
	case S_IFLNK:
		return n->target.n && n->target.n <= SEED_TARGET_MAX && !n->holder &&
		       !memchr(n->target.p, '\0', n->target.n);
	default:
		return false;
	}
}

int seed_decode(struct bytes *b, struct seed_name *ret)
{
	uint32_t mode;
	size_t all;

	if (!b->n)
		return 0;
	if (b->n < NAME_HEADER)
		return -EBADMSG;
	mode = (uint32_t)get(b->p, 4);
	*ret = (struct seed_name){
		.name = {b->p + NAME_HEADER, get(b->p + 4, 2)},
		.mode = mode & ~SEED_HOLDER,
		.holder = mode & SEED_HOLDER,
		.size = get(b->p + 8, 8),
		.ino = get(b->p + 16, 8),
		.mtime = (int64_t)get(b->p + 24, 8),
		.ctime = (int64_t)get(b->p + 32, 8),
	};
	ret->target.n = get(b->p + 6, 2);
	all = NAME_HEADER + ret->name.n + ret->target.n;
	if (all > b->n)
		return -EBADMSG;
	ret->target.p = ret->name.p + ret->name.n;
	if (!name_is_sound(ret))
		return -EBADMSG;
	b->p += all;
	b->n -= all;
	return 1;
}

int seed_encode_piece(struct buf *b, const struct seed_piece *p)
{
	char h[PIECE];

	put(h, p->off, 8);
	put(h + 8, p->len, 8);
	put(h + 16, p->place, 8);
	return buf_add(b, h, sizeof(h));
}

int seed_decode_piece(struct bytes *b, struct seed_piece *ret)
{
	if (!b->n)
		return 0;
	if (b->n < PIECE)
		return -EBADMSG;
	*ret = (struct seed_piece){get(b->p, 8), get(b->p + 8, 8), get(b->p + 16, 8)};
	b->p += PIECE;
	b->n -= PIECE;
	return 1;
}

int seed_each_piece(const struct record *rec, int (*fn)(uint64_t place, uint64_t len, void *user),
		    void *user)
{
	struct bytes left = rec->value;
	struct seed_piece p;
	int r;

	if (rec->op != OP_SEED || (rec->mask & SEED_KINDS) != SEED_BYTES)
		return 0;
	while ((r = seed_decode_piece(&left, &p)) > 0) {
		r = fn(p.place, p.len, user);
		if (r < 0)
			return r;
	}
	return r;
}
