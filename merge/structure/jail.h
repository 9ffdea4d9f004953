/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Gives up, for good, all that reading syntax does not need: files but for reading below `folder`, processes, sockets,
 * signals, core files, memory over 1 GiB. What the kernel cannot do is left out. Errors: -errno. */
int jail_enter(const char *folder);

/* Processor time for the next question: a process that uses more is ended by the kernel. */
void jail_allow_seconds(unsigned int n);
