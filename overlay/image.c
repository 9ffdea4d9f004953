/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mapped base image.
 *
 * Guarantees:
 *  1. No byte outside the map is read, whatever the file holds: the header's areas are checked
 *     against the file's size once, and a node is handed out only when its name, its parent and its
 *     range of children are inside. A walk downwards ends: children stand after their folder.
 *  2. A lookup answers with a node whose parent is the folder asked.
 *  3. An image is never changed after it got its name, so any number of processes share its pages.
 *
 * A file that is cut off while it is mapped raises SIGBUS on access; whoever serves requests (fs/)
 * turns that into EIO for the request. Nothing here catches it. Readers that must not die of it
 * call image_verify() on a file that nobody else writes.
 *
 * The file, little-endian, no gaps:
 *
 *   off size
 *     0    8  magic "AFSIMG\0\0"
 *     8    4  version, 1. A reader refuses others
 *    12    4  header size, 128
 *    16    8  compatible features, 0: a reader ignores bits that it does not know
 *    24    8  incompatible features, 0: a reader refuses bits that it does not know
 *    32    4  hash of the object ids: 1 SHA-1 (20 bytes used of each 32)
 *    36    4  size of a node, 64
 *    40    8  count of nodes, 1 to 2^32 - 16
 *    48    8  offset of the nodes, 128
 *    56    8  offset of the name area, 128 + 64 * count
 *    64    8  size of the name area, below 2^32; the file ends there
 *    72    8  time in ns since 1970 that base nodes show as mtime and ctime
 *    80   32  id of the tree
 *   112    8  XXH3-64 (seed 0) of all bytes from 128 to the end of the file
 *   120    8  XXH3-64 of the bytes 0 to 119
 *   128       nodes in level order, 64 bytes each:
 *               0   32  object id, zero-padded: blob, tree, a gitlink's commit
 *              32    8  size of a file or of a symlink's target; 0 for folders and gitlinks
 *              40    4  place of the parent, less than the own place; the root's is 0
 *              44    4  folders with children: place of the first, more than the own; else 0
 *              48    4  count of children
 *              52    4  offset of the name in the name area
 *              56    2  length of the name, 1 to 255; the root's is 0
 *              58    2  mode 0040000, 0100644, 0100755, 0120000 or 0160000
 *              60    4  how many children are folders or gitlinks
 *             A folder's children are contiguous and sorted bytewise by name (git sorts a folder as
 *             if its name ended in '/': not here). The root is place 0.
 *   ...       names, one after the other in the order of the nodes, without separators
 *
 * User and group are not in the image: a view shows its own.
 */
#include "image.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "cleanup.h"
#include "image_format.h"
#include "sys.h"

struct image {
	const struct image_header *h; /* the map */
	size_t size;
	const struct image_node *nodes;
	const char *names;
	uint32_t count;
	uint32_t names_size;
};

static int check_identity(const struct image_header *h, const char *name, struct err *reterr)
{
	if (memcmp(h->magic, IMAGE_MAGIC, sizeof(h->magic)) != 0)
		return err_set(reterr, -EBADMSG, "open image '%s': this is no image", name);
	if (h->version != IMAGE_VERSION || h->incompat)
		return err_set(reterr, -EPROTONOSUPPORT,
			       "open image '%s': it was written by a newer version (format %u, "
			       "features %#llx)",
			       name, h->version, (unsigned long long)h->incompat);
	if (h->hash != IMAGE_HASH_SHA1)
		return err_set(reterr, -EPROTONOSUPPORT, "open image '%s': unknown hash %u", name,
			       h->hash);
	return 0;
}

static int check_areas(const struct image_header *h, uint64_t size)
{
	if (h->header_size != sizeof(*h) || h->node_size != sizeof(struct image_node))
		return -EBADMSG;
	if (h->count < 1 || h->count > IMAGE_COUNT_MAX || h->names_size > IMAGE_NAMES_MAX)
		return -EBADMSG;
	if (h->nodes_off != sizeof(*h) ||
	    h->names_off != sizeof(*h) + h->count * sizeof(struct image_node))
		return -EBADMSG;
	return h->names_off + h->names_size == size ? 0 : -EBADMSG;
}

static int check_header(const struct image_header *h, uint64_t size, const char *name,
			struct err *reterr)
{
	int r = check_identity(h, name, reterr);

	if (r < 0)
		return r;
	if (XXH3_64bits(h, offsetof(struct image_header, header_sum)) != h->header_sum)
		return err_set(reterr, -EBADMSG,
			       "open image '%s': its header is damaged; remove the file", name);
	if (check_areas(h, size) < 0)
		return err_set(reterr, -EBADMSG,
			       "open image '%s': its size does not fit its header; remove the file",
			       name);
	return 0;
}

int image_open(int dir, const char *name, struct image **ret, struct err *reterr)
{
	_cleanup_close_ int fd = sys.openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);
	const struct image_header *h;
	struct image *img;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(reterr, -errno, "open image '%s': %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < sizeof(*h))
		return err_set(reterr, -EBADMSG, "open image '%s': this is no image", name);
	h = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (h == MAP_FAILED)
		return err_set(reterr, -errno, "map image '%s': %s", name, strerror(errno));
	r = check_header(h, (uint64_t)st.st_size, name, reterr);
	img = r < 0 ? NULL : sys_calloc(1, sizeof(*img));
	if (r == 0 && !img)
		r = err_set(reterr, -ENOMEM, "open image '%s': out of memory", name);
	if (r < 0) {
		(void)munmap((void *)h, (size_t)st.st_size);
		return r;
	}
	img->h = h;
	img->size = (size_t)st.st_size;
	img->nodes = (const struct image_node *)((const char *)h + h->nodes_off);
	img->names = (const char *)h + h->names_off;
	img->count = (uint32_t)h->count;
	img->names_size = (uint32_t)h->names_size;
	*ret = img;
	return 0;
}

void image_close(struct image *img)
{
	if (!img)
		return;
	(void)munmap((void *)img->h, img->size);
	free(img);
}

int image_verify(const struct image *img)
{
	const char *body = (const char *)img->h + sizeof(*img->h);

	return XXH3_64bits(body, img->size - sizeof(*img->h)) == img->h->body_sum ? 0 : -EBADMSG;
}

uint32_t image_count(const struct image *img)
{
	return img->count;
}

uint64_t image_time_ns(const struct image *img)
{
	return img->h->time_ns;
}

size_t image_oid_size(const struct image *img)
{
	return 20;
}

const uint8_t *image_tree_oid(const struct image *img)
{
	return img->h->tree;
}

/* Guarantee 1 for one node. */
static bool children_inside(const struct image *img, uint32_t place, const struct image_node *n)
{
	if (n->children == 0)
		return n->first_child == 0 && n->subdirs == 0;
	return n->mode == 0040000 && n->first_child > place && n->subdirs <= n->children &&
	       (uint64_t)n->first_child + n->children <= img->count;
}

static bool node_valid(const struct image *img, uint32_t place, const struct image_node *n)
{
	if (n->mode != 0040000 && n->mode != 0100644 && n->mode != 0100755 && n->mode != 0120000 &&
	    n->mode != 0160000)
		return false;
	if ((uint64_t)n->name + n->name_len > img->names_size)
		return false;
	if (place == 0)
		return n->mode == 0040000 && n->name_len == 0 && n->parent == 0 &&
		       children_inside(img, place, n);
	return n->parent < place && n->name_len >= 1 && n->name_len <= 255 &&
	       children_inside(img, place, n);
}

const struct image_node *image_node(const struct image *img, uint32_t place)
{
	if (place >= img->count || !node_valid(img, place, &img->nodes[place]))
		return NULL;
	return &img->nodes[place];
}

const char *image_name(const struct image *img, const struct image_node *n, size_t *ret_len)
{
	if ((uint64_t)n->name + n->name_len > img->names_size) {
		*ret_len = 0;
		return "";
	}
	*ret_len = n->name_len;
	return img->names + n->name;
}

static int compare(const char *a, size_t alen, const char *b, size_t blen)
{
	int c = memcmp(a, b, alen < blen ? alen : blen);

	if (c != 0)
		return c;
	return (alen > blen) - (alen < blen);
}

int64_t image_lookup(const struct image *img, uint32_t dir, const char *name, size_t len)
{
	const struct image_node *d = image_node(img, dir);
	uint32_t lo, hi;

	if (!d)
		return -ENOENT;
	if (d->mode == 0160000)
		return -ENOENT; /* shown as an empty folder */
	if (d->mode != 0040000)
		return -ENOTDIR;
	lo = d->first_child;
	hi = lo + d->children;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const struct image_node *n = &img->nodes[mid];
		size_t nlen;
		const char *s = image_name(img, n, &nlen);
		int c = compare(name, len, s, nlen);

		if (c == 0)
			return n->parent == dir && image_node(img, mid) ? (int64_t)mid : -ENOENT;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return -ENOENT;
}

uint64_t image_ino(uint32_t place)
{
	return place == 0 ? 1 : (uint64_t)place + 2;
}
