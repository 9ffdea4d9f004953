/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that writes "what … 3 s" once a second: the call itself blocks and knows nothing of it.
 */
#include "progress.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static pthread_t thread;
static bool running, stop; /* guarded by lock once the thread runs */

static void *show(void *arg)
{
	struct timespec until;
	int seconds = 0;

	(void)pthread_mutex_lock(&lock);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	while (!stop) {
		until.tv_sec++;
		if (pthread_cond_timedwait(&ended, &lock, &until) == 0)
			continue;
		(void)dprintf(STDERR_FILENO, "\r%s … %d s\033[K", (const char *)arg, ++seconds);
	}
	if (seconds)
		(void)dprintf(STDERR_FILENO, "\r\033[K");
	(void)pthread_mutex_unlock(&lock);
	return NULL;
}

void progress_begin(const char *what)
{
	stop = false;
	running = isatty(STDERR_FILENO) && pthread_create(&thread, NULL, show, (void *)what) == 0;
}

void progress_end(void)
{
	if (!running)
		return;
	(void)pthread_mutex_lock(&lock);
	stop = true;
	(void)pthread_cond_signal(&ended);
	(void)pthread_mutex_unlock(&lock);
	(void)pthread_join(thread, NULL);
	running = false;
}
