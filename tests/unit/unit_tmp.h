/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

/*
 * A temporary folder for a test: below $AGENTFS_TMP where the runner gives one, else in /tmp. What a
 * test that fails does not remove goes when its process ends, whatever the case.
 */
enum { UNIT_TMP_MAX = 64, UNIT_TMP_PATH = 64 };

static char unit_tmp_made[UNIT_TMP_MAX][UNIT_TMP_PATH];
static unsigned int unit_tmp_n;
static pid_t unit_tmp_owner;

static void unit_tmp_clear(void)
{
	if (getpid() != unit_tmp_owner) /* a child that a test forked */
		return;
	for (unsigned int i = 0; i < unit_tmp_n; i++)
		(void)io_rm_rf(AT_FDCWD, unit_tmp_made[i]);
}

/* Makes one, its path in room (UNIT_TMP_PATH bytes). */
static inline void unit_tmp(char *room)
{
	const char *top = getenv("AGENTFS_TMP");

	if (!top || !*top || strlen(top) > 40)
		top = "/tmp";
	(void)snprintf(room, UNIT_TMP_PATH, "%s/agentfs-unit-XXXXXX", top);
	if (!mkdtemp(room))
		abort();
	if (!unit_tmp_owner) {
		unit_tmp_owner = getpid();
		(void)atexit(unit_tmp_clear);
	}
	for (unsigned int i = 0; i < unit_tmp_n;) /* those that went are forgotten */
		if (access(unit_tmp_made[i], F_OK) == 0)
			i++;
		else
			memmove(unit_tmp_made[i], unit_tmp_made[i + 1],
				(--unit_tmp_n - i) * (size_t)UNIT_TMP_PATH);
	if (unit_tmp_n < UNIT_TMP_MAX)
		memcpy(unit_tmp_made[unit_tmp_n++], room, UNIT_TMP_PATH);
}
