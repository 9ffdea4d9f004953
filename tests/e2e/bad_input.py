#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad input, and what it gets: one sentence, the right error, nothing changed, the daemon unharmed."""
import errno
import os
import socket

from harness import *
import daemon
import repos

INVALID = ("Invalid", "NotFound", "Unsupported")


def unchanged(system, function):
    """Runs function; afterwards no view, no mount, no ref of ours and no branch is there that was not."""
    look = lambda: (system.views(), system.mounted(), system.git("for-each-ref"), sorted(os.listdir(system.mounts)))
    before = look()
    function()
    equal(look(), before, "what a refused command leaves")


def test_unknown__agent_role_revision_repository(system):
    s = system
    def all_of_them():
        s.refused("NotFound", "show", "nobody", says="nobody")
        for command in ("materialize", "diff", "log", "destroy", "rollback", "why", "brief", "path", "merge"):
            s.refused(("NotFound", "Invalid"), command, "nobody", says="nobody")
        s.refused(INVALID, "create", "a1", "--repo", s.repo, "--role", "emperor", says="emperor")
        s.refused("NotFound", "create", "a1", "--repo", s.repo, "--base", "no-such-rev", says="no-such-rev")
        s.refused("NotFound", "create", "a1", "--repo", s.mounts, says=s.mounts)
        s.refused(INVALID, "create", "a1", "--repo", s.folder + "/nowhere", says="nowhere")
        s.refused(INVALID if ROOT else "Denied", "create", "a1", "--repo", s.repo, "--user", "nobody-of-that-name",
                  says="nobody-of-that-name")
    unchanged(s, all_of_them)


def test_usage__wrong_words_are_named_and_exit_2(system):
    for args, word in ((("frobnicate",), "frobnicate"), (("create",), "AGENT"), (("create", "a1", "--frob"), "frob"),
                       (("merge", "--into"), "into"), (("policy", "check", "a1"), "")):
        done = system.ctl(*args, check=False)
        equal(done.returncode, 2, args)
        assert word in done.stderr and done.stdout == "", (args, done.stderr)
        assert len(done.stderr.strip().split("\n")) <= 2, done.stderr


def test_names__reserved_taken_or_no_ref(system):
    s = system
    s.create("taken")
    def bad():
        for name in ("-x", ".hidden", "a b", "a/b", "x" * 65, "a..b", "a.lock", "ü", ""):
            done = s.ctl("--json", "create", "--repo", s.repo, "--", name, check=False)
            assert done.returncode in (1, 2), (name, done.returncode, done.stderr)
        for name in ("list", "create", "policy", "check"):
            done = s.ctl("create", name, "--repo", s.repo, check=False)
            assert done.returncode in (1, 2), (name, done.stderr)
        for task in ("a..b", "x.lock", "a b", "-x"):
            done = s.ctl("create", "a1", "--repo", s.repo, f"--task={task}", check=False)
            assert done.returncode in (1, 2), (task, done.stderr)
        s.refused("NameTaken", "create", "taken", "--repo", s.repo, "--task", "more", says="taken")
    unchanged(s, bad)


def test_branch__elsewhere_is_not_taken_over(system):
    s = system
    s.git("checkout", "-q", "-b", "agents/a1/work")
    repos.commit(s.repo, {"else": "x"})
    tip = s.git("rev-parse", "HEAD")
    s.git("checkout", "-q", "main")
    e = s.refused(("NameTaken", "BranchElsewhere"), "create", "a1", "--repo", s.repo, says="agents/a1/work")
    assert "--task" in e["message"] + (e.get("remedy") or ""), e
    equal(s.git("rev-parse", "agents/a1/work"), tip)


def test_pattern__bad_ones(system):
    for pattern in ("", "/", "a\nb"):
        system.refused(("Invalid", "Usage"), "create", "a1", "--repo", system.repo, "--scope", pattern,
                       status=2 if not pattern else 1)
    equal(system.views(), [])


def test_mount_point__where_none_may_be(system):
    s = system
    full = os.path.join(s.folder, "full")
    os.mkdir(full)
    put(full + "/x", "")
    s.create("first")
    def bad():
        s.refused(None, "create", "a1", "--repo", s.repo, "--mount", full, says="full")
        s.refused(None, "create", "a1", "--repo", s.repo, "--mount", s.repo + "/inside")
        s.refused(None, "create", "a1", "--repo", s.repo, "--mount", s.path("first"))
        s.refused(None, "create", "a1", "--repo", s.repo, "--mount", s.path("first", "docs"))
    unchanged(s, bad)
    equal(os.listdir(full), ["x"])
    assert not os.path.exists(s.repo + "/inside")
    s.ctl("create", "a2", "--repo", s.repo, "--mount", s.repo + "/build/view")  # .gitignore has /build/
    equal(get(s.repo + "/build/view/README"), "hello world\n")
    equal(s.git("status", "--porcelain"), "")


def test_repository__bare_works(system):
    bare = os.path.join(system.folder, "bare.git")
    run("git", "clone", "-q", "--bare", system.repo, bare)
    system.ctl("create", "a1", "--repo", bare)
    put(system.path("a1", "new"), "x\n")
    system.ctl("merge", "a1")
    equal(repos.git(bare, "show", "main:new"), "x")


def test_repository__shallow_works(system):
    repos.commit(system.repo, {"second": "x"})
    shallow = os.path.join(system.folder, "shallow")
    run("git", "clone", "-q", "--depth", "1", "file://" + system.repo, shallow)
    system.ctl("create", "a1", "--repo", shallow)
    put(system.path("a1", "new"), "x\n")
    sh("git add -A; git commit -qm x; git log --oneline", cwd=system.path("a1"))
    system.ctl("materialize", "a1")
    equal(repos.git(shallow, "show", "agents/a1/work:new"), "x")


def test_repository__partial_names_what_is_not_fetched(system):
    partial = os.path.join(system.folder, "partial")
    system.git("config", "uploadpack.allowFilter", "true")
    run("git", "clone", "-q", "--no-checkout", "--filter=blob:none", "file://" + system.repo, partial)
    e = system.refused("NotFetched", "create", "a1", "--repo", partial)
    assert "fetch" in (e["message"] + (e.get("remedy") or "")), e


def test_repository__sha256_is_unsupported(system):
    other = os.path.join(system.folder, "sha256")
    run("git", "init", "-q", "--object-format=sha256", other)
    repos.git(other, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    system.refused("Unsupported", "create", "a1", "--repo", other, says="sha256")


def test_repository__empty_is_one_sentence(system):
    empty = os.path.join(system.folder, "empty")
    run("git", "init", "-q", empty)
    system.refused(None, "create", "a1", "--repo", empty, says="commit")


def test_repository__with_a_submodule_works_and_says_so(system):
    run("git", "-c", "protocol.file.allow=always", "-C", system.repo, "submodule", "-q", "add", system.repo, "sub")
    system.git("commit", "-qm", "sub")
    done = system.ctl("create", "a1", "--repo", system.repo)
    equal(os.listdir(system.path("a1", "sub")), [])
    assert "submodule" in done.stdout + done.stderr
    put(system.path("a1", "new"), "x\n")
    system.ctl("merge", "a1")
    assert system.git("ls-tree", "main", "sub").startswith("160000 commit")


def test_repository__gc_meanwhile(system):
    for i in range(30):
        repos.commit(system.repo, {f"f{i}": f"{i}\n"})
    p = system.create("a1")
    system.git("gc", "-q", "--prune=now")
    equal(get(os.path.join(p, "f7")), "7\n")
    put(os.path.join(p, "f7"), "changed\n")
    system.ctl("merge", "a1")
    equal(get(os.path.join(system.repo, "f7")), "changed\n")


def test_config__unknown_key_is_refused_with_its_place(tmp):
    s = daemon.System(tmp, config="branch: \"x/{agent}/{task}\"\nrols:\n  builder: {}\n")
    expect_log("agentfs.yaml")
    done = run(*s.command(), check=False, timeout=30)
    equal(done.returncode == 0, False)
    said = done.stdout + done.stderr
    assert "agentfs.yaml:2" in said and "rols" in said and "roles" in said, said


def test_config__is_used(tmp):
    s = daemon.System(tmp, config='branch: "overstory/{agent}/{task}"\niron: ["secret/**"]\n').start()
    try:
        p = s.create("a1", "--task", "t")
        equal(s.view("a1")["branch"], "overstory/a1/t")
        fails(errno.EACCES, lambda: (os.mkdir(p + "/secret"), put(p + "/secret/x", "")))
    finally:
        s.stop()


def test_socket__of_nobody_exits_3(system):
    done = run(program("agentfsctl"), "--socket", system.folder + "/none.sock", "list", check=False)
    equal(done.returncode, 3)
    assert "none.sock" in done.stderr and len(done.stderr.strip().split("\n")) <= 2, done.stderr


def test_protocol__garbage_harms_nobody(system):
    for data in (b"\0", b"garbage\0", b"{}\0", b"[" * 100000 + b"\0", b'{"method": 5}\0', b"x" * 5_000_000,
                 b'{"method":"org.agentfs.Create","parameters":{"agent":{}}}\0', os.urandom(4096) + b"\0"):
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(system.socket)
            c.settimeout(10)
            try:
                c.sendall(data)
                c.recv(65536) if data.endswith(b"\0") else None
            except OSError:
                pass
    equal(system.views(), [])


def test_disk__full_is_enospc_and_the_view_stays_usable(tmp):
    """The state folder on a small file system of its own."""
    need_root()
    import views
    small = os.path.join(tmp, "small")
    os.mkdir(small)
    if run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small, check=False).returncode:
        raise Skip("SKIP-KERNEL: tmpfs cannot be mounted here", kernel=True)
    expect_log("No space left")
    try:
        v = views.View(small, repo=repos.make(tmp + "/repo")).start()
        try:
            wrote = 0
            def fill():
                nonlocal wrote
                with open(v.path("big"), "wb", buffering=0) as f:
                    while True:
                        wrote += f.write(b"x" * 65536)
            equal(fails(errno.ENOSPC, fill).errno, errno.ENOSPC)
            assert wrote > 1 << 20, wrote
            equal(os.path.getsize(v.path("big")), wrote, "size after ENOSPC")
            equal(get(v.path("README")), "hello world\n")
            os.unlink(v.path("empty"))
            v.restart()
            equal(os.path.getsize(v.path("big")), wrote, "size after a restart")
            assert not os.path.exists(v.path("empty"))
        finally:
            v.stop()
    finally:
        run("umount", "-l", small)


def test_journal__truncated_or_damaged(tmp):
    """A torn tail is cut and told; damage of what was synced is refused and told; never silent."""
    import views
    v = views.View(tmp).start()
    put(v.path("synced"), "one")
    fd = os.open(v.path("synced"), os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
    put(v.path("later"), "two")  # its record says what was durable by then
    v.kill()
    journal = os.path.join(v.dir, "journal")
    segments = sorted(os.listdir(journal))
    name = next(os.path.join(journal, n) for n in segments if b"synced" in get(os.path.join(journal, n), "rb"))
    data = bytearray(get(name, "rb"))
    whole = bytes(data)
    run("rm", "-rf", os.path.join(v.dir, "checkpoint"))
    os.mkdir(os.path.join(v.dir, "checkpoint"))
    at = data.find(b"synced")
    data[at] ^= 0x20
    put(name, bytes(data))
    expect_log(r"error: ")
    expect_log(r"warning: ")
    try:
        v.start()
    except AssertionError as e:
        assert "journal" in str(e) or "record" in str(e), e
    else:
        shown = os.path.exists(v.path("synced"))
        v.stop()
        raise AssertionError(f"damage below the durable point was taken (the file is {'' if shown else 'not '}there)")
    put(name, whole)
    v.start()
    equal(get(v.path("synced")), "one")
    v.stop()


main()
