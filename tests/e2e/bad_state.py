#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon's own surroundings: full disks, damaged state, other users, wrong configurations."""
import errno
import os
import sqlite3
import subprocess

from harness import *
import daemon
import repos


def ends_in_one_sentence(system, *args, says=(), more=()):
    """The daemon must not start: exit not 0, one line on what, which and why."""
    expect_log("agentfsd")
    done = run(*system.command(), *more, check=False, timeout=30, cwd=system.folder)
    assert done.returncode not in (0, None) and done.returncode > 0, done
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "error" in line or "agentfsd" in line]
    for word in (says,) if isinstance(says, str) else says:
        assert any(word in line for line in lines), (word, done.stdout + done.stderr)
    errors = [line for line in lines if "notice" not in line and "info" not in line]
    equal(len(errors), 1, errors)


def test_config__each_mistake_has_its_place(tmp):
    for text, words in (("rols: {}\n", ("1", "rols", "roles")), ("branch: [1]\n", ("1", "list")),
                        ("branch: a\nbranch: b\n", ("2", "branch")), ("roles:\n  x:\n    scratch: no-such\n", ("3",)),
                        ("branch: &a x\nmount: *a\n", ("1",)), ("\tbranch: x\n", ("1",)), ("branch: '{nobody}'\n", ("nobody",)),
                        ("roles:\n  builder:\n    write: ['']\n", ("3",)), ("iron: x\n", ("1", "list"))):
        folder = os.path.join(tmp, str(abs(hash(text))))
        os.mkdir(folder)
        s = daemon.System(folder, config=text, repo=tmp)
        ends_in_one_sentence(s, says=("agentfs.yaml:" + words[0] if words[0].isdigit() else "agentfs.yaml",) + words[1:])


def test_config__that_is_not_there(tmp):
    s = daemon.System(tmp, repo=tmp)
    ends_in_one_sentence(s, says="/no/such.yaml", more=("--config", "/no/such.yaml"))


def test_state__damaged_newer_or_not_ours(tmp):
    for name, data in (("garbage", os.urandom(8192)), ("text", b"no database\n" * 100)):
        s = daemon.System(os.path.join(tmp, name), repo=tmp)
        put(os.path.join(s.state, "agentfs.db"), data)
        ends_in_one_sentence(s, says="agentfs.db")
        equal(get(os.path.join(s.state, "agentfs.db"), "rb"), data, "a refused database is left as it is")
    s = daemon.System(os.path.join(tmp, "newer"), repo=tmp).start()
    s.stop()
    db = sqlite3.connect(os.path.join(s.state, "agentfs.db"))
    db.execute("PRAGMA user_version = 9999")
    db.commit()
    db.close()
    before = get(os.path.join(s.state, "agentfs.db"), "rb")
    ends_in_one_sentence(s, says=("agentfs.db", "newer"))
    equal(get(os.path.join(s.state, "agentfs.db"), "rb"), before, "a newer database is left as it is")
    s = daemon.System(os.path.join(tmp, "file"), repo=tmp)
    os.rmdir(s.state)
    put(s.state, "")
    ends_in_one_sentence(s, says=s.state)


def test_daemon__a_second_one_is_refused_and_harms_nothing(system):
    p = system.create("a1")
    ends_in_one_sentence(system, says=("another daemon", "stop it first"))
    equal(get(p + "/README"), "hello world\n")
    equal(len(system.views()), 1)


def test_socket__of_another_user(tmp):
    """Root's daemon with no group: an ordinary user is told so; a user's daemon is that user's alone."""
    need_root()
    s = daemon.System(tmp, uid=OTHER_UID).start()
    try:
        done = s.ctl("list", uid=OTHER_UID + 1, check=False)
        equal(done.returncode, 3, done.stderr)
        assert s.socket in done.stderr and len(done.stderr.strip().splitlines()) <= 2, done.stderr
    finally:
        s.stop()


def small_state(tmp, size):
    need_root()
    small = os.path.join(tmp, "small")
    os.mkdir(small)
    if run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", small, check=False).returncode:
        raise Skip("SKIP-KERNEL: tmpfs cannot be mounted here", kernel=True)
    return small


def fill(folder):
    """Leaves not a byte; returns the file that holds them."""
    name = os.path.join(folder, "fill")
    with open(name, "wb", buffering=0) as f:
        for size in (1 << 16, 512, 1):
            try:
                while True:
                    f.write(b"\0" * size)
            except OSError as e:
                equal(e.errno, errno.ENOSPC)
    return name


def test_disk__full_refuses_before_anything_is_half_done(tmp):
    small = small_state(tmp, "48m")
    expect_log("No space left")
    expect_log("ENOSPC")
    try:
        s = daemon.System(tmp)
        s.state = os.path.join(small, "state")
        os.mkdir(s.state)
        s.start()
        try:
            p = s.create("a1")
            put(p + "/before", "b\n")
            filler = fill(small)
            refs = s.git("for-each-ref")
            s.refused("NoSpace", "create", "b1", "--repo", s.repo)
            equal(s.git("for-each-ref"), refs)
            equal([v["agent"] for v in s.views()], ["a1"])
            assert not os.path.exists(s.path("b1"))
            equal(fails(errno.ENOSPC, put, p + "/much", "x" * (8 << 20)).errno, errno.ENOSPC)
            equal(get(p + "/README"), "hello world\n")
            equal(get(p + "/before"), "b\n")
            os.unlink(p + "/empty")
            os.unlink(p + "/docs/guide.md")
            assert not os.path.exists(p + "/empty")
            os.unlink(filler)
            if os.path.exists(p + "/much"):
                os.unlink(p + "/much")
            put(p + "/after", "a\n")
            s.ctl("merge", "a1")
            equal(sorted(s.git("diff", "--name-status", "HEAD~").split("\n")),
                  ["A\tafter", "A\tbefore", "D\tdocs/guide.md", "D\tempty"])
            s.ctl("create", "b1", "--repo", s.repo)
        finally:
            s.stop()
    finally:
        run("umount", "-l", small)


def test_journal__a_damaged_one_makes_a_stale_view_that_says_why(system):
    """One view's damage is that view's alone; the daemon runs, nothing is thrown away."""
    s = system
    p = s.create("a1")
    q = s.create("b1")
    put(p + "/synced", "one")
    fd = os.open(p + "/synced", os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    expect_log("a1")
    expect_log("journal")
    s.ctl("daemon", "stop")
    s.process.wait(60)
    s.process = None
    folder = os.path.join(s.state, "views/a1")
    run("rm", "-rf", folder + "/checkpoint")
    os.mkdir(folder + "/checkpoint")
    name = next(os.path.join(folder, "journal", n) for n in sorted(os.listdir(folder + "/journal"))
                if b"synced" in get(os.path.join(folder, "journal", n), "rb"))
    whole = get(name, "rb")
    data = bytearray(whole)
    data[data.find(b"synced")] ^= 0x20
    put(name, bytes(data))
    s.start(mounted=False)
    wait_for(lambda: s.view("b1")["state"] == "live", 60, "the other view is live")
    equal(get(q + "/README"), "hello world\n")
    wait_for(lambda: s.view("a1")["state"] == "stale" and "journal" in s.ctl("show", "a1").stderr, 30,
             lambda: f"show says what is wrong, not {s.view('a1')['state']}: {s.ctl('show', 'a1').stderr}")
    said = s.ctl("show", "a1").stderr
    assert os.path.basename(name) in said, said
    e = s.refused(None, "materialize", "a1")
    equal(get(name, "rb"), bytes(data), "the damaged journal is left for the person")
    s.kill()
    put(name, whole)
    s.start()
    wait_for(lambda: s.view("a1")["state"] == "live", 60, "the view is live again")
    equal(get(p + "/synced"), "one")


main()
