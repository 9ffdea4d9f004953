/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `git merge-tree --write-tree` in the private repository of merge_private.h.
 *
 * Guarantees: (1) nothing of the shared repository but its objects, shallow file and attributes is
 * seen: no configuration, drivers, filters, hooks, replace refs or promisors; (2) git runs with an
 * environment of ours, in a process group of its own that ends with the time limit or with us; (3)
 * an object enters the shared repository only by its recomputed hash.
 *
 * What git writes with -z --messages:
 *     TREE \0 (MODE SP ID SP STAGE TAB PATH \0)* \0 (COUNT \0 (PATH \0){COUNT} TYPE \0 TEXT \0)*
 */
#include "merge_git_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "odb.h"

enum {
	OUTPUT_MAX = 256 << 20,
	TIME_LIMIT_MS = 120000,
	EXIT_ABSENT = 127,
	EXIT_USAGE = 129,
	DEPTH_MAX = 1024,
	PATHS_MAX = 4
};

static void run_git(const char *dir, int out, int err, char *const argv[])
{
	char git_dir[4096], work[4096];
	char *const env[] = {(char *)"PATH=/usr/local/bin:/usr/bin:/bin",
			     (char *)"LC_ALL=C",
			     (char *)"HOME=/nonexistent",
			     (char *)"GIT_CONFIG_NOSYSTEM=1",
			     (char *)"GIT_CONFIG_SYSTEM=/dev/null",
			     (char *)"GIT_CONFIG_GLOBAL=/dev/null",
			     (char *)"GIT_ATTR_NOSYSTEM=1",
			     (char *)"GIT_NO_LAZY_FETCH=1",
			     (char *)"GIT_NO_REPLACE_OBJECTS=1",
			     (char *)"GIT_TERMINAL_PROMPT=0",
			     (char *)"GIT_OPTIONAL_LOCKS=0",
			     git_dir,
			     work,
			     NULL};
	sigset_t none;
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (snprintf(git_dir, sizeof(git_dir), "GIT_DIR=%s/.git", dir) >= (int)sizeof(git_dir) ||
	    snprintf(work, sizeof(work), "GIT_WORK_TREE=%s", dir) >= (int)sizeof(work) || in < 0 ||
	    chdir(dir) < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0 || close_range(3, ~0U, 0) < 0)
		_exit(EXIT_ABSENT - 1);
	(void)execvpe("git", argv, env);
	_exit(EXIT_ABSENT);
}

static int start(const char *dir, char *const argv[], struct merge_git_run *ret)
{
	int out[2] = {-1, -1}, err[2] = {-1, -1}, r = 0;
	pid_t pid = -1;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0) {
		pid = vfork(); /* what is mapped here need not be mapped there */
		r = pid < 0 ? -errno : 0;
	}
	if (pid == 0)
		run_git(dir, out[1], err[1], argv);
	(void)safe_close(out[1]);
	(void)safe_close(err[1]);
	if (r < 0) {
		(void)safe_close(out[0]);
		(void)safe_close(err[0]);
		return r;
	}
	(void)setpgid(pid, pid);
	*ret = (struct merge_git_run){.pid = pid, .out = out[0], .err = err[0]};
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads what is there. 0: more may come; 1: end of file. */
static int take(int fd, struct buf *b)
{
	char room[65536];
	ssize_t n = read(fd, room, sizeof(room));

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return 1;
	if (b->len + (size_t)n > OUTPUT_MAX)
		return -EFBIG;
	return buf_add(b, room, (size_t)n);
}

static int collect(struct merge_git_run *c, struct buf *out, struct buf *err)
{
	int64_t end = now_ms() + TIME_LIMIT_MS;
	struct pollfd p[2] = {{c->out, POLLIN, 0}, {c->err, POLLIN, 0}};
	struct buf *to[2] = {out, err};

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		int64_t left = end - now_ms();
		int r = left > 0 ? poll(p, 2, (int)left) : 0;

		if (r == 0)
			return -ETIMEDOUT;
		if (r < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; r > 0 && i < 2; i++) {
			int q = p[i].fd >= 0 && p[i].revents ? take(p[i].fd, to[i]) : 0;

			if (q < 0)
				return q;
			if (q > 0)
				p[i].fd = -1;
		}
	}
	return 0;
}

/* The exit status, or -errno. The whole group is gone afterwards. */
static int finish(struct merge_git_run *c, int r)
{
	int status = 0;

	if (r < 0)
		(void)kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
	(void)close(c->out);
	(void)close(c->err);
	if (r < 0)
		return r;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

/* ---- the answer ---- */

struct scan {
	const char *at, *end;
};

/* The next string, NULL at the end. */
static const char *next(struct scan *s)
{
	const char *p = s->at;
	const char *nul = p < s->end ? memchr(p, 0, (size_t)(s->end - p)) : NULL;

	if (!nul)
		return NULL;
	s->at = nul + 1;
	return p;
}

static int add_merged(struct merge_git *g, const char *path)
{
	char **v = realloc(g->merged, (g->nmerged + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	g->merged = v;
	v[g->nmerged] = strdup(path);
	return v[g->nmerged++] ? 0 : -ENOMEM;
}

static int one_message(struct merge_git *g, const struct git_message *m)
{
	int r = merge_git_say(g, m);

	if (r <= 0)
		return r;
	return strcmp(m->type, "Auto-merging") == 0 ? add_merged(g, m->paths[0]) : 0;
}

const struct merge_stages *merge_git_stages(const struct merge_git *g, const char *path)
{
	for (size_t i = g->nstages; i-- > 0;)
		if (strcmp(g->stages[i].path, path) == 0)
			return &g->stages[i];
	return NULL;
}

/* "MODE ID STAGE<TAB>PATH"; lines of one path follow one another. */
static int add_stage(struct merge_git *g, const char *line)
{
	char *end = NULL;
	unsigned long mode = strtoul(line, &end, 8), stage;
	struct merge_stages *last = g->nstages ? &g->stages[g->nstages - 1] : NULL;
	const char *path;
	git_oid id;

	if (*end != ' ' || strlen(end) < GIT_OID_HEXSZ + 5 ||
	    git_oid_fromstrn(&id, end + 1, GIT_OID_HEXSZ) < 0)
		return -EBADMSG;
	end += GIT_OID_HEXSZ + 1;
	stage = *end == ' ' && end[2] == '\t' ? (unsigned long)(end[1] - '0') : 0;
	path = end + 3;
	if (mode > 0177777 || stage < 1 || stage > 3 || !*path)
		return -EBADMSG;
	if (!last || strcmp(last->path, path) != 0) {
		struct merge_stages *v = realloc(g->stages, (g->nstages + 1) * sizeof(*v));

		if (!v)
			return -ENOMEM;
		g->stages = v;
		last = &v[g->nstages];
		*last = (struct merge_stages){.path = strdup(path)};
		if (!last->path)
			return -ENOMEM;
		g->nstages++;
	}
	last->v[stage - 1] = (struct tree_entry){(uint32_t)mode, id};
	return 0;
}

static int parse(const struct buf *out, const char *ours, const char *theirs, struct merge_git *g)
{
	struct scan s = {out->data, out->data + out->len};
	const char *p = out->len ? next(&s) : NULL;
	int r = 0;

	if (!p || strlen(p) != GIT_OID_HEXSZ || git_oid_fromstr(&g->tree, p) < 0)
		return -EBADMSG;
	while (r == 0 && (p = next(&s)) && *p)
		r = add_stage(g, p);
	while (r == 0 && (p = next(&s))) {
		const char *paths[PATHS_MAX];
		struct git_message m = {.paths = paths, .ours = ours, .theirs = theirs};
		long n = strtol(p, NULL, 10);

		for (long i = 0; i < n; i++) {
			const char *path = next(&s);

			if (path && m.n < PATHS_MAX)
				paths[m.n++] = path;
		}
		m.type = next(&s);
		m.text = next(&s);
		if (!m.n || !m.text)
			return -EBADMSG;
		r = one_message(g, &m);
	}
	if (r == 0)
		r = merge_git_say_rest(g);
	return r;
}

static int answer(int status, struct buf *out, struct buf *err, const char *ours,
		  const char *theirs, struct merge_git *g, struct err *reterr)
{
	char *line = err->data ? strchr(err->data, '\n') : NULL;
	int r;

	if (status == EXIT_ABSENT)
		return err_set_id(
			reterr, -ENOSYS, "Unsupported",
			"this merge needs git, which is not installed (version 2.38 or later)");
	if (status == EXIT_USAGE)
		return err_set_id(reterr, -ENOSYS, "Unsupported",
				  "this merge needs git 2.38 or later: the installed one is older");
	if (status == -ETIMEDOUT)
		return err_set_id(reterr, status, "Timeout",
				  "git's merge took longer than %d seconds", TIME_LIMIT_MS / 1000);
	if (status != 0 && status != 1) {
		r = err->data && strstr(err->data, strerror(ENOSPC)) ? -ENOSPC : -EIO;
		if (line)
			*line = 0;
		return err_set(reterr, r, "git's merge failed: %s",
			       err->data && *err->data ? err->data : "it did not say why");
	}
	r = parse(out, ours, theirs, g);
	if (r == 0 && status == 1 && !g->conflicts.n)
		r = -EBADMSG;
	if (r < 0)
		return err_set(reterr, r, "git's merge answered what is not understood");
	return 0;
}

int merge_git_start(struct merge_private *p, const git_oid *ours, const git_oid *theirs,
		    struct merge_git_run *ret, struct err *reterr)
{
	char o[GIT_OID_HEXSZ + 1], t[GIT_OID_HEXSZ + 1];
	char *const argv[] = {(char *)"git",
			      (char *)"merge-tree",
			      (char *)"--write-tree",
			      (char *)"-z",
			      (char *)"--messages",
			      o,
			      t,
			      NULL};
	int r = merge_private_make(p, reterr);

	if (r < 0)
		return r;
	(void)git_oid_tostr(o, sizeof(o), ours);
	(void)git_oid_tostr(t, sizeof(t), theirs);
	r = start(p->dir.data, argv, ret);
	if (r < 0)
		return err_set(reterr, r, "starting git: %s", strerror(-r));
	ret->ours = *ours;
	ret->theirs = *theirs;
	ret->git = p->shared;
	return 0;
}

int merge_git_finish(struct merge_git_run *run, struct merge_git *ret, struct err *reterr)
{
	char o[GIT_OID_HEXSZ + 1], t[GIT_OID_HEXSZ + 1];
	_cleanup_buf_ struct buf out = BUF_INIT, err = BUF_INIT;
	struct merge_git g = {.git = run->git};
	int r = finish(run, collect(run, &out, &err));

	run->pid = 0;
	(void)git_oid_tostr(o, sizeof(o), &run->ours);
	(void)git_oid_tostr(t, sizeof(t), &run->theirs);
	r = answer(r, &out, &err, o, t, &g, reterr);
	if (r < 0) {
		merge_git_release(&g);
		return r;
	}
	*ret = g;
	return 0;
}

void merge_git_drop(struct merge_git_run *run)
{
	if (run->pid)
		(void)finish(run, -ECANCELED);
	run->pid = 0;
}

int merge_git(struct merge_private *p, const git_oid *ours, const git_oid *theirs,
	      struct merge_git *ret, struct err *reterr)
{
	struct merge_git_run run = {0};
	int r = merge_git_start(p, ours, theirs, &run, reterr);

	if (r == 0)
		r = merge_git_finish(&run, ret, reterr);
	return r < 0 ? r : merge_private_open(p, reterr);
}

void merge_git_release(struct merge_git *g)
{
	merge_conflicts_release(&g->conflicts);
	for (size_t i = 0; i < g->nmerged; i++)
		free(g->merged[i]);
	free(g->merged);
	for (size_t i = 0; i < g->nmoved; i++)
		free(g->moved[i]);
	free(g->moved);
	for (size_t i = 0; i < g->nstages; i++)
		free(g->stages[i].path);
	free(g->stages);
	*g = (struct merge_git){0};
}

/* ---- taking its objects over ---- */

static int copy_object(git_odb *from, git_odb *to, const git_oid *oid)
{
	git_odb_object *o = NULL;
	git_oid got;
	int r = git_odb_read(&o, from, oid);

	if (r == 0)
		r = git_odb_write(&got, to, git_odb_object_data(o), git_odb_object_size(o),
				  git_odb_object_type(o));
	if (r == 0 && !git_oid_equal(&got, oid))
		r = GIT_EMISMATCH;
	git_odb_object_free(o);
	return r;
}

/* Not looked for anew where it is missing, as most that git made are: the folder of packs would be read each time. */
static bool has(git_odb *odb, const git_oid *oid)
{
	return git_odb_exists_ext(odb, oid, GIT_ODB_LOOKUP_NO_REFRESH) == 1;
}

/* Children first: a tree that is there is whole. */
static int copy_tree(struct merge_private *p, git_odb *from, git_odb *to, const git_oid *oid,
		     unsigned depth)
{
	git_tree *tree = NULL;
	int r;

	if (has(to, oid))
		return 0;
	r = depth > DEPTH_MAX ? GIT_ERROR : git_tree_lookup(&tree, p->git, oid);
	for (size_t i = 0; r == 0 && i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		const git_oid *id = git_tree_entry_id(e);

		if (git_tree_entry_filemode(e) == GIT_FILEMODE_TREE)
			r = copy_tree(p, from, to, id, depth + 1);
		else if (git_tree_entry_filemode(e) != GIT_FILEMODE_COMMIT && !has(to, id))
			r = copy_object(from, to, id);
	}
	git_tree_free(tree);
	return r == 0 ? copy_object(from, to, oid) : r;
}

int merge_git_copy(struct merge_private *p, const git_oid *id, struct err *reterr)
{
	git_object_t type = GIT_OBJECT_INVALID;
	size_t size = 0;
	git_odb *from = NULL, *to = NULL;
	int r = git_repository_odb(&from, p->git);

	if (r == 0)
		r = git_repository_odb(&to, p->shared);
	if (r == 0)
		r = git_odb_read_header(&size, &type, from, id);
	if (r == 0)
		r = type == GIT_OBJECT_TREE ? copy_tree(p, from, to, id, 0)
		    : has(to, id)	    ? 0
					    : copy_object(from, to, id);
	git_odb_free(from);
	git_odb_free(to);
	return r < 0 ? git_errno(r, reterr, "taking over git's merge") : 0;
}
