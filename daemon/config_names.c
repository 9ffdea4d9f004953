/* SPDX-License-Identifier: Apache-2.0 */
/* Names of agents and tasks, templates of branches and mount points, and near misses of words. */
#include <errno.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "config_parts.h"
#include "words.h"

enum { NAME_MAX_LENGTH = 64, WORD_MAX = 63 };

/* git check-ref-format, for one part between slashes. */
static bool is_ref_part(const char *s, size_t n)
{
	if (n == 0 || s[0] == '.' || s[n - 1] == '.')
		return false;
	if (n >= 5 && memcmp(s + n - 5, ".lock", 5) == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] <= ' ' || s[i] == 0x7f || strchr("~^:?*[\\", s[i]))
			return false;
		if (i && ((s[i - 1] == '.' && s[i] == '.') || (s[i - 1] == '@' && s[i] == '{')))
			return false;
	}
	return true;
}

bool config_is_ref(const char *name)
{
	if (*name == '-' || strcmp(name, "@") == 0 || strcmp(name, "HEAD") == 0)
		return false;
	for (;;) {
		size_t n = strcspn(name, "/");

		if (!is_ref_part(name, n))
			return false;
		if (!name[n])
			return true;
		name += n + 1;
	}
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

int config_check_name(const char *what, const char *name, struct err *reterr)
{
	size_t n = strlen(name);
	bool ok = n >= 1 && n <= NAME_MAX_LENGTH && is_alnum(name[0]);

	for (size_t i = 0; ok && i < n; i++)
		ok = is_alnum(name[i]) || strchr("._-", name[i]);
	if (!ok)
		return err_set_id(
			reterr, -EINVAL, "Invalid",
			"'%.80s' cannot name %s %s: use 1 to 64 letters, digits, '.', '_' or "
			"'-', a letter or digit first",
			name, strchr("aeiou", *what) ? "an" : "a", what);
	if (!config_is_ref(name))
		return err_set_id(
			reterr, -EINVAL, "Invalid",
			"'%s' cannot be part of a branch name: it may not hold '..', nor end in "
			"'.' or '.lock'",
			name);
	for (size_t i = 0; i < ARRAY_SIZE(command_words); i++)
		if (strcmp(command_words[i], name) == 0)
			return err_set_id(reterr, -EINVAL, "Invalid",
					  "'%s' is a command word; choose another name for the %s",
					  name, what);
	return 0;
}

/* Replaces {key} by its value; another brace is refused. */
static int fill(const char *template, const char *const (*pairs)[2], size_t n, struct buf *b,
		struct err *reterr)
{
	int r = 0;

	for (const char *s = template; r == 0 && *s;) {
		const char *end = *s == '{' ? strchr(s, '}') : NULL;
		size_t i = 0;

		if (*s != '{' && *s != '}') {
			r = buf_addc(b, *s++);
			continue;
		}
		while (end && i < n &&
		       (strlen(pairs[i][0]) != (size_t)(end - s) - 1 ||
			strncmp(pairs[i][0], s + 1, (size_t)(end - s) - 1) != 0))
			i++;
		if (!end || i == n)
			return err_set(reterr, -EINVAL, "template '%s' has an unknown part at '%s'",
				       template, s);
		r = buf_adds(b, pairs[i][1]);
		s = end + 1;
	}
	return r;
}

static int take_filled(struct buf *b, int r, char **ret, struct err *reterr)
{
	char *s = r == 0 ? buf_take(b) : NULL;

	if (r == -EINVAL)
		return r;
	if (!s)
		return err_set(reterr, -ENOMEM, "no memory");
	*ret = s;
	return 0;
}

int config_branch_name(const char *template, const char *agent, const char *task, char **ret,
		       struct err *reterr)
{
	const char *const pairs[][2] = {{"agent", agent}, {"task", task}};
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = fill(template, pairs, ARRAY_SIZE(pairs), &b, reterr);

	if (r == 0 && (!b.data || !config_is_ref(b.data)))
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "'%s' is no valid branch name (from template '%s')",
				  b.data ? b.data : "", template);
	return take_filled(&b, r, ret, reterr);
}

int config_mount_path(const char *template, const char *mounts, const char *agent, char **ret,
		      struct err *reterr)
{
	const char *const pairs[][2] = {{"mounts", mounts}, {"agent", agent}};
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = fill(template, pairs, ARRAY_SIZE(pairs), &b, reterr);

	if (r == 0 && (!b.data || b.data[0] != '/'))
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "mount point '%s' is not absolute (from template '%s')",
				  b.data ? b.data : "", template);
	return take_filled(&b, r, ret, reterr);
}

/* Levenshtein's distance of words of at most WORD_MAX bytes. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1], n = (unsigned)strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned corner = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned change = corner + (a[i - 1] != b[j - 1]);

			corner = row[j];
			row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
			if (change < row[j])
				row[j] = change;
		}
	}
	return row[n];
}

const char *config_nearest(const char *word, const char *const *words, size_t n)
{
	unsigned best = strlen(word) > 3 ? 3 : 2;
	const char *nearest = NULL;

	if (strlen(word) > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		unsigned d = strlen(words[i]) > WORD_MAX ? WORD_MAX : distance(word, words[i]);

		if (d < best) {
			best = d;
			nearest = words[i];
		}
	}
	return nearest;
}

bool config_is_method(const char *word, const char **ret_near)
{
	static const char *const methods[] = {
		"apply",    "audit", "create",	 "destroy",	"diff",	 "events", "lease",
		"list",	    "log",   "mail",	 "materialize", "merge", "next",   "note",
		"rollback", "show",  "snapshot", "sync",	"wait",	 "why",
	};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(word, methods[i]) == 0)
			return true;
	*ret_near = config_nearest(word, methods, ARRAY_SIZE(methods));
	return false;
}
