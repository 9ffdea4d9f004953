#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all tests, --jobs at a time, and counts them. Started by tools/test.

Three kinds, in this order: what meson knows (unit tests, corpora), the checks of the source, and the scripts of
tests/{fs,e2e,crash,cli}, which one_script.py runs and judges. Each runs in a process of the pool, which its
daemons come back to. A script with a line `# alone: why` runs when no other does.
"""
import argparse
import concurrent.futures
import json
import os
import pwd
import random
import re
import signal
import subprocess
import sys
import time

from one_script import ROOT, TESTS, Outcome, become_subreaper, run_script

FOLDERS = ("fs", "e2e", "crash", "cli")
ALONE = re.compile(r"^# alone: ", re.M)
OURS_IN_TMP = re.compile(r"agentfs-(quickstart|worker|\d)")


class Tally:
    def __init__(self, must_run):
        self.count = {"passed": 0, "failed": 0, "skipped": 0}
        self.must_run = must_run
        self.failures = []

    def add(self, outcome, name, seconds=None, why=""):
        if outcome == "skipped" and self.must_run and not why.startswith("SKIP-KERNEL"):
            outcome, why = "failed", f"may not be skipped here: {why or 'no reason given'}"
        self.count[outcome] += 1
        took = f"  {seconds:6.1f} s" if seconds is not None else ""
        word = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}[outcome]
        print(f"{word} {name:<66}{took}{'  ' + why if why else ''}")
        if outcome == "failed":
            self.failures.append(name)

    def take(self, outcome):
        for row in outcome.rows:
            self.add(*row)
        for line in outcome.lines:
            print(line)
        sys.stdout.flush()


# ---- tests that are no scripts ----

def run_command_test(name, command, cwd=ROOT, env=None, limit=600):
    outcome, started = Outcome(), time.monotonic()
    try:
        done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit)
        code, out = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        code, out = None, (e.stdout or b"").decode(errors="replace")
    seconds = time.monotonic() - started
    if code == 0:
        outcome.add("passed", name, seconds)
    elif code == 77:
        outcome.add("skipped", name, seconds, (out.strip().splitlines() or [""])[-1])
    else:
        outcome.add("failed", name, seconds, "timed out" if code is None else f"exit status {code}")
        for line in out.strip().splitlines()[-60:]:
            outcome.say("   | " + line)
    return outcome


def meson_tests(options):
    """(name, function, arguments) of each test that meson knows."""
    out = subprocess.run(["meson", "introspect", "--tests", options.build], check=True,
                         stdout=subprocess.PIPE).stdout
    for t in sorted(json.loads(out), key=lambda t: (t["suite"], t["name"])):
        name = f"{(t['suite'] or ['unit'])[0].split(':')[-1]}/{t['name']}"
        env = {**t["env"], "AGENTFS_SEED": str(options.seed)}
        yield name, run_command_test, (name, t["cmd"], options.build, env, t["timeout"] or None)


def executables(folder):
    where = os.path.join(TESTS, folder)
    for name in sorted(os.listdir(where)) if os.path.isdir(where) else ():
        path = os.path.join(where, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            yield f"{folder}/{name}", path


def source_tests(options):
    for name, path in executables("source"):
        yield name, run_command_test, (name, [path], ROOT, {"AGENTFS_BUILD": options.build})


def scripts(options, alone):
    for folder in FOLDERS:
        for name, path in executables(folder):
            with open(path, encoding="utf-8", errors="replace") as f:
                if bool(ALONE.search(f.read())) == alone:
                    yield name, run_script, (options, path)


# ---- the run ----

def ours_in_tmp():
    """What the programs themselves put into /tmp (a user's run folder, quickstart, worker). Only where nobody else
    can be at work: another run's files are no fault of this one, nor are folders that its tests made."""
    if os.environ.get("AGENTFS_MUST_RUN") != "1":
        return set()
    return {n for n in os.listdir("/tmp") if OURS_IN_TMP.match(n)}


def run_all(tests, jobs, tally):
    """Runs the tests, so many at a time; each is told as a whole when it ends."""
    pool = concurrent.futures.ProcessPoolExecutor(jobs, initializer=become_subreaper)
    try:
        waiting = {pool.submit(function, *args): name for name, function, args in tests}
        for done in concurrent.futures.as_completed(waiting):
            try:
                tally.take(done.result())
            except Exception as e:  # pylint: disable=broad-except
                tally.add("failed", waiting[done], None, f"the runner itself failed: {e!r}")
    finally:
        pool.shutdown(cancel_futures=True)


def parse():
    p = argparse.ArgumentParser(prog="tools/test", description="Runs every test.")
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    p.add_argument("--long", action="store_true", help="full depth instead of the short one")
    p.add_argument("--filter", action="append", default=[], metavar="WORD",
                   help="only tests whose name holds this word (any of several)")
    p.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4), metavar="N",
                   help="tests at a time (default: one a processor, at most 4)")
    p.add_argument("--keep", action="store_true", help="keep each test's folder")
    p.add_argument("--seed", type=int, default=int(os.environ.get("AGENTFS_SEED") or random.randrange(1 << 31)))
    p.add_argument("--user", metavar="NAME", help="run the mount tests as this user (root only)")
    options = p.parse_args()
    options.build = os.path.abspath(options.build)
    if options.jobs < 1:
        p.error(f"--jobs is 1 or more, not {options.jobs}")
    if options.user:
        try:
            options.user = pwd.getpwuid(int(options.user)) if options.user.isdigit() else pwd.getpwnam(options.user)
        except KeyError:
            p.error(f"there is no user '{options.user}'")
        if os.getuid() != 0:
            p.error("--user needs root")
    return options


def main():
    options = parse()
    os.umask(0o022)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tally = Tally(os.environ.get("AGENTFS_MUST_RUN") == "1")
    wanted = lambda tests: [t for t in tests if not options.filter or any(w in t[0] for w in options.filter)]
    started, tmp_before = time.monotonic(), ours_in_tmp()
    depth = f"depth {'long' if options.long else 'short'}, seed {options.seed}"
    print(f"{depth}, {options.jobs} at a time, kernel {os.uname().release}, "
          f"uid {options.user.pw_uid if options.user else os.getuid()}", flush=True)
    run_all(wanted(meson_tests(options)) + wanted(source_tests(options)), options.jobs, tally)
    fuse = os.stat("/dev/fuse").st_mode & 0o777
    if options.user:
        os.chmod("/dev/fuse", fuse | 0o066)  # for the time of the run
    try:
        run_all(wanted(scripts(options, alone=False)), options.jobs, tally)
        run_all(wanted(scripts(options, alone=True)), 1, tally)
    finally:
        if options.user:
            os.chmod("/dev/fuse", fuse)
    for name in sorted(ours_in_tmp() - tmp_before):
        tally.add("failed", f"left a file behind: /tmp/{name}")
    if tally.failures:
        print("\nfailed:")
        for name in tally.failures:
            print(f"  {name}")
    print(f"\n{depth}, {time.monotonic() - started:.0f} s")
    c = tally.count
    print(f"{c['passed']} passed, {c['failed']} failed, {c['skipped']} skipped")
    return 1 if c["failed"] or not c["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
