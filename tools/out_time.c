/* SPDX-License-Identifier: Apache-2.0 */
/* Times: RFC 3339 from and to the daemon, local and relative for people. */
#include "out.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int out_time(const char *s, time_t *ret, long *ret_nsec)
{
	struct tm tm = {0};
	long nsec = 0, scale = 100000000;
	int hours, minutes, n = 0;
	const char *p = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!p)
		return -EINVAL;
	if (*p == '.')
		for (p++; isdigit((unsigned char)*p); p++, scale /= 10)
			nsec += (*p - '0') * scale;
	*ret = timegm(&tm);
	if (strcmp(p, "Z") != 0) {
		if ((*p != '+' && *p != '-') ||
		    sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &n) != 2 || p[1 + n])
			return -EINVAL;
		*ret -= (*p == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
	}
	if (ret_nsec)
		*ret_nsec = nsec;
	return 0;
}

const char *out_ago(const char *s, char buf[32])
{
	static const struct {
		long seconds;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
	time_t t;
	long d;

	if (!s || !*s)
		return "never";
	if (out_time(s, &t, NULL) < 0)
		return "?";
	d = (long)(time(NULL) - t);
	if (d < 1)
		return "now";
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (d >= units[i].seconds) {
			(void)snprintf(buf, 32, "%ld %s ago", d / units[i].seconds, units[i].unit);
			break;
		}
	return buf;
}

const char *out_clock(const char *s, char buf[40])
{
	time_t t, now = time(NULL);
	struct tm tm, today;
	long nsec;
	size_t n;

	if (!s || out_time(s, &t, &nsec) < 0)
		return "?";
	localtime_r(&t, &tm);
	localtime_r(&now, &today);
	n = strftime(buf, 32, tm.tm_year == today.tm_year ? "%b %d %H:%M:%S" : "%Y-%m-%d %H:%M:%S",
		     &tm);
	(void)snprintf(buf + n, 40 - n, ".%03ld", nsec / 1000000);
	return buf;
}

/* "10m", "-2 hours", "3d ago": a span before now. */
static int parse_span(const char *s, time_t now, time_t *ret)
{
	static const struct {
		const char *names;
		long seconds;
	} units[] = {{" s sec second seconds ", 1},
		     {" m min minute minutes ", 60},
		     {" h hour hours ", 3600},
		     {" d day days ", 86400},
		     {" w week weeks ", 7 * 86400}};
	char unit[16], word[20], *end;
	long n;
	size_t len;

	if (*s == '-')
		s++;
	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	n = strtol(s, &end, 10);
	end += strspn(end, " ");
	len = strcspn(end, " ");
	if (len == 0 || len >= sizeof(unit) || n > 1000000)
		return -EINVAL;
	memcpy(unit, end, len);
	unit[len] = 0;
	if (end[len] && strcmp(end + len, " ago") != 0)
		return -EINVAL;
	(void)snprintf(word, sizeof(word), " %s ", unit);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strstr(units[i].names, word)) {
			*ret = now - n * units[i].seconds;
			return 0;
		}
	return -EINVAL;
}

/* Dates and clock times in the local time zone. */
static int parse_local(const char *s, time_t now, time_t *ret)
{
	static const char *const formats[] = {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S",
					      "%Y-%m-%d %H:%M",	   "%Y-%m-%d",
					      "%H:%M:%S",	   "%H:%M"};
	struct tm tm;
	const char *p;

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		localtime_r(&now, &tm);
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		p = strptime(s, formats[i], &tm);
		if (p && !*p) {
			tm.tm_isdst = -1;
			*ret = mktime(&tm);
			return 0;
		}
	}
	return -EINVAL;
}

int out_parse_time(const char *s, time_t now, char buf[32])
{
	struct tm tm;
	time_t t = now;
	long nsec = 0;
	char *end;
	size_t n;

	localtime_r(&now, &tm);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	if (strcmp(s, "today") == 0) {
		t = mktime(&tm);
	} else if (strcmp(s, "yesterday") == 0) {
		tm.tm_mday--;
		t = mktime(&tm);
	} else if (*s == '@' && isdigit((unsigned char)s[1])) {
		t = strtoll(s + 1, &end, 10);
		if (*end)
			return -EINVAL;
	} else if (strcmp(s, "now") != 0 && out_time(s, &t, &nsec) < 0 &&
		   parse_local(s, now, &t) < 0 && parse_span(s, now, &t) < 0) {
		return -EINVAL;
	}
	if (!gmtime_r(&t, &tm) || tm.tm_year > 8099 || tm.tm_year < 0)
		return -EINVAL;
	n = strftime(buf, 24, "%Y-%m-%dT%H:%M:%S", &tm);
	if (nsec)
		n += (size_t)snprintf(buf + n, 32 - n, ".%06ld", nsec / 1000);
	(void)snprintf(buf + n, 32 - n, "Z");
	return 0;
}
