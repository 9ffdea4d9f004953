#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Eight processes at once in one view: each finds what it left, what they share is never torn, and a
restart shows the same. Also what a build with -Db_sanitize=thread is tried with."""
import errno
import hashlib
import os
import random
import shutil
import threading

from harness import *
import opseq
import repos
import tree
import views

PROCESSES, OPERATIONS, ROUNDS = (8, 1500, 400) if LONG else (8, 150, 40)
BLOCK = 5000  # no multiple of a page: neighbours share pages


def together(*functions):
    """Runs each in a process of its own, all at once; what one of them raises fails the test."""
    read, write = os.pipe()
    pids = []
    for function in functions:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(write)
                os.read(read, 1)  # ends for all at once, when the parent closes its end
                function()
                code = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(read)
    os.close(write)
    equal([os.waitstatus_to_exitcode(os.waitpid(p, 0)[1]) for p in pids], [0] * len(pids), "exit codes")


def sealed(who, number, size):
    """Bytes that say by themselves whether they are whole."""
    body = f"{who} {number} ".encode() + random.Random(f"{SEED} {who} {number}").randbytes(size)
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def whole(data):
    head, _, body = data.partition(b"\n")
    assert head == hashlib.sha256(body).hexdigest().encode(), f"torn content of {len(data)} bytes: {data[:100]!r}"
    return body.split(b" ", 2)[:2]


def after_restart(view):
    """A restart shows the same tree, times included."""
    before = tree.picture(view.mnt, times=True)
    view.restart()
    equal(tree.differences(before, tree.picture(view.mnt, times=True)), [], "after a restart")


def test_parallel__each_in_its_folder_as_on_a_plain_file_system(tmp):
    """Random operations of eight processes, each compared with plain ext4, while snapshots are taken."""
    print(f"note: seed {SEED}, {PROCESSES} x {OPERATIONS} operations")
    files = {f"p{i}/{name}": data * (i + 1) for i in range(PROCESSES) for name, data in
             (("a", "text\n"), ("empty", ""), ("sub/b", "more text\n" * 3000), ("sub/deep/c", "c" * 5000))}
    view = views.View(tmp, repo=repos.make(os.path.join(tmp, "repo"), files)).start()
    plain = os.path.join(tmp, "plain")
    shutil.copytree(view.repo, plain, symlinks=True, ignore=shutil.ignore_patterns(".git"))

    def worker(i):
        where = f"p{i}"
        found = opseq.compare(SEED * 100 + i, OPERATIONS, os.path.join(plain, where), view.path(where))
        assert found is None, f"{where}, seed {SEED * 100 + i}, operation {found[0]}: {found[1]}"

    def snapshots():
        for _ in range(10):
            run(program("viewctl_cli"), view.sock, "snapshot")
            run(program("viewctl_cli"), view.sock, "status")

    try:
        together(*(lambda i=i: worker(i) for i in range(PROCESSES)), snapshots)
        equal(tree.differences(tree.picture(plain), tree.picture(view.mnt)), [], "trees (plain / view)")
        after_restart(view)
    finally:
        view.stop()


def test_parallel__a_replaced_file_is_never_torn(view):
    """Writers rename new content over one name, readers open it: always one whole version."""
    target = view.path("target")
    put(target, sealed("first", 0, 100))

    def writer(i):
        last = 0
        for number in range(ROUNDS):
            put(view.path(f"new-{i}"), sealed(i, number, random.Random(number * 8 + i).randrange(40000)))
            os.rename(view.path(f"new-{i}"), target)
            who, got = whole(get(target, "rb"))
            assert who != str(i).encode() or int(got) == number, "an older version of its own came back"
            last = number
        assert last == ROUNDS - 1

    def reader():
        seen = set()
        for _ in range(ROUNDS * 4):
            with open(target, "rb") as f:
                seen.add(tuple(whole(f.read())))
        assert seen

    together(*(lambda i=i: writer(i) for i in range(4)), *(reader for _ in range(4)))
    assert whole(get(target, "rb"))[1] == str(ROUNDS - 1).encode()
    after_restart(view)


def test_parallel__appends_lose_nothing(view):
    """Each line of each process stands in the file once, whole, in the order of its writer."""
    def writer(i):
        with open(view.path("log"), "ab", buffering=0) as f:
            for number in range(ROUNDS * 4):
                line = f"{i} {number} ".encode() + b"x" * (number * 37 % 3000) + b"\n"
                equal(f.write(line), len(line))
                if number % 50 == 0:
                    os.fsync(f.fileno())

    put(view.path("log"), b"")
    together(*(lambda i=i: writer(i) for i in range(PROCESSES)))

    def check():
        seen = [0] * PROCESSES
        for line in get(view.path("log"), "rb").splitlines():
            i, number, rest = line.split(b" ", 2)
            equal(int(number), seen[int(i)], f"line of process {i}")
            equal(rest, b"x" * (int(number) * 37 % 3000))
            seen[int(i)] += 1
        equal(seen, [ROUNDS * 4] * PROCESSES)
    check()
    after_restart(view)
    check()


def test_parallel__parts_of_one_file(view):
    """Blocks that share pages, each written and read by one process only, in a file that others read."""
    with open(view.path("parts"), "wb") as f:
        f.truncate(BLOCK * PROCESSES)

    def worker(i):
        with open(view.path("parts"), "r+b", buffering=0) as f:
            for number in range(ROUNDS):
                data = random.Random(number * 8 + i).randbytes(BLOCK)
                equal(os.pwrite(f.fileno(), data, i * BLOCK), BLOCK)
                equal(os.pread(f.fileno(), BLOCK, i * BLOCK), data, f"block {i} in round {number}")
                os.pread(f.fileno(), BLOCK, (i + number) % PROCESSES * BLOCK)

    together(*(lambda i=i: worker(i) for i in range(PROCESSES)))
    want = b"".join(random.Random((ROUNDS - 1) * 8 + i).randbytes(BLOCK) for i in range(PROCESSES))
    assert get(view.path("parts"), "rb") == want, "the blocks are not as they were written"
    after_restart(view)
    assert get(view.path("parts"), "rb") == want, "the blocks after a restart"


def test_parallel__one_name_is_made_once(view):
    """All want the same names: O_EXCL, mkdir, link and rename without replacing have one winner each;
    names that nobody touches stand in each listing once."""
    fixed = {f"fixed{n}" for n in range(60)}
    for name in fixed | {"source"}:
        put(view.path("src", name), name)
    for kind in ("create", "mkdir", "links"):
        os.mkdir(view.path(kind))

    def won(function, *args, **kw):
        try:
            function(*args, **kw)
            return True
        except OSError as e:
            assert e.errno == errno.EEXIST, e
            return False

    def worker(i):
        mine = []
        for number in range(ROUNDS):
            name = str(number)
            if won(exclusive, view.path("create", name), str(i)):
                mine.append(f"create/{name}")
            if won(os.mkdir, view.path("mkdir", name)):
                mine.append(f"mkdir/{name}")
            if won(os.link, view.path("src/source"), view.path("links", name)):
                mine.append(f"links/{name}")
            put(view.path("src", f"mine{i}"), name)
            listed = os.listdir(view.path("src"))
            equal(sorted(n for n in listed if n in fixed), sorted(fixed), "names that nobody touches")
            os.unlink(view.path("src", f"mine{i}"))
        put(view.path(f"won-{i}"), "\n".join(mine))

    def exclusive(path, text):
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(fd, text.encode())
        os.close(fd)

    together(*(lambda i=i: worker(i) for i in range(PROCESSES)))
    mine = [(name, i) for i in range(PROCESSES) for name in get(view.path(f"won-{i}")).splitlines()]
    equal(sorted(n for n, _ in mine), sorted(f"{k}/{n}" for k in ("create", "mkdir", "links") for n in range(ROUNDS)),
          "each name has one winner")
    for name, i in mine:
        if name.startswith("create/"):
            equal(get(view.path(name)), str(i), name)
    equal(os.stat(view.path("src/source")).st_nlink, ROUNDS + 1, "links")
    after_restart(view)
    equal(os.stat(view.path("src/source")).st_nlink, ROUNDS + 1, "links after a restart")


def test_reading__who_waits_for_git_keeps_nobody_waiting(tmp):
    """The first reading of a large object inflates it; others are served meanwhile."""
    repo = repos.make(os.path.join(tmp, "repo"), {"large": b"large\n" * (20 << 20), "small": "small\n"})
    view = views.View(tmp, repo=repo).start()
    try:
        fd, done, small = os.open(view.path("large"), os.O_RDONLY), [], view.path("small")
        reader = threading.Thread(target=lambda: done.append(os.pread(fd, 6, 0)))
        reader.start()
        served = 0
        while not done:
            fails(errno.ENODATA, os.getxattr, small, "user.none")
            served += not done
        reader.join()
        os.close(fd)
        equal(done, [b"large\n"])
        assert served >= 20, f"{served} requests were served while one was waiting for git"
    finally:
        view.stop()


main()
