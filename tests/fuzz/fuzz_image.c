/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A base image of any bytes: refused, or walked, looked up, written as an index and used as the
 * previous image of a build without a step outside. Each input is tried as it is and with its
 * header's checksum and areas put right, without which no damage behind the header would be
 * reached.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "fuzz.h"
#include "image.h"
#include "image_build.h"
#include "image_format.h"
#include "io.h"
#include "odb.h"

static int file_of(const void *p, size_t n, char path[32])
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	if (fd < 0 || io_pwrite_full(fd, p, n, 0) < 0)
		abort();
	(void)snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void visit(const struct image *img)
{
	volatile unsigned int sum = 0;

	for (uint32_t place = 0; place <= image_count(img); place++) {
		const struct image_node *n = image_node(img, place);
		const char *name;
		size_t len;
		int64_t found;

		if (!n)
			continue;
		if (n->children > 0 && (n->first_child <= place ||
					(uint64_t)n->first_child + n->children > image_count(img)))
			abort();
		name = image_name(img, n, &len);
		for (size_t i = 0; i < len; i++)
			sum += (unsigned char)name[i];
		(void)sum;
		found = image_lookup(img, n->parent, name, len);
		if (found >= 0 && image_node(img, (uint32_t)found)->parent != n->parent)
			abort();
	}
}

/* An empty store: all that a build can use is the image. */
static struct odb *empty_store(void)
{
	static struct odb *odb;
	char dir[] = "/tmp/agentfs-fuzz-XXXXXX";
	struct err e = ERR_INIT;

	if (odb)
		return odb;
	if (!mkdtemp(dir) || odb_open(dir, &odb, &e) < 0)
		abort();
	(void)rmdir(dir);
	return odb;
}

static void build_from(const struct image *prev)
{
	struct image_build_options opt = {.prev = prev};
	const struct image_node *root = image_node(prev, 0);
	struct image *img = NULL;
	struct err e = ERR_INIT;
	char path[32];
	int fd = file_of("", 0, path);

	if (root && image_build(empty_store(), root->oid, &opt, fd, &e) == 0) {
		if (image_open(AT_FDCWD, path, &img, &e) < 0 || image_verify(img) < 0)
			abort();
		visit(img);
		image_close(img);
	}
	err_release(&e);
	(void)close(fd);
}

static void try_image(const void *p, size_t n)
{
	struct err e = ERR_INIT;
	struct image *img = NULL;
	char path[32];
	int fd = file_of(p, n, path);

	if (image_open(AT_FDCWD, path, &img, &e) == 0) {
		int out = file_of("", 0, path);

		(void)image_verify(img);
		visit(img);
		(void)image_write_index(img, 0, 0, out, &e);
		build_from(img);
		image_close(img);
		(void)close(out);
	}
	err_release(&e);
	(void)close(fd);
}

/* Makes the header fit the size, so that only nodes and names are what the input says. */
static void put_right(uint8_t *p, size_t n)
{
	struct image_header h;
	uint64_t max = (n - sizeof(h)) / sizeof(struct image_node);

	memcpy(&h, p, sizeof(h));
	memcpy(h.magic, IMAGE_MAGIC, sizeof(h.magic));
	h.version = IMAGE_VERSION;
	h.header_size = sizeof(h);
	h.incompat = 0;
	h.hash = IMAGE_HASH_SHA1;
	h.node_size = sizeof(struct image_node);
	h.count = h.count < 1 ? 1 : h.count > max ? max : h.count;
	h.nodes_off = sizeof(h);
	h.names_off = sizeof(h) + h.count * sizeof(struct image_node);
	h.names_size = n - h.names_off;
	h.body_sum = XXH3_64bits(p + sizeof(h), n - sizeof(h));
	h.header_sum = XXH3_64bits(&h, offsetof(struct image_header, header_sum));
	memcpy(p, &h, sizeof(h));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	try_image(data, size);
	if (size < sizeof(struct image_header) + sizeof(struct image_node))
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	put_right(copy, size);
	try_image(copy, size);
	free(copy);
	return 0;
}
