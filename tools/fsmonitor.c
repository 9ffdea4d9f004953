/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsmonitor VERSION TOKEN: git's fsmonitor hook (core.fsmonitor, protocol version 2) in a view. git
 * runs it in the top folder of the working tree; the view itself answers, through a file that is made
 * when it is looked up (overlay/view_changes.c). Any failure is exit 1: git then looks at every file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = 255 };

static int copy_out(int fd)
{
	char p[65536];

	for (;;) {
		ssize_t n = read(fd, p, sizeof(p)), k;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0;
		for (ssize_t done = 0; done < n; done += k) {
			k = write(STDOUT_FILENO, p + done, (size_t)(n - done));
			if (k < 0)
				return 1;
		}
	}
}

int main(int argc, char **argv)
{
	char path[sizeof(".agentfs/control/") + NAME_BYTES_MAX + 1];
	const char *token;
	int n, fd;

	if (argc != 3 || strcmp(argv[1], "2") != 0)
		return 1;
	/* a token of another monitor, or none: "0" is nobody's */
	token = *argv[2] && !strchr(argv[2], '/') ? argv[2] : "0";
	n = snprintf(path, sizeof(path), ".agentfs/control/changes@%s", token);
	if (n < 0 || (size_t)n >= sizeof(path))
		return 1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? 1 : copy_out(fd);
}
