#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""100 views on one repository: made at once, used at once, gone at once. None fails, each is whole, none
sees another, and nothing is left behind."""
import os
import subprocess
import threading

from harness import *
import tree

COUNT, ADOPTED = 100, 40


def at_once(commands):
    """Runs them all at the same time; what failed, in a line each."""
    children = [(c, subprocess.Popen(c, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     text=True)) for c in commands]
    failed = []
    for command, child in children:
        _, err = child.communicate(timeout=200)
        if child.returncode:
            failed.append(f"{' '.join(command[3:])}: {err.strip()[:200]}")
    return failed


def in_threads(function, count):
    """function(i) for each i, ten at a time; what it raised."""
    failed, left, lock = [], iter(range(count)), threading.Lock()

    def work():
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                return
            try:
                function(i)
            except Exception as e:  # noqa: BLE001: told below
                failed.append(f"{i}: {e}")
    threads = [threading.Thread(target=work) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return failed


def ctl(system, *args):
    return [program("agentfsctl"), "--socket", system.socket, *args]


def create_all(system, count=COUNT):
    equal(at_once([ctl(system, "create", f"p{i}", "--repo", system.repo) for i in range(count)]), [])


def test_many_views__made_used_and_destroyed_at_once(system):
    create_all(system)
    views = system.views()
    equal((len(views), {v["state"] for v in views}), (COUNT, {"live"}))
    want = tree.picture(system.repo, links=False)
    want[b"SPRINT.md"] = ("0o100444",) + want[b"SPRINT.md"][1:]  # not a builder's to write
    for i in range(0, COUNT, 10):
        equal(tree.differences(want, tree.picture(system.path(f"p{i}"), links=False)), [])

    def use(i):
        p = system.path(f"p{i}")
        sh(f"grep -rq hello . && echo {i} >mine && echo {i} >>README && git add -A && git commit -qm 'commit {i}'", cwd=p)
    equal(in_threads(use, COUNT), [])
    for i in range(COUNT):
        equal(get(system.path(f"p{i}", "mine")), f"{i}\n")
        equal(get(system.path(f"p{i}", "README")), f"hello world\n{i}\n")
    equal(at_once([ctl(system, "materialize", f"p{i}") for i in range(COUNT)]), [])
    for i in range(COUNT):
        equal(system.git("log", "-1", "--format=%s", f"agents/p{i}/work"), f"commit {i}")
    system.git("fsck", "--strict")
    servers = [system.server_pid(f"p{i}") for i in range(0, COUNT, 25)]
    assert all(servers), servers
    equal(at_once([ctl(system, "destroy", "--force", f"p{i}") for i in range(COUNT)]), [])
    equal(system.views(), [])
    equal(system.mounted(), [])
    equal(system.git("for-each-ref", "refs/agentfs/base"), "")
    equal(os.listdir(os.path.join(system.state, "views")), [])
    for pid in servers:
        wait_for(lambda p=pid: not os.path.exists(f"/proc/{p}"), 20, "the server has ended")


def test_many_views__a_new_daemon_adopts_them_all(system):
    create_all(system, ADOPTED)
    before = {f"p{i}": system.server_pid(f"p{i}") for i in range(0, ADOPTED, 10)}
    put(system.path("p20", "before"), "x")
    system.kill()
    put(system.path("p20", "meanwhile"), "y")
    system.start()
    views = system.views()
    equal((len(views), {v["state"] for v in views}), (ADOPTED, {"live"}))
    equal({n: system.server_pid(n) for n in before}, before, "their servers went on")
    equal((get(system.path("p20", "before")), get(system.path("p20", "meanwhile"))), ("x", "y"))
    equal(system.view("p20")["changed"], 2)
    equal(at_once([ctl(system, "rollback", "--force", f"p{i}") for i in range(ADOPTED)]), [])
    equal((system.views(), system.mounted()), ([], []))


def test_many_views__list_knows_every_branch(system):
    for i in range(3):
        p = system.create(f"a{i}")
        for k in range(i):
            sh(f"echo {k} >f{k} && git add -A && git commit -qm {k}", cwd=p)
        system.ctl("materialize", f"a{i}")
    sh("echo n >new && git add new && git commit -qm new", cwd=system.repo)
    wait_for(lambda: sorted((v["agent"], v["ahead"], v["behind"]) for v in system.views()) ==
             [("a0", 0, 1), ("a1", 1, 1), ("a2", 2, 1)], 20, "list says how far the branches are")


main()
