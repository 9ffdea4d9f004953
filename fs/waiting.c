/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way of waiting is faster is measured, not guessed.
 *
 * A caller on another CPU is served soonest by a server that spins: waking a CPU that idles costs 30 to 60 µs in
 * a virtual machine. A caller on our own CPU cannot go on before we leave it. sched_yield() does not see to that:
 * where caller and server are of different sessions (daemon/views.c starts each server in one) each has a scheduling
 * group, and a yield is one within the group; the caller then waited for all the time that we spun, three times in ten
 * system calls. Which of the two it is the kernel decides at each reply and tells nobody. So it is taken for what it
 * is, two ways of unknown worth: an average of what each took lately, the better one is taken, the other is tried now
 * and then. (Going after the caller to its CPU does not help: the kernel moves it to the idle one.)
 *
 * Measured in turn with spinning always (50 µs) and yielding, on a 6.18 kernel with 2 cores in a virtual machine,
 * medians of 4 and 5 in three runs: a file made, written, looked at, renamed and removed, then 2 ms of rest: 191 to
 * 238 µs instead of 289 to 358; unpacking 5,000 small files beside two processes that compute (two runs): 0.5 and 1.1 s
 * instead of 1.4 and 2.7; a caller that comes every 0.6 ms costs the server 3 % of a CPU instead of 8; unpacking alone
 * 1.03 to 1.14, deleting 0.92 to 1.19 of the time, where passes of one version differ by as much. Spinning always,
 * but for 20 µs: unpacking takes twice as long, for 10 µs three times.
 */
#include "waiting.h"

/* So much slower blocking has to be to be worth a CPU. */
#define SPIN_GAIN_NS 1000
/* The weight of one wait in the average: 1/n. */
enum { PART_USUAL = 8, PART_EXPLORED = 4 };

static enum way better_way(const struct waiting *w)
{
	if (w->vain >= WAITING_VAIN_MAX)
		return BLOCK;
	return w->took[SPIN] + SPIN_GAIN_NS < w->took[BLOCK] ? SPIN : BLOCK;
}

enum way waiting_choose(struct waiting *w)
{
	enum way better = better_way(w);

	if (++w->waits % WAITING_EXPLORE)
		return better;
	return better == SPIN ? BLOCK : SPIN;
}

void waiting_learn(struct waiting *w, enum way way, uint64_t took_ns)
{
	uint64_t part = way == better_way(w) ? PART_USUAL : PART_EXPLORED;

	if (way == SPIN)
		w->vain = took_ns > WAITING_PAUSE_NS ? w->vain + 1 : 0;
	if (took_ns > WAITING_PAUSE_NS)
		return;
	w->took[way] -= w->took[way] / part;
	w->took[way] += took_ns / part;
}

void waiting_hogged(struct waiting *w)
{
	w->took[SPIN] = WAITING_PAUSE_NS;
}
