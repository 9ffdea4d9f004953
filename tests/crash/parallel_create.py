#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""100 views made at once: none fails, each is whole, all come back and all go."""
import os
import subprocess

from harness import *
import tree

COUNT = 100


def test_parallel__100_creates(system):
    children = [subprocess.Popen([program("agentfsctl"), "--socket", system.socket, "create", f"p{i}",
                                  "--repo", system.repo], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for i in range(COUNT)]
    failed = []
    for i, c in enumerate(children):
        out, err = c.communicate(timeout=200)
        if c.returncode:
            failed.append(f"p{i}: {err.strip()[:200]}")
    equal(failed, [])
    views = system.views()
    equal((len(views), {v["state"] for v in views}), (COUNT, {"live"}))
    want = tree.picture(system.repo, links=False)
    want[b"SPRINT.md"] = ("0o100444",) + want[b"SPRINT.md"][1:]  # not a builder's to write
    for i in range(0, COUNT, 10):
        equal(tree.differences(want, tree.picture(system.path(f"p{i}"), links=False)), [])
        put(system.path(f"p{i}", "mine"), str(i))
    for i in range(0, COUNT, 10):
        equal(get(system.path(f"p{i}", "mine")), str(i))
    equal(len(system.git("for-each-ref", "refs/agentfs/base").split("\n")), COUNT)


main()
