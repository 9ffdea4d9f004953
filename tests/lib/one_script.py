# SPDX-License-Identifier: Apache-2.0
"""One script of the tests, run and judged. Guarantees for each:

  1. a private empty folder ($AGENTFS_TMP, $TMPDIR, $HOME and the XDG folders are in it), a session and
     process group of its own, a time limit;
  2. after it no mount below that folder and no process that it started (found by a mark in the
     environment, so that daemons are found too) is left: what is left fails the test and is removed;
  3. a line of a log (any *.log below the folder) that is a warning, an error or a sanitizer's report
     fails the test, unless a line of $AGENTFS_TMP/expected-log, a regular expression, matches it.
"""
import ctypes
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TESTS = os.path.join(ROOT, "tests")
LIMIT, LIMIT_LONG = 240, 7200
MARK = "AGENTFS_TEST_ID"
PR_SET_CHILD_SUBREAPER = 36
BAD_LOG = re.compile(
    rb"\] (warning|error): |(ERROR|WARNING): [A-Za-z]*Sanitizer|runtime error: |: Assertion .* failed")
RESULT = re.compile(r"^(ok|not ok|skip|skip-kernel) (\S+)(?:: (.*))?$")
NAMES = {"ok": "passed", "not ok": "failed", "skip": "skipped", "skip-kernel": "skipped"}


class Outcome:
    """What one test said: rows for the tally, (outcome, name, seconds or None, why), and lines to print after them."""

    def __init__(self):
        self.rows, self.lines = [], []

    def add(self, outcome, name, seconds=None, why=""):
        self.rows.append((outcome, name, seconds, why))

    def say(self, line):
        self.lines.append(line)


def become_subreaper():
    """Daemons of the tests come back to this process when their parents end."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


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


def sweep(folder, mark):
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


# ---- the script ----

def environment(options, folder, mark):
    env = {k: v for k, v in os.environ.items()
           if k in ("PATH", "LANG", "LC_ALL", "CI", "AGENTFS_MUST_RUN", "TERM")}
    sanitizer = "abort_on_error=0:exitcode=86:detect_odr_violation=0"
    env.update({
        MARK: mark, "AGENTFS_TMP": folder, "TMPDIR": folder, "HOME": folder,
        "XDG_CONFIG_HOME": f"{folder}/xdg/config", "XDG_STATE_HOME": f"{folder}/xdg/state",
        "XDG_RUNTIME_DIR": f"{folder}/xdg/run", "AGENTFS_BUILD": options.build,
        "AGENTFS_SOURCE": ROOT, "AGENTFS_SEED": str(options.seed),
        "AGENTFS_DEPTH": "long" if options.long else "short",
        "PYTHONPATH": os.path.join(TESTS, "lib"), "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
        "ASAN_OPTIONS": sanitizer, "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=0",
        "LSAN_OPTIONS": f"suppressions={TESTS}/lib/lsan.supp:print_suppressions=0",
    })
    env.setdefault("LC_ALL", "C.UTF-8")
    if options.user:
        env["USER"] = env["LOGNAME"] = options.user.pw_name
    return env


def private_folder(user):
    folder = tempfile.mkdtemp(prefix="agentfs-run-", dir="/tmp")
    os.makedirs(f"{folder}/xdg/run", 0o700)
    if user:
        for where in (folder, f"{folder}/xdg", f"{folder}/xdg/run"):
            os.chown(where, user.pw_uid, user.pw_gid)
    return folder


def execute(options, path, folder, mark):
    """Runs it to its end or its limit. Returns its exit status, None for the limit, and its output."""
    user = options.user
    who = dict(user=user.pw_uid, group=user.pw_gid, extra_groups=[]) if user else {}
    limit = LIMIT_LONG if options.long else LIMIT
    out_path = folder + ".out"
    with open(out_path, "wb") as out:
        child = subprocess.Popen([path], cwd=folder, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env=environment(options, folder, mark), **who)
        try:
            code = child.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:  # a run that is interrupted leaves nothing either
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    with open(out_path, "rb") as f:
        text = f.read().decode(errors="replace")
    os.unlink(out_path)
    return code, text


def run_script(options, path):
    """Runs the script at path; returns its Outcome. Options: build, user, long, seed, keep."""
    outcome = Outcome()
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    folder = private_folder(options.user)
    started = time.monotonic()
    try:
        code, text = execute(options, path, folder, mark)
    except KeyboardInterrupt:
        sweep(folder, mark)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    seconds = time.monotonic() - started
    said = [f"still running after {LIMIT_LONG if options.long else LIMIT} s"] if code is None else []
    said += sweep(folder, mark)
    said += bad_log_lines(folder)
    judge(outcome, os.path.relpath(path, TESTS), code, text, said, seconds)
    if options.keep:
        outcome.say(f"     kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.exists(folder):
            outcome.say(f"     could not remove {folder}")
    return outcome


def judge(outcome, name, code, text, said, seconds):
    cases = [m.groups() for m in map(RESULT.match, text.splitlines()) if m]
    failed = [c for c in cases if c[0] == "not ok"]
    for word, case, why in cases:
        why = why or ""
        if word == "skip-kernel" and not why.startswith("SKIP-KERNEL"):
            why = "SKIP-KERNEL: " + why
        outcome.add(NAMES[word], f"{name}:{case}", why=why)
    for line in text.splitlines():
        if line.startswith("note: "):
            outcome.say("     " + line[6:])
    if code == 77 and not cases:
        lines = text.strip().splitlines() or [""]
        kernel = [line for line in lines if line.startswith("SKIP-KERNEL")]
        outcome.add("skipped", name, seconds, (kernel or lines)[-1])
    elif code not in (0, 77) and not failed:
        said.insert(0, f"exit status {code}" if code is None or code >= 0 else f"killed by signal {-code}")
    if said:
        outcome.add("failed", name, seconds, "; ".join(s.splitlines()[0] for s in said)[:300])
    elif code == 0 and not cases:
        outcome.add("passed", name, seconds)
    elif cases:
        outcome.say(f"     {name}: {len(cases)} cases in {seconds:.1f} s")
    if said or failed:
        for line in text.strip().splitlines()[-120:]:
            outcome.say("   | " + line)
        for s in said:
            outcome.say("   ! " + s)
