/* SPDX-License-Identifier: Apache-2.0 */
/* Doctor and Stop. */
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ai_settings.h"
#include "cleanup.h"
#include "io.h"
#include "methods.h"
#include "mountpoint.h"
#include "op.h"
#include "parser.h"
#include "sys.h"
#include "verify_scratch.h"

static void add(json_t *a, const char *name, const char *state, const char *remedy, const char *fmt,
		...) __attribute__((format(printf, 5, 6)));
static void add(json_t *a, const char *name, const char *state, const char *remedy, const char *fmt,
		...)
{
	json_t *o;
	va_list ap;

	va_start(ap, fmt);
	o = json_pack("{s:s,s:s,s:o}", "name", name, "state", state, "text",
		      json_vsprintf(fmt, ap));
	va_end(ap);
	if (remedy)
		(void)json_object_set_new(o, "remedy", json_string(remedy));
	(void)json_array_append_new(a, o);
}

static bool at_least(const char *text, int major, int minor)
{
	int a = 0, b = 0;

	return sscanf(text, "%d.%d", &a, &b) == 2 && (a > major || (a == major && b >= minor));
}

static void check_kernel(json_t *a)
{
	struct utsname u;

	if (uname(&u) < 0)
		return;
	if (at_least(u.release, 6, 9))
		add(a, "kernel", "ok", NULL, "%s", u.release);
	else
		add(a, "kernel", "warning", "a kernel of 6.9 or later",
		    "%s has no FUSE_NOTIFY_RESEND: after a crash of a view's server its programs hear "
		    "ENOTCONN until the view is mounted again",
		    u.release);
}

static void check_fuse(json_t *a, const struct daemon *d)
{
	_cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	_cleanup_buf_ struct buf conf = BUF_INIT;
	bool helper =
		access("/usr/bin/fusermount3", X_OK) == 0 || access("/bin/fusermount3", X_OK) == 0;

	if (fd >= 0)
		add(a, "fuse", "ok", NULL, "/dev/fuse can be opened");
	else
		add(a, "fuse", "problem",
		    errno == ENOENT ? "modprobe fuse" : "see to its permissions",
		    "/dev/fuse cannot be opened: %s", strerror(errno));
	if (helper || d->system)
		add(a, "fusermount3", "ok", NULL, "%s",
		    helper ? "fusermount3 is there" : "not needed by the system daemon");
	else
		add(a, "fusermount3", "problem", "apt install fuse3",
		    "fusermount3 is missing: an ordinary "
		    "user cannot mount");
	if (d->system)
		return;
	/* What fusermount3 itself needs, in a container as small as can be. */
	if (access("/etc/mtab", F_OK) < 0)
		add(a, "mtab", "problem", "ln -s ../proc/self/mounts /etc/mtab",
		    "/etc/mtab is missing: fusermount3 finds no mount in it to take down");
	if (!getpwuid(getuid()))
		add(a, "user name", "problem", "give the user a line in /etc/passwd",
		    "uid %u has no name, which fusermount3 asks for", (unsigned)getuid());
	if (io_read_file(AT_FDCWD, "/etc/fuse.conf", 1 << 16, &conf) == 0 &&
	    strstr(conf.data ? conf.data : "", "\nuser_allow_other"))
		add(a, "user_allow_other", "ok", NULL, "/etc/fuse.conf allows it");
	else
		add(a, "user_allow_other", "ok", NULL,
		    "not set: only you see your views, which is enough");
}

static void check_uring(json_t *a)
{
	long r = syscall(SYS_io_uring_setup, 1, NULL);

	if (r < 0 && errno == EFAULT)
		add(a, "io_uring", "ok", NULL, "the kernel offers it");
	else
		add(a, "io_uring", "warning", NULL,
		    "io_uring is not to be had (%s): journals are synced by "
		    "fdatasync",
		    strerror(errno));
}

static void check_git(json_t *a)
{
	FILE *p = popen("git --version 2>/dev/null", "re");
	char line[128] = "";
	int major, minor, rev;

	if (p) {
		if (!fgets(line, sizeof(line), p))
			line[0] = '\0';
		(void)pclose(p);
	}
	line[strcspn(line, "\n")] = '\0';
	if (!*line)
		add(a, "git", "warning", "apt install git",
		    "git is missing: views work, agents have no git");
	else if (strlen(line) > 12 && at_least(line + 12, 2, 38))
		add(a, "git", "ok", NULL, "%s", line);
	else
		add(a, "git", "warning", "git 2.38 or later",
		    "%s: merges with renames of folders need git "
		    "2.38",
		    line);
	git_libgit2_version(&major, &minor, &rev);
	add(a, "libgit2", "ok", NULL, "libgit2 %d.%d.%d", major, minor, rev);
}

/* Structured merges need them; all else goes without. */
static void check_grammars(json_t *a)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct parser *p = parser_new(NULL, &e);

	if (p)
		add(a, "grammars", "ok", NULL, "structured merges read the grammars in '%s'",
		    parser_grammars(p));
	else
		add(a, "grammars", "warning", "tools/grammars, where agentfs was built",
		    "structured merges are off: %s", err_text(&e));
	parser_free(p);
}

static void check_space(json_t *a, const struct daemon *d)
{
	struct statvfs s;
	unsigned long long mib;

	if (statvfs(d->paths.state, &s) < 0) {
		add(a, "space", "problem", NULL, "'%s': %s", d->paths.state, strerror(errno));
		return;
	}
	mib = (unsigned long long)s.f_bavail * s.f_frsize >> 20;
	if (mib >= 1024)
		add(a, "space", "ok", NULL, "%llu MiB are free in '%s'", mib, d->paths.state);
	else
		add(a, "space", mib < 64 ? "problem" : "warning",
		    "make room, or choose another --state", "only %llu MiB are free in '%s'", mib,
		    d->paths.state);
}

static void check_views(json_t *a, const struct daemon *d)
{
	struct view *v;
	int live = 0, shared = 0;

	for (v = views_next(d->views, NULL); v; v = views_next(d->views, v)) {
		if (scratch_is(v->row.agent))
			continue; /* it is looked at when it is used */
		shared += strcmp(v->row.git, "worktree") == 0;
		if (v->phase == PHASE_LIVE)
			live++;
		else if (view_is_open(v))
			add(a, "view", "warning", "it is tried again by itself",
			    "the view of '%s' is stale: "
			    "%s",
			    v->row.agent, v->why);
		if (v->phase != PHASE_LIVE && mountpoint_is_mounted(v->row.mount, NULL) > 0)
			add(a, "mount", "warning",
			    "it is cleared by itself; else: fusermount3 -u -z PATH",
			    "the mount at '%s' is dead", v->row.mount);
	}
	add(a, "views", "ok", NULL, "%d live", live);
	if (shared)
		add(a, "worktrees", "warning",
		    "give agents that are not trusted with it a git of their own: agentfsctl create "
		    "AGENT --git private",
		    "%d view%s the git of the repository (--git worktree): commits are judged when they "
		    "are materialized, not before they stand in it, hooks of the repository run in the "
		    "agent's hands, and it can move any branch",
		    shared, shared == 1 ? " shares" : "s share");
}

static void check_failed_redirects(json_t *a, const struct view *v)
{
	json_t *r;
	size_t i;

	json_array_foreach (v->redirects, i, r)
		if (strcmp(json_string_value(json_object_get(r, "state")), "failed") == 0)
			add(a, "redirect", "problem",
			    "see the log of its server; it is tried again when the folder is used",
			    "'%s' of agent '%s' cannot be mounted: what it holds cannot be reached",
			    json_string_value(json_object_get(r, "path")), v->row.agent);
}

static void check_redirects(json_t *a, const struct daemon *d)
{
	const struct view *v;

	if (config_redirects(&d->config) && d->system)
		add(a, "redirect", "ok", NULL, "folders that a redirect rule names are mounted");
	else if (config_redirects(&d->config))
		add(a, "redirect", "warning",
		    "use the system daemon: sudo systemctl start agentfsd",
		    "an ordinary user's daemon cannot mount: folders that a redirect rule names are kept in "
		    "the overlay, slower, and each write to them is journaled");
	for (v = views_next(d->views, NULL); v; v = views_next(d->views, (struct view *)v))
		check_failed_redirects(a, v);
}

static void check_resolvers(json_t *a, const struct daemon *d)
{
	_cleanup_free_ char *said = ai_settings_wrong(d);

	if (said)
		add(a, "resolvers", "warning",
		    "start agentfsd with the variable set, or mend merge: {resolvers: …} of the "
		    "configuration",
		    "%s: conflicts are not shown to it", said);
}

static void doctor_report(struct daemon *d, struct call *c)
{
	json_t *a = json_array();

	check_kernel(a);
	check_fuse(a, d);
	check_uring(a);
	check_git(a);
	check_grammars(a);
	check_space(a, d);
	check_views(a, d);
	if (config_unenforced(&d->config))
		add(a, "roles", "warning", NULL,
		    "%s sets may or accepts-from of a role: they are kept, nothing enforces them yet, as "
		    "an agent and its user are one and the same to the daemon",
		    config_unenforced(&d->config));
	check_redirects(a, d);
	check_resolvers(a, d);
	add(a, "identity", "warning",
	    d->system
		    ? "give agents that must not touch each other's work users "
		      "of their own: agentfsctl create AGENT --user NAME"
		    : "for agents that must not touch each "
		      "other's work use the system daemon and: agentfsctl create AGENT --user NAME",
	    "a write is put down to the view that it goes to: agents of the same uid can write into each "
	    "other's views");
	doctor_leftovers(d, c, a);
}

struct doctor {
	struct daemon *d;
	struct call *call;
	unsigned pending;
};

static void doctor_done(struct doctor *q)
{
	if (--q->pending > 0)
		return;
	doctor_report(q->d, q->call);
	free(q);
}

static void on_doctor_stats(struct view *v, int r, const char *why, void *user)
{
	doctor_done(user);
}

/* Each view says first how it is. */
void method_doctor(struct daemon *d, struct call *c)
{
	struct doctor *q = sys_calloc(1, sizeof(*q));
	struct view *v;

	if (!q) {
		doctor_report(d, c);
		return;
	}
	*q = (struct doctor){d, c, 1};
	for (v = views_next(d->views, NULL); v; v = views_next(d->views, v)) {
		q->pending++;
		view_refresh(v, on_doctor_stats, q);
	}
	doctor_done(q);
}

/* ---- Stop ---- */

struct stop {
	struct daemon *d;
	struct call *call;
	unsigned pending;
};

static void stop_done(struct stop *s)
{
	if (--s->pending > 0)
		return;
	call_reply(s->call, NULL);
	daemon_end(s->d);
	free(s);
}

static void on_view_stopped(struct view *v, int r, const char *why, void *user)
{
	stop_done(user);
}

void method_stop(struct daemon *d, struct call *c)
{
	struct stop *s = sys_calloc(1, sizeof(*s));
	struct fault f = FAULT_INIT;
	struct view *v;

	if (!s || (d->system && c->uid != 0)) {
		if (s)
			(void)fault_set(&f, "Denied", "only root may stop the system daemon");
		free(s);
		call_fault(c, &f);
		return;
	}
	*s = (struct stop){d, c, 1};
	views_end(d->views); /* one that is being made now would stay mounted */
	if (!arg_bool(c, "keep_views"))
		for (v = views_next(d->views, NULL); v; v = views_next(d->views, v)) {
			s->pending++;
			view_stop(v, true, on_view_stopped, s);
		}
	stop_done(s);
}
