#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verify commands: in a scratch view and a sandbox, incremental, whatever the last one left."""
import contextlib
import subprocess

from daemon import System
from harness import *
from verifying import *


def test_verify__good_and_bad_commits_are_told_apart(tmp):
    s = with_verify(tmp, "make check")
    try:
        good = verify(s)
        assert good["ok"] and not good["skipped"], good
        assert "built" in good["output"], good
        commit(s, "a.txt", "bad\n")
        bad = verify(s)
        assert not bad["ok"] and bad["status"] == 2, bad
        equal(bad["reason"], "the verify command 'make check' failed (exit 2)")
        with open(bad["log"]) as f:
            assert "built" in f.read()
        equal(s.ctl("verify", check=False).returncode, 1)
        again = verify(s, "HEAD~1")
        assert again["ok"], again
        equal(s.views(), [], "the scratch views are no agents'")
        equal(s.git("status", "--porcelain"), "")
        equal(s.git("branch", "--list", "agentfs/*"), "")
    finally:
        s.stop()


def test_verify__a_build_goes_on_where_the_last_one_ended(tmp):
    s = with_verify(tmp, "make check; ls; echo leftover >b.new")
    try:
        assert "built" in verify(s)["output"]
        commit(s, "c.txt", "c\n")
        second = verify(s)
        assert second["ok"] and "built" not in second["output"], second
        assert "c.txt" in second["output"], second
        assert "b.new" not in second["output"], second
        commit(s, "b.txt", "changed\n")
        third = verify(s)
        assert third["ok"] and "built" in third["output"], third
        equal(len(scratches(s)), 1)
    finally:
        s.stop()


def test_verify__what_a_command_leaves_is_gone(tmp):
    s = with_verify(tmp, "ls -A; test ! -e new && test -e b.txt && test ! -x a.txt && git diff --quiet && "
                         "test -z \"$(git status --porcelain)\" || exit 9; "
                         "echo x >new; rm -f b.txt; chmod +x a.txt; echo '*' >.git/info/exclude; echo y >>Makefile; "
                         "git config core.hooksPath /tmp; git update-index --assume-unchanged Makefile")
    try:
        for _ in range(3):
            done = verify(s)
            assert done["ok"], done
    finally:
        s.stop()


def test_verify__without_a_command_it_is_skipped(system):
    done = verify(system)
    assert done["ok"] and done["skipped"], done


def test_verify__a_part_and_any_branch(tmp):
    s = System(tmp, files=FILES, config="x: 1\n")
    with open(s.config, "w") as f:
        f.write("verify: {\"*\": {command: \"echo any\"}, other: {command: \"echo other\"}}\n"
                f"repositories:\n  {s.repo}:\n    verify: {{main: {{command: \"echo part\"}}}}\n")
    s.start()
    try:
        s.git("branch", "other")
        s.git("branch", "third")
        equal([verify(s, "--target", b)["output"] for b in ("main", "other", "third")], ["part\n", "other\n", "any\n"])
    finally:
        s.stop()


def test_verify__old_output_is_forgotten(tmp):
    s = with_verify(tmp, "true")
    try:
        first, second = verify(s)["log"], verify(s)["log"]
        assert os.path.exists(first) and os.path.exists(second)
        os.utime(first, (0, 0))
        verify(s)
        assert not os.path.exists(first) and os.path.exists(second)
    finally:
        s.stop()


def test_daemon__takes_a_scratch_view_away_when_its_server_is_gone(tmp):
    """A server of the daemon before still wrote its last checkpoint while the files were removed."""
    need_program("strace")
    s = with_verify(tmp, "make check")
    try:
        assert verify(s)["ok"]
        name, = (n for n in os.listdir(os.path.join(s.state, "views")) if n.startswith(".verify-"))
        pid, files = s.server_pid(name), os.path.join(s.state, "views", name)
        slow = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", "/dev/null", "-e", "trace=exit_group",
                                 "-e", "inject=exit_group:delay_enter=2000000"], stderr=subprocess.DEVNULL)
        traced = lambda: all("TracerPid:\t0" not in get(f"/proc/{pid}/task/{t}/status") for t in os.listdir(f"/proc/{pid}/task"))
        try:
            wait_for(traced, 30, "each of its threads is traced")
            s.kill()
            s.start(mounted=False)
            wait_for(lambda: not os.path.exists(files), 30, "its files are removed")
            with contextlib.suppress(FileNotFoundError):
                equal(get(f"/proc/{pid}/stat").rpartition(") ")[2][0], "Z", "the state of its server")
        finally:
            slow.kill()
            slow.wait()
    finally:
        s.stop()


def test_user__verifies_too(tmp):
    need_root()
    import people
    people.fuse_for_everybody()
    s = with_verify(tmp, "make check; id -u", uid=OTHER_UID)
    try:
        first = verify(s)
        assert first["ok"] and "built" in first["output"], first
        commit(s, "c.txt", "c\n")
        second = verify(s)
        assert second["ok"] and "built" not in second["output"], second
    finally:
        s.stop()


def test_root__verifies_in_a_users_repository(tmp):
    need_root()
    s = with_verify(tmp, "make check", repo_uid=OTHER_UID)
    try:
        assert verify(s)["ok"]
        commit(s, "c.txt", "c\n")
        assert verify(s)["ok"]
    finally:
        s.stop()


main()
