#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verify commands that hang, fork, fill the disk or print for ever; several at once; a daemon that is killed."""
# alone: a fork bomb takes all processors for as long as it is let
import time

from daemon import System
from harness import *
from verifying import *

NAP = f"53{os.getpid()}"  # seconds: no other test on this machine sleeps as long


def napping():
    """Processes that sleep so."""
    return int(run("pgrep", "-fc", f"[s]leep {NAP}$", check=False).stdout)


def test_verify__several_at_once(tmp):
    s = with_verify(tmp, "sleep 2; make check")
    try:
        import threading
        verify(s)
        results = []
        t = time.monotonic()
        threads = [threading.Thread(target=lambda: results.append(verify(s))) for _ in range(4)]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        assert all(r.get("ok") for r in results), results
        assert time.monotonic() - t < 60
        assert len(scratches(s)) == 4, scratches(s)
    finally:
        s.stop()


def test_verify__one_that_never_ends_is_ended(tmp):
    s = with_verify(tmp, f"echo begun; (setsid sleep {NAP} &); sleep {NAP}", ", timeout: 2")
    try:
        done = verify(s)
        assert not done["ok"], done
        equal(done["reason"], f"the verify command 'echo begun; (setsid sleep {NAP} &); sleep {NAP}' was not done in "
                              "2 seconds and was ended")
        assert "begun" in done["output"]
        equal(napping(), 0)
    finally:
        s.stop()


def test_verify__a_fork_bomb_is_a_failure(tmp):
    s = with_verify(tmp, "f() { f | f & }; f; sleep " + NAP, ", timeout: 3")
    try:
        done = verify(s)
        # It meets its limit of processes, or its time is over first.
        assert not done["ok"] and ("it may have 512 processes" in done["reason"] or
                                   "was not done in 3 seconds and was ended" in done["reason"]), done["reason"]
        equal(napping(), 0)
    finally:
        s.stop()


def test_verify__how_many_processes_it_may_have_is_configured(tmp):
    """Few of them are in the way, and the sentence says what to do; more are not. It goes behind who works at the machine."""
    command = "test $(nice) -ge 10 || exit 9; for i in $(seq 60); do sleep 3 & done; echo all"
    s = with_verify(tmp, command, ", processes: 30")
    try:
        done = verify(s)
        assert not done["ok"] and "it may have 30 processes ('processes' beside its command" in done["reason"], done
    finally:
        s.stop()
    s = with_verify(os.path.join(tmp, "more"), command)
    try:
        done = verify(s)
        assert done.get("ok") and "all" in done["output"], done
    finally:
        s.stop()


def test_verify__a_cancelled_request_ends_its_command(tmp):
    """The queue goes on with the next at once, though the command would have run for its ten minutes."""
    s = with_verify(tmp, f"test -e stop || {{ (setsid sleep {NAP} &); sleep {NAP}; }}")
    try:
        asked = []
        for agent, name in (("a1", "a.txt"), ("b1", "stop")):
            put(os.path.join(s.create(agent), name), "good, and more\n")
            asked += s.json("merge", agent, "--no-wait")["requests"]
            if agent == "a1":
                wait_for(lambda: napping() == 2, 60, "the command runs")
        s.ctl("queue", "cancel", str(asked[0]))
        wait_for(lambda: napping() == 0, 20, "the command has ended")
        s.ctl("wait", str(asked[1]), "--for", "merged", "--timeout", "60")
        shown = s.json("queue", "show", str(asked[0]))
        equal((shown["request"]["state"], shown["request"]["error"]), ("failed", "the merge request was cancelled"))
        equal(s.git("show", "main:a.txt"), "good")
        equal(s.git("for-each-ref", "refs/agentfs/merge"), "", "nothing of it is kept")
    finally:
        s.stop()


def test_verify__a_full_disk_is_named(tmp):
    text = "quotas: {bytes: 20M}\nverify: {main: {command: \"head -c 60000000 /dev/urandom >big\"}}\n"
    s = System(tmp, files=FILES, config=text).start()
    try:
        done = verify(s)
        assert not done["ok"] and "was full" in done["reason"], done
        again = verify(s)
        assert "was full" in again.get("reason", ""), again
    finally:
        s.stop()


def test_verify__endless_output_is_kept_in_part(tmp):
    s = with_verify(tmp, "echo first; seq 1 300000; echo last; exit 3")
    try:
        done = verify(s)
        assert done["status"] == 3 and done["output"].endswith("last\n") and len(done["output"]) <= 16384, done
        with open(done["log"]) as f:
            log = f.read()
        assert log.startswith("first\n") and "bytes left out" in log and len(log) < 300000, len(log)
    finally:
        s.stop()


def test_verify__it_sees_nothing_of_the_machine(tmp):
    s = with_verify(tmp, f"ls {tmp} | tr '\\n' ' '; ls -d {tmp}/repo 2>&1; id -u; cat /etc/shadow 2>&1; "
                         "echo >/dev/tcp/127.0.0.1/22 2>/dev/null; true")
    try:
        done = verify(s)
        assert done["ok"] and "repo:" not in done["output"] and "agents" in done["output"], done
        assert "root:" not in done["output"] and "state" not in done["output"], done
    finally:
        s.stop()


def test_daemon__killed_while_it_verifies(tmp):
    s = with_verify(tmp, "echo begun; sleep " + NAP)
    try:
        import subprocess
        p = subprocess.Popen([program("agentfsctl"), "--socket", s.socket, "verify"], cwd=s.repo,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running = lambda: napping() > 0
        wait_for(running, 60, "the command runs")
        s.kill()
        wait_for(lambda: not running(), 30, "the command ends with the daemon")
        p.wait()
        s.start()
        wait_for(lambda: not s.mounted() and not scratches(s), 30, "what was left is taken away")
        wait_for(lambda: not s.git("for-each-ref", "refs/agentfs"), 30, "and its base is let go, which a worker does")
        with open(s.config, "w") as f:
            f.write("verify: {main: {command: \"make check\"}}\n")
        s.ctl("policy", "reload")
        assert verify(s)["ok"]
    finally:
        s.stop()


main()
