/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cmd.h"

#define CLIENT_SYSTEM_SOCKET "/run/agentfs/agentfsd.sock"

/* Asks the daemon (method without "org.agentfs."), starting the caller's own where none runs.
 * `params` is consumed. 0 with *ret (caller owns), or an exit status after having said why. */
int client_call(struct ctl *c, const char *method, json_t *params, json_t **ret);

/* Asks with `more`: `each` gets every reply (borrowed) and stops the stream by returning non-zero,
 * which is then returned. Exit status as above. */
int client_more(struct ctl *c, const char *method, json_t *params,
		int (*each)(struct ctl *c, const json_t *reply, void *arg), void *arg);

/* Asks without a word on failure and without starting a daemon. Errors: -errno. */
int client_try(struct ctl *c, const char *method, json_t *params, json_t **ret);

/* Connects, starting a daemon where `start` and the socket is the caller's own. 0, or an exit
 * status after having said why (nothing is said with `quiet`). */
int client_connect(struct ctl *c, bool start, bool quiet);

/* Says that the system's daemon does not run, and how to start it. Returns `code`. */
int client_system_away(struct ctl *c, int code);

/* The socket that would be asked, and whether it is the default one of an ordinary user, whose
 * daemon agentfsctl may start. Caller frees; NULL: said why. */
char *client_socket(struct ctl *c, bool *ret_own);

/* Starts the caller's own daemon behind `socket` and waits until it answers. Exit status. */
int client_start(struct ctl *c, const char *socket);

/* Ends the connection, so that the next call makes another. */
void client_close(struct ctl *c);
