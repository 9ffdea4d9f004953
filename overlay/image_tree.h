/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Git's tree objects as bytes: checked, and sorted as an image has them. */
enum { TREE_OID_SIZE = 20, TREE_NAME_MAX = 255 };

/* One entry, borrowed from the object's bytes. */
struct tree_entry {
	const char *name;
	size_t len;
	const uint8_t *oid;
	uint16_t mode; /* 0040000, 0100644, 0100755, 0120000 or 0160000 */
};

/* Zero-initialised is empty. */
struct tree_entries {
	struct tree_entry *v;
	size_t n;
	size_t cap;
};

/* Reads the bytes of tree `tree` into `es` (empty), sorted bytewise by name. Refuses what git would
 * not check out: head of image_tree.c. Errors, naming tree and name: -EBADMSG, -ENAMETOOLONG,
 * -ENOMEM. */
int tree_parse(const uint8_t *tree, const void *bytes, size_t len, struct tree_entries *es,
	       struct err *reterr);
void tree_entries_release(struct tree_entries *es);

/* For messages: an id in hex; a name whose control bytes are \ooo, shortened to what fits. */
struct oid_hex {
	char s[2 * TREE_OID_SIZE + 1];
};
struct quoted_name {
	char s[128];
};
struct oid_hex oid_hex(const uint8_t *oid);
struct quoted_name quote_name(const char *name, size_t len);
