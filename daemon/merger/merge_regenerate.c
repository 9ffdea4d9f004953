/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) nothing that a command wrote is taken but the files that conflicted; (2) a command sees the
 * merged tree, and nothing else of the machine but the network where it may; (3) the folder goes with the merge; what
 * a kill leaves lies in the temporary folder under our name.
 *
 *     TMPDIR/agentfs-regenerate-XXXXXX/      0700
 *         tree/                              the merged tree; bound as /src
 */
#include "merge_regenerate.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "language.h"
#include "odb.h"
#include "sandbox.h"
#include "treewalk.h"
#include "worker_run.h"

enum {
	FILES_MAX = 50000,
	LOCK_MAX = 64 << 20,
	OUTPUT_MAX = 64 << 10,
	TIMEOUT_S = 600,
	NPROC = 1024,
	NICE = 10
};

struct regenerate {
	struct worker *w;
	struct merge_out *out;
	char dir[4096], tree[4200];
	json_t *files; /* as in out->resolved.files */
	struct tree_edit *edits;
	size_t n;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* What the configuration says of the path: a name without a slash is one in any folder. */
static const json_t *entry_of(const struct worker *w, const char *path)
{
	json_t *all = json_object_get(w->req, "regenerate"), *v;
	const char *key;

	json_object_foreach (all, key, v)
		if (fnmatch(key, strchr(key, '/') ? path : base_name(path), FNM_PATHNAME) == 0)
			return v;
	return NULL;
}

bool merge_regenerate_has(void *w, const char *path)
{
	return entry_of(w, path);
}

static bool is_written(const char *path)
{
	enum path_class class = path_class_of(path);

	return class == PATH_LOCK || class == PATH_GENERATED;
}

/* Appends to what is said of a conflict. */
static int add_reason(struct merge_conflict *c, const char *fmt, const char *a, const char *b)
{
	_cleanup_free_ char *more = NULL;
	char *text = NULL;

	if (asprintf(&more, fmt, a, b) < 0) {
		more = NULL;
		return -ENOMEM;
	}
	if (asprintf(&text, "%s; %s", c->reason, more) < 0)
		return -ENOMEM;
	free(c->reason);
	c->reason = text;
	return 0;
}

/* Says what would help. Returns whether each conflict has a command. */
static int look(struct regenerate *g)
{
	struct merge_conflicts *c = &g->out->conflicts;
	bool all = g->out->has_partial;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		struct merge_conflict *one = &c->v[i];

		if (entry_of(g->w, one->path))
			continue;
		all = false;
		if (one->generated || is_written(one->path))
			r = add_reason(
				one,
				"it is written by a program and never merged: write it anew, or "
				"name the command, merge: {regenerate: {%s: COMMAND}}%s",
				base_name(one->path), "");
	}
	return r < 0 ? r : all;
}

/* ---- the folder ---- */

static int count_file(const char *root, const git_tree_entry *e, void *n)
{
	return ++*(size_t *)n > FILES_MAX ? -E2BIG : 0;
}

static int check_size(git_tree *tree)
{
	size_t n = 0;
	int r = git_tree_walk(tree, GIT_TREEWALK_PRE, count_file, &n);

	return r < 0 ? -E2BIG : 0;
}

/* As root the sandbox is another user's: what is in the folder is for everybody, and nobody gets there. */
static int check_out(struct regenerate *g, struct err *reterr)
{
	git_checkout_options opts = GIT_CHECKOUT_OPTIONS_INIT;
	git_repository *git = g->w->repo.git;
	const bool root = geteuid() == 0;
	const mode_t mask = umask(root ? 0 : 022);
	git_tree *tree = NULL;
	int r = git_tree_lookup(&tree, git, &g->out->partial);

	opts.checkout_strategy = GIT_CHECKOUT_FORCE | GIT_CHECKOUT_DONT_UPDATE_INDEX |
				 GIT_CHECKOUT_DONT_WRITE_INDEX | GIT_CHECKOUT_NO_REFRESH;
	opts.target_directory = g->tree;
	if (root) {
		opts.dir_mode = 0777;
		opts.file_mode = 0666;
	}
	if (r == 0 && check_size(tree) < 0)
		r = err_set(reterr, -E2BIG, "the tree has more than %d files", FILES_MAX);
	else if (r == 0)
		r = git_checkout_tree(git, (const git_object *)tree, &opts);
	git_tree_free(tree);
	(void)umask(mask);
	return r < 0 && !reterr->code ? git_errno(r, reterr, "writing the merged tree") : r;
}

static int make_folder(struct regenerate *g, struct err *reterr)
{
	const char *tmp = getenv("TMPDIR");
	int r;

	(void)snprintf(g->dir, sizeof(g->dir), "%s/agentfs-regenerate-XXXXXX",
		       tmp && *tmp == '/' ? tmp : "/tmp");
	if (!mkdtemp(g->dir)) {
		r = -errno;
		g->dir[0] = '\0';
		return err_set(reterr, r, "making a temporary folder: %s", strerror(-r));
	}
	(void)snprintf(g->tree, sizeof(g->tree), "%s/tree", g->dir);
	if (mkdir(g->tree, 0777) < 0 || (geteuid() == 0 && chmod(g->tree, 0777) < 0))
		return err_set(reterr, -errno, "making '%s': %s", g->tree, strerror(errno));
	return check_out(g, reterr);
}

/* ---- a command ---- */

/* "npm …" where it is text, or a map's member. */
static const char *command_of(const json_t *entry)
{
	return json_string_value(json_is_object(entry) ? json_object_get(entry, "command") : entry);
}

/* The last line that says anything. */
static void last_line(const struct buf *out, char *ret, size_t size)
{
	size_t end = out->len, from;

	while (end > 0 && strchr(" \r\n", out->data[end - 1]))
		end--;
	for (from = end; from > 0 && out->data[from - 1] != '\n';)
		from--;
	(void)snprintf(ret, size, "%.*s", (int)(end - from < size ? end - from : size - 1),
		       out->data ? out->data + from : "");
}

/* Runs it in the file's folder. Returns 1, or 0 with the reason why it was of no use. */
static int run_one(struct regenerate *g, const char *path, const json_t *entry, char *why,
		   size_t size, struct err *reterr)
{
	const char *command = command_of(entry);
	const char *argv[] = {"/bin/sh", "-c", command, NULL};
	const json_t *timeout = json_object_get(entry, "timeout");
	_cleanup_free_ char *cwd = NULL;
	struct sandbox_result done;
	char line[300];
	int r = asprintf(&cwd, "/src/%.*s", (int)(base_name(path) - path), path);

	if (r < 0) {
		cwd = NULL;
		return -ENOMEM;
	}
	r = sandbox_run(
		&(struct sandbox_spec){
			.argv = argv,
			.cwd = cwd,
			.binds = &(struct sandbox_bind){.host = g->tree,
							.inside = "/src",
							.writable = true},
			.nbinds = 1,
			.network = !json_is_false(json_object_get(entry, "network")),
			.timeout_ms = 1000 * (unsigned)(json_is_integer(timeout)
								? json_integer_value(timeout)
								: TIMEOUT_S),
			.output_max = OUTPUT_MAX,
			.drain_max = LOCK_MAX,
			.nproc_max = NPROC,
			.nice = NICE,
			.one_stream = true,
		},
		&done, reterr);
	if (r == 0) {
		last_line(&done.out, line, sizeof(line));
		if (done.timed_out)
			(void)snprintf(why, size, "'%s' was not done in time", command);
		else if (done.status)
			(void)snprintf(why, size, "'%s' failed (exit %d): %s", command, done.status,
				       line);
		r = !done.timed_out && !done.status;
	}
	sandbox_result_release(&done);
	return r;
}

static int open_beneath(int dir, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* What the command made of the file; the walk to it follows no symlink that the command may have put there. */
static int take_file(struct regenerate *g, const char *path, git_oid *ret, char *why, size_t size)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_close_ int dir = open(g->tree, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct stat st;
	int r = dir < 0 ? -errno : 0;

	if (r == 0) {
		fd = open_beneath(dir, path);
		r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : !S_ISREG(st.st_mode) ? -EINVAL : 0;
	}
	if (r == 0)
		r = io_read_fd(fd, LOCK_MAX, &b);
	if (r < 0) {
		(void)snprintf(why, size, "its command left no file there: %s", strerror(-r));
		return 0;
	}
	r = git_blob_create_from_buffer(ret, g->w->repo.git, b.data ? b.data : "", b.len);
	return r < 0 ? -EIO : 1;
}

static json_t *told(const char *path, const char *command)
{
	return json_pack("{s:o,s:[{s:i,s:s,s:s,s:s,s:[],s:s,s:o,s:i,s:i,s:s}]}", "path",
			 worker_text(path, strlen(path)), "conflicts", "line", 1, "base", "",
			 "ours", "", "theirs", "", "candidates", "resolver", "regenerate", "does",
			 json_sprintf("written anew by '%s'", command), "fired", 0, "right", 0,
			 "text", "");
}

static int do_one(struct regenerate *g, struct merge_conflict *c, struct err *reterr)
{
	const json_t *entry = entry_of(g->w, c->path);
	struct tree_entry ours = {0};
	char why[1024] = "";
	git_oid id;
	int r = tree_get(g->w->repo.git, &g->out->partial, c->path, &ours);

	if (r == 0)
		r = run_one(g, c->path, entry, why, sizeof(why), reterr);
	if (r > 0)
		r = take_file(g, c->path, &id, why, sizeof(why));
	if (r == 0)
		r = add_reason(c, "it could not be written anew: %s%s", why, "");
	else if (r > 0) {
		g->edits[g->n++] =
			(struct tree_edit){c->path, {ours.mode ? ours.mode : 0100644, id}};
		(void)json_array_append_new(g->files, told(c->path, command_of(entry)));
		r = 0;
	}
	return r;
}

static int finish(struct regenerate *g, struct err *reterr)
{
	struct merge_out *out = g->out;
	int r;

	if (g->n != out->conflicts.n)
		return 0;
	qsort(g->edits, g->n, sizeof(*g->edits), tree_path_order);
	r = tree_apply(g->w->repo.git, NULL, &out->partial, g->edits, g->n, &out->tree);
	if (r < 0)
		return err_set(reterr, r, "writing the merged tree: %s", strerror(-r));
	merge_conflicts_release(&out->conflicts);
	if (!out->resolved.files)
		out->resolved.files = json_array();
	(void)json_array_extend(out->resolved.files, g->files);
	return 0;
}

/* No sandbox, no room and the like: the conflicts stay, and say why. */
static int note_failure(struct regenerate *g, const struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->out->conflicts.n; i++)
		r = add_reason(&g->out->conflicts.v[i], "it could not be written anew: %s%s",
			       err_text(e), "");
	return r;
}

int merge_regenerate(struct worker *w, struct merge_out *out, struct err *reterr)
{
	struct regenerate g = {.w = w, .out = out, .files = json_array()};
	_cleanup_(err_release) struct err e = ERR_INIT;
	int r = look(&g);

	if (r > 0) {
		g.edits = calloc(out->conflicts.n, sizeof(*g.edits));
		r = g.edits ? make_folder(&g, &e) : -ENOMEM;
		for (size_t i = 0; r == 0 && i < out->conflicts.n; i++)
			r = do_one(&g, &out->conflicts.v[i], &e);
		if (r == 0)
			r = finish(&g, reterr);
		else if (e.code)
			r = note_failure(&g, &e);
	}
	if (g.dir[0])
		(void)io_rm_rf(AT_FDCWD, g.dir);
	free(g.edits);
	json_decref(g.files);
	return r < 0 && reterr && !reterr->code
		       ? err_set(reterr, r, "writing lock files anew: %s", strerror(-r))
		       : r;
}
