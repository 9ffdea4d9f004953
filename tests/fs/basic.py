#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each operation of the file system once on its own: works, and its plain errors."""
import errno
import os
import stat

from harness import *
import libc
import repos
import tree


def test_base__shows_the_commit(view):
    want = repos.git(view.repo, "ls-tree", "-r", "--name-only", "HEAD").split("\n")
    got = sorted(n.decode() for n, d in tree.picture(view.mnt).items() if not d[0].startswith("0o4"))
    equal(got, sorted(want), "names")
    equal(tree.differences(tree.picture(view.repo, links=False), tree.picture(view.mnt, links=False)), [])
    equal(os.readlink(view.path("link")), "README")
    equal(stat.S_IMODE(os.lstat(view.path("tools/run.sh")).st_mode), 0o755)
    equal(run(view.path("tools/run.sh")).stdout, "run\n")


def test_base__belongs_to_the_view(view):
    for name in ("README", "src", "link"):
        st = os.lstat(view.path(name))
        equal((st.st_uid, st.st_gid), (view.uid, view.gid), name)


def test_lookup__missing_names(view):
    fails(errno.ENOENT, os.stat, view.path("nowhere"))
    fails(errno.ENOENT, os.stat, view.path("src/nowhere"))
    fails(errno.ENOTDIR, os.stat, view.path("README/x"))
    fails(errno.ENAMETOOLONG, os.stat, view.path("x" * 256))


def test_create__write_read(view):
    put(view.path("new"), "text")
    equal(get(view.path("new")), "text")
    equal(os.stat(view.path("new")).st_size, 4)
    fails(errno.EEXIST, os.open, view.path("new"), os.O_CREAT | os.O_EXCL)
    fails(errno.EISDIR, os.open, view.path("src"), os.O_WRONLY)
    fails(errno.ENOENT, os.open, view.path("none/x"), os.O_CREAT | os.O_WRONLY)


def test_create__read_only_mode_is_the_creators_to_write(view):
    fd = os.open(view.path("ro"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444)
    os.write(fd, b"once")
    os.close(fd)
    equal(get(view.path("ro")), "once")
    equal(stat.S_IMODE(os.stat(view.path("ro")).st_mode), 0o444)


def test_write__changes_a_base_file_in_the_middle(view):
    with open(view.path("README"), "r+b") as f:
        f.seek(6)
        f.write(b"WORLD")
    equal(get(view.path("README")), "hello WORLD\n")
    equal(get(os.path.join(view.repo, "README")), "hello world\n", "the repository's file")


def test_write__behind_the_end_leaves_zeroes(view):
    with open(view.path("README"), "r+b") as f:
        f.seek(100)
        f.write(b"end")
    equal(get(view.path("README"), "rb"), b"hello world\n" + b"\0" * 88 + b"end")


def test_append__each_write_goes_to_the_end(view):
    with open(view.path("README"), "a") as a, open(view.path("README"), "a") as b:
        for f, text in ((a, "1"), (b, "2"), (a, "3")):
            f.write(text)
            f.flush()
    equal(get(view.path("README")), "hello world\n123")


def test_truncate__both_ways(view):
    os.truncate(view.path("README"), 5)
    equal(get(view.path("README")), "hello")
    os.truncate(view.path("README"), 8)
    equal(get(view.path("README"), "rb"), b"hello\0\0\0")
    fails(errno.EISDIR, os.truncate, view.path("src"), 0)


def test_mkdir_rmdir(view):
    os.mkdir(view.path("dir"), 0o750)
    st = os.stat(view.path("dir"))
    equal((stat.S_IMODE(st.st_mode), st.st_nlink), (0o750, 2))
    fails(errno.EEXIST, os.mkdir, view.path("dir"))
    put(view.path("dir/x"), "")
    fails(errno.ENOTEMPTY, os.rmdir, view.path("dir"))
    fails(errno.ENOTEMPTY, os.rmdir, view.path("src"))
    fails(errno.ENOTDIR, os.rmdir, view.path("README"))
    os.unlink(view.path("dir/x"))
    os.rmdir(view.path("dir"))
    fails(errno.ENOENT, os.stat, view.path("dir"))


def test_unlink__a_base_file_stays_gone(view):
    os.unlink(view.path("src/util.c"))
    fails(errno.ENOENT, os.stat, view.path("src/util.c"))
    equal(sorted(os.listdir(view.path("src"))), ["main.c", "util.h"])
    fails(errno.EISDIR, os.unlink, view.path("docs"))
    view.restart()
    fails(errno.ENOENT, os.stat, view.path("src/util.c"))
    put(view.path("src/util.c"), "new")
    equal(get(view.path("src/util.c")), "new")


def test_whiteout__a_new_folder_hides_the_old_ones_content(view):
    run("rm", "-r", view.path("docs"))
    os.mkdir(view.path("docs"))
    equal(os.listdir(view.path("docs")), [])
    view.restart()
    equal(os.listdir(view.path("docs")), [])


def test_rename__file_over_file(view):
    ino = os.stat(view.path("README")).st_ino
    os.rename(view.path("README"), view.path("empty"))
    equal(get(view.path("empty")), "hello world\n")
    equal(os.stat(view.path("empty")).st_ino, ino, "inode number")
    fails(errno.ENOENT, os.stat, view.path("README"))


def test_rename__folder_of_the_base(view):
    os.rename(view.path("docs"), view.path("src/docs2"))
    equal(get(view.path("src/docs2/deep/er/still/file.txt")), "deep\n")
    fails(errno.ENOENT, os.stat, view.path("docs"))
    put(view.path("src/docs2/deep/new"), "n")
    view.restart()
    equal(sorted(os.listdir(view.path("src/docs2/deep"))), ["er", "new"])
    equal(get(view.path("src/docs2/guide.md"))[:7], "# Guide")


def test_rename__errors(view):
    os.mkdir(view.path("d"))
    fails(errno.EINVAL, os.rename, view.path("docs"), view.path("docs/deep/x"))
    fails(errno.EISDIR, os.rename, view.path("README"), view.path("d"))
    fails(errno.ENOTDIR, os.rename, view.path("d"), view.path("README"))
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, view.path("d"), view.path("src"))
    fails(errno.ENOENT, os.rename, view.path("none"), view.path("x"))
    os.rename(view.path("src"), view.path("d"))
    equal(sorted(os.listdir(view.path("d"))), ["main.c", "util.c", "util.h"])


def test_rename__noreplace(view):
    fails(errno.EEXIST, libc.rename2, view.path("README"), view.path("empty"), libc.RENAME_NOREPLACE)
    libc.rename2(view.path("README"), view.path("free"), libc.RENAME_NOREPLACE)
    equal(get(view.path("free")), "hello world\n")


def test_rename__exchange(view):
    libc.rename2(view.path("README"), view.path("docs"), libc.RENAME_EXCHANGE)
    equal(get(view.path("docs")), "hello world\n")
    equal(sorted(os.listdir(view.path("README"))), ["deep", "guide.md"])
    fails(errno.ENOENT, libc.rename2, view.path("src"), view.path("none"), libc.RENAME_EXCHANGE)
    view.restart()
    equal(sorted(os.listdir(view.path("README"))), ["deep", "guide.md"])


def test_link__one_file_two_names(view):
    os.link(view.path("README"), view.path("src/second"))
    put(view.path("src/second"), "changed")
    equal(get(view.path("README")), "changed")
    a, b = os.stat(view.path("README")), os.stat(view.path("src/second"))
    equal((a.st_ino, a.st_nlink), (b.st_ino, 2))
    os.unlink(view.path("README"))
    equal(os.stat(view.path("src/second")).st_nlink, 1)
    fails(errno.EPERM, os.link, view.path("src"), view.path("x"))
    fails(errno.EEXIST, os.link, view.path("empty"), view.path("src/second"))


def test_symlink__any_target(view):
    for i, target in enumerate(("README", "../..", "no/such", "x" * 1000)):
        os.symlink(target, view.path(f"l{i}"))
        equal(os.readlink(view.path(f"l{i}")), target)
    fails(errno.EEXIST, os.symlink, "x", view.path("README"))
    fails(errno.EINVAL, os.readlink, view.path("README"))


def test_mknod__fifo_and_socket_but_no_device(view):
    os.mkfifo(view.path("fifo"))
    assert stat.S_ISFIFO(os.stat(view.path("fifo")).st_mode)
    os.mknod(view.path("sock"), stat.S_IFSOCK | 0o600)
    assert stat.S_ISSOCK(os.stat(view.path("sock")).st_mode)
    fails(errno.EPERM, os.mknod, view.path("dev"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    fails(errno.ENOENT, os.stat, view.path("dev"))


def test_chmod_utimens(view):
    os.chmod(view.path("README"), 0o600)
    os.utime(view.path("README"), ns=(1, 1234567890123456789))
    os.utime(view.path("link"), ns=(1, 987654321), follow_symlinks=False)
    view.restart()
    st = os.stat(view.path("README"))
    equal((stat.S_IMODE(st.st_mode), st.st_mtime_ns), (0o600, 1234567890123456789))
    equal(os.lstat(view.path("link")).st_mtime_ns, 987654321)


def test_times__move_with_changes(view):
    before = os.stat(view.path("src")).st_mtime_ns
    put(view.path("src/new"), "")
    assert os.stat(view.path("src")).st_mtime_ns > before, "a folder's time after create"
    t = os.stat(view.path("README"))
    put(view.path("README"), "x", "a")
    assert os.stat(view.path("README")).st_mtime_ns > t.st_mtime_ns, "mtime after a write"
    c = os.stat(view.path("README")).st_ctime_ns
    os.chmod(view.path("README"), 0o640)
    assert os.stat(view.path("README")).st_ctime_ns > c, "ctime after chmod"


def test_xattr(view):
    p = view.path("README")
    fails(errno.ENODATA, os.getxattr, p, "user.a")
    os.setxattr(p, "user.a", b"one", os.XATTR_CREATE)
    fails(errno.EEXIST, os.setxattr, p, "user.a", b"", os.XATTR_CREATE)
    fails(errno.ENODATA, os.setxattr, p, "user.b", b"", os.XATTR_REPLACE)
    os.setxattr(p, "user.a", b"two" * 1000)
    os.setxattr(p, "user.empty", b"")
    view.restart()
    equal(os.getxattr(p, "user.a"), b"two" * 1000)
    equal(sorted(os.listxattr(p)), ["user.a", "user.empty"])
    os.removexattr(p, "user.a")
    equal(os.listxattr(p), ["user.empty"])
    fails(errno.ENODATA, os.removexattr, p, "user.a")


def test_xattr__security_names_are_refused(view):
    need_root()
    fails((errno.EPERM, errno.EACCES, errno.EOPNOTSUPP), os.setxattr, view.path("README"),
          "security.test", b"x")


def test_fallocate(view):
    p = view.path("f")
    put(p, b"x" * 20000)
    with open(p, "r+b") as f:
        libc.fallocate(f.fileno(), 0, 0, 30000)
        equal(os.fstat(f.fileno()).st_size, 30000)
        libc.fallocate(f.fileno(), libc.FALLOC_KEEP_SIZE, 0, 50000)
        equal(os.fstat(f.fileno()).st_size, 30000)
        libc.fallocate(f.fileno(), libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE, 4096, 8192)
    equal(get(p, "rb"), b"x" * 4096 + b"\0" * 8192 + b"x" * (20000 - 12288) + b"\0" * 10000)


def test_lseek__data_and_hole(view):
    p = view.path("f")
    with open(p, "w+b") as f:
        f.seek(1 << 20)
        f.write(b"data")
        f.flush()
        fd = f.fileno()
        start = os.lseek(fd, 0, os.SEEK_DATA)
        assert 0 < start <= 1 << 20, start
        equal(os.lseek(fd, start, os.SEEK_HOLE), (1 << 20) + 4)
        equal(os.lseek(fd, 0, os.SEEK_HOLE), 0)
        fails(errno.ENXIO, os.lseek, fd, (1 << 20) + 4, os.SEEK_DATA)
        fails(errno.ENXIO, os.lseek, fd, 1 << 30, os.SEEK_HOLE)


def test_copy_file_range(view):
    data = os.urandom(300000)
    put(view.path("a"), data)
    put(view.path("b"), b"-" * 10)
    with open(view.path("a"), "rb") as a, open(view.path("b"), "r+b") as b:
        done = 0
        while done < 200000:
            n = os.copy_file_range(a.fileno(), b.fileno(), 200000 - done, 50000 + done, 5 + done)
            assert n > 0, "no progress"
            done += n
        equal(os.copy_file_range(a.fileno(), b.fileno(), 10, 300000, 0), 0, "at the end")
    equal(get(view.path("b"), "rb"), b"-" * 5 + data[50000:250000])


def test_fsync(view):
    with open(view.path("new"), "w") as f:
        f.write("x")
        f.flush()
        os.fsync(f.fileno())
        os.fdatasync(f.fileno())
    d = os.open(view.path("src"), os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(d)
    os.close(d)


def test_statfs(view):
    st = os.statvfs(view.mnt)
    equal(st.f_namemax, 255)
    assert st.f_bavail > 0 and st.f_blocks >= st.f_bavail, st


def test_readdir__lists_each_name_once_while_it_changes(view):
    os.mkdir(view.path("d"))
    for i in range(2000):
        os.mknod(view.path(f"d/f{i}"), stat.S_IFREG | 0o644)
    seen = []
    with os.scandir(view.path("d")) as entries:
        for i, e in enumerate(entries):
            seen.append(e.name)
            if i % 10 == 0:
                os.unlink(view.path("d", e.name))
            if i % 100 == 0:
                put(view.path(f"d/new{i}"), "")
    old = [n for n in seen if n.startswith("f")]
    equal((len(old), len(set(old))), (2000, 2000), "names")
    assert len(set(seen)) == len(seen), "a name twice"


def test_restart__keeps_everything(view):
    sh("""mkdir -p a/b; echo one >a/b/one; ln a/b/one a/two; ln -s one a/b/l; rm -r docs; mv src a/src
          printf xyz | dd of=README bs=1 seek=3 conv=notrunc status=none; chmod 700 a; truncate -s 9999 sparse
          touch -d 2001-02-03T04:05:06.789 a/two; setfattr -n user.k -v v a/two""", cwd=view.mnt)
    before = tree.picture(view.mnt, times=True)
    for _ in range(3):
        view.restart()
        equal(tree.differences(before, tree.picture(view.mnt, times=True)), [])


def test_owner__view_of_another_user(tmp):
    need_root()
    import views
    open_to_others(TMP)
    os.chmod(tmp, 0o755)
    v = views.View(tmp, uid=OTHER_UID).start()
    try:
        equal(os.stat(v.path("README")).st_uid, OTHER_UID)
        equal(in_child(lambda: put(v.path("mine"), "x"), OTHER_UID), 0)
        st = os.stat(v.path("mine"))
        equal((st.st_uid, st.st_gid), (OTHER_UID, OTHER_UID))
        equal(in_child(lambda: put(v.path("other"), "x"), OTHER_UID + 1), errno.EACCES)
        os.chmod(v.path("mine"), 0o600)
        equal(in_child(lambda: get(v.path("mine")), OTHER_UID + 1), errno.EACCES)
    finally:
        v.stop()


main()
