/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines on standard error, each written by one write(2) so that processes do not mix them. */
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *log_ident = "agentfs";
static enum log_level log_max = LOG_LEVEL_INFO;

void log_setup(const char *ident, enum log_level max)
{
	log_ident = ident;
	log_max = max;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_NOTICE:
		return "notice";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "log";
}

int log_full(enum log_level level, int r, const char *fmt, ...)
{
	char line[2048], when[32];
	struct timespec ts;
	struct tm tm;
	size_t n;
	va_list ap;

	if (level > log_max)
		return r;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	n = (size_t)snprintf(line, sizeof(line), "%s.%03ldZ %s[%d] %s: ", when,
			     ts.tv_nsec / 1000000, log_ident, (int)getpid(), level_name(level));
	va_start(ap, fmt);
	n += (size_t)vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	if (n > sizeof(line) - 128)
		n = sizeof(line) - 128;
	if (r < 0)
		n += (size_t)snprintf(line + n, sizeof(line) - n, ": %s", strerror(-r));
	if (n > sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	(void)!write(STDERR_FILENO, line, n);
	return r;
}
