#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Repositories that are odd, damaged or change meanwhile: what works, and what is said where it cannot."""
import errno
import os
import random

from harness import *
import repos

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12\n"


def with_attributes(folder):
    repo = repos.make(os.path.join(folder, "attributes"), {
        ".gitattributes": "*.txt text eol=crlf\nid.c ident\n*.bin filter=lfs diff=lfs merge=lfs -text\n"
                          "*.enc filter=crypt\n",
        "crlf.txt": "a\nb\n", "id.c": "$Id$\n", "plain": "p\n"})
    write = os.path.join(repo, "big.bin")
    put(write, LFS)
    repos.git(repo, "-c", "filter.lfs.clean=cat", "add", "-A")
    repos.git(repo, "commit", "-q", "-m", "pointer")
    return repo


def test_attributes__stored_bytes_are_shown_and_it_is_said(system):
    s = system
    repo = with_attributes(s.folder)
    done = s.ctl("create", "a1", "--repo", repo)
    for word in ("eol=crlf", "ident", "LFS", "filters"):
        assert word in done.stderr, (word, done.stderr)
    equal(get(s.path("a1", "crlf.txt"), "rb"), b"a\nb\n")
    equal(get(s.path("a1", "id.c")), "$Id$\n")
    equal(get(s.path("a1", "big.bin")), LFS)
    equal(sh("git status --porcelain", cwd=s.path("a1")).stdout, "")


def test_attributes__what_is_written_is_cleaned_or_refused_by_name(system):
    s = system
    repo = with_attributes(s.folder)
    s.ctl("create", "a1", "--repo", repo)
    put(s.path("a1", "crlf.txt"), b"a\r\nb\r\nc\r\n")
    put(s.path("a1", "x.enc"), "plain text of a secret\n")
    e = s.refused("Unsupported", "materialize", "a1", says=("x.enc", "crypt"))
    equal(repos.git(repo, "rev-parse", "agents/a1/work"), repos.git(repo, "rev-parse", "main"))
    assert "commit it in the view" in e["message"] + (e.get("remedy") or ""), e
    os.unlink(s.path("a1", "x.enc"))
    put(s.path("a1", "big.bin"), "twelve bytes")
    s.refused("Unsupported", "merge", "a1", says=("big.bin", "LFS"))
    put(s.path("a1", "big.bin"), LFS)
    s.ctl("materialize", "a1")
    equal(run("git", "-C", repo, "show", "agents/a1/work:crlf.txt", text=False).stdout, b"a\nb\nc\n")
    equal(repos.git(repo, "diff", "--name-only", "main", "agents/a1/work"), "crlf.txt")


def damage(repo, path):
    """One byte in the middle of the object of a path; returns its id."""
    oid = repos.git(repo, "rev-parse", "HEAD:" + path)
    name = os.path.join(repo, ".git/objects", oid[:2], oid[2:])
    os.chmod(name, 0o644)
    data = bytearray(get(name, "rb"))
    data[len(data) // 2] ^= 0xff
    put(name, bytes(data))
    return oid


def test_object__a_damaged_one_is_eio_and_the_rest_works(system):
    s = system
    repo = repos.make(os.path.join(s.folder, "damaged"), {
        "big": random.Random(SEED).randbytes(300000), "ok": "fine\n", "d/x": "xx\n"})
    s.ctl("create", "a1", "--repo", repo)
    oid = damage(repo, "big")
    expect_log(oid)
    fails(errno.EIO, get, s.path("a1", "big"), "rb")
    log = get(os.path.join(s.state, "views/a1/log"))
    assert oid in log and "'big'" in log, log
    equal(get(s.path("a1", "ok")), "fine\n")
    put(s.path("a1", "new"), "n\n")
    s.ctl("merge", "a1")
    equal(get(os.path.join(repo, "new")), "n\n")
    with open(s.path("a1", "big"), "ab") as f:  # its other bytes are what cannot be had
        f.write(b"more")
    s.refused("Damaged", "materialize", "a1", says="big")
    put(s.path("a1", "big"), "all new\n")
    s.ctl("materialize", "a1")
    equal(repos.git(repo, "show", "agents/a1/work:big"), "all new")


def test_object__a_damaged_one_of_the_base_is_named_at_creation(system):
    s = system
    oid = damage(s.repo, "src")
    before = s.git("for-each-ref")
    s.refused("Damaged", "create", "a1", "--repo", s.repo, says=oid)
    equal(s.views(), [])
    equal(s.git("for-each-ref"), before)
    equal(os.listdir(s.mounts) + os.listdir(os.path.join(s.state, "views")), [])


def test_repository__a_view_stands_for_its_own(system):
    s = system
    p = s.create("a1")
    put(p + "/x", "")
    sh("git add -A; git commit -qm x", cwd=p)
    for n, asked in enumerate((p, p + "/src", p + "/.git")):
        done = s.ctl("create", f"b{n}", "--repo", asked)
        assert asked in done.stderr and s.repo in done.stderr, done.stderr
        v = s.view(f"b{n}")
        equal((v["repository"], v["base"]), (s.repo, s.git("rev-parse", "HEAD")))
    done = s.ctl("create", "c1", cwd=p)
    equal(s.view("c1")["repository"], s.repo)
    equal(run("git", "for-each-ref", "refs/agentfs", cwd=p).stdout, "")


def test_repository__that_goes_away_is_told(system):
    s = system
    p = s.create("a1")
    equal(get(p + "/README"), "hello world\n")
    put(p + "/new", "n\n")
    os.rename(s.repo, s.repo + ".away")
    try:
        e = s.refused(None, "materialize", "a1", says=s.repo, cwd="/")
        assert e["id"].rpartition(".")[2] != "Internal", e
        equal(get(p + "/new"), "n\n")
        s.refused(None, "destroy", "a1", says=s.repo, cwd="/")
        equal(get(p + "/new"), "n\n")
    finally:
        os.rename(s.repo + ".away", s.repo)
    s.ctl("merge", "a1")
    equal(get(s.repo + "/new"), "n\n")


main()
