#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Commands against the real daemon: what they say, and that each option does what the help says."""
import errno
import os

from harness import *


def test_create__again_with_other_options_is_refused(system):
    s = system
    s.ctl("create", "a1", "--repo", s.repo, "--scope", "src/", "--scope", "docs/")
    before = s.view("a1")
    for option, value in (("--role", "scout"), ("--scope", "other/"), ("--mount", s.folder + "/elsewhere"),
                          ("--git", "worktree")):
        e = s.refused("NameTaken", "create", "a1", "--repo", s.repo, option, value, says=("a1", value, option[2:]))
        assert "destroy a1" in e["remedy"], e
    equal({k: v for k, v in s.view("a1").items() if k != "bytes"}, {k: v for k, v in before.items() if k != "bytes"})
    for same in ((), ("--role", "builder"), ("--scope", "src/", "--scope", "docs/"), ("--mount", s.path("a1"))):
        done = s.ctl("create", "a1", "--repo", s.repo, *same)
        assert "already there" in done.stdout and done.stderr == "", (same, done.stdout, done.stderr)


def test_audit__every_filter_filters(system):
    s = system
    opened = "truncate" if ROOT else "open"  # whom mode bits stop is refused by the kernel, at open
    p = s.create("a1")
    q = s.create("b1")
    put(p + "/new", "x\n")
    os.rename(p + "/new", p + "/newer")
    fails(errno.EACCES, put, p + "/SPRINT.md", "x")
    put(q + "/other", "y\n")
    def paths(*args):
        return [(r["op"], r.get("to") or r["path"]) for r in s.json("audit", *args)["records"] if "op" in r]
    assert ("write", "new") in paths("a1") and ("write", "other") not in paths("a1")
    assert ("write", "other") in paths()
    equal(paths("a1", "--op", "rename"), [("rename", "newer")])
    equal({op for op, _ in paths("--op", "write,rename")}, {"write", "rename"})
    equal(paths("--result", "denied"), [(opened, "SPRINT.md")])
    equal(paths("--result", "failed"), [])
    equal({path for _, path in paths("--path", "othe*")}, {"other"})
    equal(paths("--rule", "SPRINT"), [(opened, "SPRINT.md")])
    equal({path for _, path in paths("-g", "^othe")}, {"other"})
    equal(len(paths("a1", "-n", "1")), 1)
    equal(paths("a1", "-r"), paths("a1")[::-1])
    equal(paths("--since", "1h"), paths())
    equal(paths("--until", "1h"), [])
    equal(paths("--pid", str(os.getpid())), paths())
    equal(paths("--pid", "1"), [])
    assert not any(path.startswith(".git") for _, path in paths())
    assert any(path.startswith(".git") for _, path in paths("--git"))
    cursor = os.path.join(s.folder, "cursor")
    assert paths("--cursor-file", cursor)
    put(p + "/later", "")
    equal(paths("--cursor-file", cursor), [("mknod", "later")])
    e = s.refused("Invalid", "audit", "--op", "frobnicate", says="frobnicate")
    assert "rename" in e["message"], e


def test_audit__control_has_each_call_and_its_end(system):
    s = system
    s.create("a1")
    s.refused("NameTaken", "create", "a1", "--repo", s.repo, "--task", "more")
    records = [r for r in s.json("audit", "--control")["records"] if r["op"] == "Create"]
    begun = [r for r in records if "call" not in r]
    ended = {r["call"]: r for r in records if "call" in r}
    equal(len(begun), 2)
    assert '"task":"more"' in begun[1]["value"], begun
    equal([ended[r["seq"]]["result"] for r in begun], ["ok", "failed"])
    assert "a1" in ended[begun[1]["seq"]]["value"], ended
    lines = s.ctl("audit", "--control", "-o", "short").stdout.splitlines()
    equal(len(lines), len(s.json("audit", "--control")["records"]))


def test_why__says_verdict_rule_and_what_to_do(system):
    s = system
    s.create("a1", "--scope", "src/")
    s.create("b1", "--role", "scout")
    def why(agent, path):
        lines = s.ctl("why", agent, path).stdout.splitlines()
        assert len(lines) <= 2, lines
        return lines
    for agent, path, verdict, rule in (
            ("a1", "src/main.c", "allowed", "write *"), ("a1", "README", "refused", "outside the scope"),
            ("a1", ".agentfs/control/role", "refused", "built in"), ("b1", "README", "refused", "scout")):
        lines = why(agent, path)
        assert lines[0].startswith(verdict) and rule in lines[0], lines
        equal(len(lines), 1 if verdict == "allowed" else 2, lines)


def test_brief__tells_the_rules(system):
    s = system
    for agent, role, has in (("a1", "builder", ("*, !SPRINT.md", "FEATURES.md")), ("b1", "scout", ("write nothing", "EROFS")),
                             ("c1", "reviewer", ("may change no file",)), ("d1", "architect", (".agentfs/plan/",))):
        s.ctl("create", agent, "--repo", s.repo, "--role", role)
        said = s.ctl("brief", agent).stdout
        for word in (role, s.path(agent), f"agents/{agent}/work") + has:
            assert word in said, (word, said)
        assert "may write only" not in said, said
    s.ctl("create", "e1", "--repo", s.repo, "--scope", "src/", "--scope", "docs/*.md")
    assert "may write only src/, docs/*.md. " in s.ctl("brief", "e1").stdout


def test_diff__of_paths(system):
    s = system
    p = s.create("a1")
    put(p + "/one", "1\n")
    put(p + "/src/two", "2\n")
    equal(s.ctl("diff", "a1", "--name-status").stdout.split(), ["A", "one", "A", "src/two"])
    equal(s.ctl("diff", "a1", "--name-status", "src").stdout.split(), ["A", "src/two"])
    equal(s.ctl("diff", "--name-status", "two", cwd=p + "/src").stdout.split(), ["A", "src/two"])
    done = s.ctl("diff", "a1", "nosuch")
    equal(done.stdout, "")
    assert "nosuch" in done.stderr, done.stderr


def test_list__is_of_the_repository_one_stands_in(system):
    import repos
    s = system
    other = repos.make(os.path.join(s.folder, "other"))
    p = s.create("a1")
    s.ctl("create", "b1", "--repo", other)
    linked = os.path.join(s.folder, "linked")
    s.git("worktree", "add", "-q", linked)
    def agents(cwd, *args):
        return [v["agent"] for v in s.json("list", *args, cwd=cwd)["views"]]
    for cwd, want in ((s.repo, ["a1"]), (s.repo + "/src", ["a1"]), (s.repo + "/.git", ["a1"]), (linked, ["a1"]),
                      (p + "/src", ["a1"]), (other, ["b1"]), (s.path("b1"), ["b1"]), (s.state, ["a1", "b1"])):
        equal(sorted(agents(cwd)), want, cwd)
        equal(sorted(agents(cwd, "--all")), ["a1", "b1"])
    equal(agents("/", "--repo", other), ["b1"])


main()
