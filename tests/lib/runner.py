#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs all tests, one after the other, and counts them. Started by tools/test.

Guarantees for each script under tests/{fs,e2e,crash,cli}:
  1. a private empty folder ($AGENTFS_TMP, $TMPDIR, $HOME and the XDG folders are in it), a session and
     process group of its own, a time limit;
  2. after it no mount below that folder, no process that it started (found by a mark in
     the environment, so that daemons are found too), and no new agentfs file in /tmp is left: what is
     left fails the test and is removed;
  3. a line of a log (any *.log below the folder) that is a warning, an error or a sanitizer's report
     fails the test, unless a line of $AGENTFS_TMP/expected-log, a regular expression, matches it.
"""
import argparse
import ctypes
import os
import pwd
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = os.path.join(ROOT, "tests")
FOLDERS = ("fs", "e2e", "crash", "cli")
LIMIT, LIMIT_LONG = 240, 7200
MARK = "AGENTFS_TEST_ID"
BAD_LOG = re.compile(
    rb"\] (warning|error): |(ERROR|WARNING): [A-Za-z]*Sanitizer|runtime error: |: Assertion .* failed")
RESULT = re.compile(r"^(ok|not ok|skip|skip-kernel) (\S+)(?:: (.*))?$")
NAMES = {"ok": "passed", "not ok": "failed", "skip": "skipped", "skip-kernel": "skipped"}


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
        print(f"{word} {name:<66}{took}{'  ' + why if why else ''}", flush=True)
        if outcome == "failed":
            self.failures.append(name)


# ---- what a test may leave behind: nothing ----

def mounts_below(folder):
    found = []
    with open("/proc/self/mountinfo", "rb") as f:
        for line in f:
            point = line.split()[4].decode("unicode_escape", "surrogateescape")
            if point == folder or point.startswith(folder + "/"):
                found.append(point)
    return found[::-1]


def marked_processes(mark):
    wanted, found = f"{MARK}={mark}".encode(), []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if wanted not in f.read().split(b"\0"):
                    continue
            with open(f"/proc/{pid}/stat", "rb") as f:
                if f.read().rpartition(b") ")[2][:1] == b"Z":
                    continue
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                found.append((int(pid), f.read().replace(b"\0", b" ").decode(errors="replace").strip()))
        except OSError:
            continue
    return found


def wait_gone(mark, seconds):
    end = time.monotonic() + seconds
    while True:
        left = marked_processes(mark)
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.05)


def unmount(point):
    if subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL).returncode:
        subprocess.run(["fusermount3", "-uz", point], stderr=subprocess.DEVNULL)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def ours_in_tmp():
    """What the programs themselves put into /tmp (a user's run folder, quickstart, worker). Only where nobody else
    can be at work: another run's files are no fault of this one, nor are folders that its tests made."""
    if os.environ.get("AGENTFS_MUST_RUN") != "1":
        return set()
    return {n for n in os.listdir("/tmp") if re.match(r"agentfs-(quickstart|worker|\d)", n)}


def sweep(folder, mark, tmp_before):
    """Removes what is left over; returns sentences about it."""
    said = []
    for pid, command in wait_gone(mark, 3):
        said.append(f"left process {pid} behind: {command[:160]}")
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for point in mounts_below(folder):
        said.append(f"left a mount behind: {point}")
        unmount(point)
    for name in sorted(ours_in_tmp() - tmp_before - {os.path.basename(folder), os.path.basename(folder) + ".out"}):
        said.append(f"left a file behind: /tmp/{name}")
    reap()
    return said


def bad_log_lines(folder):
    try:
        with open(os.path.join(folder, "expected-log"), "rb") as f:
            expected = [re.compile(line) for line in f.read().splitlines() if line]
    except FileNotFoundError:
        expected = []
    said = []
    for where, dirs, names in os.walk(folder):
        dirs[:] = [d for d in dirs if not os.path.ismount(os.path.join(where, d))]
        for name in names:
            path = os.path.join(where, name)
            if not name.endswith(".log") or not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            with open(path, "rb") as f:
                lines = f.read().splitlines()
            for i, line in enumerate(lines):
                if BAD_LOG.search(line) and not any(e.search(line) for e in expected):
                    report = lines[i:i + 25] if b"Sanitizer" in line or b"runtime error" in line else [line]
                    said.append(f"{name}: " + b"\n    ".join(report).decode(errors="replace")[:4000])
    return said[:20]


# ---- one script ----

def environment(options, folder, mark, user):
    env = {k: v for k, v in os.environ.items()
           if k in ("PATH", "LANG", "LC_ALL", "CI", "AGENTFS_MUST_RUN", "TERM")}
    sanitizer = "abort_on_error=0:exitcode=86:detect_odr_violation=0"
    env.update({
        MARK: mark, "AGENTFS_TMP": folder, "TMPDIR": folder, "HOME": folder,
        "XDG_CONFIG_HOME": f"{folder}/xdg/config", "XDG_STATE_HOME": f"{folder}/xdg/state",
        "XDG_RUNTIME_DIR": f"{folder}/xdg/run", "AGENTFS_BUILD": options.build,
        "AGENTFS_SOURCE": ROOT, "AGENTFS_SEED": str(options.seed),
        "AGENTFS_DEPTH": "long" if options.long else "short",
        "AGENTFS_JOBS": str(options.jobs),
        "PYTHONPATH": os.path.join(TESTS, "lib"), "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        "ASAN_OPTIONS": sanitizer, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=0",
        "LSAN_OPTIONS": f"suppressions={TESTS}/lib/lsan.supp:print_suppressions=0",
    })
    env.setdefault("LC_ALL", "C.UTF-8")
    if user:
        env["USER"] = env["LOGNAME"] = user.pw_name
    return env


def run_script(options, path, tally):
    name = os.path.relpath(path, TESTS)
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    tmp_before = ours_in_tmp()
    folder = tempfile.mkdtemp(prefix="agentfs-run-", dir="/tmp")
    user = options.user
    os.makedirs(f"{folder}/xdg/run", 0o700)
    if user:
        for where in (folder, f"{folder}/xdg", f"{folder}/xdg/run"):
            os.chown(where, user.pw_uid, user.pw_gid)
    who = dict(user=user.pw_uid, group=user.pw_gid, extra_groups=[]) if user else {}
    limit = LIMIT_LONG if options.long else LIMIT
    started = time.monotonic()
    out_path = folder + ".out"
    with open(out_path, "wb") as out:
        child = subprocess.Popen([path], cwd=folder, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env=environment(options, folder, mark, user), **who)
        try:
            code = child.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            code = None
    seconds = time.monotonic() - started
    with open(out_path, "rb") as f:
        text = f.read().decode(errors="replace")
    os.unlink(out_path)
    said = []
    if code is None:
        said.append(f"still running after {limit} s")
    said += sweep(folder, mark, tmp_before)
    said += bad_log_lines(folder)
    report(tally, name, code, text, said, seconds)
    if options.keep:
        print(f"     kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.exists(folder):
            print(f"     could not remove {folder}")


def report(tally, name, code, text, said, seconds):
    cases = [m.groups() for m in map(RESULT.match, text.splitlines()) if m]
    failed = [c for c in cases if c[0] == "not ok"]
    for word, case, why in cases:
        why = why or ""
        if word == "skip-kernel" and not why.startswith("SKIP-KERNEL"):
            why = "SKIP-KERNEL: " + why
        tally.add(NAMES[word], f"{name}:{case}", why=why)
    for line in text.splitlines():
        if line.startswith("note: "):
            print("     " + line[6:])
    if code == 77 and not cases:
        lines = text.strip().splitlines() or [""]
        kernel = [line for line in lines if line.startswith("SKIP-KERNEL")]
        tally.add("skipped", name, seconds, (kernel or lines)[-1])
    elif code not in (0, 77) and not failed:
        said.insert(0, f"exit status {code}" if code is None or code >= 0 else f"killed by signal {-code}")
    if said:
        tally.add("failed", name, seconds, "; ".join(s.splitlines()[0] for s in said)[:300])
    elif code == 0 and not cases:
        tally.add("passed", name, seconds)
    elif cases:
        print(f"     {name}: {len(cases)} cases in {seconds:.1f} s", flush=True)
    if said or failed:
        for line in text.strip().splitlines()[-120:]:
            print("   | " + line)
        for s in said:
            print("   ! " + s)


# ---- tests that are no scripts ----

def run_command_test(tally, name, command, cwd=ROOT, env=None, limit=600):
    started = time.monotonic()
    try:
        done = subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit)
        code, out = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        code, out = None, (e.stdout or b"").decode(errors="replace")
    seconds = time.monotonic() - started
    if code == 0:
        tally.add("passed", name, seconds)
    elif code == 77:
        tally.add("skipped", name, seconds, (out.strip().splitlines() or [""])[-1])
    else:
        tally.add("failed", name, seconds, "timed out" if code is None else f"exit status {code}")
        for line in out.strip().splitlines()[-60:]:
            print("   | " + line)


def meson_tests(options):
    """(name, command, environment) of each test that meson knows: unit tests, corpora replays."""
    import json
    out = subprocess.run(["meson", "introspect", "--tests", options.build], check=True,
                         stdout=subprocess.PIPE).stdout
    return sorted((f"{(t['suite'] or ['unit'])[0].split(':')[-1]}/{t['name']}", t["cmd"], t["env"],
                   t["timeout"]) for t in json.loads(out))


def scripts():
    for folder in FOLDERS:
        where = os.path.join(TESTS, folder)
        for name in sorted(os.listdir(where)) if os.path.isdir(where) else ():
            path = os.path.join(where, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                yield path


def source_tests():
    where = os.path.join(TESTS, "source")
    for name in sorted(os.listdir(where)):
        path = os.path.join(where, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            yield f"source/{name}", path


def parse():
    p = argparse.ArgumentParser(prog="tools/test", description="Runs every test.")
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    p.add_argument("--long", action="store_true", help="full depth instead of the short one")
    p.add_argument("--filter", action="append", default=[], metavar="WORD",
                   help="only tests whose name holds this word (any of several)")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    p.add_argument("--keep", action="store_true", help="keep each test's folder")
    p.add_argument("--seed", type=int, default=int(os.environ.get("AGENTFS_SEED") or random.randrange(1 << 31)))
    p.add_argument("--user", metavar="NAME", help="run the mount tests as this user (root only)")
    options = p.parse_args()
    options.build = os.path.abspath(options.build)
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
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: daemons come back to us
    tally = Tally(os.environ.get("AGENTFS_MUST_RUN") == "1")
    wanted = lambda name: not options.filter or any(w in name for w in options.filter)
    started = time.monotonic()
    print(f"depth {'long' if options.long else 'short'}, seed {options.seed}, "
          f"kernel {os.uname().release}, uid {options.user.pw_uid if options.user else os.getuid()}")
    for name, command, env, limit in meson_tests(options):
        if wanted(name):
            run_command_test(tally, name, command, cwd=options.build, limit=limit or None,
                             env={**os.environ, **env, "AGENTFS_SEED": str(options.seed)})
    for name, path in source_tests():
        if wanted(name):
            run_command_test(tally, name, [path], env={**os.environ, "AGENTFS_BUILD": options.build})
    fuse = os.stat("/dev/fuse").st_mode & 0o777
    if options.user:
        os.chmod("/dev/fuse", fuse | 0o066)  # for the time of the run
    try:
        for path in scripts():
            if wanted(os.path.relpath(path, TESTS)):
                run_script(options, path, tally)
    finally:
        if options.user:
            os.chmod("/dev/fuse", fuse)
    if tally.failures:
        print("\nfailed:")
        for name in tally.failures:
            print(f"  {name}")
    print(f"\ndepth {'long' if options.long else 'short'}, seed {options.seed}, "
          f"{time.monotonic() - started:.0f} s")
    c = tally.count
    print(f"{c['passed']} passed, {c['failed']} failed, {c['skipped']} skipped")
    return 1 if c["failed"] or not c["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
