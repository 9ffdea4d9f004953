#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/quickstart: does the whole job, never changes the repository, leaves nothing."""
import hashlib
import os

from harness import *
import repos

TOOL = os.path.join(SOURCE, "tools/quickstart")


def quickstart(tmp, *args, **kw):
    return run(TOOL, *args, cwd=tmp, env={"AGENTFS_BUILD": BUILD, "TMPDIR": tmp}, timeout=200, **kw)


def digest(top):
    """Everything of a repository but the times of its folders."""
    h = hashlib.sha256()
    for where, dirs, names in sorted(os.walk(top)):
        for n in sorted(names):
            p = os.path.join(where, n)
            h.update(os.fsencode(p) + (os.fsencode(os.readlink(p)) if os.path.islink(p) else get(p, "rb")))
    return h.hexdigest()


def test_quickstart__on_a_repository(tmp):
    repo = repos.make(tmp + "/repo")
    before = digest(repo)
    done = quickstart(tmp, repo)
    for word in ("alice", "bob", "Permission denied", "scope", "Done."):
        assert word in done.stdout, f"'{word}' is not in:\n{done.stdout}"
    assert "\x1b" not in done.stdout, "colours without a terminal"
    equal(digest(repo), before, "the given repository")
    equal(sorted(os.listdir(tmp)), ["repo"], "what is left")


def test_quickstart__where_all_new_files_are_ignored(tmp):
    repo = repos.make(tmp + "/repo", files={".gitignore": "*\n", "a/one.txt": "one\n", "b/c/two.txt": "two\n"})
    sh("git add -f . && git commit -q --amend --no-edit", cwd=repo, env=repos.IDENTITY)
    done = quickstart(tmp, repo)
    for word in ("git add -f a/alice.txt", "seen by bob", "Permission denied", "Done."):
        assert word in done.stdout, f"'{word}' is not in:\n{done.stdout}"
    equal(sorted(os.listdir(tmp)), ["repo"], "what is left")


def test_quickstart__as_an_ordinary_user(tmp):
    need_root()
    with fuse_for_all():
        os.chown(tmp, OTHER_UID, OTHER_UID)
        repo = repos.make(tmp + "/repo", uid=OTHER_UID)
        done = run(TOOL, repo, cwd=tmp, env={"AGENTFS_BUILD": BUILD, "TMPDIR": tmp, "HOME": tmp}, uid=OTHER_UID,
                   timeout=200)
        assert "Done." in done.stdout, done.stdout
        equal(sorted(os.listdir(tmp)), ["repo"], "what is left")


def test_quickstart__bad_arguments_are_one_line(tmp):
    for args, code in ((("--frob",), 2), (("a", "b"), 2), ((tmp,), 1), ((tmp + "/nowhere",), 1)):
        done = quickstart(tmp, *args, check=False)
        equal(done.returncode, code, args)
        equal(len(done.stderr.strip().split("\n")), 1, done.stderr)
    equal(os.listdir(tmp), [])


def test_quickstart__interrupted_leaves_nothing(tmp):
    import signal
    import subprocess
    repo = repos.make(tmp + "/repo")
    child = subprocess.Popen([TOOL, repo], cwd=tmp, env={**os.environ, "AGENTFS_BUILD": BUILD, "TMPDIR": tmp},
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in child.stdout:
        if "Two agents" in line:
            child.send_signal(signal.SIGTERM)
    equal(child.wait(60), 143)
    equal(sorted(os.listdir(tmp)), ["repo"], "what is left")


main()
