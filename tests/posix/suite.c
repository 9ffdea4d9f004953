/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix-suite: what POSIX and Linux promise of a file system, asserted on any folder.
 *
 *     posix-suite [--area AREA]... [--view] [--pool DIR] [--matrix] [--json] [--list] DIR
 *
 * Makes a folder of its own in DIR, checks, removes it. As root it plays an owner, a member of the group, one who
 * is in it by a supplementary group, and another; as a user it checks what that user can. With --view the folder is in a
 * view, where four things are otherwise (exceptions.c has the list, and asserts what a view answers
 * instead). Last line: "N checks, N failed". Exit 0 all hold, 1 some do not, 2 usage.
 */
#include <getopt.h>
#include <time.h>

#include "posix.h"

struct suite suite;

const struct area areas[] = {
	{"chmod", area_chmod},
	{"chown", area_chown},
	{"create", area_create},
	{"fallocate", area_fallocate},
	{"link", area_link},
	{"mkdir", area_mkdir},
	{"mkfifo", area_mkfifo},
	{"mknod", area_mknod},
	{"open", area_open},
	{"rename", area_rename},
	{"rmdir", area_rmdir},
	{"symlink", area_symlink},
	{"truncate", area_truncate},
	{"unlink", area_unlink},
	{"unlinked", area_unlinked},
	{"utimensat", area_utimensat},
	{"times", area_times},
	{"xattr", area_xattr},
	{"acl", area_acl},
	{"sparse", area_sparse},
	{"mmap", area_mmap},
	{"locks", area_locks},
	{"dirstream", area_dirstream},
	{"append", area_append},
	{"copy", area_copy},
	{"io", area_io},
	{"statfs", area_statfs},
	{"names", area_names},
	{"permission", area_permission},
	{"exceptions", area_exceptions},
};
const size_t nareas = sizeof(areas) / sizeof(*areas);

enum { AREAS_MAX = 64 };

struct options {
	const char *dir, *wanted[AREAS_MAX];
	size_t nwanted;
	bool matrix, json, list;
};

static void usage(FILE *f)
{
	fputs("usage: posix-suite [--area AREA]... [--view] [--pool DIR] [--matrix] [--json] [--list] DIR\n",
	      f);
}

static const struct area *area_named(const char *name)
{
	for (size_t i = 0; i < nareas; i++)
		if (strcmp(areas[i].name, name) == 0)
			return &areas[i];
	return NULL;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{"area", required_argument, NULL, 'a'}, {"view", no_argument, NULL, 'v'},
		{"matrix", no_argument, NULL, 'm'},	{"json", no_argument, NULL, 'j'},
		{"list", no_argument, NULL, 'l'},	{"pool", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},	{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (c) {
		case 'a':
			if (o->nwanted == AREAS_MAX || !area_named(optarg)) {
				fprintf(stderr, "posix-suite: there is no area '%s'; see --list\n",
					optarg);
				return -EINVAL;
			}
			o->wanted[o->nwanted++] = optarg;
			break;
		case 'v':
			suite.view = true;
			break;
		case 'p':
			suite.pool = realpath(optarg, NULL); /* for the life of the process */
			if (!suite.pool) {
				fprintf(stderr, "posix-suite: '%s': %s\n", optarg, strerror(errno));
				return -EINVAL;
			}
			break;
		case 'm':
			o->matrix = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'l':
			o->list = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			return -EINVAL;
		}
	}
	if (o->list)
		return 0;
	if (optind + 1 != argc) {
		usage(stderr);
		return -EINVAL;
	}
	o->dir = argv[optind];
	return 0;
}

static bool is_wanted(const struct options *o, const char *name)
{
	for (size_t i = 0; i < o->nwanted; i++)
		if (strcmp(o->wanted[i], name) == 0)
			return true;
	return o->nwanted == 0;
}

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	double start = now();

	if (parse(argc, argv, &o) < 0)
		return 2;
	for (size_t i = 0; o.list && i < nareas; i++)
		puts(areas[i].name);
	if (o.list)
		return 0;
	results_init();
	world_init(o.dir);
	for (size_t i = 0; i < nareas; i++) {
		if (!is_wanted(&o, areas[i].name))
			continue;
		suite.area = areas[i].name;
		areas[i].run();
	}
	world_end();
	if (o.matrix)
		results_matrix(stdout);
	if (o.json)
		results_json(stdout, now() - start);
	else
		printf("%u checks, %u failed\n", results_checks(), results_failed());
	return results_failed() ? 1 : 0;
}
