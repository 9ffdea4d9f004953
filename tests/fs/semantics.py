#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What programs rely on: unlinked files that are open, shared mappings, locks, SQLite in WAL mode."""
import errno
import fcntl
import mmap
import os
import socket
import sqlite3
import stat

from harness import *
import libc
import views


def test_unlinked__stays_until_closed(view):
    for name in ("README", "new"):
        if name == "new":
            put(view.path("new"), "hello world\n")
        fd = os.open(view.path(name), os.O_RDWR)
        os.unlink(view.path(name))
        fails(errno.ENOENT, os.stat, view.path(name))
        equal(os.fstat(fd).st_nlink, 0, "links")
        equal(os.pread(fd, 100, 0), b"hello world\n")
        os.pwrite(fd, b"J", 0)
        os.ftruncate(fd, 5)
        os.fchmod(fd, 0o600)
        equal(os.pread(fd, 100, 0), b"Jello")
        put(view.path(name), "another")
        equal(os.pread(fd, 100, 0), b"Jello")
        os.close(fd)
        equal(get(view.path(name)), "another")


def test_unlinked__replaced_by_rename(view):
    put(view.path("new"), "new")
    fd = os.open(view.path("README"), os.O_RDONLY)
    os.rename(view.path("new"), view.path("README"))
    equal(os.pread(fd, 100, 0), b"hello world\n")
    os.close(fd)
    equal(get(view.path("README")), "new")


def test_unlinked__folder_in_use(view):
    os.mkdir(view.path("d"))
    d = os.open(view.path("d"), os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir(view.path("d"))
    equal(os.listdir(d), [])
    fails(errno.ENOENT, os.mknod, "x", stat.S_IFREG | 0o644, dir_fd=d)
    os.close(d)


def test_mmap__shared_writing_reaches_the_file(view):
    put(view.path("f"), b"\0" * 20000)
    with open(view.path("f"), "r+b") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED) as m:
        m[5000:5005] = b"first"
        equal(os.pread(f.fileno(), 5, 5000), b"first", "seen by read(2) at once")
        os.pwrite(f.fileno(), b"other", 9000)
        equal(m[9000:9005], b"other", "write(2) seen in the mapping")
        m.flush()
    view.restart()
    data = get(view.path("f"), "rb")
    equal((data[5000:5005], data[9000:9005], len(data)), (b"first", b"other", 20000))


def test_mmap__of_a_base_file(view):
    with open(view.path("README"), "r+b") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED) as m:
        m[0:5] = b"HELLO"
    equal(get(view.path("README")), "HELLO world\n")
    view.restart()
    equal(get(view.path("README")), "HELLO world\n")
    equal(get(view.repo + "/README"), "hello world\n")


def test_mmap__private_changes_stay_private(view):
    with open(view.path("README"), "r+b") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE) as m:
        m[0:5] = b"HELLO"
    equal(get(view.path("README")), "hello world\n")


def test_mmap__two_processes_share(view):
    put(view.path("f"), b"\0" * 4096)
    with open(view.path("f"), "r+b") as f, mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED) as m:
        def child():
            with open(view.path("f"), "r+b") as g, mmap.mmap(g.fileno(), 0, mmap.MAP_SHARED) as n:
                n[100:103] = b"abc"
        equal(in_child(child), 0)
        equal(m[100:103], b"abc")


def test_execute__a_program_copied_into_the_view(view):
    sh("cp /bin/true prog && ./prog", cwd=view.mnt)
    child = in_child(lambda: os.execv(view.path("prog"), ["prog"]))
    equal(child, 0)


def test_flock__between_processes(view):
    f = os.open(view.path("README"), os.O_RDONLY)
    fcntl.flock(f, fcntl.LOCK_EX)
    other = lambda how: in_child(lambda: fcntl.flock(os.open(view.path("README"), os.O_RDONLY), how | fcntl.LOCK_NB))
    equal(other(fcntl.LOCK_SH), errno.EAGAIN)
    fcntl.flock(f, fcntl.LOCK_SH)
    equal(other(fcntl.LOCK_SH), 0)
    equal(other(fcntl.LOCK_EX), errno.EAGAIN)
    os.close(f)
    equal(other(fcntl.LOCK_EX), 0)


def test_fcntl__ranges_between_processes(view):
    f = os.open(view.path("README"), os.O_RDWR)
    fcntl.lockf(f, fcntl.LOCK_EX, 5, 0)
    def other(start):
        return in_child(lambda: fcntl.lockf(os.open(view.path("README"), os.O_RDWR),
                                            fcntl.LOCK_EX | fcntl.LOCK_NB, 5, start))
    assert other(2) in (errno.EAGAIN, errno.EACCES)
    equal(other(5), 0)
    fcntl.lockf(f, fcntl.LOCK_UN, 5, 0)
    equal(other(2), 0)
    os.close(f)


def test_sqlite__wal_with_two_connections(view):
    path = view.path("data.db")
    a = sqlite3.connect(path, isolation_level=None)
    equal(a.execute("pragma journal_mode=wal").fetchone()[0], "wal")
    a.execute("create table t (n integer primary key, v text)")

    def writer():
        b = sqlite3.connect(path, timeout=30, isolation_level=None)
        for i in range(100):
            b.execute("insert into t (v) values (?)", ("child" * i,))
        b.close()
    pid = os.fork()
    if pid == 0:
        try:
            writer()
            os._exit(0)
        finally:
            os._exit(1)
    a.execute("pragma busy_timeout=30000")
    for i in range(100):
        a.execute("insert into t (v) values (?)", ("parent" * i,))
    equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, "the other process")
    equal(a.execute("select count(*) from t").fetchone()[0], 200)
    a.close()
    view.restart()
    c = sqlite3.connect(path)
    equal(c.execute("pragma integrity_check").fetchone()[0], "ok")
    equal(c.execute("select count(*) from t").fetchone()[0], 200)
    c.close()


def test_unix_socket__in_the_view(view):
    with socket.socket(socket.AF_UNIX) as s, socket.socket(socket.AF_UNIX) as c:
        os.chdir(view.mnt)
        try:
            s.bind("sock")
            s.listen(1)
            c.connect("sock")
        finally:
            os.chdir("/")


def test_o_direct_and_o_sync(view):
    fd = os.open(view.path("s"), os.O_CREAT | os.O_WRONLY | os.O_SYNC)
    equal(os.write(fd, b"synced"), 6)
    os.close(fd)
    try:
        fd = os.open(view.path("s"), os.O_RDONLY | os.O_DIRECT)
    except OSError as e:
        equal(e.errno, errno.EINVAL)
        return
    m = mmap.mmap(-1, 4096)
    equal(os.readv(fd, [m]), 6)
    os.close(fd)
    equal(m[:6], b"synced")


def test_concurrent__writers_of_one_folder(view):
    pids = []
    for i in range(6):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                for j in range(150):
                    put(view.path(f"w{i}-{j}"), f"{i} {j}")
                    if j % 3 == 0:
                        os.rename(view.path(f"w{i}-{j}"), view.path(f"r{i}-{j}"))
                    if j % 5 == 1:
                        os.unlink(view.path(f"w{i}-{j}") if j % 3 else view.path(f"r{i}-{j}"))
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    equal([os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids], [0] * 6)
    want = {f"{'r' if j % 3 == 0 else 'w'}{i}-{j}" for i in range(6) for j in range(150) if j % 5 != 1}
    got = {n for n in os.listdir(view.mnt) if n[0] in "rw" and "-" in n}
    equal(got, want)
    view.restart()
    equal({n for n in os.listdir(view.mnt) if n[0] in "rw" and "-" in n}, want, "after a restart")


def test_damaged_object__costs_that_file_only(tmp):
    """EIO on the file whose object is damaged, its id in the log, the rest works."""
    import repos
    repo = repos.make(tmp + "/repo")
    oid = repos.git(repo, "rev-parse", "HEAD:docs/guide.md")
    v = views.View(tmp, repo=repo)
    path = f"{repo}/.git/objects/{oid[:2]}/{oid[2:]}"
    os.chmod(path, 0o644)
    data = bytearray(get(path, "rb"))
    data[len(data) // 2] ^= 0xff
    put(path, bytes(data))
    expect_log(oid)
    v.start()
    try:
        fails(errno.EIO, get, v.path("docs/guide.md"))
        equal(get(v.path("README")), "hello world\n")
        put(v.path("docs/guide.md"), "replaced whole")
        equal(get(v.path("docs/guide.md")), "replaced whole")
        assert oid in v.logged(), "the log does not name the object"
    finally:
        v.stop()


main()
