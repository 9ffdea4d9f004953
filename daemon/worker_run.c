/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the request, giving up privileges, answering. The order is what makes it safe: STATE and
 * sockets are opened with the daemon's uid; then the process becomes the repository's owner for
 * good; only then is libgit2 asked anything. A line of output is one write.
 */
#include "worker_run.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "worker.h"

static int worker_out = STDOUT_FILENO;

const char *worker_str(const struct worker *w, const char *key)
{
	return json_string_value(json_object_get(w->req, key));
}

int worker_need_str(const struct worker *w, const char *key, const char **ret, struct err *reterr)
{
	const char *s = worker_str(w, key);

	if (!s || !*s)
		return err_set_id(reterr, -EINVAL, "Invalid", "the request lacks '%s'", key);
	*ret = s;
	return 0;
}

bool worker_bool(const struct worker *w, const char *key)
{
	return json_is_true(json_object_get(w->req, key));
}

int64_t worker_int(const struct worker *w, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(w->req, key);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : otherwise;
}

/* Consumes `line`. Output that cannot be written means that the daemon is gone: nothing to do. */
static void put_line(json_t *line)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!line)
		return;
	text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	if (!text || buf_adds(&b, text) < 0 || buf_addc(&b, '\n') < 0)
		return;
	(void)io_write_full(worker_out, b.data, b.len);
}

void worker_progress(const char *text, uint64_t done, uint64_t total)
{
	put_line(json_pack("{s:s,s:I,s:I}", "progress", text, "done", (json_int_t)done, "total",
			   (json_int_t)total));
}

void worker_record(json_t *record)
{
	put_line(json_pack("{s:o}", "record", record));
}

void worker_remedy(struct worker *w, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	free(w->remedy);
	w->remedy = text;
}

void worker_detail(struct worker *w, const char *key, json_t *value)
{
	if (!w->details)
		w->details = json_object();
	(void)json_object_set_new(w->details, key, value);
}

void worker_note(json_t *ret, const char *fmt, ...)
{
	json_t *notes = json_object_get(ret, "notes");
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (!notes) {
		notes = json_array();
		(void)json_object_set_new(ret, "notes", notes);
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	if (text)
		(void)json_array_append_new(notes, worker_text(text, strlen(text)));
}

/* Length of the UTF-8 sequence at p, 0 where there is none that is valid. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	size_t len = p[0] < 0x80   ? 1
		     : p[0] < 0xc2 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
		     : p[0] < 0xf5 ? 4
				   : 0;

	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (len == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f)))
		return 0;
	if (len == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)))
		return 0;
	return len;
}

json_t *worker_text(const char *p, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *whole = memchr(p, 0, n) ? NULL : json_stringn(p, n);

	if (whole)
		return whole;
	for (size_t i = 0; i < n;) {
		size_t len = p[i] ? utf8_length((const unsigned char *)p + i, n - i) : 0;
		int r = len ? buf_add(&b, p + i, len) : buf_adds(&b, "\xef\xbf\xbd");

		if (r < 0)
			return NULL;
		i += len ? len : 1;
	}
	return json_stringn(b.data ? b.data : "", b.len);
}

const char *worker_error_id(const struct err *e)
{
	if (e->id)
		return e->id;
	switch (-e->code) {
	case ENOENT:
		return "NotFound";
	case ENOSPC:
	case EDQUOT:
		return "NoSpace";
	case EBADMSG:
		return "Damaged";
	case EPROTONOSUPPORT:
	case EOPNOTSUPP:
		return "Unsupported";
	case EACCES:
	case EPERM:
		return "Denied";
	case EBUSY:
		return "Busy";
	case EINVAL:
		return "Invalid";
	case EFBIG:
	case E2BIG:
		return "TooLarge";
	case ETIMEDOUT:
		return "Timeout";
	default:
		return "Internal";
	}
}

static int drop_ids(uid_t uid, gid_t gid)
{
	char room[16384];
	struct passwd pw, *found = NULL;
	int r;

	/* A number without an entry has no further groups. */
	if (getpwuid_r(uid, &pw, room, sizeof(room), &found) == 0 && found) {
		gid = found->pw_gid;
		r = initgroups(found->pw_name, gid);
	} else {
		r = setgroups(0, NULL);
	}
	if (r < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (uid != 0 && (getuid() != uid || geteuid() != uid || setuid(0) == 0))
		return -EPERM;
	return 0;
}

int worker_drop(uid_t uid, gid_t gid, struct err *reterr)
{
	int r;

	if (geteuid() == 0 && uid != 0) {
		r = drop_ids(uid, gid);
		if (r < 0)
			return err_set(reterr, r, "becoming user %u: %s", (unsigned)uid,
				       strerror(-r));
	}
	/* Descriptors of STATE are open here: the owner's other processes may not trace us. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(reterr, -errno, "giving up privileges: %s", strerror(errno));
	return 0;
}

static int open_common(struct worker *w, struct err *reterr)
{
	const char *path;
	int r = worker_need_str(w, "state", &w->state, reterr);

	if (r < 0)
		return r;
	w->state_fd = open(w->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w->state_fd < 0)
		return err_set(reterr, -errno, "opening '%s': %s", w->state, strerror(errno));
	w->peer_uid = (uid_t)worker_int(w, "peer_uid", (int64_t)geteuid());
	w->peer_gid = (gid_t)worker_int(w, "peer_gid", (int64_t)getegid());
	path = worker_str(w, "view_dir");
	if (path) {
		w->view_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (w->view_dir < 0)
			return err_set(reterr, -errno, "opening '%s': %s", path, strerror(errno));
	}
	return 0;
}

static int enter_repository(struct worker *w, struct err *reterr)
{
	int r;

	/* A grant stands in the repository's configuration, which only its owner may read. */
	r = worker_drop(w->repo.owner, w->repo.group, reterr);
	if (r < 0)
		return r;
	r = repo_setup(reterr);
	if (r < 0)
		return r;
	r = repo_open(&w->repo, reterr);
	if (r < 0)
		return r;
	/* libgit2 knows nothing of core.sharedRepository for what it adds. */
	(void)umask(022 & ~repo_shared_bits(&w->repo));
	return repo_check_peer(&w->repo, w->peer_uid, reterr);
}

static int run_op(struct worker *w, const struct worker_op *op, json_t *ret, struct err *reterr)
{
	const char *path = NULL;
	int r = open_common(w, reterr);

	if (r < 0)
		return r;
	if ((op->needs & WORKER_VIEW) && w->view_dir < 0)
		return err_set_id(reterr, -EINVAL, "Invalid", "the request lacks 'view_dir'");
	if (op->needs & WORKER_REPO) {
		r = worker_need_str(w, "repo", &path, reterr);
		if (r < 0)
			return r;
		r = repo_find(path, &w->repo, reterr);
		if (r < 0)
			return r;
		if (geteuid() != 0 && geteuid() != w->repo.owner)
			return err_set_id(reterr, -EACCES, "Denied",
					  "the repository '%s' belongs to another user (uid %u)",
					  path, (unsigned)w->repo.owner);
	}
	r = op->prepare ? op->prepare(w, reterr) : 0;
	if (r >= 0 && (op->needs & WORKER_REPO))
		r = enter_repository(w, reterr);
	if (r >= 0)
		r = op->run(w, ret, reterr);
	if (op->finish)
		op->finish(w);
	return r;
}

json_t *worker_error(struct worker *w, int r, struct err *e)
{
	const char *text;
	json_t *o;

	if (!e->code)
		(void)err_set(e, r, "%s", strerror(-r));
	text = err_text(e);
	o = json_pack("{s:s,s:o}", "id", worker_error_id(e), "message",
		      worker_text(text, strlen(text)));
	if (w->remedy)
		(void)json_object_set_new(o, "remedy", worker_text(w->remedy, strlen(w->remedy)));
	if (w->details)
		(void)json_object_set(o, "details", w->details);
	free(TAKE_PTR(w->remedy));
	json_decref(TAKE_PTR(w->details));
	return json_pack("{s:o}", "error", o);
}

static void worker_release(struct worker *w)
{
	repo_release(&w->repo);
	viewconf_release(&w->conf);
	(void)safe_close(w->state_fd);
	(void)safe_close(w->view_dir);
	(void)safe_close(w->viewctl);
	(void)safe_close(w->gitdir);
	free(w->remedy);
	json_decref(w->details);
	json_decref(w->req);
}

static int find_op(const struct worker_op *ops, size_t nops, const struct worker *w,
		   const struct worker_op **ret, struct err *reterr)
{
	const char *name = NULL;
	int r = worker_need_str(w, "op", &name, reterr);

	if (r < 0)
		return r;
	for (size_t i = 0; i < nops; i++)
		if (strcmp(ops[i].name, name) == 0) {
			*ret = &ops[i];
			return 0;
		}
	return err_set_id(reterr, -EINVAL, "Invalid", "no such op '%s'", name);
}

/* From a socket it reads to the end of the object only: a following audit keeps its input open. jansson
 * does so byte by byte, which a file need not suffer. */
static json_t *read_request(int in, json_error_t *why)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct stat st;

	if (fstat(in, &st) == 0 && S_ISREG(st.st_mode) &&
	    io_read_fd(in, WORKER_REQUEST_MAX, &b) == 0)
		return json_loadb(b.data ? b.data : "", b.len, JSON_REJECT_DUPLICATES, why);
	return json_loadfd(in, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, why);
}

int worker_run(const struct worker_op *ops, size_t nops, int in, int out)
{
	struct worker w = {.state_fd = -1, .view_dir = -1, .viewctl = -1, .gitdir = -1, .log = -1};
	_cleanup_(err_release) struct err e = ERR_INIT;
	const struct worker_op *op = NULL;
	json_t *answer = json_object();
	json_error_t why;
	int r;

	worker_out = out;
	(void)umask(022);
	w.req = read_request(in, &why);
	if (!json_is_object(w.req))
		r = err_set_id(&e, -EINVAL, "Invalid", "the request is no JSON object: %s",
			       why.text);
	else
		r = find_op(ops, nops, &w, &op, &e);
	if (r >= 0)
		r = run_op(&w, op, answer, &e);
	if (r >= 0)
		put_line(json_pack("{s:O}", "ok", answer));
	else
		put_line(worker_error(&w, r, &e));
	json_decref(answer);
	worker_release(&w);
	return 0;
}
