/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mkimage OBJECTS TREE IMAGE [INDEX UID GID]: compiles a base image, and the index for views of that
 * owner, as the worker does at `create`, so that a test can mount a view without a daemon.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "image_build.h"
#include "odb.h"

static int parse_oid(const char *hex, uint8_t ret_oid[32])
{
	memset(ret_oid, 0, 32);
	if (strlen(hex) != 40)
		return -1;
	for (size_t i = 0; i < 20; i++)
		if (sscanf(hex + 2 * i, "%2hhx", &ret_oid[i]) != 1)
			return -1;
	return 0;
}

static int fail(const struct err *e, const char *what)
{
	(void)fprintf(stderr, "mkimage: %s: %s\n", what, err_text(e));
	return 1;
}

static int split(const char *path, char **ret_dir, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return -1;
	*ret_dir = strndup(path, (size_t)(slash - path));
	*ret_name = slash + 1;
	return *ret_dir ? 0 : -1;
}

static int write_index(const char *image, const char *index, const char *uid, const char *gid)
{
	_cleanup_free_ char *dir = NULL;
	struct err e = {0};
	struct image *img = NULL;
	const char *name;
	int dirfd, fd, r;

	if (split(image, &dir, &name) < 0)
		return 2;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = image_open(dirfd, name, &img, &e);
	(void)close(dirfd);
	if (r < 0)
		return fail(&e, "image_open");
	fd = open(index, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	r = image_write_index(img, (uint32_t)atoi(uid), (uint32_t)atoi(gid), fd, &e);
	image_close(img);
	(void)close(fd);
	return r < 0 ? fail(&e, "image_write_index") : 0;
}

int main(int argc, char **argv)
{
	struct image_build_options opt = {0};
	struct err e = {0};
	struct odb *odb = NULL;
	uint8_t oid[32];
	int fd, r;

	if ((argc != 4 && argc != 7) || parse_oid(argv[2], oid) < 0) {
		(void)fprintf(stderr, "usage: mkimage OBJECTS TREE IMAGE [INDEX UID GID]\n");
		return 2;
	}
	opt.time_ns = (uint64_t)(time(NULL) - 3) * 1000000000u;
	r = odb_open(argv[1], &odb, &e);
	if (r < 0)
		return fail(&e, "odb_open");
	fd = open(argv[3], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	r = image_build(odb, oid, &opt, fd, &e);
	(void)close(fd);
	odb_close(odb);
	if (r < 0)
		return fail(&e, "image_build");
	return argc == 7 ? write_index(argv[3], argv[4], argv[5], argv[6]) : 0;
}
