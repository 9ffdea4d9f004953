/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shows on a terminal's standard error that something goes on, from its first second until
 * progress_end(), which wipes the line. Elsewhere nothing. Not nested. */
void progress_begin(const char *what);
void progress_end(void);
