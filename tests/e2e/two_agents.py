#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole way: one repository, two agents, a refusal, the journal, two branches, one merged branch."""
import errno
import os

from harness import *
import repos
import tree


def test_two_agents__to_one_merged_branch(system):
    s = system
    alice, bob = s.create("alice", "--task", "login"), s.create("bob", "--task", "docs", "--scope", "docs/**")
    before = tree.picture(s.repo)

    sh("sed -i 's/return 42/return 43/' src/util.c && echo 'int more(void);' >src/more.h", cwd=alice)
    sh("git add -A && git commit -qm 'util: forty-three'", cwd=alice)
    put(os.path.join(bob, "docs/guide.md"), "# Guide\n\nEins.\nTwo.\nThree.\n")
    os.rename(os.path.join(bob, "docs/deep"), os.path.join(bob, "docs/shallow"))

    fails(errno.EACCES, put, os.path.join(bob, "src/util.c"), "bob was here")
    equal(get(os.path.join(bob, "src/util.c")), get(os.path.join(s.repo, "src/util.c")), "bob's view of alice's file")
    why = s.ctl("why", "bob", "src/util.c").stdout
    assert "scope" in why and "docs/**" in why, why
    denied = s.records("bob", "--result", "denied")
    assert [r for r in denied if r["path"] == "src/util.c"], denied
    assert all(r["result"] == "ok" for r in s.records("alice", "--result", "ok"))
    assert [r for r in s.records("alice") if "src/util.c" in (r.get("path"), r.get("to"))]

    for agent in ("alice", "bob"):
        done = s.json("materialize", agent)
        assert done["commit"] and done["branch"].startswith(f"agents/{agent}/"), done
    equal(s.git("log", "-1", "--format=%s", "agents/alice/login"), "util: forty-three")
    equal(s.git("log", "-1", "--format=%an <%ae>", "agents/bob/docs"), "bob <bob@agentfs.invalid>")
    names = s.git("diff", "--name-status", "-M", "main", "agents/bob/docs").split("\n")
    equal(sorted(names), ["M\tdocs/guide.md", "R100\tdocs/deep/er/still/file.txt\tdocs/shallow/er/still/file.txt"])
    equal(tree.differences(before, tree.picture(s.repo)), [], "the repository's worktree before merging")

    first = s.json("merge", "alice")["merges"][0]
    equal((first["state"], first["fast_forward"]), ("merged", True))
    second = s.json("merge", "bob")["merges"][0]
    equal((second["state"], second["fast_forward"]), ("merged", False))
    equal(s.git("status", "--porcelain"), "", "the checked-out target after the merge")
    equal(get(os.path.join(s.repo, "docs/guide.md")).split("\n")[2], "Eins.")
    assert "return 43" in get(os.path.join(s.repo, "src/util.c"))
    equal(len(s.git("log", "-1", "--format=%P").split()), 2, "parents of the merge commit")
    equal(s.git("fsck", "--strict", "--no-dangling"), "")

    s.ctl("destroy", "alice")
    s.ctl("destroy", "bob")
    equal(s.views(), [])
    equal(os.listdir(s.mounts), [])
    equal(s.git("for-each-ref", "refs/agentfs"), "", "refs left of views whose work is merged")


def test_isolation__agents_do_not_see_each_other(system):
    a, b = system.create("a1"), system.create("b1")
    put(os.path.join(a, "README"), "a's")
    put(os.path.join(b, "README"), "b's")
    equal((get(os.path.join(a, "README")), get(os.path.join(b, "README"))), ("a's", "b's"))
    sh("git add -A; git commit -qm x; git branch other", cwd=a)
    equal(sh("git branch --format='%(refname:short)'", cwd=b).stdout.strip(), "agents/b1/work")
    fails(errno.ENOENT, os.stat, os.path.join(b, ".git/refs/heads/other"))
    hook = os.path.join(system.repo, ".git/hooks/pre-commit")
    put(hook, "#!/bin/sh\necho ran >%s/hook-ran\nexit 1\n" % system.folder)
    os.chmod(hook, 0o755)
    put(os.path.join(b, "new"), "x")
    sh("git add -A; git commit -qm y", cwd=b)
    system.ctl("materialize", "b1")
    assert not os.path.exists(system.folder + "/hook-ran"), "a hook of the repository ran"


def test_create__again_says_so(system):
    system.create("a1", "--task", "t")
    done = system.json("create", "a1", "--task", "t", "--repo", system.repo)
    equal(done["created"], False)
    system.refused("NameTaken", "create", "a1", "--task", "other", "--repo", system.repo, says="a1")


def test_list_show_path_diff_log(system):
    p = system.create("a1", "--role", "builder")
    put(os.path.join(p, "src/new.c"), "int x;\n")
    os.unlink(os.path.join(p, "empty"))
    equal(system.ctl("path", "a1").stdout.strip(), p)
    assert "a1" in system.ctl("list").stdout
    same = lambda *args, **kw: [line for line in system.ctl("show", *args, **kw).stdout.splitlines() if " ago" not in line]
    equal(same(cwd=p), same("a1"), "the view of the current folder")
    assert len(same("a1")) > 10
    equal(system.ctl("diff", "a1", "--name-status").stdout.split(), ["D", "empty", "A", "src/new.c"])
    assert "+int x;" in system.ctl("diff", "a1").stdout
    v = system.view("a1")
    equal((v["state"], v["changed"], v["branch"]), ("live", 2, "agents/a1/work"))
    sh("git add -A; git commit -qm 'mine'", cwd=p)
    system.ctl("materialize", "a1")
    assert "mine" in system.ctl("log", "a1").stdout


def test_next__keeps_the_old_branch(system):
    p = system.create("a1", "--task", "one")
    put(os.path.join(p, "one"), "1")
    system.ctl("next", "a1", "--task", "two")
    put(os.path.join(p, "two"), "2")
    system.ctl("materialize", "a1")
    names = lambda b: system.git("ls-tree", "-r", "--name-only", b).split("\n")
    assert "one" in names("agents/a1/one") and "two" not in names("agents/a1/one")
    assert "one" in names("agents/a1/two") and "two" in names("agents/a1/two")
    equal(sh("git branch --show-current", cwd=p).stdout.strip(), "agents/a1/two")


def test_apply__into_the_worktree_uncommitted(system):
    p = system.create("a1")
    put(os.path.join(p, "README"), "applied\n")
    system.ctl("apply", "a1")
    equal(get(os.path.join(system.repo, "README")), "applied\n")
    equal(system.git("status", "--porcelain").split(), ["M", "README"])


def test_brief_and_policy_check(system):
    system.create("a1", "--role", "scout")
    assert "scout" in system.ctl("brief", "a1").stdout
    done = system.ctl("policy", "check", "a1", "write", "README", check=False)
    equal(done.returncode, 1, "exit status of a check that says no")
    assert "scout" in done.stdout, done.stdout
    fails(errno.EROFS, put, system.path("a1", "README"), "x") if ROOT else None


def test_apply__from_within_a_view_goes_to_the_main_worktree(system):
    p, q = system.create("a1"), system.create("b1", "--git", "worktree")
    for i, where in enumerate((p, q)):
        put(os.path.join(p, f"new{i}"), "x\n")
        done = system.ctl("apply", "a1", cwd=where)
        assert system.repo in done.stderr, done.stderr
        assert os.path.exists(os.path.join(system.repo, f"new{i}"))
        os.unlink(os.path.join(system.repo, f"new{i}"))
        if i == 0:
            system.ctl("next", "a1", "--task", "two")
    assert not os.path.exists(os.path.join(q, "new1")), "a view was changed"


def test_doctor__names_what_is_missing(system):
    done = system.json("doctor")
    assert done["checks"] and all(c["state"] in ("ok", "warning", "problem") for c in done["checks"]), done
    assert all(c.get("remedy") for c in done["checks"] if c["state"] == "problem"), done


def test_introspection__is_varlink(system):
    import json
    import socket
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(system.socket)
        c.sendall(b'{"method":"org.varlink.service.GetInterfaceDescription",'
                  b'"parameters":{"interface":"org.agentfs"}}\0')
        data = b""
        while not data.endswith(b"\0"):
            data += c.recv(65536)
    text = json.loads(data[:-1])["parameters"]["description"]
    assert "interface org.agentfs" in text and "method Create(" in text


main()
