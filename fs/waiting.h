/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* How to wait for the next request: by asking for it again and again, or in poll(2). */
enum way { SPIN, BLOCK };

/* Enough for a caller that sends one request after the other, on a CPU that had fallen asleep. */
#define WAITING_SPIN_NS 100000
/* A caller that takes longer makes a pause: that says nothing about the way. */
#define WAITING_PAUSE_NS 500000

enum { WAITING_EXPLORE = 128, WAITING_VAIN_MAX = 8 };

/* What has been learnt. Begins as WAITING_INIT. */
struct waiting {
	uint64_t took[2];   /* by way: ns until the next request was there, a moving average */
	unsigned int waits; /* so far */
	unsigned int vain;  /* spins in a row after which there was a pause */
};
/* clang-format off */
#define WAITING_INIT {.took = {[SPIN] = 10000, [BLOCK] = 30000}}
/* clang-format on */

/* The way that has been faster lately, and every WAITING_EXPLORE waits the other one. */
enum way waiting_choose(struct waiting *w);

/* After a wait: the way that was chosen, and how many ns it was until the request was there. */
void waiting_learn(struct waiting *w, enum way way, uint64_t took_ns);

/* Somebody who computes has kept the spinning thread from its CPU: spinning is the worse way for now. */
void waiting_hogged(struct waiting *w);
