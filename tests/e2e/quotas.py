#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quotas of a view, and a configuration that reaches views that are open."""
import errno
import json
import os
import signal

from harness import *
from daemon import System

QUOTAS = "quotas: {bytes: 1M, nodes: 200}\n"


def system_with(tmp, config, **kw):
    return System(tmp, config=config, **kw).start()


def configure(s, text):
    put(s.config, text)


def status(folder):
    return json.loads(get(folder + "/.agentfs/control/status.json"))


def test_quota__refuses_writes_and_names_and_says_so(tmp):
    s = system_with(tmp, QUOTAS)
    try:
        p = s.create("a1")
        before = s.view("a1")
        put(p + "/big", b"x" * 900_000)
        e = fails(errno.EDQUOT, put, p + "/bigger", b"y" * 300_000)
        equal(os.path.getsize(p + "/bigger"), 0, "a write that was refused")
        for _ in range(10):  # the same bytes again are no more bytes
            with open(p + "/big", "r+b") as f:
                f.write(b"z" * 900_000)
        done = sh("for i in $(seq 400); do echo >n$i || exit 7; done", cwd=p, check=False)
        equal(done.returncode, 7, done.stderr)
        assert "Disk quota exceeded" in done.stderr, done.stderr
        v = s.view("a1")
        equal((v["quota_bytes"], v["quota_nodes"], v["nodes"]), (1 << 20, 200, 200))
        assert 900_000 <= v["bytes"] <= 1 << 20, v
        said = s.ctl("show", "a1").stdout
        assert "200 of 200 nodes" in said and "of 1.0 MiB" in said, said
        quota = status(p)["quota"]
        equal(quota["nodes"], {"used": 200, "limit": 200})
        assert quota["refused"] >= 2 and quota["bytes"]["limit"] == 1 << 20, quota
        f = os.statvfs(p)
        equal((f.f_files, f.f_ffree, f.f_blocks * f.f_frsize), (200, 0, 1 << 20))
        assert f.f_bfree * f.f_frsize <= (1 << 20) - 900_000, f
        failed = s.records("a1", "--result", "failed")
        assert [r for r in failed if r.get("errno") == "EDQUOT" and r.get("path") == "bigger"
                and "1048576 bytes" in r["value"]], failed
        assert [r for r in failed if r.get("op") == "mknod" and "200 nodes" in r.get("value", "")], failed
        equal(s.records("a1", "--result", "denied"), [])
        sh("rm n1 n2; : >big; mv bigger small; echo ok >again", cwd=p)
        equal(get(p + "/again"), "ok\n")
        assert before["id"] == v["id"]
    finally:
        s.stop()


def test_quota__a_flood_is_counted_exactly(tmp):
    s = system_with(tmp, "quotas: {nodes: 40}\n")
    try:
        p = s.create("a1")
        refused = 0
        for i in range(500):
            try:
                os.mkdir(f"{p}/d{i}")
            except OSError as e:
                equal(e.errno, errno.EDQUOT)
                refused += 1
        assert refused > 400, refused
        s.ctl("daemon", "stop")
        s.start()
        records = [r for r in s.records("a1", "--result", "failed") if r.get("errno") == "EDQUOT"]
        counted = sum(int(r["value"].split()[0]) if r["type"] == "summary" else 1 for r in records)
        equal(counted, refused)
        assert len(records) < 20, len(records)
    finally:
        s.stop()


def test_quota__by_role_and_page_writes(tmp):
    s = system_with(tmp, "quotas: {bytes: 1G}\nroles: {lead: {write: ['*'], quotas: {bytes: 300K}}}\n")
    try:
        a, b = s.create("a1"), s.create("b1", "--role", "lead")
        put(a + "/big", b"x" * 400_000)
        fails(errno.EDQUOT, put, b + "/big", b"x" * 400_000)
        code = """
import mmap, os
f = os.open('mapped', os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 400000)
m = mmap.mmap(f, 400000)
m[:] = b'y' * 400000
try:
    m.flush()
except OSError:
    pass
"""
        run("python3", "-c", code, cwd=b)
        assert s.view("b1")["bytes"] <= 300 << 10, s.view("b1")
        fetched = get(b + "/mapped", "rb")
        assert fetched.count(b"y") <= 300 << 10, "a refused page can still be read"
    finally:
        s.stop()


def test_reload__reaches_open_views(tmp):
    need_root()
    s = system_with(tmp, "iron: [locked]\n")
    try:
        p = s.create("a1", "--scope", "src/")
        q = s.create("b1")
        fails(errno.EACCES, put, q + "/locked", "x")
        kept = open(q + "/open", "w")
        configure(s, "iron: [open]\nquotas: {nodes: 300}\n")
        equal(s.json("policy", "reload"), {"views": 2})
        put(q + "/locked", "x")
        fails(errno.EACCES, put, q + "/open", "x")
        kept.write("more")
        fails(errno.EACCES, kept.flush)
        try:
            kept.close()
        except OSError:
            pass
        fails(errno.EACCES, put, p + "/README", "x")  # its scope stays
        equal(status(p)["quota"]["nodes"]["limit"], 300)
        equal(s.view("b1")["quota_nodes"], 300)
        configure(s, "iron: [\n")
        e = s.refused("Invalid", "policy", "reload", says="agentfs.yaml:2:1")
        fails(errno.EACCES, put, q + "/open", "x")
        configure(s, "iron: []\n")
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: status(q)["quota"]["nodes"]["limit"] is None, what="SIGHUP reaches the view")
        put(q + "/open", "x")
        policies = [r for r in s.records("b1") if r["type"] == "policy"]
        equal(len(policies), 3, "policies in the journal")
    finally:
        s.stop()


def test_reload__reaches_a_view_whose_server_was_away(tmp):
    need_root()
    expect_log("view 'a1' is stale: the view's server has ended")
    s = system_with(tmp, "iron: [locked]\n")
    try:
        p = s.create("a1")
        configure(s, "iron: [other]\n")
        os.kill(s.server_pid("a1"), signal.SIGKILL)
        s.ctl("policy", "reload")
        wait_for(lambda: s.view("a1")["state"] == "live", what="the view is back")
        wait_for(lambda: "other" in get(p + "/.agentfs/control/scope"), what="the new policy")
        put(p + "/locked", "x")
        fails(errno.EACCES, put, p + "/other", "x")
    finally:
        s.stop()


def test_reload__a_role_that_is_gone_keeps_its_policy(tmp):
    need_root()
    expect_log("the policy of agent 'a1' stays as it was: no role 'extra'")
    s = system_with(tmp, "roles: {extra: {write: ['*', '!no']}}\n")
    try:
        p = s.create("a1", "--role", "extra")
        configure(s, "iron: [locked]\n")
        s.ctl("policy", "reload")
        put(p + "/locked", "x")
        fails(errno.EACCES, put, p + "/no", "x")
    finally:
        s.stop()


def test_reload__is_roots_in_the_system_daemon(tmp):
    need_root()
    s = system_with(tmp, "")
    try:
        os.chmod(s.run_dir, 0o755)
        os.chmod(s.socket, 0o666)
        s.refused("Denied", "policy", "reload", uid=OTHER_UID, says="root")
    finally:
        s.stop()


def test_create__takes_a_number_for_a_user(tmp):
    need_root()
    s = system_with(tmp, "")
    try:
        p = s.create("a1", "--user", "4711")
        st = os.stat(p + "/README")
        equal((st.st_uid, st.st_gid), (4711, 4711))
        q = s.create("b1", "--user", "0")
        equal((os.stat(q + "/README").st_uid, os.stat(q + "/README").st_gid), (0, 0))
        equal(in_child(lambda: put(p + "/mine", "x"), uid=4711), 0)
        again = s.ctl("create", "a1", "--repo", s.repo, "--user", "4711").stdout
        assert "already there" in again, again
        for bad in ("4294967295", "99999999999", "-1", "12x", "nobody-here"):
            s.refused("NotFound", "create", "c1", "--repo", s.repo, f"--user={bad}", says=bad)
    finally:
        s.stop()


main()
