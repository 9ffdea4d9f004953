#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the daemon and of servers that it supervises, under load: views serve on while it is away,
it adopts them or mounts them again, and nothing acknowledged is lost."""
import os
import random
import signal

from harness import *
from view_kill import settle, under_load

KILLS = 100 if LONG else 20


def test_kill__daemon_and_views_in_turn(system):
    rng = random.Random(SEED)
    s = system
    p = s.create("a1")
    logs = [os.path.join(s.folder, f"w{i}.txt") for i in range(4)]
    for i in range(4):
        os.mkdir(os.path.join(p, f"w{i}"))
    expect_log(r"agentfsd\[\d+\] (warning|error): .*a1")  # the daemon says that a view's server died
    for n in range(KILLS):
        old = s.server_pid("a1")
        assert old, "the view has no server"

        def kill_view():
            os.kill(old, signal.SIGKILL)
            if n % 2:
                s.kill()
        under_load(p, logs, kill_view, rng)
        if n % 2:
            s.start()
        wait_for(lambda: s.server_pid("a1") not in (None, old), 30, "a new server")
        wait_for(lambda: usable(p), 30, "the view is served again")
        for i in range(4):
            settle(i, p, logs[i])
    total = sum(get(x).count("\n!") for x in logs)
    print(f"note: {KILLS} kills, {total} acknowledged operations, none lost; seed {SEED}")
    assert total > KILLS * 4


def usable(p):
    try:
        return os.path.exists(os.path.join(p, "README"))
    except OSError:
        return False


def test_kill__views_serve_on_while_the_daemon_is_away(system):
    p = system.create("a1")
    pid = system.server_pid("a1")
    for i in range(5):
        system.kill()
        put(os.path.join(p, f"f{i}"), "written while the daemon was away\n")
        fd = os.open(os.path.join(p, f"f{i}"), os.O_RDONLY)
        system.start()
        equal(system.server_pid("a1"), pid, "the view was adopted, not mounted again")
        equal(os.read(fd, 7), b"written", "a descriptor opened before")
        os.close(fd)
    system.ctl("materialize", "a1")
    equal(system.git("show", "agents/a1/work:f4"), "written while the daemon was away")


def test_kill__during_control_calls(system):
    """create, materialize, merge, destroy, cut off anywhere: afterwards each view is whole or gone."""
    rng = random.Random(SEED)
    import subprocess
    import time
    expect_log(r"agentfsd\[\d+\] (warning|error): ")
    for i in range(KILLS // 2):
        name = f"k{i}"
        script = ("create {n} --repo {r}", "materialize {n}", "merge {n}", "destroy {n}")
        ctl = program("agentfsctl")
        child = subprocess.Popen(["bash", "-c", "; ".join(
            f"{ctl} --socket {system.socket} " + c.format(n=name, r=system.repo) + (
                f"; echo {i} >{system.path(name)}/file{i}" if c.startswith("create") else "") for c in script)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + rng.uniform(0.0, 1.2)
        while time.monotonic() < end and child.poll() is None:
            time.sleep(0.001)
        system.kill()
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        system.start()
        equal(system.git("fsck", "--no-dangling"), "")
        for v in system.views():
            wait_for(lambda: usable(v["path"]), 20, f"view {v['agent']} in state {v['state']}")
            system.ctl("destroy", v["agent"], "--force")
        equal(system.mounted(), [], "mounts of views that are gone")
        equal(system.git("status", "--porcelain", "--untracked-files=no"), "", "the checked-out target")
    equal(system.git("for-each-ref", "refs/agentfs/base"), "", "base refs of views that are gone")


if __name__ == "__main__":
    main()
