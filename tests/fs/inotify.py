#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""File watchers: what happens in a view is seen as on the disk's own file system, and so is what the daemon
changes behind the kernel's back (files put in place, another policy)."""
import errno
import os
import stat
import subprocess

from harness import *
import views
import watch


def ctl(view, *words):
    return run(program("viewctl_cli"), view.sock, *words)


def day(d, w):
    """A day's work in folder d, seen by watcher w: it catches up after each step, as new folders need it."""
    p = lambda *n: os.path.join(d, *n)
    seen = []

    def step(function, *args, **kw):
        function(*args, **kw)
        seen.extend(w.events())
    step(put, p("new"), "text")
    step(put, p("new"), "more", "a")
    step(put, p("new"), "shorter")
    step(os.truncate, p("new"), 3)
    step(os.chmod, p("new"), 0o600)
    step(os.utime, p("new"), (1, 2))
    step(os.setxattr, p("new"), "user.w", b"1")
    step(os.removexattr, p("new"), "user.w")
    step(os.link, p("new"), p("hard"))
    step(os.symlink, "new", p("soft"))
    step(os.mkfifo, p("fifo"))
    step(os.mkdir, p("dir"))
    step(put, p("dir/inner"), "x")
    step(os.mkdir, p("dir/deep"))
    step(put, p("dir/deep/inner"), "x")
    step(os.rename, p("dir/inner"), p("dir/other"))
    step(os.rename, p("dir/other"), p("moved"))
    step(os.rename, p("moved"), p("new"))
    step(os.rename, p("dir/deep"), p("deep"))
    step(put, p("deep/late"), "x")
    step(os.unlink, p("deep/late"))
    step(os.unlink, p("deep/inner"))
    step(os.rmdir, p("deep"))
    step(os.chmod, p("dir"), 0o700)
    step(os.rmdir, p("dir"))
    for name in ("hard", "soft", "fifo", "new"):
        step(os.unlink, p(name))
    step(sh, "printf one >f; printf two >>f; sed -i s/o/0/ f; cp f g; mv g h; rm -f f h", cwd=d)
    return [(path if not path.startswith("sed") else "sed*", what) for path, what in seen]


def test_inotify__sees_the_same_as_on_the_disk(view, tmp):
    disk, ours = os.path.join(tmp, "disk"), view.path("ours")
    os.mkdir(disk)
    os.mkdir(ours)
    for d in (disk, ours):
        put(os.path.join(d, "there"), "x")
    results = []
    for d in (disk, ours):
        w = watch.Watcher(d)
        w.add("there")
        results.append(day(d, w))
        os.truncate(os.path.join(d, "there"), 0)
        os.unlink(os.path.join(d, "there"))
        results[-1] += w.events()
        w.close()
    assert len(results[0]) > 60, results[0]
    equal(results[1], results[0], "events in the view, and on the disk")


def test_inotify__opens_and_reads_are_seen(view):
    """Though no request is made for them: watchers hear the kernel, not the server."""
    get(view.path("README"))
    w = watch.Watcher(view.path("docs"), watch.OPEN | watch.ACCESS | watch.CLOSE_NOWRITE)
    w.events()
    get(view.path("docs/guide.md"))
    seen = w.wait_for(("guide.md", "open"), ("guide.md", "access"), ("guide.md", "close"))
    assert all(path == "guide.md" for path, _ in seen), seen
    w.close()


def test_inotify__another_user_and_process(tmp):
    need_root()
    open_to_others(TMP)
    v = views.View(tmp).start()
    try:
        os.mkdir(v.path("shared"))
        os.chmod(v.path("shared"), 0o777)
        w = watch.Watcher(v.path("shared"))
        equal(in_child(lambda: put(v.path("shared/f"), "x"), OTHER_UID), 0)
        w.wait_for(("f", "create"), ("f", "modify"), ("f", "close-write"))
        w.close()
    finally:
        v.stop()


def test_inotify__a_file_that_the_daemon_puts(view, tmp):
    """Renamed onto its name through the mount: watchers of the folder and of the old file hear of it."""
    new = os.path.join(tmp, "new")
    put(new, "put from outside\n")
    w = watch.Watcher(view.mnt)
    f = watch.Watcher.__new__(watch.Watcher)
    f.root, f.mask, f.paths, f.fd = view.mnt, watch.CHANGES, {}, watch.libc.inotify_new()
    f.add("README")
    equal(w.events(), [])
    ctl(view, "put", "README", new)
    seen = w.wait_for(("README", "moved-to"))
    assert ("README", "create") not in seen, seen
    f.wait_for(("README", "delete-self"))
    equal(get(view.path("README")), get(new), "the content that the watcher finds")
    w.close()
    f.close()
    equal(view.denied().count("agentfs"), 0, "refusals of the server's own")


def test_inotify__folders_that_the_daemon_makes(view, tmp):
    new = os.path.join(tmp, "new")
    put(new, "x")
    w = watch.Watcher(view.mnt)
    ctl(view, "put", "docs/made/on/the/way", new)
    w.wait_for(("docs/made", "attrib"))
    w.close()
    assert os.path.isdir(view.path("docs/made")), "announced, but not there"
    w = watch.Watcher(view.mnt)
    ctl(view, "put", "docs/made/on/the/way", new)
    w.wait_for(("docs/made/on/the/way", "moved-to"))
    w.close()


def test_inotify__git_refs_and_index_are_seen(view, tmp):
    new = os.path.join(tmp, "new")
    put(new, "0" * 40 + "\n")
    w = watch.Watcher(view.path(".git"))
    ctl(view, "put", ".git/refs/heads/agents/a1/work", new)
    w.wait_for(("refs/heads/agents/a1/work", "moved-to"))
    assert not os.path.exists(view.path(".git/refs/heads/agents/a1/.agentfs-put")), "a stray name"
    equal(sorted(os.listdir(view.path(".git/refs/heads/agents/a1"))), ["work"])
    w.close()


def test_inotify__another_policy(view, tmp):
    """Write bits go and come: watchers hear it of those files alone; nothing is journaled and no time moves."""
    os.mkdir(view.path("src2"))
    for name in ("src2/a", "src2/b"):
        put(view.path(name), "x")
    for name in ("README", "docs/guide.md"):
        os.stat(view.path(name))
    before = os.stat(view.path("README"))
    first, second = os.path.join(tmp, "first"), os.path.join(tmp, "second")
    put(first, views.policy(write=("*", "!README", "!src2/a")))
    put(second, views.policy())
    w = watch.Watcher(view.mnt)
    w.add("README")
    ctl(view, "policy", first)
    seen = w.wait_for(("README", "attrib"), ("src2/a", "attrib"))
    equal([e for e in seen if e[0] in ("src2/b", "docs/guide.md")], [], "events of what stays as it was")
    equal(os.stat(view.path("README")).st_mode & 0o222, 0, "write bits")
    ctl(view, "policy", second)
    w.wait_for(("README", "attrib"), ("src2/a", "attrib"))
    after = os.stat(view.path("README"))
    equal((after.st_mode, after.st_mtime_ns, after.st_ctime_ns, after.st_size),
          (before.st_mode, before.st_mtime_ns, before.st_ctime_ns, before.st_size), "attributes")
    w.close()
    equal(view.denied().count("agentfs"), 0, "refusals of the server's own")
    put(view.path("src2/a"), "written again")


def test_inotify__a_put_does_not_need_the_helper(view, tmp):
    """Where the mount cannot be used (a folder that is no folder for the helper: too deep a path) the file comes all
    the same, and the kernel knows it."""
    deep = "/".join(["d" * 200] * 30)  # longer than any path
    new = os.path.join(tmp, "new")
    put(new, "deep")
    ctl(view, "put", deep + "/f", new)
    fd = os.open(view.mnt, os.O_PATH)
    for part in deep.split("/"):
        fd, old = os.open(part, os.O_PATH, dir_fd=fd), fd
        os.close(old)
    f = os.open("f", os.O_RDONLY, dir_fd=fd)
    equal(os.read(f, 10), b"deep")
    d = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
    equal(os.listdir(d), ["f"])
    for x in (f, fd, d):
        os.close(x)


main()
