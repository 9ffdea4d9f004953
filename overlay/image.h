/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/*
 * A base image: one commit's tree, compiled into a read-only file that every view on that tree
 * maps. Nodes stand in level order, so that a folder's children are contiguous and sorted bytewise
 * by name. The bytes are described at the head of image.c.
 */
struct image;

enum { IMAGE_OID_MAX = 32 };

/* On disk and in memory alike (little-endian, 64 bytes). */
struct image_node {
	uint8_t oid[IMAGE_OID_MAX]; /* object id, SHA-1 zero-padded; a gitlink's is its commit */
	uint64_t size;		    /* bytes of a file or symlink's target; 0 for folders */
	uint32_t parent;	    /* place of the parent; the root's is 0 */
	uint32_t first_child;	    /* folders: place of the first child */
	uint32_t children;	    /* folders: how many */
	uint32_t name;		    /* offset in the name area */
	uint16_t name_len;
	uint16_t mode;	  /* git's mode & 0177777: 0040000, 0100644, 0100755, 0120000, 0160000 */
	uint32_t subdirs; /* folders: how many children are folders (gitlinks included) */
};

/* Maps `name` in folder `dir`, checks header and checksum of the header (the whole file's with
 * image_verify()). Every index that a caller gets from it is checked to be in range.
 * Errors: -ENOENT, -EBADMSG damaged, -EPROTONOSUPPORT newer, -errno. */
int image_open(int dir, const char *name, struct image **ret, struct err *reterr);
void image_close(struct image *img);

/* Checks the checksum over the whole file. Errors: -EBADMSG. */
int image_verify(const struct image *img);

uint32_t image_count(const struct image *img);
uint64_t image_time_ns(const struct image *img); /* mtime and ctime that base nodes show */
size_t image_oid_size(const struct image *img);	 /* 20 */
const uint8_t *image_tree_oid(const struct image *img);

/* The node at a place, NULL outside. Place 0 is the root. Borrowed for the image's life. */
const struct image_node *image_node(const struct image *img, uint32_t place);

/* Its name, not NUL-terminated; the root's is empty. */
const char *image_name(const struct image *img, const struct image_node *n, size_t *ret_len);

/* Place of `name` in the folder at `dir`, by binary search. Errors: -ENOENT, -ENOTDIR. */
int64_t image_lookup(const struct image *img, uint32_t dir, const char *name, size_t len);

/* st_ino of a place: 1 for the root, else place + 2. */
uint64_t image_ino(uint32_t place);
