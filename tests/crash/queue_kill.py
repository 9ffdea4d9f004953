#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon before and after each step of the merge queue is written, and of the worker at each step of a
landing: the next daemon completes or undoes it. No half-moved branch, no lost request, nothing kept that nobody needs."""
import os

from harness import *
import daemon
import repos

STEPS = ("asked", "start", "held", "verified", "land", "landed", "told")
POINTS = [f"queue-{when}-{step}:1" for step in STEPS for when in ("before", "after")] + [
    f"queue-after-{step}:2" for step in ("asked", "held", "land", "landed")]
LANDING = ("kept", "lock", "staged", "file", "files", "index", "moved", "landed")


def restart(system, point=None):
    """A new daemon, and its workers, that are killed at `point`."""
    if system.process:
        system.kill()
    os.environ.pop("AGENTFS_FAILPOINT", None)
    if point:
        os.environ["AGENTFS_FAILPOINT"] = point
    try:
        system.start()
    finally:
        os.environ.pop("AGENTFS_FAILPOINT", None)


def written(system):
    """How many requests there are; the numbers have no gaps."""
    n = 0
    while system.ctl("queue", "show", str(n + 1), check=False).returncode == 0:
        n += 1
    return n


def whole(system, point):
    wait_for(lambda: not system.json("queue", "list")["requests"], 60, f"{point}: the queue is empty")
    equal(system.git("status", "--porcelain", "--untracked-files=no"), "", point)
    wait_for(lambda: system.git("for-each-ref", "refs/agentfs/merge") == "", 20, f"{point}: nothing is kept")
    assert not os.path.exists(os.path.join(system.repo, ".git/index.lock")), point


def state(system, n):
    return system.json("queue", "show", str(n))["request"]["state"]


def test_queue__killed_before_and_after_each_step(system):
    """Each time two agents' work as a batch, so that half of it must never be seen."""
    s, asked = system, 0
    expect_log(r"agentfsd\[\d+\] (warning|error): ")
    for agent in ("a1", "b1"):
        s.create(agent)
    for i, point in enumerate(POINTS):
        for agent, line in (("a1", "README"), ("b1", "docs/guide.md")):
            put(s.path(agent, f"{agent}-{i}"), f"{point}\n")
            put(s.path(agent, line), f"{point}\n", "a")
        restart(s, point)
        tip = s.git("rev-parse", "main")
        done = s.ctl("--json", "merge", "a1", "b1", "--batch", check=False)
        assert done.returncode, f"{point} was not reached: {done.stdout}"
        equal(s.process.wait(30), -9, f"the daemon at {point}")
        s.process = None
        restart(s)
        whole(s, point)
        new = [state(s, n + 1) for n in range(asked, written(s))]
        asked += len(new)
        if new != ["merged", "merged"]:  # cut off before all of it was written down
            assert point in ("queue-before-asked:1", "queue-after-asked:1"), (point, new)
            assert new in ([], ["failed"]), (point, new)
            equal(s.git("rev-parse", "main"), tip, point)
            s.ctl("merge", "a1", "b1", "--batch")
            asked += 2
        for agent in ("a1", "b1"):
            equal(s.git("show", f"main:{agent}-{i}"), point)
            equal(get(os.path.join(s.repo, f"{agent}-{i}")), f"{point}\n")
        whole(s, point)
    equal(s.git("fsck", "--no-dangling"), "")
    merged = [m["to"] for m in s.json("mail", "list", "--last", "1000")["mails"] if m["type"] == "merged"]
    for agent in ("a1", "b1"):  # once each, but where the kill came between the mail and the note that it was sent
        assert len(POINTS) <= merged.count(agent) <= len(POINTS) + 2, merged


def test_queue__a_worker_killed_at_each_step_of_a_landing(system):
    """The daemon lives on and asks again, or says what it is that does not work; then it works."""
    s = system
    expect_log(r"agentfsd\[\d+\] (warning|error): ")
    s.create("a1")
    for i, point in enumerate(LANDING):
        put(s.path("a1", "README"), f"{point}\n")
        put(s.path("a1", f"new-{i}"), "x\n")
        restart(s, point)
        done = s.ctl("--json", "merge", "a1", check=False)
        assert done.returncode in (0, 1), done.stderr
        restart(s)
        if done.returncode:
            s.ctl("merge", "a1")
        equal(s.git("show", f"main:new-{i}"), "x", point)
        equal(get(os.path.join(s.repo, "README")), f"{point}\n")
        whole(s, point)
    equal(s.git("fsck", "--no-dangling"), "")


def test_queue__killed_while_it_looks_for_what_breaks_the_verification(tmp):
    """The merge is made anew, and the same file is found."""
    names = [f"v{i}.toml" for i in range(4)]
    s = daemon.System(tmp, files={n: 'version = "1.2.3"\n' for n in names},
                      config='verify: {main: {command: "! grep 1.3 v2.toml", timeout: 60}}\nmerge: {cost-of-wrong: 5}\n')
    s.start()
    expect_log(r"agentfsd\[\d+\] (warning|error): ")
    for n in names:
        put(os.path.join(s.create("a1") if n == names[0] else s.path("a1"), n), 'version = "1.3.0"\n')
    repos.commit(s.repo, {n: 'version = "1.2.4"\n' for n in names})
    tip = s.git("rev-parse", "main")
    for point in ("queue-before-bisect:1", "queue-after-bisect:2", "queue-before-broken:1", "queue-after-broken:1"):
        restart(s, point)
        asked = written(s) + 1
        s.ctl("--json", "merge", "a1", check=False)
        equal(s.process.wait(60), -9, f"the daemon at {point}")
        s.process = None
        restart(s)
        whole(s, point)
        shown = s.json("queue", "show", str(asked))
        equal((shown["request"]["state"], [c["path"] for c in shown["result"]["conflicts"]]), ("conflict", ["v2.toml"]), point)
        equal(s.git("rev-parse", "main"), tip, point)
    s.stop()


main()
