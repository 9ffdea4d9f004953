#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seeds on a real mount, without a daemon: what programs see of files that come from the main worktree."""
import concurrent.futures
import errno
import mmap
import os
import random

from harness import *
import repos
import views


def seeded(tmp, files, paths, **kw):
    """A view whose view.conf names these paths of the main worktree."""
    v = views.View(tmp, **kw)
    repos.write_files(v.repo, files)
    for folder in (tmp, v.repo):
        os.chmod(folder, 0o755)
    conf = os.path.join(v.dir, "view.conf")
    text = get(conf)
    assert text.endswith("end\n")
    lines = [f"seed-from {v.repo}"] + [f"seed-path {p}" for p in paths]
    put(conf, text[:-4] + "\n".join(lines) + "\nend\n")
    return v.start()


def pages(n, word):
    return (word * 4096)[:4096] * n


def test_seed__mapped_unlinked_and_partly_written(tmp):
    v = seeded(tmp, {"nm/a": pages(40, b"a"), "nm/b": pages(300, b"b"), "nm/c": b"c" * 10}, ["nm"])
    try:
        with open(v.path("nm/a"), "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            equal(m[:], pages(40, b"a"))
        with open(v.path("nm/b"), "rb") as f:
            os.unlink(v.path("nm/b"))
            equal(f.read(), pages(300, b"b"), "unlinked before it was read")
        with open(v.path("nm/a"), "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
            m[5000:5004] = b"MINE"
            m.flush()
        want = pages(40, b"a")
        equal(get(v.path("nm/a"), "rb"), want[:5000] + b"MINE" + want[5004:])
        put(v.path("nm/c"), b"+", "a")
        equal(get(v.path("nm/c"), "rb"), b"c" * 10 + b"+")
        equal(get(v.repo + "/nm/a", "rb"), want)
        v.kill()
        v.start()
        equal(get(v.path("nm/a"), "rb")[5000:5004], b"MINE")
        equal(sorted(os.listdir(v.path("nm"))), ["a", "c"])
    finally:
        v.stop()


def test_seed__a_wide_folder_is_listed_once_each(tmp):
    names = [f"{i:05}-{'x' * 60}" for i in range(9000)]  # several records, many replies
    v = seeded(tmp, {f"wide/{n}": b"" for n in names}, ["wide"])
    try:
        equal(sorted(os.listdir(v.path("wide"))), names)
        equal(int(sh("find wide -type f | wc -l", cwd=v.mnt).stdout), len(names))
        for n in names[::500]:
            os.unlink(v.path("wide", n))
        v.restart()
        equal(sorted(os.listdir(v.path("wide"))), [n for i, n in enumerate(names) if i % 500])
    finally:
        v.stop()


def test_seed__many_readers_copy_a_file_once(tmp):
    size = 8 << 20
    v = seeded(tmp, {"nm/f": b"x" * size}, ["nm"])
    try:
        def digest(_):
            return run("sha256sum", v.path("nm/f")).stdout.split()[0]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            equal(len(set(pool.map(digest, range(8)))), 1)
        used = sum(os.stat(os.path.join(v.dir, "data", n)).st_blocks * 512 for n in os.listdir(v.dir + "/data"))
        assert used < 6 * size, f"{used} bytes of data, spare segments included, for a file of {size} read 8 times"
    finally:
        v.stop()


def test_seed__removing_and_moving_whole_folders(tmp):
    files = {f"nm/p{i}/f{j}": f"{i} {j}\n" for i in range(20) for j in range(5)}
    v = seeded(tmp, files, ["nm"])
    try:
        fails(errno.ENOTEMPTY, os.rmdir, v.path("nm/p1"))
        fails(errno.ENOTEMPTY, os.rename, v.path("src"), v.path("nm/p2"))
        os.rename(v.path("nm/p3"), v.path("src/p3"))
        equal(get(v.path("src/p3/f4")), "3 4\n")
        os.rename(v.path("nm"), v.path("nm2"))
        v.kill()
        v.start()
        equal(get(v.path("nm2/p5/f1")), "5 1\n")
        equal(get(v.path("src/p3/f0")), "3 0\n")
        run("rm", "-rf", v.path("nm2"))
        equal(sorted(os.listdir(v.mnt)), sorted(n for n in os.listdir(v.repo) if n != "nm"))
        equal(len(os.listdir(v.repo + "/nm")), 20)
    finally:
        v.stop()


def walk_until(v, stop, rng):
    """Looks at random things until the server dies under it."""
    while not stop():
        try:
            d = v.path("nm", f"p{rng.randrange(200)}")
            for n in os.listdir(d):
                if rng.random() < 0.3:
                    get(os.path.join(d, n))
        except OSError:
            pass


def test_seed__killed_while_names_and_bytes_are_taken_over(tmp):
    files = {f"nm/p{i}/f{j}": f"{i} {j}\n" * (1 + i) for i in range(200) for j in range(20)}
    v = seeded(tmp, files, ["nm", ".env"], agent="k1")
    rng = random.Random(SEED)
    print(f"# seed {SEED}")
    seen = {}
    try:
        for _ in range(8 if LONG else 4):
            dead = False
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                for n in range(4):
                    pool.submit(walk_until, v, lambda: dead, random.Random(rng.random()))
                wait_for(lambda: sum(os.stat(os.path.join(v.dir, "journal", n)).st_blocks
                                     for n in os.listdir(v.dir + "/journal")) > 0, 10, "a journal")
                for _ in range(rng.randrange(1, 30)):  # some work of our own, to kill in the middle of
                    i, j = rng.randrange(200), rng.randrange(20)
                    seen[i, j] = get(v.path(f"nm/p{i}/f{j}"))
                v.server.kill()
                dead = True
            v.kill()
            v.start()
            for (i, j), text in seen.items():
                equal(text, files[f"nm/p{i}/f{j}"])
            for i, j in seen:  # taken over: what the main worktree says does not matter any more
                put(f"{v.repo}/nm/p{i}/f{j}", "changed later\n")
                equal(get(v.path(f"nm/p{i}/f{j}")), files[f"nm/p{i}/f{j}"])
        for i in range(200):
            equal(sorted(os.listdir(v.path(f"nm/p{i}"))), sorted(f"f{j}" for j in range(20)))
        expect_log(r"warning: '.env' of the main worktree .* cannot be seeded")
    finally:
        v.stop()


if __name__ == "__main__":
    main()
