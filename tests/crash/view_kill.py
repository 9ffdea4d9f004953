#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a view's server under writers that log each acknowledged operation: after it is served
again, nothing acknowledged is lost and nothing is torn. A kill that hit no writer does not count."""
import errno
import hashlib
import os
import random
import time

from harness import *

KILLS = 200 if LONG else 20
GONE = (errno.ENOTCONN, errno.EIO, errno.ECONNABORTED, errno.ENODEV, errno.ENOENT, errno.ESTALE, errno.EINTR)


def worker(number, mnt, log_path, seed):
    """Eight kinds of operations on names of its own. A line is logged before each operation ("?") and
    after its success ("!"), so that exactly one operation may be in doubt at a kill."""
    rng = random.Random(seed)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    top = os.path.join(mnt, f"w{number}")
    state = Model.load(log_path)
    while True:
        op = state.choose(rng)
        os.write(log, ("? " + " ".join(op) + "\n").encode())
        try:
            perform(top, op)
        except OSError as e:
            os.write(log, f"# {e.errno}\n".encode())
            os._exit(0 if e.errno in GONE else 100 + min(e.errno, 99))
        os.write(log, b"!\n")
        state.apply(op)


def perform(top, op):
    at = lambda n: os.path.join(top, n)
    kind = op[0]
    if kind == "create":
        with open(at(op[1]), "xb", buffering=0) as f:
            pass
    elif kind == "append":
        with open(at(op[1]), "ab", buffering=0) as f:
            data = payload(op[2])
            if f.write(data) != len(data):
                raise OSError(errno.EIO, "short write")
    elif kind == "rename":
        os.rename(at(op[1]), at(op[2]))
    elif kind == "link":
        os.link(at(op[1]), at(op[2]))
    elif kind == "unlink":
        os.unlink(at(op[1]))
    elif kind == "mkdir":
        os.mkdir(at(op[1]))
    elif kind == "truncate":
        os.truncate(at(op[1]), int(op[2]))
    elif kind == "symlink":
        os.symlink(op[2], at(op[1]))
    elif kind == "chmod":
        os.chmod(at(op[1]), int(op[2], 8))


def payload(key):
    """Bytes that say what they are, so that a misplaced piece is seen."""
    n = int(hashlib.md5(key.encode()).hexdigest()[:4], 16) % 9000 + 1
    return (f"<{key}>".encode() * (n // (len(key) + 2) + 1))[:n]


class Model:
    """What a worker's folder holds: name → ("f", content cell) | "d" | ("l", target)."""

    def __init__(self):
        self.names, self.count = {}, 0

    @staticmethod
    def load(log_path, doubt=False):
        """The state after the acknowledged operations; with doubt also the operation in doubt, or None."""
        state, pending = Model(), None
        if os.path.exists(log_path):
            with open(log_path) as f:
                for line in f:
                    if line.startswith("? "):
                        pending = line[2:].split()
                    elif line.startswith("!") and pending:
                        state.apply(pending)
                        pending = None
                    elif line.startswith("= "):  # the parent has looked what became of the doubtful one
                        if line.strip() == "= done":
                            state.apply(pending)
                        elif line.startswith("= part "):
                            state.append_part(pending, int(line.split()[2]))
                        pending = None
        return (state, pending) if doubt else state

    def choose(self, rng):
        files = [n for n, v in self.names.items() if v[0] == "f"]
        self.count += 1
        new = f"n{self.count}"
        while new in self.names:
            self.count += 1
            new = f"n{self.count}"
        kind = rng.choice(["create", "append", "append", "append", "rename", "link", "unlink", "mkdir",
                           "truncate", "symlink", "chmod"])
        if not files or (kind in ("create",) and len(self.names) < 40):
            return ["create", new]
        f = rng.choice(files)
        if kind == "append":
            return ["append", f, f"{f}.{rng.randrange(10**9)}"]
        if kind == "rename":
            return ["rename", f, rng.choice(files + [new])]
        if kind == "link":
            return ["link", f, new]
        if kind == "unlink" or len(self.names) > 60:
            return ["unlink", f]
        if kind == "truncate":
            return ["truncate", f, str(rng.randrange(20000))]
        if kind == "chmod":
            return ["chmod", f, rng.choice(["644", "600", "755"])]
        return ["mkdir", new] if kind == "mkdir" else ["symlink", new, f"to-{rng.randrange(1000)}"]

    def apply(self, op):
        kind, names = op[0], self.names
        if kind == "create":
            names[op[1]] = ("f", {"data": b"", "mode": None})
        elif kind == "append":
            names[op[1]][1]["data"] += payload(op[2])
        elif kind == "rename":
            if names.get(op[2]) is None or names[op[1]][1] is not names[op[2]][1]:
                names[op[2]] = names.pop(op[1])  # two names of one file: rename does nothing
        elif kind == "link":
            names[op[2]] = names[op[1]]
        elif kind == "unlink":
            del names[op[1]]
        elif kind == "mkdir":
            names[op[1]] = ("d", None)
        elif kind == "symlink":
            names[op[1]] = ("l", op[2])
        elif kind == "chmod":
            names[op[1]][1]["mode"] = int(op[2], 8)
        elif kind == "truncate":
            cell, n = names[op[1]][1], int(op[2])
            cell["data"] = cell["data"][:n].ljust(n, b"\0")

    def append_part(self, op, n):
        self.names[op[1]][1]["data"] += payload(op[2])[:n]

    def picture(self):
        links = {}
        for v in self.names.values():
            if v[0] == "f":
                links[id(v[1])] = links.get(id(v[1]), 0) + 1
        return {n: (("f", len(v[1]["data"]), hashlib.md5(v[1]["data"]).hexdigest(), links[id(v[1])],
                     v[1]["mode"]) if v[0] == "f" else v) for n, v in self.names.items()}


def actual(top, model):
    found = {}
    for n in os.listdir(top):
        p = os.path.join(top, n)
        if os.path.islink(p):
            found[n] = ("l", os.readlink(p))
        elif os.path.isdir(p):
            found[n] = ("d", None)
        else:
            data, st = get(p, "rb"), os.stat(p)
            known = model.names.get(n)
            mode = st.st_mode & 0o7777 if known and known[0] == "f" and known[1]["mode"] is not None else None
            found[n] = ("f", len(data), hashlib.md5(data).hexdigest(), st.st_nlink, mode)
    return found


def settle(number, mnt, log_path):
    """Compares a worker's folder with its log; says in the log what became of the doubtful operation.
    Returns whether one was in doubt."""
    import copy
    model, pending = Model.load(log_path, doubt=True)
    top = os.path.join(mnt, f"w{number}")
    without = actual(top, model)
    if without == model.picture():
        outcome = "not"
    else:
        assert pending, f"worker {number}: lost or torn: {difference(model.picture(), without)}"
        after = copy.deepcopy(model)
        after.apply(pending)
        outcome = "done"
        if actual(top, after) != after.picture():
            # The kernel may cut one write(2) into several requests: a part from the front is legal.
            assert pending[0] == "append", (f"worker {number}: neither without nor with {pending}: "
                                            f"{difference(model.picture(), without)}")
            after = copy.deepcopy(model)
            part = os.path.getsize(os.path.join(top, pending[1])) - len(model.names[pending[1]][1]["data"])
            after.append_part(pending, part)
            outcome = f"part {part}"
            assert actual(top, after) == after.picture(), (
                f"worker {number}: torn by {pending}: {difference(after.picture(), actual(top, after))}")
    if pending:
        with open(log_path, "a") as f:
            f.write(f"= {outcome}\n")
    return bool(pending)


def difference(want, got):
    return {n: (want.get(n), got.get(n)) for n in set(want) | set(got) if want.get(n) != got.get(n)}


def under_load(mnt, logs, kill, rng):
    """Starts four writers, kills at a random moment, waits for the writers' end."""
    pids = []
    for i, log in enumerate(logs):
        pid = os.fork()
        if pid == 0:
            try:
                worker(i, mnt, log, rng.random())
            except BaseException:
                import traceback
                traceback.print_exc()
            os._exit(99)
        pids.append(pid)
    sizes = lambda: [os.path.getsize(p) if os.path.exists(p) else 0 for p in logs]
    before = sizes()
    wait_for(lambda: all(b > a for a, b in zip(before, sizes())), 30, "all writers are at work")
    end = time.monotonic() + rng.uniform(0.01, 0.25)
    while time.monotonic() < end:
        time.sleep(0.001)
    kill()
    codes = [os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids]
    assert all(c == 0 for c in codes), f"writers ended with {codes} (100 + errno)"


def test_kill__of_a_view_alone_loses_nothing_acknowledged(view):
    rng = random.Random(SEED)
    logs = [os.path.join(view.folder, f"w{i}.txt") for i in range(4)]
    for i in range(4):
        os.mkdir(view.path(f"w{i}"))
    doubtful = 0
    for n in range(KILLS):
        under_load(view.mnt, logs, view.kill, rng)
        view.start()
        doubtful += sum(settle(i, view.mnt, logs[i]) for i in range(4))
    total = sum(get(p).count("\n!") for p in logs)
    print(f"note: {KILLS} kills, {total} acknowledged operations, {doubtful} in doubt at a kill, none lost; seed {SEED}")
    assert total > KILLS * 4 and doubtful > 0, "the kills hit no writer: this run shows nothing"


if __name__ == "__main__":
    main()
