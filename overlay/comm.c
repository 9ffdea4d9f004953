/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a pid is. Read from /proc inside the handler, while the caller waits: a millisecond after the
 * reply most short-lived processes are gone. A small cache by pid, good for a moment, so that a process
 * that writes a thousand times is read once; a pid is not reused within that moment.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"
#include "view_internal.h"

enum { SLOTS = 64, COMM_MAX = 15 };
#define FRESH_NS INT64_C(50000000)

struct slot {
	uint32_t pid;
	int64_t when;
	uint64_t cgroup;
	uint8_t len;
	char name[COMM_MAX + 1];
};

struct comm_cache {
	struct slot slots[SLOTS];
};

struct comm_cache *comm_cache_new(void)
{
	return sys_calloc(1, sizeof(struct comm_cache));
}

void comm_cache_free(struct comm_cache *c)
{
	free(c);
}

static size_t read_small(const char *path, char *p, size_t n)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t k = fd < 0 ? -1 : read(fd, p, n);

	return k < 0 ? 0 : (size_t)k;
}

/* The cgroup's id is the inode of its folder (as cgroup_id() in the kernel); version 2 only. */
static uint64_t read_cgroup(uint32_t pid)
{
	char path[64], text[4096], full[4200];
	struct stat st;
	char *p, *end;
	size_t n;

	(void)snprintf(path, sizeof(path), "/proc/%u/cgroup", pid);
	n = read_small(path, text, sizeof(text) - 1);
	text[n] = '\0';
	p = strstr(text, "0::/");
	if (!p || (p != text && p[-1] != '\n'))
		return 0;
	end = strchr(p, '\n');
	if (end)
		*end = '\0';
	(void)snprintf(full, sizeof(full), "/sys/fs/cgroup%s", p + 3);
	return stat(full, &st) == 0 ? st.st_ino : 0;
}

struct bytes comm_lookup(struct comm_cache *c, uint32_t pid, uint64_t *ret_cgroup)
{
	struct slot *s = &c->slots[pid % SLOTS];
	int64_t now = (int64_t)sys_now_ns();

	if (s->pid != pid || now - s->when > FRESH_NS) {
		char path[32], name[32];
		size_t n;

		(void)snprintf(path, sizeof(path), "/proc/%u/comm", pid);
		n = read_small(path, name, sizeof(name));
		while (n > 0 && name[n - 1] == '\n')
			n--;
		if (n > COMM_MAX)
			n = COMM_MAX;
		s->pid = pid;
		s->len = (uint8_t)n;
		memcpy(s->name, name, n);
		s->name[n] = '\0';
		s->cgroup = read_cgroup(pid);
	}
	s->when = now;
	*ret_cgroup = s->cgroup;
	return (struct bytes){s->name, s->len};
}
