/* SPDX-License-Identifier: Apache-2.0 */
/* Control calls into a journal of their own. */
#include "control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "journal.h"
#include "log.h"
#include "sys.h"

enum { ARGUMENTS_MAX = 256 * 1024, RESERVE = ARGUMENTS_MAX + 4096 };

struct control {
	int dir;
	struct journal *journal;
};

static int ignore_record(const struct record *rec, void *user)
{
	return 0;
}

int control_open(int state_dir, struct control **ret, struct err *reterr)
{
	/* The same for every daemon: the folder says whose it is. */
	const struct journal_options opt = {.owner_id = "agentfs-control"};
	struct control *c = sys_calloc(1, sizeof(*c));
	uint64_t dropped = 0;
	int r;

	if (!c)
		return err_set(reterr, -ENOMEM, "cannot open the control journal");
	c->dir = -1;
	r = io_mkdir(state_dir, "control-journal", 0700);
	if (r == 0 || r == -EEXIST) {
		c->dir = openat(state_dir, "control-journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = c->dir < 0 ? -errno : 0;
	}
	if (r < 0)
		r = err_set(reterr, r, "cannot open the control journal");
	else
		r = journal_open(c->dir, &opt, 0, ignore_record, NULL, &c->journal, &dropped,
				 reterr);
	if (r < 0) {
		control_close(c);
		return r;
	}
	if (dropped > 0)
		log_notice("the control journal had a torn end: %llu bytes were cut",
			   (unsigned long long)dropped);
	*ret = c;
	return 0;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	if (c->journal)
		journal_close(c->journal);
	(void)safe_close(c->dir);
	free(c);
}

static struct bytes text_bytes(const char *s)
{
	return (struct bytes){s, strlen(s)};
}

int control_begin(struct control *c, uid_t uid, pid_t pid, const char *method,
		  const json_t *arguments, uint64_t *ret_seq)
{
	_cleanup_free_ char *text = json_dumps(arguments, JSON_COMPACT | JSON_SORT_KEYS);
	struct record rec = {.type = RECORD_CONTROL};
	int r = journal_reserve(c->journal, RESERVE);

	if (r < 0)
		return r;
	if (!text)
		return -ENOMEM;
	if (strlen(text) > ARGUMENTS_MAX)
		return -E2BIG;
	RECORD_SET(&rec, uid, F_UID, (uint32_t)uid);
	RECORD_SET(&rec, pid, F_PID, (uint32_t)pid);
	RECORD_SET(&rec, name, F_NAME, text_bytes(method));
	RECORD_SET(&rec, value, F_VALUE, text_bytes(text));
	r = journal_append(c->journal, &rec);
	if (r < 0)
		return r;
	*ret_seq = rec.seq;
	return 0;
}

void control_end(struct control *c, uint64_t seq, const char *method, int result,
		 const char *outcome)
{
	struct record rec = {.type = RECORD_CONTROL};
	int r;

	RECORD_SET(&rec, name, F_NAME, text_bytes(method));
	RECORD_SET(&rec, count, F_COUNT, seq);
	RECORD_SET(&rec, result, F_RESULT, result);
	RECORD_SET(&rec, outcome, F_OUTCOME, text_bytes(outcome));
	r = journal_append(c->journal, &rec);
	if (r < 0)
		log_warning(r, "the end of control call %llu (%s) is not journaled, ignoring",
			    (unsigned long long)seq, method);
}
