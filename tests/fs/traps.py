#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the stateless protocol (OPEN, CREATE, FLUSH answered ENOSYS) gets wrong unless it is cured.

Requests are counted through the kernel's own counter of the connection or, where it has none, by strace
on the server: a promise about requests that are not made needs that.
"""
# alone: it counts requests and waits for timers, and what other tests do on the machine adds to both
import errno
import fcntl
import mmap
import os
import re
import select
import signal
import stat
import struct
import subprocess

from harness import *
import libc
import views


def requests(view, function):
    """How many requests the server answers while function() runs: its writes to /dev/fuse, by strace."""
    need_program("strace")
    if not ROOT and get_or("/proc/sys/kernel/yama/ptrace_scope", "0").strip() not in ("0", "1"):
        raise Skip("SKIP-KERNEL: ptrace is not allowed here", kernel=True)
    trace = os.path.join(view.folder, "trace")
    child = subprocess.Popen(["strace", "-f", "-q", "-y", "-e", "trace=write,writev", "-e", "signal=none",
                              "-o", trace, "-p", str(view.server.pid)], stderr=subprocess.PIPE)
    marker = view.path("no-such-name-%d")
    try:
        n = 0
        def attached():
            nonlocal n
            if child.poll() is not None:
                raise Skip("SKIP-KERNEL: strace cannot attach here: " + child.stderr.read().decode()[:100],
                           kernel=True)
            n += 1
            fails(errno.ENOENT, os.stat, marker % n)
            return replies(trace) > 0
        wait_for(attached, what="strace sees requests")
        def settled():
            a = replies(trace)
            time.sleep(0.15)
            return a == replies(trace)
        wait_for(settled, what="the server is idle")
        before = replies(trace)
        function()
        wait_for(settled, what="the server is idle")
        return replies(trace) - before
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()
        child.stderr.close()


def get_or(path, other):
    try:
        return get(path)
    except OSError:
        return other


def replies(trace):
    """A write to /dev/fuse: one for each request answered."""
    return sum(1 for line in get_or(trace, "").splitlines() if re.search(r"\bwritev?\(\d+</dev/fuse>", line))


def test_trap1__open_with_truncation_truncates(view):
    put(view.path("f"), "hello world")
    fd = os.open(view.path("f"), os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"hi")
    os.close(fd)
    equal(get(view.path("f")), "hi")
    equal(os.stat(view.path("f")).st_size, 2)
    sh("echo x >README", cwd=view.mnt)
    equal(get(view.path("README")), "x\n")


def test_trap2__own_writes_cost_no_getattr_and_no_read(view):
    put(view.path("f"), b"x" * 8192)
    fd = os.open(view.path("f"), os.O_RDWR)
    os.pread(fd, 8192, 0)

    def work():
        for i in range(50):
            os.pwrite(fd, b"y" * 100, i * 100)
            os.pread(fd, 100, i * 100)
    n = requests(view, work)
    os.close(fd)
    assert 50 <= n <= 60, f"{n} requests for 50 writes and reads of what is cached"


def test_trap3__a_write_does_not_ask_for_capabilities(view):
    fd = os.open(view.path("f"), os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"first")
    n = requests(view, lambda: [os.pwrite(fd, b"z" * 100, i) for i in range(100)])
    os.close(fd)
    assert 100 <= n <= 110, f"{n} requests for 100 writes"


def test_trap3__suid_goes_on_write_truncate_chown(tmp):
    need_root()
    open_to_others(TMP)
    v = views.View(tmp, uid=OTHER_UID).start()
    try:
        def allocate(p):
            with open(p, "r+b") as f:
                libc.fallocate(f.fileno(), 0, 0, 100)

        def punch(p):
            with open(p, "r+b") as f:
                libc.fallocate(f.fileno(), libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE, 0, 2)

        def copy(p):
            with open(v.path("README"), "rb") as a, open(p, "r+b") as b:
                os.copy_file_range(a.fileno(), b.fileno(), 4)
        changes = (lambda p: put(p, "x", "a"), lambda p: os.truncate(p, 1), allocate, punch, copy)
        for i, change in enumerate(changes):
            p = v.path(f"f{i}")
            def prepare():
                put(p, "text")
                os.chmod(p, 0o6755)
            equal(in_child(prepare, OTHER_UID), 0)
            equal(stat.S_IMODE(os.stat(p).st_mode), 0o6755, "before")
            equal(in_child(lambda: change(p), OTHER_UID), 0)
            equal(stat.S_IMODE(os.stat(p).st_mode), 0o755, f"after {i}")
        p = v.path("f0")
        os.chmod(p, 0o6755)
        os.chown(p, OTHER_UID, OTHER_UID)
        equal(stat.S_IMODE(os.stat(p).st_mode), 0o755, "after chown")
    finally:
        v.stop()


def test_trap4__no_operation_is_latched_as_missing(view):
    """An error of one operation must not turn it off for the connection's life."""
    p = view.path("README")
    with open(p, "r+b") as f:
        fails((errno.EOPNOTSUPP, errno.EINVAL), libc.fallocate, f.fileno(), libc.FALLOC_COLLAPSE, 0, 4096)
        libc.fallocate(f.fileno(), 0, 0, 100)
        fails(errno.ENXIO, os.lseek, f.fileno(), 1 << 40, os.SEEK_DATA)
        os.lseek(f.fileno(), 0, os.SEEK_HOLE)
    fails(errno.EINVAL, libc.rename2, p, view.path("x"), 1 << 7)
    libc.rename2(p, view.path("x"), libc.RENAME_NOREPLACE)
    fails((errno.EOPNOTSUPP, errno.EPERM), os.setxattr, view.path("x"), "security.x" if ROOT else "odd.x", b"1")
    os.setxattr(view.path("x"), "user.x", b"1")
    equal(os.getxattr(view.path("x"), "user.x"), b"1")
    fails(errno.EPERM, os.mknod, view.path("dev"), stat.S_IFBLK | 0o600, os.makedev(7, 99))
    put(view.path("y"), "still")
    fd = os.open(view.path("y"), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def test_trap4__written_bytes_are_those_of_the_call(view):
    """The bytes are copied before they are stored: a writer that reuses its buffer changes nothing."""
    buf = bytearray(os.urandom(128 * 1024))
    want = bytearray()
    fd = os.open(view.path("f"), os.O_CREAT | os.O_WRONLY)
    for i in range(40):
        buf[:8] = struct.pack("Q", i)
        want += buf
        os.write(fd, buf)
        buf[8:16] = os.urandom(8)
    os.close(fd)
    view.restart()
    got = get(view.path("f"), "rb")
    assert got == bytes(want), "the file differs from what was written"


def test_trap5__locks_end_with_the_process(view):
    p = view.path("README")
    for lock in ("fcntl", "flock"):
        ready, done = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            f = os.open(p, os.O_RDWR)
            fcntl.lockf(f, fcntl.LOCK_EX) if lock == "fcntl" else fcntl.flock(f, fcntl.LOCK_EX)
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os.close(f)
            os.write(ready[1], b"x")
            os.read(done[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
        f = os.open(p, os.O_RDWR)
        attempt = (lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)) if lock == "fcntl" else (
            lambda: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB))
        fails((errno.EACCES, errno.EAGAIN), attempt)
        os.write(done[1], b"x")
        os.read(ready[0], 1)
        attempt()  # the holder closed: the lock is free though it still runs
        os.close(f)
        os.write(done[1], b"x")
        os.waitpid(pid, 0)


def test_trap6__a_refused_page_write_does_not_stay_visible(tmp):
    need_root()
    v = views.View(tmp, policy_text=views.policy(write=("*", "!README"))).start()
    try:
        fd = os.open(v.path("README"), os.O_RDONLY)
        os.pread(fd, 100, 0)
        try:
            f = os.open(v.path("README"), os.O_RDWR)  # root: mode bits do not stop it
        except OSError as e:
            equal(e.errno, errno.EACCES)
            return
        m = mmap.mmap(f, 0, mmap.MAP_SHARED)
        m[0:5] = b"EVIL!"
        try:
            m.flush()
        except OSError:
            pass
        m.close()
        os.close(f)
        wait_for(lambda: os.pread(fd, 100, 0) == b"hello world\n", 10, "the refused bytes are gone")
        os.close(fd)
        assert "README" in v.denied(), v.denied()
    finally:
        v.stop()


def test_trap7__mapped_bytes_are_in_what_is_kept(view):
    """Dirty pages of a live mapping are unknown to the server until msync or its own invalidation."""
    put(view.path("f"), b"." * 8192)
    f = os.open(view.path("f"), os.O_RDWR)
    m = mmap.mmap(f, 8192, mmap.MAP_SHARED)
    m[4096:4100] = b"page"
    m.flush()
    view.server.send_signal(signal.SIGKILL)
    view.server.wait()
    m.close()
    os.close(f)
    view.server = None
    view._umount()
    view.start()
    equal(get(view.path("f"), "rb")[4090:4105], b"......page.....")


def test_trap10__inotify_hears_changes_made_through_the_mount(view):
    IN_MODIFY = 2
    watch = libc.inotify(view.path("README"), IN_MODIFY)
    assert not select.select([watch], [], [], 0)[0], "an event before the change"
    equal(in_child(lambda: put(view.path("README"), "x", "a")), 0)
    assert select.select([watch], [], [], 5)[0], "no IN_MODIFY after a write"
    os.close(watch)


def test_trap10__sync_is_bounded_by_a_timer(view):
    """sync and syncfs send the server nothing: what was written is synced within 5 s anyway."""
    need_program("strace")
    trace = os.path.join(view.folder, "trace")
    child = subprocess.Popen(["strace", "-f", "-q", "-e", "trace=fsync,fdatasync,sync_file_range,io_uring_enter",
                              "-o", trace, "-p", str(view.server.pid)], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: child.poll() is not None or get_or(f"/proc/{view.server.pid}/status", "").find(
            f"TracerPid:\t{child.pid}") >= 0, what="strace attached")
        if child.poll() is not None:
            raise Skip("SKIP-KERNEL: strace cannot attach here", kernel=True)
        put(view.path("f"), "not synced by anybody")
        wait_for(lambda: re.search(r"f(data)?sync\(|io_uring_enter\(", get_or(trace, "")), 8,
                 "a sync after at most 5 s")
    finally:
        child.send_signal(signal.SIGINT)
        child.wait()
        child.stderr.close()


def test_trap12__a_caller_of_a_stopped_server_ends_with_it(view):
    view.server.send_signal(signal.SIGSTOP)
    child = start_caller(view)
    view.kill()
    child.wait(20)
    assert child.returncode != 0, "it read a file from a dead view"


def test_trap12__the_kernel_frees_the_caller_of_a_hung_server(view):
    """The request timeout of the INIT reply: the server stands still, nobody kills it."""
    release = tuple(map(int, os.uname().release.split("-")[0].split(".")[:2]))
    if release < (6, 15):
        raise Skip("SKIP-KERNEL: FUSE_REQUEST_TIMEOUT needs kernel 6.15", kernel=True)
    view.server.send_signal(signal.SIGSTOP)
    child = start_caller(view)
    try:
        child.wait(60)
    except subprocess.TimeoutExpired:
        raise AssertionError("the caller still hangs 60 s after the server stopped")
    finally:
        view.kill()
        child.wait(20)


def start_caller(view):
    """A process that waits for the server (which stands still) to answer it."""
    child = subprocess.Popen(["cat", view.path("docs/guide.md")], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    wait_for(lambda: any(w in get_or(f"/proc/{child.pid}/stack", "fuse" if waits(child.pid) else "")
                         for w in ("fuse", "request_wait")), what="the caller waits for the server")
    return child


def waits(pid):
    return get(f"/proc/{pid}/comm").strip() == "cat" and get(f"/proc/{pid}/stat").rpartition(") ")[2][0] in "DS"


def opened(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        while os.read(fd, 65536):
            pass
    finally:
        os.close(fd)


def test_stateless__a_warm_view_makes_no_request(view):
    def walk():
        for where, dirs, names in os.walk(view.mnt):
            for n in names:
                p = os.path.join(where, n)
                os.lstat(p)
                if not os.path.islink(p):  # not open(): it asks isatty(), an IOCTL that is never cached
                    opened(p)
    walk()
    walk()
    n = requests(view, walk)
    assert n <= 3, f"{n} requests for a walk over a warm view"


main()
