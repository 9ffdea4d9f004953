/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's part of verifying (daemon: merger/verify.c). All commands run in the sandbox, as the repository's
 * owner, with the scratch view bound at its own path and nothing else of the machine writable.
 *
 * Op verify_reset brings a scratch view that was used before to another commit: git does it, in the sandbox,
 * from the view's own .git, so that files which are alike keep their times and a build goes on where the last
 * one ended. What that leaves is not trusted: the last command may have changed that .git. Op verify takes a
 * snapshot of the view first, and runs the command only where its files are the commit's, read from outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "odb.h"
#include "sandbox.h"
#include "treewalk.h"
#include "viewgit.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"
#include "worktree.h"

enum {
	OWN_FILE_MAX = 1 << 20,
	RESET_MS = 10 * 60 * 1000,
	KEPT_OUTPUT = 256 << 10,
	SHOWN_OUTPUT = 16 << 10,
	DRAIN_MAX = 1 << 30,
	NPROC = 512, /* where the request names no number */
	NICE = 10,   /* whoever works at the machine goes first */
	RESET_WORDS = 64
};

/* ---- verify_ask ---- */

int op_verify_ask(struct worker *w, json_t *ret, struct err *reterr)
{
	const char *target = NULL;
	git_object *o = NULL;
	git_blob *blob = NULL;
	struct tree_entry e = {0};
	_cleanup_free_ char *ref = NULL;
	int r = worker_need_str(w, "target", &target, reterr);

	if (r < 0)
		return r;
	(void)json_object_update_new(
		ret,
		json_pack("{s:o,s:o,s:I,s:I,s:n}", "repository",
			  worker_text(w->repo.common, strlen(w->repo.common)), "worktree",
			  w->repo.worktree ? worker_text(w->repo.worktree, strlen(w->repo.worktree))
					   : json_null(),
			  "owner_uid", (json_int_t)w->repo.owner, "owner_gid",
			  (json_int_t)w->repo.group, "text"));
	if (asprintf(&ref, "refs/heads/%s^{tree}", target) < 0) {
		ref = NULL;
		return -ENOMEM;
	}
	r = git_revparse_single(&o, w->repo.git, ref);
	if (r == GIT_ENOTFOUND)
		return err_set_id(reterr, -ENOENT, "NotFound", "there is no branch '%s'", target);
	if (r == 0)
		r = tree_get(w->repo.git, git_object_id(o), ".agentfs.yaml", &e);
	git_object_free(o);
	if (r == 0 && S_ISREG(e.mode)) {
		r = git_blob_lookup(&blob, w->repo.git, &e.oid);
		if (r == 0 && git_blob_rawsize(blob) > OWN_FILE_MAX)
			r = -EFBIG;
		if (r == 0)
			(void)json_object_set_new(ret, "text",
						  worker_text(git_blob_rawcontent(blob),
							      (size_t)git_blob_rawsize(blob)));
		git_blob_free(blob);
	}
	return r < 0 ? err_set(reterr, r == -EFBIG ? r : -EIO, "reading '.agentfs.yaml' of '%s'",
			       target)
		     : 0;
}

/* ---- verify_reset ---- */

/* Hooks, monitors and what else the view's configuration may name are switched off: not because they could
 * do harm in the sandbox, but because they cost time. */
static const char reset_script[] =
	"cd \"$1\" && commit=$2 && exclude=$3 && shift 3 || exit\n"
	"mkdir -p .git/info && printf %s \"$exclude\" >.git/info/exclude\n"
	"rm -f .git/index.lock .git/HEAD.lock .git/refs/heads/*.lock\n"
	"g() { git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c gc.auto=0 "
	"-c advice.detachedHead=false \"$@\"; }\n"
	"g update-index -q --really-refresh >/dev/null; g checkout -q -f --detach \"$commit\" && g clean -ffdxq \"$@\"";

int op_verify_reset(struct worker *w, json_t *ret, struct err *reterr)
{
	json_t *keep = json_object_get(w->req, "keep"), *k;
	const char *mount = NULL, *commit = NULL;
	const char *argv[RESET_WORDS * 2 + 8] = {"/bin/sh", "-c", reset_script, "reset"};
	_cleanup_buf_ struct buf exclude = BUF_INIT;
	struct sandbox_result done;
	size_t n = 7, i;
	int r = worker_need_str(w, "mount", &mount, reterr);

	(void)ret;
	if (r == 0)
		r = worker_need_str(w, "commit", &commit, reterr);
	if (r < 0)
		return r;
	r = buf_adds(&exclude, "");
	json_array_foreach (keep, i, k) {
		if (i == RESET_WORDS || !json_is_string(k))
			break;
		argv[n++] = "-e";
		argv[n++] = json_string_value(k);
		r = r < 0 ? r : buf_addf(&exclude, "%s\n", json_string_value(k));
	}
	if (r < 0)
		return r;
	argv[4] = mount;
	argv[5] = commit;
	argv[6] = exclude.data;
	argv[n] = NULL;
	r = sandbox_run(
		&(struct sandbox_spec){
			.argv = argv,
			.binds = &(struct sandbox_bind){.host = mount, .writable = true},
			.nbinds = 1,
			.timeout_ms = RESET_MS,
			.one_stream = true,
			.stop_on_stdin = true,
		},
		&done, reterr);
	if (r == 0 && done.status != 0)
		r = err_set(reterr, -EIO,
			    "bringing the scratch view to %.10s: git ended with %d: %s", commit,
			    done.status, done.out.data ? done.out.data : "");
	sandbox_result_release(&done);
	return r;
}

/* ---- verify ---- */

int verify_prepare(struct worker *w, struct err *reterr)
{
	const char *log = NULL;
	int r = worker_need_str(w, "log", &log, reterr);

	if (r == 0)
		r = view_open_conf(w, reterr);
	if (r == 0)
		r = view_open_snapshot(w, true, false, reterr);
	if (r < 0)
		return r;
	w->log = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return w->log < 0 ? err_set(reterr, -errno, "making '%s': %s", log, strerror(errno)) : 0;
}

void verify_finish(struct worker *w)
{
	w->log = safe_close(w->log);
	view_finish(w);
}

/* Are the view's files those of the commit? */
static int check_tree(struct worker *w, const char *commit, struct err *reterr)
{
	struct viewgit_objects objects = {0};
	struct worktree_options opt = {.ret = json_object(), .nested = false};
	struct worktree made = {0};
	git_commit *c = NULL;
	int r = repo_commit(&w->repo, commit, &c, reterr);

	if (r == 0)
		r = viewgit_open(&objects, &w->repo, reterr);
	if (r == 0) {
		opt.git = objects.git;
		opt.onto = *git_commit_tree_id(c);
		r = worktree_build(w, &objects, &opt, &made, reterr);
	}
	if (r == 0 && !git_oid_equal(&made.tree, git_commit_tree_id(c))) {
		worker_detail(w, "again", json_true());
		r = err_set_id(reterr, -ESTALE, "Stale",
			       "the scratch view does not hold what is to be verified");
	}
	worktree_release(&made);
	viewgit_close(&objects);
	git_commit_free(c);
	json_decref(opt.ret);
	return r;
}

/* The last lines of it, for an answer. */
static json_t *shown(const struct buf *out)
{
	size_t n = out->len;
	const char *p = out->data ? out->data : "";

	if (n > SHOWN_OUTPUT) {
		const char *nl = memchr(p + n - SHOWN_OUTPUT, '\n', SHOWN_OUTPUT);
		size_t from = nl ? (size_t)(nl + 1 - p) : n - SHOWN_OUTPUT;

		p += from;
		n -= from;
	}
	return worker_text(p, n);
}

enum limit { LIMIT_NONE, LIMIT_ROOM, LIMIT_PROCESSES };

/* Do its own words say that a limit was in the way? */
static enum limit limit_met(const struct buf *out)
{
	static const struct {
		const char *said;
		enum limit limit;
	} known[] = {
		{"No space left on device", LIMIT_ROOM},
		{"Disk quota exceeded", LIMIT_ROOM},
		{"Cannot fork", LIMIT_PROCESSES},
		{"fork: retry", LIMIT_PROCESSES},
		{"Resource temporarily unavailable", LIMIT_PROCESSES},
	};

	for (size_t i = 0; out->data && i < ARRAY_SIZE(known); i++)
		if (strstr(out->data, known[i].said))
			return known[i].limit;
	return LIMIT_NONE;
}

/* The end of a sentence that says which it was. */
static void say_limit(const struct buf *out, unsigned processes, char *ret, size_t size)
{
	*ret = '\0';
	switch (limit_met(out)) {
	case LIMIT_NONE:
		break;
	case LIMIT_ROOM:
		(void)snprintf(ret, size, "; its scratch view, or /tmp there, was full");
		break;
	case LIMIT_PROCESSES:
		(void)snprintf(
			ret, size,
			"; it may have %u processes ('processes' beside its command says how "
			"many)",
			processes);
		break;
	}
}

/* Why it is not good, as a sentence; NULL: it is. */
static json_t *reason(const char *command, const struct sandbox_result *done, unsigned timeout_s,
		      unsigned processes)
{
	char full[128];

	say_limit(&done->out, processes, full, sizeof(full));
	if (done->timed_out)
		return json_sprintf(
			"the verify command '%s' was not done in %u seconds and was ended%s",
			command, timeout_s, full);
	if (done->flooded)
		return json_sprintf(
			"the verify command '%s' wrote more than %u MiB of output and was "
			"ended",
			command, (unsigned)(DRAIN_MAX >> 20));
	if (done->status > 128)
		return json_sprintf("the verify command '%s' was ended by signal %d%s", command,
				    done->status - 128, full);
	if (done->status)
		return json_sprintf("the verify command '%s' failed (exit %d)%s", command,
				    done->status, full);
	return NULL;
}

static int run_command(struct worker *w, const char *command, const char *commit, json_t *ret,
		       struct err *reterr)
{
	_cleanup_free_ char *target = NULL, *what = NULL;
	unsigned timeout_s = (unsigned)worker_int(w, "timeout", 600);
	unsigned processes = (unsigned)worker_int(w, "processes", NPROC);
	const char *env[] = {NULL, NULL, "CI=true", NULL};
	const char *argv[] = {"/bin/sh", "-c", command, NULL};
	struct sandbox_result done;
	json_t *why;
	int r;

	if (asprintf(&target, "AGENTFS_TARGET=%s", worker_str(w, "target")) < 0 ||
	    asprintf(&what, "AGENTFS_COMMIT=%s", commit) < 0)
		return -ENOMEM;
	env[0] = target;
	env[1] = what;
	r = sandbox_run(
		&(struct sandbox_spec){
			.argv = argv,
			.cwd = w->conf.mount,
			.binds = &(struct sandbox_bind){.host = w->conf.mount, .writable = true},
			.nbinds = 1,
			.env = env,
			.network = worker_bool(w, "network"),
			.timeout_ms = timeout_s * 1000,
			.output_max = KEPT_OUTPUT,
			.drain_max = DRAIN_MAX,
			.nproc_max = processes,
			.nice = NICE,
			.one_stream = true,
			.stop_on_stdin = true,
		},
		&done, reterr);
	if (r < 0) {
		sandbox_result_release(&done);
		return r;
	}
	(void)io_write_full(w->log, done.out.data ? done.out.data : "", done.out.len);
	why = reason(command, &done, timeout_s, processes);
	(void)json_object_update_new(ret, json_pack("{s:b,s:i,s:o,s:I}", "ok", !why, "status",
						    done.status, "output", shown(&done.out), "ms",
						    (json_int_t)done.ms));
	if (why)
		(void)json_object_set_new(ret, "reason", why);
	sandbox_result_release(&done);
	return 0;
}

int op_verify(struct worker *w, json_t *ret, struct err *reterr)
{
	const char *command = NULL, *commit = NULL;
	int r = worker_need_str(w, "command", &command, reterr);

	if (r == 0)
		r = worker_need_str(w, "commit", &commit, reterr);
	if (r == 0)
		r = check_tree(w, commit, reterr);
	return r < 0 ? r : run_command(w, command, commit, ret, reterr);
}
