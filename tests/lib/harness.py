# SPDX-License-Identifier: Apache-2.0
"""What a test script imports. A script defines functions test_<subject>__<promise>() and ends in main().

A parameter's name says what the function wants:
    tmp    an empty folder on the disk's own file system, removed afterwards
    view   a mounted view of a small repository, served by agentfs alone (views.View)
    system a private daemon with a small repository (daemon.System)
Each case prints one line, `ok NAME`, `not ok NAME: why` or `skip NAME: why`; the runner counts them.
Nothing here waits a fixed time: wait_for() polls a condition and fails when it stays false.
"""
import contextlib
import errno
import inspect
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import traceback

SOURCE = os.environ.get("AGENTFS_SOURCE") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("AGENTFS_BUILD") or os.path.join(SOURCE, "build-test")
TMP = os.environ.get("AGENTFS_TMP") or tempfile.mkdtemp(prefix="agentfs-test-")
LONG = os.environ.get("AGENTFS_DEPTH") == "long"
SEED = int(os.environ.get("AGENTFS_SEED") or 1)
ROOT = os.getuid() == 0


def _other_uid():
    """An ordinary user for tests that root runs; fusermount3 asks for his name."""
    for uid in (1000, 33, 1):
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(uid).pw_uid
    return 1000


OTHER_UID = _other_uid()


class Skip(Exception):
    """The machine lacks what the case needs; kernel=True: only another kernel could help."""

    def __init__(self, why, kernel=False):
        super().__init__(why)
        self.kernel = kernel


def need_program(*names):
    for name in names:
        if not shutil.which(name):
            raise Skip(f"needs the program {name}")


def need_root():
    if not ROOT:
        raise Skip("SKIP-KERNEL: only root may become another user", kernel=True)


@contextlib.contextmanager
def fuse_for_all():
    """An ordinary user must be able to open /dev/fuse; where root guards it, in a mount namespace of ours."""
    import people
    people.fuse_for_everybody()
    yield


def open_to_others(folder):
    """Everybody may enter and list it. Takes nothing away: it may be /tmp itself, and somebody else's."""
    mode = stat.S_IMODE(os.stat(folder).st_mode)
    if mode | 0o755 != mode:
        os.chmod(folder, mode | 0o755)


def program(name):
    """Path of a program in the build folder."""
    for folder in ("fs", "daemon", "tools", "tools/resolvers", "merge", "tests/lib", "tests/posix"):
        path = os.path.join(BUILD, folder, name)
        if os.path.exists(path):
            return path
    raise AssertionError(f"'{name}' is not in the build folder '{BUILD}'")


def as_user(uid):
    """Popen arguments that make the child an ordinary user; none where we are that already."""
    return dict(user=uid, group=uid, extra_groups=[]) if ROOT and uid else {}


def run(*command, cwd=None, check=True, uid=0, env=None, input=None, timeout=120, text=True):
    """Runs a command; its result has .returncode, .stdout and .stderr. check: a failure is ours."""
    if cwd and uid and ROOT:  # that user may be able to enter where root is not (a FUSE mount)
        command, cwd = ("env", "-C", cwd, *command), None
    done = subprocess.run([str(c) for c in command], cwd=cwd, text=text, timeout=timeout,
                          input=input, stdin=None if input is not None else subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, **(env or {})},
                          errors="surrogateescape" if text else None, **as_user(uid))
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}\n"
                             f"{done.stdout}{done.stderr}")
    return done


def sh(script, cwd=None, **kw):
    return run("bash", "-euo", "pipefail", "-c", script, cwd=cwd, **kw)


def wait_for(condition, seconds=20, what="condition"):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still not true after {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.01)


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def fails(code, function, *args, **kw):
    """The call must fail with this errno (or one of several)."""
    codes = code if isinstance(code, (tuple, set)) else (code,)
    try:
        got = function(*args, **kw)
    except OSError as e:
        if e.errno in codes:
            return e
        raise AssertionError(f"{function.__name__}{args!r}: {errno.errorcode.get(e.errno, e.errno)}, "
                             f"want {[errno.errorcode[c] for c in codes]}") from e
    raise AssertionError(f"{function.__name__}{args!r} succeeded ({got!r}), "
                         f"want {[errno.errorcode[c] for c in codes]}")


def put(path, data, mode="w"):
    if isinstance(data, bytes):
        mode = mode.replace("b", "") + "b"
    with open(path, mode) as f:
        f.write(data)


def get(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


def in_child(function, uid=0, timeout=60):
    """Runs function in a forked child, as another user if asked; returns the errno it ended with, 0 for
    none. Anything but an OSError in the child fails the test."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.close(read)
            if uid and ROOT:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            function()
            code = 0
        except OSError as e:
            code = e.errno if e.errno and 0 < e.errno < 200 else 254
        except BaseException:
            os.write(write, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as f:
        said = f.read().decode()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code >= 200 or code < 0:
        raise AssertionError(f"child ended with {code}: {said}")
    return code


def expect_log(pattern):
    """Says that a line matching this regular expression may stand in a log as warning or error."""
    with open(os.path.join(TMP, "expected-log"), "a") as f:
        f.write(pattern + "\n")


def new_tmp():
    folder = tempfile.mkdtemp(prefix="t", dir=TMP)
    open_to_others(TMP)  # other users of a test must reach theirs
    os.chmod(folder, 0o755)
    return folder


def _fixture(name, folder):
    if name == "tmp":
        return folder, None
    if name == "view":
        import views
        view = views.View(folder).start()
        return view, view.stop
    if name == "system":
        import daemon
        system = daemon.System(folder).start()
        return system, system.stop
    raise AssertionError(f"no fixture is called '{name}'")


def _run_case(name, function):
    folder, undo = new_tmp(), []
    try:
        args = []
        for parameter in inspect.signature(function).parameters:
            value, end = _fixture(parameter, folder)
            args.append(value)
            if end:
                undo.append(end)
        function(*args)
        while undo:
            undo.pop()()
        print(f"ok {name}", flush=True)
        return True
    except Skip as e:
        print(f"{'skip-kernel' if e.kernel else 'skip'} {name}: {e}", flush=True)
        return True
    except BaseException as e:
        traceback.print_exc(file=sys.stdout)
        text = str(e).strip().splitlines() or [""]
        print(f"not ok {name}: {type(e).__name__}: {text[0][:300]}", flush=True)
        if isinstance(e, KeyboardInterrupt):
            raise
        return False
    finally:
        while undo:
            try:
                undo.pop()()
            except Exception:
                traceback.print_exc(file=sys.stdout)


def main(only=None):
    module = sys.modules["__main__"]
    good = True
    words = sys.argv[1:]
    for name, function in list(vars(module).items()):
        if name.startswith("test_") and callable(function):
            if not words or any(w in name for w in words):
                good &= _run_case(name, function)
    if not os.environ.get("AGENTFS_TMP"):
        shutil.rmtree(TMP, ignore_errors=True)
    sys.exit(0 if good else 1)
