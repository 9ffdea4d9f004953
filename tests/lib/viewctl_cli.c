/* SPDX-License-Identifier: Apache-2.0 */
/*
 * viewctl_cli SOCKET lock PATH       takes it, prints "locked", waits for the end of its input
 * viewctl_cli SOCKET unlink PATH
 * viewctl_cli SOCKET put PATH FILE   replaces PATH in the view by the content of FILE
 * viewctl_cli SOCKET policy FILE     another policy
 * viewctl_cli SOCKET snapshot        prints the sequence number
 * viewctl_cli SOCKET status
 * The daemon's end of a view's socket, for tests. Exit 1 with the error's name where it is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "viewctl.h"

enum { TIMEOUT_MS = 30000 };

static int call(int sock, enum viewctl_type type, const char *path, int fd, struct buf *b,
		struct record *ret)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct record msg = {.type = (uint16_t)type, .seq = 1};
	int r;

	if (path)
		RECORD_SET(&msg, path, F_PATH, ((struct bytes){path, strlen(path)}));
	RECORD_SET(&msg, mode, F_MODE, 0644);
	r = viewctl_call(sock, &msg, fd, TIMEOUT_MS, b, ret, &e);
	if (r < 0)
		(void)fprintf(stderr, "%s %s\n", strerrorname_np(-r), e.text ? e.text : "");
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_close_ int sock = -1, fd = -1;
	const char *what = argc > 2 ? argv[2] : "", *path = argc > 3 ? argv[3] : NULL;
	struct record ret = {0};
	char c;

	sock = argc > 2 ? viewctl_connect(argv[1]) : -EINVAL;
	if (sock < 0)
		return 2;
	if (strcmp(what, "lock") == 0) {
		if (call(sock, VIEWCTL_LOCK, path, -1, &b, &ret) < 0)
			return 1;
		(void)puts("locked");
		(void)fflush(stdout);
		while (read(STDIN_FILENO, &c, 1) > 0)
			;
		return 0;
	}
	if (strcmp(what, "unlink") == 0)
		return call(sock, VIEWCTL_UNLINK, path, -1, &b, &ret) < 0;
	if (strcmp(what, "put") == 0 && argc > 4) {
		fd = open(argv[4], O_RDONLY | O_CLOEXEC);
		return fd < 0 || call(sock, VIEWCTL_PUT, path, fd, &b, &ret) < 0;
	}
	if (strcmp(what, "policy") == 0 && path) {
		struct record msg = {.type = VIEWCTL_POLICY, .seq = 1};
		_cleanup_buf_ struct buf text = BUF_INIT;

		if (io_read_file(AT_FDCWD, path, 1 << 20, &text) < 0)
			return 2;
		RECORD_SET(&msg, value, F_VALUE, ((struct bytes){text.data, text.len}));
		return viewctl_call(sock, &msg, -1, TIMEOUT_MS, &b, &ret, NULL) < 0;
	}
	if (strcmp(what, "snapshot") == 0) {
		if (call(sock, VIEWCTL_SNAPSHOT, NULL, -1, &b, &ret) < 0)
			return 1;
		(void)printf("%" PRIu64 "\n", ret.offset);
		return 0;
	}
	if (strcmp(what, "status") == 0) {
		if (call(sock, VIEWCTL_STATUS, NULL, -1, &b, &ret) < 0)
			return 1;
		(void)fwrite(ret.value.p, 1, ret.value.n, stdout);
		return 0;
	}
	return 2;
}
