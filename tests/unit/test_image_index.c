/* SPDX-License-Identifier: Apache-2.0 */
/* image_index: real git reads the index, finds it clean, and would have written the same. */
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "image_untracked.h"
#include "store_fixture.h"
#include "sys.h"

/* A work tree whose index is written from an image. */
struct work {
	struct store s;
	struct image *img;
};

static void run(const struct store *s, const char *script)
{
	char *cmd = NULL;

	assert_true(asprintf(&cmd,
			     "set -e; cd '%s'; export HOME=\"$PWD\" GIT_CONFIG_NOSYSTEM=1 "
			     "GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t GIT_COMMITTER_NAME=t "
			     "GIT_COMMITTER_EMAIL=t@t; %s",
			     s->path, script) > 0);
	if (system(cmd) != 0)
		fail_msg("failed: %s", script);
	free(cmd);
}

/* The id that a command prints. */
static git_oid oid_from(const struct store *s, const char *file)
{
	struct buf b = BUF_INIT;
	git_oid id;

	assert_int_equal(io_read_file(s->dir, file, 4096, &b), 0);
	assert_int_equal(git_oid_fromstrn(&id, b.data, 40), 0);
	buf_release(&b);
	return id;
}

static void write_index(struct store *s, const struct image *img, const char *name)
{
	int fd = openat(s->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct err e = ERR_INIT;

	assert_true(fd >= 0);
	if (image_write_index(img, 1000, 1001, fd, &e) < 0)
		fail_msg("%s", err_text(&e));
	(void)close(fd);
}

/* Makes the repository in place of the fixture's store, commits what `script` makes, builds the
 * image of HEAD and its index "idx". */
static void work_init(struct work *w, const char *script)
{
	store_init(&w->s);
	run(&w->s, "git init -q -b main .; rm -rf objects; ln -s .git/objects objects");
	run(&w->s, "printf 'objects\\nidx*\\nimg*\\ntree\\nout*\\n' >.git/info/exclude");
	run(&w->s, script);
	run(&w->s, "git commit -qm base --allow-empty; git rev-parse 'HEAD^{tree}' >tree");
	w->img = store_image(&w->s, oid_from(&w->s, "tree"), NULL, "img");
	write_index(&w->s, w->img, "idx");
}

static void work_release(struct work *w)
{
	image_close(w->img);
	store_release(&w->s);
}

/* Entries, tree, cache-tree and checksum as git sees them. The TREE extension is compared byte by
 * byte with that of `git read-tree HEAD`. */
#define CHECK_WITH_GIT                                                                             \
	"GIT_INDEX_FILE=$PWD/idx git ls-files -s >out1; "                                          \
	"GIT_INDEX_FILE=$PWD/idx.git git read-tree HEAD; "                                         \
	"GIT_INDEX_FILE=$PWD/idx.git git ls-files -s >out2; cmp out1 out2; "                       \
	"test \"$(GIT_INDEX_FILE=$PWD/idx git write-tree)\" = \"$(cat tree)\"; "                   \
	"GIT_INDEX_FILE=$PWD/idx git diff-index --cached --exit-code HEAD; "                       \
	"GIT_INDEX_FILE=$PWD/idx git fsck --cache --no-dangling >out3 2>&1 || "                    \
	"{ cat out3; exit 1; }; "

static void same_tree_extension(struct store *s)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	const char *x, *y;

	assert_int_equal(io_read_file(s->dir, "idx", 1 << 26, &a), 0);
	assert_int_equal(io_read_file(s->dir, "idx.git", 1 << 26, &b), 0);
	x = memmem(a.data, a.len, "TREE", 4);
	y = memmem(b.data, b.len, "TREE", 4);
	assert_non_null(x);
	assert_non_null(y);
	size_t n = 8 + (size_t)((uint8_t)x[4] << 24 | (uint8_t)x[5] << 16 | (uint8_t)x[6] << 8 |
				(uint8_t)x[7]);

	assert_true((size_t)(b.data + b.len - y) >= n + 20);
	assert_memory_equal(x, y, n);
	/* Behind it stands FSMN: git trusts what the token says. */
	assert_true((size_t)(a.data + a.len - x) > n + 20);
	assert_memory_equal(x + n, "FSMN", 4);
	assert_string_equal(x + n + 12, IMAGE_INDEX_TOKEN);
	buf_release(&a);
	buf_release(&b);
}

static void test_image_index__git_reads_every_mode(void **state)
{
	struct work w;

	work_init(&w, "mkdir -p a/b/c aa z; echo 1 >a/b/c/f; echo 2 >a.c; echo 3 >a0; echo 4 >a-b; "
		      "echo 5 >aa/x; echo 6 >z/run; chmod +x z/run; ln -s a.c link; git add .; "
		      "git update-index --add --cacheinfo "
		      "160000,0123456789012345678901234567890123456789,mod");
	run(&w.s, CHECK_WITH_GIT);
	same_tree_extension(&w.s);
	run(&w.s, "GIT_INDEX_FILE=$PWD/idx git ls-files --debug a.c >out; "
		  "grep -q 'ctime: 1700000000:0' out; grep -q 'mtime: 1700000000:0' out; "
		  "grep -q 'uid: 1000.*gid: 1001' out; grep -q 'size: 2' out");
	work_release(&w);
}

static void test_image_index__empty_and_one_file(void **state)
{
	struct work w;

	work_init(&w, "true");
	run(&w.s, CHECK_WITH_GIT);
	same_tree_extension(&w.s);
	work_release(&w);
	work_init(&w, "echo x >f; git add f");
	run(&w.s, CHECK_WITH_GIT);
	same_tree_extension(&w.s);
	work_release(&w);
}

/* Names at every padding, long ones, deep ones beyond the length in the flags. */
static void test_image_index__names_and_lengths(void **state)
{
	struct work w;

	work_init(&w,
		  "b=$(echo x | git hash-object -w --stdin); p=; "
		  "for i in $(seq 1 255); do p=n$p; printf \"100644 $b 0\\t$p\\n\"; done | "
		  "git update-index --index-info; "
		  "d=$(printf 'd%.0s' $(seq 1 250)); b=$(echo y | git hash-object -w --stdin); "
		  "printf \"100755 $b 0\\t$d/$d/$d/$d/$d/$d/$d/$d/$d/$d/$d/$d/$d/$d/$d/$d/f\\n\" | "
		  "git update-index --index-info");
	run(&w.s, CHECK_WITH_GIT);
	same_tree_extension(&w.s);
	work_release(&w);
}

/* 3,000 files in 60 folders with names that git and bytes order differently. */
static void test_image_index__many_files(void **state)
{
	struct work w;

	work_init(&w, "for i in $(seq 1 60); do mkdir -p d$((i % 7))/s$i d$((i % 7)).x; "
		      "for k in $(seq 1 50); do echo $i.$k >d$((i % 7))/s$i/f$k; done; "
		      "echo x >d$((i % 7))/s$i.c; echo y >d$((i % 7)).x/g$i; done; git add .");
	run(&w.s, CHECK_WITH_GIT);
	same_tree_extension(&w.s);
	work_release(&w);
}

/* An empty folder in the tree (git never makes one, others do) does not confuse git. */
static void test_image_index__empty_subtree(void **state)
{
	struct store s;
	struct buf t = BUF_INIT, none = BUF_INIT;
	char hexes[41], cmd[256];

	store_init(&s);
	git_oid empty = store_tree(&s, &none);

	tree_adds(&t, "40000", "empty", empty);
	tree_adds(&t, "100644", "f", store_blob(&s, "x"));
	git_oid tree = store_tree(&s, &t);
	struct image *img = store_image(&s, tree, NULL, "img");

	write_index(&s, img, "idx");
	(void)git_oid_tostr(hexes, sizeof(hexes), &tree);
	(void)snprintf(cmd, sizeof(cmd),
		       "git init -q .; export GIT_OBJECT_DIRECTORY=$PWD/objects "
		       "GIT_INDEX_FILE=$PWD/idx; test $(git ls-files | wc -l) = 1; "
		       "test $(git write-tree) = %s; echo y >g; git add g; git write-tree >out",
		       hexes);
	run(&s, cmd);
	image_close(img);
	store_release(&s);
}

/* Writes what a view writes over its copy. */
static int complete(struct store *s, const char *name, const char *worktree, const char *exclude)
{
	int fd = openat(s->dir, name, O_RDWR | O_CLOEXEC);
	struct untracked_patch p;
	int r = untracked_patch(fd, worktree, exclude, exclude ? strlen(exclude) : 0, &p);

	if (r == 0) {
		assert_int_equal(pwrite(fd, p.head, sizeof(p.head), (off_t)p.head_at),
				 sizeof(p.head));
		assert_int_equal(pwrite(fd, p.sum, sizeof(p.sum), (off_t)p.sum_at), sizeof(p.sum));
	}
	(void)close(fd);
	return r;
}

/* Git takes the untracked cache for its own: it makes no node, and finds no other ignore file. 200 folders:
 * bitmaps of several words, with and without gaps. */
static void test_image_index__git_believes_the_untracked_cache(void **state)
{
	char real[PATH_MAX];
	struct work w;

	work_init(
		&w,
		"for i in $(seq 1 200); do mkdir -p d$i/s; echo x >d$i/f; echo y >d$i/s/g; "
		"case $i in 7|130|131|199) echo '*.o' >d$i/.gitignore;; esac; done; git add .; git add -f d7/f");
	assert_non_null(realpath(w.s.path, real));
	assert_int_equal(complete(&w.s, "idx", real, "objects\nidx*\nimg*\ntree\nout*\n"), 0);
	run(&w.s, CHECK_WITH_GIT);
	run(&w.s,
	    "cp idx .git/index; touch d7/x.o; mkdir d131/new; touch d131/new/z; export GIT_TRACE2_PERF=$PWD/out4; "
	    "git -c core.untrackedCache=true -c core.fsmonitor=false -c user.x=y status --porcelain >out5; "
	    "printf '?? d131/new/\\n' | cmp - out5; grep -q 'node-creation:1$' out4; "
	    "grep -q 'gitignore-invalidation:0$' out4");
	work_release(&w);
}

static void test_image_index__no_untracked_cache_where_git_must_look(void **state)
{
	char longer[600];
	struct work w;

	work_init(&w, "ln -s x .gitignore; echo x >f; git add -f .gitignore f");
	run(&w.s, CHECK_WITH_GIT);
	assert_int_equal(complete(&w.s, "idx", "/somewhere", NULL), -ENODATA);
	work_release(&w);
	work_init(&w, "echo x >f; git add f");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(complete(&w.s, "idx", longer, NULL), -ENODATA);
	run(&w.s, CHECK_WITH_GIT); /* and as it is, it is an index */
	run(&w.s, "printf DIRC >idx5; cp .git/index idx6");
	assert_int_equal(complete(&w.s, "idx5", "/somewhere", NULL), -ENODATA);
	assert_int_equal(complete(&w.s, "idx6", "/somewhere", NULL), -ENODATA);
	work_release(&w);
}

static int calls_left;

static ssize_t full_pwrite(int fd, const void *p, size_t n, off_t off)
{
	if (calls_left-- > 0)
		return pwrite(fd, p, n, off);
	errno = ENOSPC;
	return -1;
}

static void test_image_index__full_disk_is_an_error(void **state)
{
	struct store s;
	struct err e = ERR_INIT;
	struct sys saved = sys;

	store_init(&s);
	struct image *img =
		store_image(&s, store_tree1(&s, "100644", "f", store_blob(&s, "x")), NULL, "img");
	int fd = openat(s.dir, "idx", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	for (int n = 0; n < 2; n++) {
		calls_left = n;
		sys.pwrite = full_pwrite;
		assert_int_equal(image_write_index(img, 0, 0, fd, &e), -ENOSPC);
		sys = saved;
	}
	assert_int_equal(image_write_index(img, 0, 0, fd, &e), 0);
	err_release(&e);
	(void)close(fd);
	image_close(img);
	store_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image_index__git_reads_every_mode),
		cmocka_unit_test(test_image_index__empty_and_one_file),
		cmocka_unit_test(test_image_index__names_and_lengths),
		cmocka_unit_test(test_image_index__many_files),
		cmocka_unit_test(test_image_index__empty_subtree),
		cmocka_unit_test(test_image_index__git_believes_the_untracked_cache),
		cmocka_unit_test(test_image_index__no_untracked_cache_where_git_must_look),
		cmocka_unit_test(test_image_index__full_disk_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
