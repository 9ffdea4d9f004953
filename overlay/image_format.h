/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "image.h"

/* The header of an image file as it stands on disk; explained at the head of image.c. Only
 * image.c (reads) and image_build.c (writes) include this. */
enum {
	IMAGE_VERSION = 1,
	IMAGE_HASH_SHA1 = 1,
};

#define IMAGE_MAGIC "AFSIMG\0\0"

struct image_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t header_size;
	uint64_t compat;
	uint64_t incompat;
	uint32_t hash;
	uint32_t node_size;
	uint64_t count;
	uint64_t nodes_off;
	uint64_t names_off;
	uint64_t names_size;
	uint64_t time_ns;
	uint8_t tree[IMAGE_OID_MAX];
	uint64_t body_sum;
	uint64_t header_sum;
};

_Static_assert(sizeof(struct image_header) == 128, "the header is 128 bytes on disk");
_Static_assert(sizeof(struct image_node) == 64, "a node is 64 bytes on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are mapped as they are");

#define IMAGE_COUNT_MAX (UINT64_C(0x100000000) - 16)
#define IMAGE_NAMES_MAX UINT64_C(0xffffffff)
