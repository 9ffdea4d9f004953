/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are `.git` somewhere. What they hold would be run by whoever checks it out there. */
#include "gitname.h"

#include <string.h>
#include <strings.h>

/* Length of an ignorable code point of HFS+ at p: U+200C-200F, 202A-202E, 206A-206F, FEFF. */
static size_t hfs_ignored(const unsigned char *p, size_t n)
{
	if (n < 3)
		return 0;
	if (p[0] == 0xe2 && p[1] == 0x80 &&
	    ((p[2] >= 0x8c && p[2] <= 0x8f) || (p[2] >= 0xaa && p[2] <= 0xae)))
		return 3;
	if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xaa && p[2] <= 0xaf)
		return 3;
	return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0;
}

bool gitname_is_git(const char *name, size_t n)
{
	char plain[8];
	size_t len = 0, i = 0, stream = n;
	const char *colon = memchr(name, ':', n), *back = memchr(name, '\\', n);

	if (colon)
		stream = (size_t)(colon - name);
	if (back && (size_t)(back - name) < stream)
		stream = (size_t)(back - name);
	n = stream;
	while (n > 0 && (name[n - 1] == '.' || name[n - 1] == ' '))
		n--;
	while (i < n) {
		size_t skip = hfs_ignored((const unsigned char *)name + i, n - i);

		if (skip) {
			i += skip;
			continue;
		}
		if (len == sizeof(plain))
			return false;
		plain[len++] = name[i++];
	}
	return (len == 4 && strncasecmp(plain, ".git", 4) == 0) ||
	       (len == 5 && strncasecmp(plain, "git~1", 5) == 0);
}

bool gitname_in_path(const char *path, size_t *ret)
{
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (gitname_is_git(p, n)) {
			if (ret)
				*ret = (size_t)(p - path);
			return true;
		}
		p += n;
		p += *p == '/';
	}
	return false;
}
