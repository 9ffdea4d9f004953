/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfs-merge: tiers 1 and 2 on one file, without daemon or view: a git merge driver
 * (gitattributes(5)) and a tool for a person. The result replaces OURS as a whole or not at all;
 * conflicts that no rule may resolve stand in it with markers, as git writes them.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "io.h"
#include "parser.h"
#include "resolve.h"
#include "resolve_check.h"

enum { EXIT_DONE = 0, EXIT_CONFLICT = 1, EXIT_USAGE = 2, EXIT_FAILED = 129 /* git: an error */ };
enum { FILE_MAX = 1 << 30, BINARY_LOOK = 8000, MARKER_MIN = 1, MARKER_MAX = 1000, COST_MAX = 1000 };

struct options {
	long marker_size, cost_of_wrong;
	bool diff3, quiet, print;
	const char *path;   /* what it is called in the repository */
	const char *output; /* where the result goes; NULL: to OURS */
};

static const char usage_text[] =
	"Usage: agentfs-merge [OPTION...] BASE OURS THEIRS [PATH]\n"
	"\n"
	"Merges the changes from BASE to THEIRS into OURS and writes the result there. Conflicts of\n"
	"lines are resolved by rules whose record allows it; those that are left get markers.\n"
	"PATH is the file's name in the repository: it tells the language.\n"
	"\n"
	"      --print            write to standard output, leave OURS as it is\n"
	"      --output FILE      write to FILE (which has to be there), leave OURS as it is\n"
	"      --style STYLE      of markers: merge (default), diff3 or zdiff3 (with the base's lines;\n"
	"                         what both sides have alike stands outside in either)\n"
	"      --marker-size N    length of markers (default: 7)\n"
	"      --cost-of-wrong K  a rule acts where it is right with at least K / (K + 1)\n"
	"                         (default: 5)\n"
	"  -q, --quiet            do not tell what was resolved by which rule\n"
	"  -h, --help             print this and exit\n"
	"  -V, --version          print the version and exit\n"
	"\n"
	"Exit: 0 merged, 1 conflicts are left, 2 usage, 129 failed (OURS is as it was).\n"
	"\n"
	"As git's merge driver:\n"
	"  git config merge.agentfs.name 'agentfs, by rule where its record allows it'\n"
	"  git config merge.agentfs.driver 'agentfs-merge --marker-size %L %O %A %B %P'\n"
	"  echo '* merge=agentfs' >>.gitattributes\n"
	"As git's mergetool, for conflicts that are there already:\n"
	"  git config mergetool.agentfs.cmd \\\n"
	"    'agentfs-merge --output \"$MERGED\" \"$BASE\" \"$LOCAL\" \"$REMOTE\" \"$MERGED\"'\n"
	"  git config mergetool.agentfs.trustExitCode true\n"
	"  git mergetool -t agentfs\n";

static int fail(const char *what, const char *path, int r)
{
	(void)fprintf(stderr, "agentfs-merge: %s '%s': %s\n", what, path, strerror(-r));
	return EXIT_FAILED;
}

static int number(const char *option, const char *arg, long min, long max, long *ret)
{
	char *end;
	long n = strtol(arg, &end, 10);

	if (!*arg || *end || n < min || n > max) {
		(void)fprintf(stderr,
			      "agentfs-merge: --%s takes a number from %ld to %ld, not '%s'\n",
			      option, min, max, arg);
		return EXIT_USAGE;
	}
	*ret = n;
	return 0;
}

static bool is_binary(const struct buf *b)
{
	return b->len && memchr(b->data, 0, b->len < BINARY_LOOK ? b->len : BINARY_LOOK);
}

static int put_marker(struct buf *out, const struct options *o, char c, const char *label,
		      bool crlf)
{
	int r = 0;

	for (long i = 0; i < o->marker_size && r == 0; i++)
		r = buf_addc(out, c);
	if (r == 0 && label)
		r = buf_addf(out, " %s", label);
	return r < 0 ? r : buf_adds(out, crlf ? "\r\n" : "\n");
}

/* A side's lines, with an end behind the last. */
static int put_side(struct buf *out, struct text t, bool crlf)
{
	int r = buf_add(out, t.p, t.n);

	if (r == 0 && t.n && t.p[t.n - 1] != '\n')
		r = buf_adds(out, crlf ? "\r\n" : "\n");
	return r;
}

static int put_conflict(struct buf *out, const struct options *o, const struct resolve *r,
			const struct chunk *c)
{
	struct text ours = diff3_text(&r->d, c, OURS);
	bool crlf = ours.n > 1 && ours.p[ours.n - 1] == '\n' && ours.p[ours.n - 2] == '\r';
	int k = put_marker(out, o, '<', "ours", crlf);

	if (k == 0)
		k = put_side(out, ours, crlf);
	if (k == 0 && o->diff3)
		k = put_marker(out, o, '|', "base", crlf);
	if (k == 0 && o->diff3)
		k = put_side(out, diff3_text(&r->d, c, BASE), crlf);
	if (k == 0)
		k = put_marker(out, o, '=', NULL, crlf);
	if (k == 0)
		k = put_side(out, diff3_text(&r->d, c, THEIRS), crlf);
	return k < 0 ? k : put_marker(out, o, '>', "theirs", crlf);
}

static int render(const struct options *o, const struct resolve *r, struct buf *out)
{
	size_t next = 0;
	int k = 0;

	for (size_t i = 0; i < r->d.n && k == 0; i++) {
		const struct chunk *c = &r->d.v[i];
		struct text t;

		if (c->kind == CHUNK_CONFLICT) {
			const struct answer *a = r->v[next++].taken;

			k = a ? buf_add(out, a->text, a->len) : put_conflict(out, o, r, c);
			continue;
		}
		t = diff3_text(&r->d, c, c->kind == CHUNK_THEIRS ? THEIRS : OURS);
		k = buf_add(out, t.p, t.n);
	}
	return k;
}

static void tell(const struct options *o, const struct resolve *r)
{
	for (size_t i = 0; i < r->n && !o->quiet; i++) {
		const struct resolved_conflict *c = &r->v[i];
		const struct answer *a = c->taken ? c->taken : c->n ? c->answers : NULL;

		(void)fprintf(stderr, "%s:%zu: ", o->path, c->chunk.from[OURS] + 1);
		if (c->refused)
			(void)fprintf(stderr,
				      "conflict; %s (resolver %s) breaks the invariant '%s': %s\n",
				      c->refused->by->does, c->refused->by->name, r->broken,
				      r->why);
		else if (!a)
			(void)fprintf(stderr, "conflict, and no rule has an answer\n");
		else
			(void)fprintf(stderr, "%s%s (resolver %s: right in %u of %u)\n",
				      c->taken ? "" : "conflict; perhaps: ", a->by->does,
				      a->by->name, a->evidence.right, a->evidence.fired);
	}
}

/* The result in place of `path`, with its mode. */
static int write_result(const struct options *o, const char *path, const struct buf *out)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder =
		slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	_cleanup_close_ int dir = -1;
	struct stat st;

	if (o->print)
		return fwrite(out->len ? out->data : "", 1, out->len, stdout) != out->len ||
				       fflush(stdout) != 0
			       ? -EIO
			       : 0;
	if (!folder)
		return -ENOMEM;
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || stat(path, &st) < 0)
		return -errno;
	return io_replace_file(dir, slash ? slash + 1 : path, out->len ? out->data : "", out->len,
			       st.st_mode & 0777);
}

static int merge(const struct options *o, char **files)
{
	struct resolve_options how = {.cost_of_wrong = (unsigned int)o->cost_of_wrong};
	_cleanup_buf_ struct buf b = BUF_INIT, u = BUF_INIT, t = BUF_INIT, out = BUF_INIT;
	struct buf *v[SIDES] = {&b, &u, &t};
	const char *to = o->output ? o->output : files[OURS];
	struct text text[SIDES];
	struct resolve r;
	int k = 0, left;

	for (int s = BASE; s < SIDES; s++) {
		k = io_read_file(AT_FDCWD, files[s], FILE_MAX, v[s]);
		if (k < 0)
			return fail("cannot read", files[s], k);
		if (is_binary(v[s])) {
			(void)fprintf(stderr,
				      "agentfs-merge: '%s' is not text: take one side, or merge it "
				      "with its own program\n",
				      o->path);
			return EXIT_CONFLICT;
		}
		text[s] = (struct text){v[s]->len ? v[s]->data : "", v[s]->len};
	}
	how.parser = parser_new(NULL, NULL); /* without grammars: none */
	k = resolve_file(o->path, text[BASE], text[OURS], text[THEIRS], &how, &r);
	if (k == 0) {
		k = resolve_believe(o->path, &r, &how);
		if (k < 0)
			resolve_release(&r);
	}
	parser_free(how.parser);
	if (k < 0)
		return fail("cannot merge", o->path, k);
	left = r.left > 0;
	k = render(o, &r, &out);
	tell(o, &r);
	resolve_release(&r);
	if (k == 0)
		k = write_result(o, to, &out);
	return k < 0 ? fail("cannot write", to, k) : left ? EXIT_CONFLICT : EXIT_DONE;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {{"print", no_argument, NULL, 'p'},
						{"output", required_argument, NULL, 'o'},
						{"style", required_argument, NULL, 's'},
						{"marker-size", required_argument, NULL, 'm'},
						{"cost-of-wrong", required_argument, NULL, 'c'},
						{"quiet", no_argument, NULL, 'q'},
						{"help", no_argument, NULL, 'h'},
						{"version", no_argument, NULL, 'V'},
						{0}};
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "qhV", options, NULL)) >= 0) {
		switch (c) {
		case 'p':
			o->print = true;
			break;
		case 'o':
			o->output = optarg;
			break;
		case 's':
			o->diff3 = strcmp(optarg, "diff3") == 0 || strcmp(optarg, "zdiff3") == 0;
			if (!o->diff3 && strcmp(optarg, "merge") != 0) {
				(void)fprintf(
					stderr,
					"agentfs-merge: --style is merge, diff3 or zdiff3, not '%s'\n",
					optarg);
				r = EXIT_USAGE;
			}
			break;
		case 'm':
			r = number("marker-size", optarg, MARKER_MIN, MARKER_MAX, &o->marker_size);
			break;
		case 'c':
			r = number("cost-of-wrong", optarg, 1, COST_MAX, &o->cost_of_wrong);
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			exit(EXIT_DONE);
		case 'V':
			(void)puts("agentfs-merge " AGENTFS_VERSION);
			exit(EXIT_DONE);
		default:
			r = EXIT_USAGE;
		}
	}
	if (r == 0 && (argc - optind < SIDES || argc - optind > SIDES + 1)) {
		(void)fprintf(stderr,
			      "agentfs-merge: BASE, OURS and THEIRS are needed, and PATH at "
			      "most beside them: see agentfs-merge --help\n");
		r = EXIT_USAGE;
	}
	return r;
}

int main(int argc, char **argv)
{
	struct options o = {.marker_size = 7, .cost_of_wrong = COST_OF_WRONG};
	int r = parse(argc, argv, &o);

	if (r != 0)
		return r;
	o.path = argc - optind > SIDES ? argv[optind + SIDES] : argv[optind + OURS];
	if (git_libgit2_init() < 0)
		return EXIT_FAILED;
	r = merge(&o, argv + optind);
	(void)git_libgit2_shutdown();
	return r;
}
