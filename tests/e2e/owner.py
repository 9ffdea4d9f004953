#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose files: a root daemon in an ordinary user's repository; a user's own daemon; strangers."""
import errno
import os
import pwd

from harness import *
import daemon
import repos


def owned_by_others(top, uid):
    return [os.path.join(w, n) for w, dirs, names in os.walk(top) for n in dirs + names
            if os.lstat(os.path.join(w, n)).st_uid != uid]


def test_root_daemon__leaves_nothing_of_roots_in_a_users_repository(tmp):
    need_root()
    nobody = pwd.getpwnam("nobody").pw_uid
    s = daemon.System(tmp, repo_uid=nobody).start()
    try:
        p = s.path("a1")
        s.ctl("create", "a1", "--repo", s.repo, "--user", "nobody")
        equal(os.stat(os.path.join(p, "README")).st_uid, nobody)
        equal(in_child(lambda: put(os.path.join(p, "new"), "x\n"), nobody), 0)
        sh("git add -A; git commit -qm mine; echo y >>README", cwd=p, uid=nobody)
        s.ctl("materialize", "a1")
        s.ctl("merge", "a1")
        put(os.path.join(p, "README"), "uncommitted\n")
        s.ctl("rollback", "a1", "--force")
        equal(owned_by_others(s.repo, nobody), [], "files of others in the user's repository")
        s.git("gc", "-q", "--prune=now")
        repos.commit(s.repo, {"later": "x"}, uid=nobody)
        equal(s.git("fsck", "--strict", "--no-dangling"), "")
    finally:
        s.stop()


def test_root_daemon__a_user_creates_with_his_own_rights(tmp):
    need_root()
    s = daemon.System(tmp, repo_uid=OTHER_UID).start()
    try:
        done = s.ctl("create", "a1", "--repo", s.repo, uid=OTHER_UID, check=False)
        if done.returncode == 3:
            # The socket is for group agentfs; a private daemon's is root's: the user is kept out.
            assert os.stat(s.socket).st_mode & 0o006 == 0
            return
        equal(done.returncode, 0, done.stderr)
        equal(os.stat(s.path("a1", "README")).st_uid, OTHER_UID)
    finally:
        s.stop()


def test_root_daemon__what_is_written_while_a_view_is_away_is_refused(tmp):
    need_root()
    nobody = pwd.getpwnam("nobody").pw_uid
    s = daemon.System(tmp, repo_uid=nobody).start()
    try:
        s.ctl("create", "a1", "--repo", s.repo, "--user", "nobody")
        p = s.path("a1")
        s.ctl("daemon", "stop")
        s.process.wait(60)
        s.process = None
        equal(in_child(lambda: put(p + "/new", ""), uid=nobody), errno.EACCES)
        equal(os.listdir(p), [])
    finally:
        s.start()
        s.stop()


def test_user_daemon__does_the_whole_job(tmp):
    with fuse_for_all():
        s = daemon.System(tmp, uid=OTHER_UID if ROOT else 0).start()
        try:
            p = s.create("a1")
            mine = OTHER_UID if ROOT else os.getuid()
            uid = OTHER_UID if ROOT else 0
            sh("echo more >>README; git commit -qam more; echo x >new", cwd=p, uid=uid)
            s.ctl("merge", "a1")
            equal(get(os.path.join(s.repo, "README")), "hello world\nmore\n")
            equal(owned_by_others(s.repo, mine), [])
            s.restart()
            equal(run("cat", "new", cwd=p, uid=uid).stdout, "x\n")
            s.ctl("destroy", "a1")
        finally:
            s.stop()


def test_user_daemon__another_user_is_kept_out(tmp):
    need_root()
    with fuse_for_all():
        s = daemon.System(tmp, uid=OTHER_UID).start()
        try:
            s.create("a1")
            done = s.ctl("--json", "list", uid=OTHER_UID + 1, check=False)
            assert done.returncode in (1, 3), (done.returncode, done.stdout)
            equal(in_child(lambda: os.listdir(s.path("a1")), OTHER_UID + 1), errno.EACCES)
        finally:
            s.stop()


def test_repository_of_another_user__is_refused(tmp):
    need_root()
    with fuse_for_all():
        other = repos.make(tmp + "/theirs", uid=OTHER_UID + 1)
        s = daemon.System(tmp, uid=OTHER_UID).start()
        try:
            s.refused(("Denied", "Invalid"), "create", "a1", "--repo", other)
        finally:
            s.stop()


main()
