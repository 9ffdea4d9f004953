#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every operation that a policy can refuse: for root and for the view's owner, with the right errno,
without any effect, and told in the view's list of refusals."""
import errno
import mmap
import os

from harness import *
import libc
import tree
import views

# README, docs/** and the name "forbidden" anywhere are not the builder's to touch.
POLICY = views.policy(write=("*", "!README", "!docs/**", "!forbidden"), iron=(".github",))


def opened(path, flags, function):
    fd = os.open(path, flags)
    try:
        return function(fd)
    finally:
        os.close(fd)


def mapped_write(path):
    def inner(fd):
        with mmap.mmap(fd, 0, mmap.MAP_SHARED) as m:
            m[0:4] = b"EVIL"
            m.flush()
    opened(path, os.O_RDWR, inner)


def copy_into(source, target):
    with open(source, "rb") as s:
        opened(target, os.O_RDWR, lambda d: os.copy_file_range(s.fileno(), d, 4, 0, 0))


# name, what it does given a function that makes paths; each must be refused.
ATTEMPTS = [
    ("write", lambda p: opened(p("README"), os.O_WRONLY, lambda f: os.write(f, b"x"))),
    ("append", lambda p: opened(p("README"), os.O_WRONLY | os.O_APPEND, lambda f: os.write(f, b"x"))),
    ("open with truncation", lambda p: opened(p("README"), os.O_WRONLY | os.O_TRUNC, lambda f: None)),
    ("truncate", lambda p: os.truncate(p("README"), 0)),
    ("grow", lambda p: os.truncate(p("README"), 1000)),
    ("fallocate", lambda p: opened(p("README"), os.O_RDWR, lambda f: libc.fallocate(f, 0, 0, 100000))),
    ("punch", lambda p: opened(p("README"), os.O_RDWR, lambda f: libc.fallocate(f, 3, 0, 4))),
    ("copy into", lambda p: copy_into(p("src/main.c"), p("README"))),
    ("mmap", lambda p: mapped_write(p("README"))),
    ("chmod", lambda p: os.chmod(p("README"), 0o777)),
    ("utimens", lambda p: os.utime(p("README"), (1, 1))),
    ("setxattr", lambda p: os.setxattr(p("README"), "user.x", b"1")),
    ("unlink", lambda p: os.unlink(p("README"))),
    ("unlink below", lambda p: os.unlink(p("docs/guide.md"))),
    ("rename from", lambda p: os.rename(p("README"), p("moved"))),
    ("rename over", lambda p: os.rename(p("empty"), p("README"))),
    ("rename into", lambda p: os.rename(p("empty"), p("docs/empty"))),
    ("rename to a forbidden name", lambda p: os.rename(p("empty"), p("forbidden"))),
    ("exchange", lambda p: libc.rename2(p("empty"), p("README"), libc.RENAME_EXCHANGE)),
    ("rename of a folder that holds a denied file", lambda p: os.rename(p("docs"), p("doc2"))),
    ("link to a new name", lambda p: os.link(p("empty"), p("docs/second"))),
    ("link of a denied file", lambda p: os.link(p("README"), p("src/second"))),
    ("create", lambda p: put(p("docs/new"), "x")),
    ("create a forbidden name", lambda p: put(p("src/forbidden"), "x")),
    ("create under an iron rule", lambda p: os.mkdir(p(".github"))),
    ("symlink", lambda p: os.symlink("x", p("docs/sym"))),
    ("mkfifo", lambda p: os.mkfifo(p("docs/fifo"))),
    ("mkdir", lambda p: os.mkdir(p("docs/sub"))),
    ("rmdir", lambda p: (os.rmdir(p("docs/deep/er/still")))),
]


def attempt_all(v, uid, want):
    v_path = v.path
    before = tree.picture(v.mnt, times=True)
    wrong = []
    for name, function in ATTEMPTS:
        code = in_child(lambda: function(v_path), uid)
        if name == "rmdir" and code == errno.ENOTEMPTY:
            code = want  # the kernel's order of checks is free here
        if code not in (want, errno.EACCES):
            wrong.append(f"{name}: {errno.errorcode.get(code, code)}")
    wrong += tree.differences(before, tree.picture(v.mnt, times=True))
    equal(wrong, [], "refusals")


def start(tmp, **kw):
    open_to_others(TMP)
    return views.View(tmp, **kw).start()


def test_denied__each_operation_as_owner(tmp):
    v = start(tmp, policy_text=POLICY, uid=OTHER_UID if ROOT else None)
    try:
        attempt_all(v, OTHER_UID if ROOT else 0, errno.EACCES)
    finally:
        v.stop()


def test_denied__each_operation_as_root(tmp):
    need_root()
    v = start(tmp, policy_text=POLICY)
    try:
        attempt_all(v, 0, errno.EACCES)
        said = v.denied()
        for word in ("README", "docs/guide.md", "docs/new", "forbidden", "docs/sub"):
            assert word in said, f"{word} is not in the list of refusals:\n{said}"
        assert "!README" in said, f"the deciding rule is missing:\n{said}"
    finally:
        v.stop()


def test_denied__is_journaled_and_survives_kill(tmp):
    need_root()
    v = start(tmp, policy_text=POLICY)
    try:
        fails(errno.EACCES, put, v.path("README"), "x", "a")
        assert "README" in v.denied()
        v.kill()
        v.start()
        assert "README" in v.denied(), "a refusal was lost by kill -9"
    finally:
        v.stop()


def test_denied__refusal_at_open_is_inferred(tmp):
    """An owner without root's rights is stopped by mode bits; it is journaled as inferred."""
    v = start(tmp, policy_text=POLICY, uid=OTHER_UID if ROOT else None)
    try:
        uid = OTHER_UID if ROOT else 0
        equal(in_child(lambda: put(v.path("README"), "x", "a"), uid), errno.EACCES)
        wait_for(lambda: "README" in v.denied(), 5, "the refusal at open is told")
        equal(os.stat(v.path("README")).st_mode & 0o222, 0, "write bits of a denied file")
    finally:
        v.stop()


def test_denied__a_role_that_writes_nothing_gets_erofs(tmp):
    need_root()
    v = start(tmp, policy_text=views.policy("scout", write=(), scratch="none"))
    try:
        attempt_all(v, 0, errno.EROFS)
        fails(errno.EROFS, put, v.path("new"), "x")
        fails(errno.EROFS, os.unlink, v.path("src/main.c"))
        put(v.path(".git/mine"), "the view's own .git is outside roles")
    finally:
        v.stop()


def test_scope__only_it_and_what_it_needs(tmp):
    v = start(tmp, policy_text=views.policy(scope=("src/**", "new/deep/place/**")))
    try:
        put(v.path("src/x.c"), "x")
        fails(errno.EACCES, put, v.path("README"), "x")
        fails(errno.EACCES, os.truncate, v.path("README"), 0)
        os.makedirs(v.path("new/deep/place"))
        put(v.path("new/deep/place/f"), "x")
        fails(errno.EACCES, os.mkdir, v.path("new/elsewhere"))
    finally:
        v.stop()


def test_scratch__beside_a_writable_file(tmp):
    """sed -i, an editor's backup and NAME.tmp + rename need new names beside a file one may write."""
    v = start(tmp, policy_text=views.policy(write=("src/main.c",)))
    try:
        sh("sed -i s/printf/puts/ src/main.c", cwd=v.mnt)
        assert "puts" in get(v.path("src/main.c"))
        put(v.path("src/main.c.tmp.1"), "int x;\n")
        os.rename(v.path("src/main.c.tmp.1"), v.path("src/main.c"))
        equal(get(v.path("src/main.c")), "int x;\n")
        put(v.path("src/scratch~"), "mine")
        os.unlink(v.path("src/scratch~"))
        fails(errno.EACCES, put, v.path("docs/scratch"), "x")
        put(v.path("src/other.tmp"), "x")
        fails(errno.EACCES, os.rename, v.path("src/other.tmp"), v.path("src/util.c"))
        equal(get(v.path("src/util.h")), "int util(void);\n")
    finally:
        v.stop()


def test_hidden__paths_are_not_there(tmp):
    v = start(tmp, policy_text=views.policy(hide=("docs/deep/**", "SPRINT.md")))
    try:
        fails(errno.ENOENT, os.stat, v.path("SPRINT.md"))
        fails(errno.ENOENT, get, v.path("docs/deep/er/still/file.txt"))
        assert "SPRINT.md" not in os.listdir(v.mnt)
    finally:
        v.stop()


def test_hidden__names_cannot_be_guessed_by_making_them(tmp):
    """What is hidden and there answers as what is hidden and not there: EACCES, and a line in the journal."""
    v = start(tmp, policy_text=views.policy(hide=("docs/deep/", "SPRINT.md", "none", "none-deep/")))
    try:
        put(v.path("mine"), "x")
        os.mkdir(v.path("folder"))
        for there, not_there in (("SPRINT.md", "none"), ("docs/deep", "docs/none-deep")):
            for name in (there, not_there):
                p = v.path(name)
                calls = [("mkdir", os.mkdir, p), ("rename of a folder", os.rename, v.path("folder"), p)]
                if "deep" not in name:  # a pattern of a folder says nothing about files
                    calls += [("create", os.open, p, os.O_CREAT | os.O_EXCL | os.O_WRONLY),
                              ("create or open", os.open, p, os.O_CREAT | os.O_WRONLY),
                              ("symlink", os.symlink, "x", p), ("link", os.link, v.path("mine"), p),
                              ("rename", os.rename, v.path("mine"), p),
                              ("rename, no replacing", libc.rename2, v.path("mine"), p, libc.RENAME_NOREPLACE)]
                for what, function, *args in calls:
                    try:
                        fails(errno.EACCES, function, *args)
                    except AssertionError as e:
                        raise AssertionError(f"{what} of {name}: {e}") from e
                    assert name in v.denied().splitlines()[-1], f"{what} of {name} is not journaled"
        fails((errno.EACCES, errno.EEXIST), os.open, v.path("docs/deep"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        equal(get(v.path("mine")), "x")
    finally:
        v.stop()


def test_capabilities_of_an_owner__cannot_lift_a_refusal(tmp):
    """chmod of a denied path is denied too, so no agent opens the way for itself."""
    v = start(tmp, policy_text=POLICY, uid=OTHER_UID if ROOT else None)
    try:
        def lift():
            os.chmod(v.path("README"), 0o666)
            put(v.path("README"), "x")
        equal(in_child(lift, OTHER_UID if ROOT else 0), errno.EACCES)
        equal(get(v.path("README")), "hello world\n")
    finally:
        v.stop()


main()
