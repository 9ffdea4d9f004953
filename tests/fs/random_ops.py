#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random operations on a view and on the disk's own file system: same results, same trees, also after
the server was restarted or killed in between. Seeds are printed; AGENTFS_SEED repeats a run."""
import os
import shutil

from harness import *
import opseq
import tree
import views

ROUNDS, COUNT = (200, 2000) if LONG else (6, 500)


def pair(folder, name):
    """A fresh view and a plain copy of what it shows."""
    where = os.path.join(folder, name)
    os.mkdir(where)
    v = views.View(where).start()
    plain = os.path.join(where, "plain")
    shutil.copytree(v.repo, plain, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    return v, plain


def run_one(folder, seed, count, disturb=None):
    v, plain = pair(folder, f"s{seed}-{count}-{disturb or 'calm'}")

    def between(i):
        if disturb and i % 60 == 59:
            v.kill() if disturb == "kill" else v.stop()
            v.start()
    try:
        found = opseq.compare(seed, count, plain, v.mnt, between=between if disturb else None)
        if not found:
            before = tree.picture(v.mnt, times=True)
            v.restart()
            said = tree.differences(before, tree.picture(v.mnt, times=True))
            if said:
                return count, "after a restart: " + "; ".join(said)
        return found
    finally:
        v.stop()


def check(folder, disturb=None, rounds=ROUNDS):
    for i in range(rounds):
        seed = SEED * 1000 + i
        found = run_one(folder, seed, COUNT, disturb)
        print(f"note: seed {seed}, {COUNT} operations, {disturb or 'undisturbed'}: {'differs' if found else 'equal'}",
              flush=True)
        if found:
            raise AssertionError(shortest(folder, seed, found, disturb))


def shortest(folder, seed, found, disturb):
    """Re-runs halves of the prefix that failed, so that the report names few operations."""
    count, why = found
    low, high = 0, count
    for _ in range(8):
        if high - low <= 1:
            break
        middle = (low + high) // 2
        again = run_one(folder, seed, middle, disturb)
        if again:
            high, why = again[0], again[1]
        else:
            low = middle
    ops = list(opseq.operations(seed, high, opseq.start_tree(os.path.join(folder, f"s{seed}-{COUNT}-{disturb or 'calm'}", "repo"))))
    print("last operations:", *(f"{k}{a!r}"[:200] for k, a in ops[-12:]), sep="\n  ")
    return f"seed {seed}, {high} operations: {why}"


def test_random__same_as_the_plain_file_system(tmp):
    check(tmp)


def test_random__across_restarts(tmp):
    check(tmp, "restart", rounds=max(2, ROUNDS // 4))


def test_random__across_kill_9(tmp):
    check(tmp, "kill", rounds=max(2, ROUNDS // 4))


main()
