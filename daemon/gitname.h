/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Does some system take this name (one path component) for `.git`? Letter case, code points that
 * HFS+ ignores, and NTFS's short name, final dots, spaces and streams are seen through. */
bool gitname_is_git(const char *name, size_t n);

/* Has the path such a component? *ret (may be NULL) is the length of what stands before it. */
bool gitname_in_path(const char *path, size_t *ret);
