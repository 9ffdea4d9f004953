#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sizes at the edge: long names and paths, odd bytes, files over 4 GiB, folders of 100,000 entries."""
import errno
import hashlib
import os
import random
import stat
import time

from harness import *
import repos
import views


def test_names__255_bytes_of_any_kind(view):
    rng = random.Random(SEED)
    allowed = [b for b in range(1, 256) if b != ord("/")]
    names = [bytes([b]) for b in allowed if b != ord(".")] + [b"x" * 255, bytes(allowed)[:255], b"...", b"-", b" "]
    names += [bytes(rng.choices(allowed, k=255)) for _ in range(50)]
    os.mkdir(view.path("d"))
    top = os.fsencode(view.path("d"))
    for n in names:
        put(top + b"/" + n, n)
    equal(set(os.listdir(top)), set(names), "names")
    view.restart()
    equal(set(os.listdir(top)), set(names), "names after a restart")
    for n in names:
        equal(get(top + b"/" + n, "rb"), n, f"content of {n!r}")
    fails(errno.ENAMETOOLONG, put, top + b"/" + b"x" * 256, "")


def test_names__of_the_base_may_be_odd(tmp):
    odd = {"sp ace": "1", "new\nline": "2", "tab\t": "3", "ü" * 100: "4", '"quoted"': "5", "\\back": "6", "-n": "7"}
    repos.make(tmp + "/repo", odd)
    v = views.View(tmp).start()
    try:
        for name, data in odd.items():
            equal(get(v.path(name)), data, name)
        equal({n for n in os.listdir(v.mnt) if n != ".git"}, set(odd))
    finally:
        v.stop()


def test_paths__of_4095_bytes(view):
    """Below the working folder, since the mount point's own path counts too."""
    def deep():
        os.chdir(view.mnt)
        for _ in range(15):
            os.mkdir("d" * 254)
            os.chdir("d" * 254)
        rest = 4095 - 15 * 255
        put("f" * min(rest, 255), "deep")
        os.chdir(view.mnt)
        path = "/".join(["d" * 254] * 15) + "/" + "f" * min(rest, 255)
        equal(len(path), 15 * 255 + min(rest, 255))
        equal(get(path), "deep")
        os.rename("d" * 254, "e")
    equal(in_child(deep), 0)
    view.restart()
    short = "e/" + "/".join(["d" * 254] * 14) + "/" + "f" * 255
    equal(in_child(lambda: (os.chdir(view.mnt), equal(get(short), "deep"))), 0)


def test_paths__symlink_of_4095_bytes(view):
    target = "t" * 4095
    os.symlink(target, view.path("long"))
    view.restart()
    equal(os.readlink(view.path("long")), target)


def test_file__over_4_gib(view):
    p = view.path("big")
    four = 4 << 30
    with open(p, "w+b") as f:
        f.truncate(four + (1 << 20))
        for off in (0, four - 5, four, four + (1 << 20) - 4):
            f.seek(off)
            f.write(b"here")
    view.restart()
    st = os.stat(p)
    equal(st.st_size, four + (1 << 20))
    assert st.st_blocks * 512 < 64 << 20, f"{st.st_blocks} blocks of a sparse file"
    with open(p, "rb") as f:
        for off in (0, four - 5, four, four + (1 << 20) - 4):
            f.seek(off)
            equal(f.read(4), b"here", f"at {off}")
        f.seek(four - 6)
        equal(f.read(12), b"\0here\0here\0\0")
        f.seek(2 << 30)
        equal(f.read(4096), b"\0" * 4096)
    os.truncate(p, four + 2)
    with open(p, "rb") as f:
        f.seek(four)
        equal(f.read(), b"he")


def test_file__200_mib_of_writes(view):
    p, rng, h = view.path("data"), random.Random(SEED), hashlib.sha256()
    with open(p, "wb") as f:
        for _ in range(200):
            block = rng.randbytes(1 << 20)
            h.update(block)
            f.write(block)
    view.restart()
    got = hashlib.sha256()
    with open(p, "rb") as f:
        while block := f.read(1 << 20):
            got.update(block)
    equal(got.hexdigest(), h.hexdigest())


def test_folder__of_100000_entries(view):
    os.mkdir(view.path("d"))
    d = os.open(view.path("d"), os.O_RDONLY | os.O_DIRECTORY)
    count = 100000
    for i in range(count):
        os.mknod(f"{i:06}", stat.S_IFREG | 0o644, dir_fd=d)
    names = os.listdir(d)
    equal((len(names), len(set(names))), (count, count), "entries")
    started = time.monotonic()
    for i in range(0, count, 997):
        os.stat(f"{i:06}", dir_fd=d)
    assert time.monotonic() - started < 5, "looking up names is slow"
    os.close(d)
    view.restart()
    equal(len(os.listdir(view.path("d"))), count, "entries after a restart")
    for i in range(0, count, 2):
        os.unlink(view.path("d", f"{i:06}"))
    equal(len(os.listdir(view.path("d"))), count // 2, "entries after deleting half")
    run("rm", "-rf", view.path("d"))
    fails(errno.ENOENT, os.stat, view.path("d"))


def test_base__of_20000_files_in_one_folder(tmp):
    repos.make(tmp + "/repo", {f"d/{i:05}": f"{i}\n" for i in range(20000)})
    v = views.View(tmp).start()
    try:
        equal(len(os.listdir(v.path("d"))), 20000)
        equal(get(v.path("d/12345")), "12345\n")
        os.unlink(v.path("d/00000"))
        equal(len(os.listdir(v.path("d"))), 19999)
    finally:
        v.stop()


main()
