#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The view's own files: .agentfs/control and .git."""
import errno
import json
import os

from harness import *
import views


def test_control__files_say_what_the_view_is(tmp):
    v = views.View(tmp, policy_text=views.policy(scope=("src/**",))).start()
    try:
        c = lambda n: get(v.path(".agentfs/control", n))
        assert set(os.listdir(v.path(".agentfs/control"))) >= {"README", "role", "scope", "denied", "status.json"}
        assert len(c("README")) > 100
        assert "builder" in c("role")
        assert "src/**" in c("scope")
        status = json.loads(c("status.json"))
        equal(status["agent"], "a1")
    finally:
        v.stop()


def test_control__is_found_by_name_but_not_listed(view):
    assert ".agentfs" not in os.listdir(view.mnt)
    os.stat(view.path(".agentfs/control/README"))
    sh("git add -A && git status --porcelain", cwd=view.mnt)
    equal(sh("git clean -xfdn", cwd=view.mnt).stdout, "")


def test_control__is_read_only(view):
    readonly = (errno.EACCES, errno.EROFS, errno.EPERM)
    fails(readonly, put, view.path(".agentfs/control/role"), "lead")
    fails(readonly, put, view.path(".agentfs/control/new"), "x")
    fails(readonly, os.unlink, view.path(".agentfs/control/README"))
    fails(readonly + (errno.ENOTEMPTY,), os.rmdir, view.path(".agentfs/control"))


def test_control__denied_lists_the_newest_refusals(tmp):
    need_root()
    v = views.View(tmp, policy_text=views.policy(write=("*", "!SPRINT.md"))).start()
    try:
        assert "SPRINT.md" not in v.denied()
        fails(errno.EACCES, os.unlink, v.path("SPRINT.md"))
        said = v.denied()
        assert "SPRINT.md" in said and "unlink" in said, said
        equal(json.loads(get(v.path(".agentfs/control/status.json")))["denied"], 1)
    finally:
        v.stop()


def test_git__works_in_the_view(view):
    out = sh("git status --porcelain; git log --oneline | wc -l; git branch --show-current", cwd=view.mnt).stdout
    equal(out.split("\n")[:2], ["1", "agents/a1/work"])
    sh("""echo more >>README; echo new >new; git add -A; git commit -qm 'from the view'
          git diff --quiet HEAD; test "$(git rev-list --count HEAD)" = 2
          echo x >>README; git stash -q; git stash pop -q; git checkout -q -b side; git reset -q --hard""",
       cwd=view.mnt)
    equal(get(view.path("README")), "hello world\nmore\n")
    view.restart()
    equal(sh("git status --porcelain", cwd=view.mnt).stdout, "")
    equal(sh("git fsck 2>&1 | grep -v dangling | grep -v notice || true", cwd=view.mnt).stdout.strip(), "")


def test_git__first_status_reads_no_content(view):
    """The prepared index has the view's own stat data: status is clean without touching a file."""
    before = get(view.path(".git/index"), "rb")
    equal(sh("git --no-optional-locks diff-files --name-only", cwd=view.mnt).stdout, "")
    equal(get(view.path(".git/index"), "rb"), before)


main()
