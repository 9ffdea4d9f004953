/* SPDX-License-Identifier: Apache-2.0 */
/* truncate, ftruncate, fallocate, holes, copy_file_range: sizes, zeros, content. */
#include <linux/falloc.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "posix.h"

enum { MIB = 1 << 20, BLOCK = 65536 };

/* Are n bytes at off all `byte`? */
static bool all_are(const char *name, off_t off, size_t n, int byte)
{
	char buf[4096];
	bool same = true;
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && n && same) {
		size_t want = n < sizeof(buf) ? n : sizeof(buf);
		ssize_t k = pread(fd, buf, want, off);

		same = k > 0;
		for (ssize_t i = 0; i < k; i++)
			same &= (unsigned char)buf[i] == (unsigned char)byte;
		off += k;
		n -= k > 0 ? (size_t)k : 0;
	}
	if (fd < 0)
		return false;
	(void)close(fd);
	return same;
}

/* --- truncate --- */

static int by_path(const char *name, off_t size)
{
	return truncate(name, size);
}

static int by_fd(const char *name, off_t size)
{
	int fd = open(name, O_WRONLY), r, err;

	if (fd < 0)
		return -1;
	r = ftruncate(fd, size);
	err = errno;
	(void)close(fd);
	errno = err;
	return r;
}

static void sizes(const char *op, int (*call)(const char *, off_t))
{
	static const off_t all[] = {
		0, 1, 511,     4095,	   4096,	 4097,	    100000,    MIB - 1, MIB + 1,
		5, 0, 1 << 30, 0x7fffffff, 0x80000001LL, 1LL << 33, 1LL << 40, 12};
	struct stat before;

	fresh();
	about(op, "to a size, up and down");
	fill("f", 10, 'a');
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		OK(call("f", all[i]));
		SAME(look("f").st_size, all[i]);
	}
	when("what is cut off is gone, what comes back is zeros");
	fill("f", 10000, 'a');
	OK(call("f", 5000));
	OK(call("f", 10000));
	TRUE(all_are("f", 0, 5000, 'a'));
	TRUE(all_are("f", 5000, 5000, 0));
	when("time stamps");
	before = look("f");
	tick();
	OK(call("f", 9999));
	stamps(&before, "f", S_M | S_C);
	before = look("f");
	tick();
	OK(call("f", 20000));
	stamps(&before, "f", S_M | S_C);
	when("a negative size");
	before = look("f");
	tick();
	FAILS(EINVAL, call("f", -1));
	FAILS(EINVAL, call("f", INT64_MIN));
	stamps(&before, "f", 0);
	SAME(look("f").st_size, 20000);
	when("with two names");
	NEED(link("f", "g"));
	OK(call("g", 7));
	SAME(look("f").st_size, 7);
}

void area_truncate(void)
{
	int fd, p[2];

	path_conditions();
	sizes("truncate", by_path);
	sizes("ftruncate", by_fd);
	fresh();
	about("truncate", "of what is no file");
	NEED(mkdir("d", 0755));
	NEED(mkfifo("p", 0644));
	FAILS(EISDIR, truncate("d", 0));
	FAILS(EINVAL, truncate("p", 0));
	about("ftruncate", "of what is no file");
	fd = open("d", O_RDONLY);
	FAILS(EINVAL, ftruncate(fd, 0));
	NEED(close(fd));
	NEED(pipe(p));
	FAILS(EINVAL, ftruncate(p[1], 0));
	NEED(close(p[0]));
	NEED(close(p[1]));
	FAILS(EBADF, ftruncate(p[1], 0));
	when("a descriptor for reading");
	put("f", "content");
	fd = open("f", O_RDONLY);
	FAILS(EINVAL, ftruncate(fd, 0));
	NEED(close(fd));
	when("the file is read only, the descriptor was there before");
	fd = open("f", O_WRONLY);
	NEED(chmod("f", 0444));
	OK(ftruncate(fd, 3));
	NEED(close(fd));
	TRUE(holds("f", "con"));
	when("under an open descriptor: its offset stays, a write leaves a hole");
	fill("h", 100, 'x');
	fd = open("h", O_RDWR);
	SAME(lseek(fd, 100, SEEK_SET), 100);
	OK(truncate("h", 0));
	SAME(write(fd, "y", 1), 1);
	SAME(look("h").st_size, 101);
	TRUE(all_are("h", 0, 100, 0));
	NEED(close(fd));
}

/* --- fallocate --- */

static void fallocate_errors(void)
{
	int fd, p[2];

	fresh();
	about("fallocate", "arguments that are not allowed");
	fill("f", 10000, 'a');
	fd = open("f", O_RDWR);
	FAILS(EINVAL, fallocate(fd, 0, -1, 10));
	FAILS(EINVAL, fallocate(fd, 0, 0, 0));
	FAILS(EINVAL, fallocate(fd, 0, 0, -5));
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	FAILS(EOPNOTSUPP, fallocate(fd, 1 << 20, 0, 10));
	FAILS(EFBIG, fallocate(fd, 0, INT64_MAX - 5, 10));
	SAME(look("f").st_size, 10000);
	NEED(close(fd));
	when("a descriptor for reading");
	fd = open("f", O_RDONLY);
	FAILS(EBADF, fallocate(fd, 0, 0, 10));
	NEED(close(fd));
	FAILS(EBADF, fallocate(fd, 0, 0, 10));
	when("what is no file");
	NEED(pipe(p));
	FAILS(ESPIPE, fallocate(p[1], 0, 0, 10));
	NEED(close(p[0]));
	NEED(close(p[1]));
}

static void fallocate_ranges(void)
{
	struct stat before;
	int fd;

	fresh();
	about("fallocate", "inside the file: nothing to be seen changes");
	fill("f", 3 * BLOCK, 'a');
	fd = open("f", O_RDWR);
	OK(fallocate(fd, 0, BLOCK, 100));
	SAME(look("f").st_size, 3 * BLOCK);
	TRUE(all_are("f", 0, 3 * BLOCK, 'a'));
	when("beyond the end: the file grows by zeros");
	OK(fallocate(fd, 0, 3 * BLOCK - 10, 110));
	SAME(look("f").st_size, 3 * BLOCK + 100);
	TRUE(all_are("f", 3 * BLOCK, 100, 0));
	OK(fallocate(fd, 0, MIB, 5));
	SAME(look("f").st_size, MIB + 5);
	when("KEEP_SIZE");
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 * MIB, 100));
	SAME(look("f").st_size, MIB + 5);
	when("time stamps");
	before = look("f");
	tick();
	OK(fallocate(fd, 0, 2 * MIB, 5));
	stamps(&before, "f", S_M | S_C);
	when("posix_fallocate");
	SAME(posix_fallocate(fd, 0, 3 * MIB), 0);
	SAME(look("f").st_size, 3 * MIB);
	SAME(posix_fallocate(fd, 0, -1), EINVAL);
	about("fallocate ZERO_RANGE", "inside the file");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 100, 1000));
	TRUE(all_are("f", 0, 100, 'a'));
	TRUE(all_are("f", 100, 1000, 0));
	TRUE(all_are("f", 1100, BLOCK - 1100, 'a'));
	when("beyond the end");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE, 3 * MIB - 5, 10));
	SAME(look("f").st_size, 3 * MIB + 5);
	when("beyond the end, KEEP_SIZE");
	OK(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 3 * MIB, 100));
	SAME(look("f").st_size, 3 * MIB + 5);
	NEED(close(fd));
}

static void punch(void)
{
	static const struct {
		off_t off, len;
	} holes[] = {{0, BLOCK},
		     {BLOCK, BLOCK},
		     {100, 1},
		     {4095, 2},
		     {BLOCK - 7, 2 * BLOCK + 14},
		     {7 * BLOCK, 5 * BLOCK}};
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	struct stat before;
	int fd;

	for (size_t i = 0; i < sizeof(holes) / sizeof(*holes); i++) {
		off_t off = holes[i].off, end = off + holes[i].len;

		fresh();
		about("fallocate PUNCH_HOLE", "%lld bytes at %lld", (long long)holes[i].len,
		      (long long)off);
		fill("f", 8 * BLOCK, 'a');
		before = look("f");
		tick();
		fd = open("f", O_RDWR);
		OK(fallocate(fd, mode, off, holes[i].len));
		NEED(close(fd));
		SAME(look("f").st_size, 8 * BLOCK);
		stamps(&before, "f", S_M | S_C);
		end = end > 8 * BLOCK ? 8 * BLOCK : end;
		TRUE(all_are("f", 0, (size_t)off, 'a'));
		TRUE(all_are("f", off, (size_t)(end - off), 0));
		TRUE(all_are("f", end, (size_t)(8 * BLOCK - end), 'a'));
	}
	when("behind the end: nothing changes");
	fd = open("f", O_RDWR);
	OK(fallocate(fd, mode, 20 * BLOCK, BLOCK));
	SAME(look("f").st_size, 8 * BLOCK);
	when("the file is written again there");
	SAME(pwrite(fd, "new", 3, 7 * BLOCK + 5), 3);
	TRUE(all_are("f", 7 * BLOCK, 5, 0));
	TRUE(all_are("f", 7 * BLOCK + 8, 100, 0));
	NEED(close(fd));
}

void area_fallocate(void)
{
	fallocate_errors();
	fallocate_ranges();
	punch();
}

/* --- sparse files --- */

static void seeking(void)
{
	int fd;

	fresh();
	about("lseek SEEK_DATA", "data at 1 MiB and 3 MiB, the file ends at 5 MiB");
	fd = open("f", O_RDWR | O_CREAT, 0644);
	NEED(ftruncate(fd, 5 * MIB));
	fill("block", BLOCK, 'd');
	for (unsigned int i = 0; i < BLOCK / 4096; i++) {
		char page[4096];

		memset(page, 'd', sizeof(page));
		NEED(pwrite(fd, page, sizeof(page), MIB + (off_t)i * 4096));
		NEED(pwrite(fd, page, sizeof(page), 3 * MIB + (off_t)i * 4096));
	}
	NEED(fsync(fd));
	SAME(lseek(fd, 0, SEEK_DATA), MIB);
	SAME(lseek(fd, MIB - 1, SEEK_DATA), MIB);
	SAME(lseek(fd, MIB, SEEK_DATA), MIB);
	SAME(lseek(fd, MIB + 1, SEEK_DATA), MIB + 1);
	SAME(lseek(fd, MIB + BLOCK, SEEK_DATA), 3 * MIB);
	FAILS(ENXIO, lseek(fd, 3 * MIB + BLOCK, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, 5 * MIB, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, 6 * MIB, SEEK_DATA));
	about("lseek SEEK_HOLE", "data at 1 MiB and 3 MiB, the file ends at 5 MiB");
	SAME(lseek(fd, 0, SEEK_HOLE), 0);
	SAME(lseek(fd, MIB, SEEK_HOLE), MIB + BLOCK);
	SAME(lseek(fd, MIB + 10, SEEK_HOLE), MIB + BLOCK);
	SAME(lseek(fd, 2 * MIB, SEEK_HOLE), 2 * MIB);
	SAME(lseek(fd, 3 * MIB, SEEK_HOLE), 3 * MIB + BLOCK);
	SAME(lseek(fd, 4 * MIB, SEEK_HOLE), 4 * MIB);
	FAILS(ENXIO, lseek(fd, 5 * MIB, SEEK_HOLE));
	FAILS(ENXIO, lseek(fd, -1, SEEK_HOLE));
	FAILS(ENXIO, lseek(fd, -1, SEEK_DATA));
	when("after a punch");
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, MIB, BLOCK));
	NEED(fsync(fd));
	SAME(lseek(fd, 0, SEEK_DATA), 3 * MIB);
	SAME(lseek(fd, MIB, SEEK_HOLE), MIB);
	about("stat", "blocks of a sparse file");
	TRUE(look("f").st_blocks * 512 < 2 * MIB);
	TRUE(look("f").st_blocks * 512 >= BLOCK);
	NEED(close(fd));
}

static void far_away(void)
{
	static const off_t offs[] = {MIB, 0x7fffffffLL, 1LL << 32, (1LL << 40) + 5};
	char c = 0;
	int fd;

	fresh();
	fd = open("f", O_RDWR | O_CREAT, 0644);
	for (size_t i = 0; i < sizeof(offs) / sizeof(*offs); i++) {
		about("pwrite", "one byte at %lld", (long long)offs[i]);
		SAME(pwrite(fd, "x", 1, offs[i]), 1);
		SAME(look("f").st_size, offs[i] + 1);
		SAME(pread(fd, &c, 1, offs[i]), 1);
		SAME(c, 'x');
		SAME(pread(fd, &c, 1, offs[i] - 1), 1);
		SAME(c, 0);
		SAME(pread(fd, &c, 1, offs[i] + 1), 0);
	}
	when("beyond the largest offset");
	FAILS(EINVAL, pwrite(fd, "x", 1, INT64_MAX));
	NEED(close(fd));
}

static void small_files(void)
{
	int fd;

	fresh();
	about("lseek SEEK_HOLE", "a file without holes: its end");
	fill("f", BLOCK, 'a');
	fd = open("f", O_RDONLY);
	SAME(lseek(fd, 0, SEEK_HOLE), BLOCK);
	SAME(lseek(fd, 0, SEEK_DATA), 0);
	NEED(close(fd));
	when("an empty file");
	fill("e", 0, 0);
	fd = open("e", O_RDONLY);
	FAILS(ENXIO, lseek(fd, 0, SEEK_HOLE));
	FAILS(ENXIO, lseek(fd, 0, SEEK_DATA));
	NEED(close(fd));
}

void area_sparse(void)
{
	seeking();
	far_away();
	small_files();
}

/* --- copy_file_range --- */

static long copy(int in, off_t at, int out, off_t to, size_t n, unsigned int flags)
{
	int64_t a = at, b = to;

	return syscall(SYS_copy_file_range, in, &a, out, &b, n, flags);
}

static void copies(void)
{
	struct stat before;
	int a, b;

	fresh();
	about("copy_file_range", "whole, part, to a place");
	put("a", "0123456789");
	a = open("a", O_RDONLY);
	b = open("b", O_RDWR | O_CREAT, 0644);
	before = look("b");
	tick();
	SAME(copy(a, 0, b, 0, 10, 0), 10);
	stamps(&before, "b", S_M | S_C);
	TRUE(holds("b", "0123456789"));
	SAME(copy(a, 2, b, 5, 3, 0), 3);
	TRUE(holds("b", "0123423489"));
	when("up to the end of the source");
	SAME(copy(a, 8, b, 0, 100, 0), 2);
	TRUE(holds("b", "8923423489"));
	SAME(copy(a, 10, b, 0, 100, 0), 0);
	SAME(copy(a, 99, b, 0, 100, 0), 0);
	when("beyond the end of the target: a hole of zeros");
	SAME(copy(a, 0, b, 20, 2, 0), 2);
	SAME(look("b").st_size, 22);
	TRUE(all_are("b", 10, 10, 0));
	when("without offsets: those of the descriptors move");
	SAME(lseek(a, 1, SEEK_SET), 1);
	SAME(lseek(b, 0, SEEK_SET), 0);
	SAME(syscall(SYS_copy_file_range, a, NULL, b, NULL, 3L, 0), 3);
	SAME(lseek(a, 0, SEEK_CUR), 4);
	SAME(lseek(b, 0, SEEK_CUR), 3);
	when("the source is changed afterwards: the copy is not");
	NEED(ftruncate(b, 0));
	SAME(copy(a, 0, b, 0, 10, 0), 10);
	put("a", "XXXXXXXXXX");
	TRUE(holds("b", "0123456789"));
	when("within one file");
	SAME(copy(b, 0, b, 5, 5, 0), 5);
	TRUE(holds("b", "0123401234"));
	NEED(close(a));
	NEED(close(b));
}

static void copy_errors(void)
{
	int a, b, d, w;

	fresh();
	about("copy_file_range", "arguments that are not allowed");
	put("a", "0123456789");
	put("b", "b");
	a = open("a", O_RDWR);
	b = open("b", O_RDWR);
	FAILS(EINVAL, copy(a, 0, b, 0, 1, 1));
	FAILS(EINVAL, copy(a, 0, a, 1, 5, 0));
	FAILS(EINVAL, copy(a, 1, a, 0, 5, 0));
	when("descriptors that cannot do it");
	w = open("b", O_WRONLY | O_APPEND);
	FAILS(EBADF, copy(a, 0, w, 0, 1, 0));
	FAILS(EBADF, copy(w, 0, b, 0, 1, 0));
	NEED(close(w));
	w = open("b", O_RDONLY);
	FAILS(EBADF, copy(a, 0, w, 0, 1, 0));
	NEED(close(w));
	NEED(mkdir("d", 0755));
	d = open("d", O_RDONLY);
	FAILS(EISDIR, copy(d, 0, b, 0, 1, 0));
	NEED(close(d));
	TRUE(holds("b", "b"));
	NEED(close(a));
	NEED(close(b));
}

static void copy_large(void)
{
	off_t done = 0;
	int a, b;

	fresh();
	about("copy_file_range", "4 MiB with a hole");
	fill("a", MIB, 'a');
	a = open("a", O_RDWR);
	NEED(ftruncate(a, 4 * MIB));
	NEED(pwrite(a, "end", 3, 4 * MIB - 3));
	b = open("b", O_RDWR | O_CREAT, 0644);
	while (done < 4 * MIB) {
		long k = copy(a, done, b, done, (size_t)(4 * MIB - done), 0);

		if (k <= 0)
			break;
		done += k;
	}
	SAME(done, 4 * MIB);
	TRUE(all_are("b", 0, MIB, 'a'));
	TRUE(all_are("b", MIB, 3 * MIB - 3, 0));
	TRUE(all_are("b", 4 * MIB - 1, 1, 'd'));
	NEED(close(a));
	NEED(close(b));
}

void area_copy(void)
{
	copies();
	copy_errors();
	copy_large();
}
