/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Levels as in syslog(3), so that the journal of the machine can filter them. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_NOTICE = 5,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* Names the program in each line and sets what is shown; standard error unless redirected.
 * `ident` is borrowed for the life of the program. */
void log_setup(const char *ident, enum log_level max);

/* Writes one line: time, ident, level, text; with r < 0 also its strerror(). Returns r. */
int log_full(enum log_level level, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(r, ...)   log_full(LOG_LEVEL_ERROR, (r), __VA_ARGS__)
#define log_warning(r, ...) log_full(LOG_LEVEL_WARNING, (r), __VA_ARGS__)
#define log_notice(...)	    log_full(LOG_LEVEL_NOTICE, 0, __VA_ARGS__)
#define log_info(...)	    log_full(LOG_LEVEL_INFO, 0, __VA_ARGS__)
#define log_debug(...)	    log_full(LOG_LEVEL_DEBUG, 0, __VA_ARGS__)
