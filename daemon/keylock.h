/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who may work on what: a key (an agent's name) has one holder at a time, others wait in order. In
 * one thread, by callbacks; so that two tasks on one view never overlap.
 */
struct keylocks;

struct keylocks *keylocks_new(void);
void keylocks_free(struct keylocks *k);

/* Calls fn(user) once the key is the caller's: at once or when its turn comes. Errors: -ENOMEM, fn
 * is not called. */
int keylock_take(struct keylocks *k, const char *key, void (*fn)(void *user), void *user);

/* Gives it back; the next in line is called before this returns. */
void keylock_drop(struct keylocks *k, const char *key);
