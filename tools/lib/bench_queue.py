#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests of many agents through the merge queue, beside one after the other.

    tools/bench merge-queue [--agents N] [--disjoint N] [--verify SECONDS] [--json] [--output FILE] [--dir DIR]

Each agent changes a file of its own; the rest (agents less disjoint) each change a line of one common file, far enough
from each other to merge. The verify command sleeps, so that what is measured is how many of them the queue makes, and what
it costs beside them. One after the other is the same requests, each asked for when the one before is done;
measured on a tenth of them and multiplied."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import daemon
import merge_report
import repos

LINES = 40  # between two agents' lines in the common file: nobody's context touches another's


def parse():
    p = argparse.ArgumentParser(prog="tools/bench merge-queue", description=__doc__.split("\n", maxsplit=1)[0])
    p.add_argument("--agents", type=int, default=100)
    p.add_argument("--disjoint", type=int, default=90)
    p.add_argument("--verify", type=float, default=0.5)
    p.add_argument("--json", action="store_true")
    p.add_argument("--output", metavar="FILE", help="write the table there (docs/FIGURES.md)")
    p.add_argument("--dir", default=None)
    return p.parse_args()


def branches(repo, o):
    """A branch for each agent, made with git: what the queue does is measured, not what views cost."""
    common = o.agents - o.disjoint
    repos.commit(repo, {"common.txt": "".join(f"line {i}\n" for i in range(LINES * (common + 1)))})
    start = repos.git(repo, "rev-parse", "HEAD")
    names = []
    for i in range(o.agents):
        name = f"agent-{i:03}"
        repos.git(repo, "checkout", "-q", "-b", name, start)
        if i < o.disjoint:
            files = {f"src/own-{i:03}.c": f"int own_{i};\n"}
        else:
            lines = [f"line {k}\n" for k in range(LINES * (common + 1))]
            lines[LINES * (i - o.disjoint) + LINES // 2] = f"{name} was here\n"
            files = {"common.txt": "".join(lines)}
        repos.commit(repo, files, name)
        names.append(name)
    repos.git(repo, "checkout", "-q", "--detach", start)
    return names, start


def measure(system, names, words):
    began = time.monotonic()
    for group in words(names):
        done = system.ctl("--json", "merge", *group, "--into", "main", check=False, timeout=3600)
        reply = json.loads(done.stdout or "{}")
        assert done.returncode == 0 and len(reply["merges"]) == len(group), done.stdout[-500:] + done.stderr
    return time.monotonic() - began


def main():
    o = parse()
    folder = tempfile.mkdtemp(prefix="agentfs-bench-", dir=o.dir)
    system = daemon.System(folder, config=f"verify: {{main: {{command: \"sleep {o.verify}\", timeout: 60}}}}\n")
    try:
        names, start = branches(system.repo, o)
        system.start()
        sample = names[:: 10] or names
        one = measure(system, sample, lambda v: [[n] for n in v]) / len(sample) * len(names)
        repos.git(system.repo, "branch", "-f", "main", start)
        began = time.monotonic()
        asked = [system.json("merge", n, "--into", "main", "--no-wait")["requests"][0] for n in names]
        for n in asked:
            system.ctl("wait", str(n), "--for", "merged", "--timeout", "3600", timeout=3700)
        queue = time.monotonic() - began
        have = repos.git(system.repo, "ls-tree", "-r", "--name-only", "main").split("\n")
        assert sum(h.startswith("src/own-") for h in have) == o.disjoint, "a merge is missing"
        report(o, one, queue)
    finally:
        system.stop()
        shutil.rmtree(folder, ignore_errors=True)


def section(o, row):
    head = ("requests", "of them disjoint", "verify command", "one after the other", "through the queue", "ratio", "promised", "verdict")
    out = ["### Merge queue", "",
           f"`tools/bench merge-queue`: requests of {o.agents} agents. Those that are not disjoint change one file, far from each other. One",
           "after the other: each asked for when the one before is done, measured on a tenth of them.", ""]
    out += merge_report.table(head, [(o.agents, o.disjoint, f"{o.verify} s", f"{row['one_after_the_other_s']:.1f} s", f"{row['queue_s']:.1f} s",
                                      f"{row['ratio']:.2f} ×", "≤ 0.25 ×", "met" if row["ratio"] <= 0.25 else "**not met**")], 0)
    return "\n".join(out) + "\n"


def report(o, one, queue):
    row = {"agents": o.agents, "disjoint": o.disjoint, "verify_s": o.verify, "one_after_the_other_s": round(one, 2),
           "queue_s": round(queue, 2), "ratio": round(queue / one, 3), "promised": 0.25}
    if o.output:
        merge_report.put_section(o.output, section(o, row), "queue")
    if o.json:
        print(json.dumps(row))
        return
    print(f"{o.agents} requests, {o.disjoint} of them disjoint, verify {o.verify} s")
    print(f"  one after the other  {one:8.1f} s")
    print(f"  the queue            {queue:8.1f} s   {queue / one:.2f} of it (promised: at most 0.25): "
          f"{'met' if queue <= one / 4 else 'NOT met'}")


if __name__ == "__main__":
    main()
