#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The conformance suite (tests/posix): every check holds on the disk's own file system, and in a view, as
root and as an ordinary user. What is otherwise in a view is listed in tests/posix/exceptions.c, and asserted."""
import json
import os
import subprocess

from harness import *
import repos
import views


def suite(folder, uid=0, view=False, pool=None):
    """Runs it all; the matrix as it was printed. A failed check fails the case, with its line."""
    command = [program("posix-suite"), "--json", folder] + (["--view"] if view else []) + (
        ["--pool", pool] if pool else [])
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=200, **as_user(uid))
    said = done.stdout.decode(errors="replace")
    begin = said.find("{\"checks\"")
    assert begin >= 0, f"no answer: {said[-2000:]}"
    for line in said[:begin].splitlines():
        print(line)
    answer = json.loads(said[begin:])
    equal((answer["failed"], done.returncode), (0, 0), "failed checks")
    leftovers = os.listdir(folder)
    equal(leftovers, [], "left behind")
    return answer


def areas(answer):
    return {row["area"] for row in answer["matrix"]}


def enough(answer):
    """The promise is 1,500 checks in pjdfstest's areas and those of the issue; a suite that lost some is no proof."""
    floor = 5000 if ROOT and answer["uid"] == 0 else 3500
    assert answer["checks"] >= floor, f"only {answer['checks']} checks"
    want = {"chmod", "chown", "create", "fallocate", "link", "mkdir", "mkfifo", "mknod", "open", "rename", "rmdir",
            "symlink", "truncate", "unlink", "utimensat", "xattr", "acl", "sparse", "mmap", "locks", "dirstream",
            "copy", "append", "io", "statfs", "names", "permission", "exceptions", "times", "unlinked"}
    equal(areas(answer), want, "areas")
    print(f"note: {answer['checks']} checks in {answer['seconds']} s, uid {answer['uid']}, "
          f"{'view' if answer['view'] else 'disk'}", flush=True)


def test_disk__passes_as_a_control(tmp):
    if run("stat", "-f", "-c", "%T", tmp).stdout.strip() == "tmpfs":
        raise Skip("SKIP-KERNEL: tmpfs has no FALLOC_FL_ZERO_RANGE and moves no time stamp on msync", kernel=True)
    enough(suite(tmp))


def test_view__passes_completely(view):
    os.mkdir(view.path("posix"))
    enough(suite(view.path("posix"), view=True))
    view.restart()
    equal(os.listdir(view.path("posix")), [], "after a restart")


def test_view__passes_completely_as_a_user(tmp):
    need_root()
    open_to_others(TMP)
    v = views.View(tmp).start()
    try:
        os.mkdir(v.path("posix"))
        os.chown(v.path("posix"), OTHER_UID, OTHER_UID)
        enough(suite(v.path("posix"), OTHER_UID, view=True))
    finally:
        v.stop()


def pool_repo(folder):
    """A repository with things enough for every case."""
    repo = repos.make(os.path.join(folder, "repo"))
    pool = os.path.join(repo, "pool")
    os.mkdir(pool)
    for i in range(8000):
        put(f"{pool}/f{i}", f"file {i}\n" * (i % 7))
    for i in range(1500):
        os.mkdir(f"{pool}/d{i}")
        put(f"{pool}/d{i}/keep", "")
        os.symlink("target", f"{pool}/l{i}")
    repos.git(repo, "add", "-A")
    repos.git(repo, "commit", "-q", "-m", "pool")
    return repo


def test_view__passes_completely_on_files_of_the_base(tmp):
    """The same with files, folders and symlinks that the commit brought: copied up, moved, whited out."""
    open_to_others(TMP)
    v = views.View(tmp, repo=pool_repo(tmp)).start()
    try:
        os.mkdir(v.path("posix"))
        enough(suite(v.path("posix"), view=True, pool=v.path("pool")))
        left = os.listdir(v.path("pool"))
        assert len(left) < 11000 - (3000 if ROOT else 1500), f"only {11000 - len(left)} of the base were used"
        v.restart()
        equal(sorted(os.listdir(v.path("pool"))), sorted(left), "after a restart")
    finally:
        v.stop()


def test_suite__notices_what_is_otherwise(tmp):
    """On a plain file system the answers of a view are wrong, so the suite must say so: it can fail."""
    done = run(program("posix-suite"), "--view", "--area", "exceptions", tmp, check=False)
    equal(done.returncode, 1, "exit status")
    assert "not ok exceptions: open O_TMPFILE" in done.stdout, done.stdout


main()
