#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the daemon does in a view from outside: the view's users see it at once, and a client that dies
leaves nothing half done."""
import os
import subprocess
import sys
import time

from harness import *


def ctl(view, *words, check=True):
    return run(program("viewctl_cli"), view.sock, *words, check=check)


def test_viewctl__a_lock_is_exclusive_and_seen(view):
    lock = view.path(".git/index.lock")
    assert not os.path.exists(lock)  # a cached negative entry must not hide it
    p = subprocess.Popen([program("viewctl_cli"), view.sock, "lock", ".git/index.lock"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    equal(p.stdout.readline(), "locked\n", "the lock")
    assert os.path.exists(lock), "the lock is not seen in the view"
    done = ctl(view, "lock", ".git/index.lock", check=False)
    assert done.returncode == 1 and "EEXIST" in done.stderr, done.stderr
    put(view.path("f"), "x")
    failed = run("git", "-C", view.mnt, "add", "f", check=False)
    assert "index.lock" in failed.stderr, failed.stderr
    p.communicate("")
    wait_for(lambda: not os.path.exists(lock), what="the lock goes with its connection")
    run("git", "-C", view.mnt, "add", "f")


def test_viewctl__a_killed_client_leaves_no_lock(view):
    p = subprocess.Popen([program("viewctl_cli"), view.sock, "lock", ".git/index.lock"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    equal(p.stdout.readline(), "locked\n", "the lock")
    assert os.path.exists(view.path(".git/index.lock"))
    p.kill()
    p.communicate()
    wait_for(lambda: not os.path.exists(view.path(".git/index.lock")), what="the lock is taken off")


def test_viewctl__a_put_file_is_seen_at_once(view, tmp):
    path, new = view.path("README"), os.path.join(tmp, "new")
    held = os.open(path, os.O_RDONLY)
    old = get(path)
    put(new, "put from outside\n" * 1000)
    ctl(view, "put", "README", new)
    equal(get(path), get(new), "content after a put")
    equal(os.stat(path).st_size, os.stat(new).st_size, "size after a put")
    equal(os.pread(held, 100, 0).decode(), old, "what was open stays what it was")
    os.close(held)
    ctl(view, "put", "made/on/the/way", new)
    equal(get(view.path("made/on/the/way")), get(new), "folders are made")
    ctl(view, "unlink", "README")
    assert not os.path.exists(path), "an unlinked name is still seen"
    view.restart()
    equal(get(view.path("made/on/the/way")), get(new), "content after a restart")


def test_viewctl__snapshot_is_durable_and_holds_mapped_pages(view):
    import mmap
    path = view.path("README")
    with open(path, "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
        m[0:4] = b"MMAP"
        seq = int(ctl(view, "snapshot").stdout)
        facts = dict(l.split() for l in ctl(view, "status").stdout.splitlines())
        assert int(facts["durable"]) >= seq > 0, facts
        view.kill()
    view.start()
    equal(get(path)[:4], "MMAP", "a mapped page after kill -9")


def test_stop__while_the_server_waits_for_its_own_kernel(tmp):
    """SIGTERM while invalidations and a snapshot have dirty pages written out: the answers that they wait
    for are still given, and the server ends at once."""
    import views
    for n in range(3):
        folder = os.path.join(tmp, str(n))
        os.mkdir(folder)
        v = views.View(folder).start()
        put(os.path.join(tmp, "new"), "x" * 300000)
        dirty = subprocess.Popen([sys.executable, "-c", DIRTY, v.path("m")], stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(v.path("m")), what="pages are dirtied")
        puts = subprocess.Popen(["sh", "-c", 'while "$1" "$2" put m "$3" && "$1" "$2" snapshot; do :; done', "sh",
                                 program("viewctl_cli"), v.sock, os.path.join(tmp, "new")],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert puts.stdout.readline(), "no snapshot was taken"
        began = time.monotonic()
        v.stop(timeout=30)
        took = time.monotonic() - began
        for p in (dirty, puts):
            p.kill()
            p.wait()
        puts.stdout.close()
        assert took < 5, f"{took:.1f} s from SIGTERM to the end"


DIRTY = """
import mmap, os, sys
while True:
    fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 1 << 20)
    with mmap.mmap(fd, 1 << 20) as m:
        for k in range(20):
            for i in range(0, 1 << 20, 4096):
                m[i] = k + 1
    os.close(fd)
"""


main()
