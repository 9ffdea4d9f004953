#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The radar: open views that work on the same are found while they work, told once, and seen in list."""
import json
import os
import re
import subprocess

from harness import *
from merging import start

CODE = ("int one(int a)\n{\n\tint x = a;\n\n\treturn x;\n}\n"
        "\nint two(int b)\n{\n\treturn b;\n}\n")


def overlaps(system, *args):
    return system.json("radar", *args)["overlaps"]


def told(system, *args):
    return [(o["kind"], o["path"], sorted(o["agents"])) for o in overlaps(system, *args)]


def test_radar__lines_declarations_and_files_are_told_apart(system):
    start(system, a__c=CODE, v__toml='version = "1.0.0"\n')
    a, b, c = (system.create(n) for n in ("a1", "b1", "c1"))
    equal(overlaps(system), [])
    put(a + "/a.c", CODE.replace("int x = a;", "int x = a + 1;"))
    equal(overlaps(system), [], "one alone overlaps nobody")
    put(b + "/a.c", CODE.replace("return x;", "return -x;"))
    put(c + "/a.c", CODE.replace("return b;", "return b + 1;"))
    equal(told(system), [("declaration", "a.c", ["a1", "b1"]), ("file", "a.c", ["a1", "c1"]),
                         ("file", "a.c", ["b1", "c1"])])
    place = overlaps(system)[0]["places"][0]
    equal(place["declaration"], "int one(int a)")
    equal((place["first"]["from"], place["second"]["from"]), (3, 5))
    put(c + "/a.c", CODE.replace("int x = a;", "int x = 7;"))
    found = overlaps(system, "c1")
    equal([(o["kind"], o.get("tier"), sorted(o["agents"])) for o in found],
          [("lines", None, ["a1", "c1"]), ("declaration", "clean-merge", ["b1", "c1"])])
    # What the radar says is what a merge does.
    system.ctl("merge", "a1")
    equal(system.ctl("merge", "c1", check=False).returncode, 1)
    system.ctl("merge", "b1")


def test_radar__a_rule_that_would_resolve_it_is_named_with_its_record(system):
    start(system, v__toml='name = "x"\nversion = "1.0.0"\nend\n')
    put(system.create("a1") + "/v.toml", 'name = "x"\nversion = "1.0.1"\nend\n')
    put(system.create("b1") + "/v.toml", 'name = "x"\nversion = "1.1.0"\nend\n')
    o = overlaps(system)[0]
    equal((o["kind"], o["tier"]), ("lines", "auto-resolve"))
    assert 0.8 < o["clean"] < 1, o
    out = system.ctl("radar").stdout
    assert "the same lines: a rule resolves it" in out and "lines a1 2, b1 2" in out, out


def test_radar__commits_deletions_binary_and_symlinks(system):
    start(system, gone__c=CODE, bin__dat="text\n", link__txt="text\n")
    a, b = system.create("a1"), system.create("b1")
    os.unlink(a + "/gone.c")
    put(b + "/gone.c", CODE + "int three;\n")
    put(a + "/bin.dat", b"\0one")
    put(b + "/bin.dat", b"\0two")
    os.unlink(a + "/link.txt")
    os.symlink("elsewhere", a + "/link.txt")
    put(b + "/link.txt", "other\n")
    put(a + "/both.txt", "mine\n")
    put(b + "/both.txt", "yours\n")
    put(a + "/same.txt", "same\n")
    put(b + "/same.txt", "same\n")
    run("git", "-C", a, "add", "-A")
    run("git", "-C", a, "-c", "user.name=a", "-c", "user.email=a@b.invalid", "commit", "-qm", "all of it")
    equal(sorted(told(system)), [("binary", "bin.dat", ["a1", "b1"]), ("deleted", "gone.c", ["a1", "b1"]),
                                 ("lines", "both.txt", ["a1", "b1"]), ("type", "link.txt", ["a1", "b1"])])
    os.unlink(b + "/both.txt")
    equal(len(overlaps(system)), 3, "what was taken back overlaps no more")
    system.ctl("destroy", "a1")
    equal(overlaps(system), [], "a view that is gone overlaps nobody")


def test_radar__a_name_that_one_removes_and_another_newly_uses(system):
    """No comparison of lines sees it: the merge has no conflict and breaks."""
    folder = os.path.join(BUILD, "grammars")
    if not os.path.exists(folder):
        raise Skip(f"needs the grammars: run tools/grammars {folder}")
    start(system, a__c="int old_name(int x)\n{\n\treturn x;\n}\n\nint kept(int x)\n{\n\treturn x;\n}\n",
          b__c="int b;\n", c__c="int c;\n")
    a, b = system.create("a1"), system.create("b1")
    put(a + "/a.c", "int new_name(int x)\n{\n\treturn x;\n}\n\nint kept(int x, long y)\n{\n\treturn x;\n}\n")
    put(b + "/b.c", "int b;\n\nint f(void)\n{\n\treturn old_name(1) + kept(2);\n}\n")
    found = [(o["kind"], o["path"], o["agents"], o["name"], o["declared_in"], o["changed"]) for o in overlaps(system)]
    equal(sorted(found), [("use", "b.c", ["a1", "b1"], "kept", "a.c", True),
                          ("use", "b.c", ["a1", "b1"], "old_name", "a.c", False)])
    out = system.ctl("radar").stdout
    assert "b.c:5  b1 newly uses old_name, which a1 removes (a.c): merges by line, and breaks" in out, out
    system.ctl("merge", "a1")
    said = system.json("merge", "b1", "--dry-run")["merges"][0]
    assert any("which this view newly uses in b.c" in n for n in said["notes"]), said["notes"]
    mail = system.json("mail", "list", "b1")["mails"]
    assert [m["payload"]["kind"] for m in mail if m["type"] == "overlap"] == ["use", "use"], mail
    # A declaration that only moved is not gone.
    put(a + "/a.c", "int kept(int x)\n{\n\treturn x;\n}\n")
    put(a + "/c.c", "int c;\n\nint old_name(int x)\n{\n\treturn x;\n}\n")
    equal(overlaps(system), [])


def test_radar__ignored_files_of_two_views_do_not_count(system):
    start(system, __gitignore="*.o\n")
    a, b = system.create("a1"), system.create("b1")
    put(a + "/x.o", "one\n")
    put(b + "/x.o", "two\n")
    equal(overlaps(system), [])


def test_radar__views_on_different_bases(system):
    start(system, a__c=CODE)
    put(system.create("a1") + "/a.c", CODE.replace("int x = a;", "int x = a + 1;"))
    put(system.repo + "/a.c", CODE + "\nint three;\n")
    system.git("commit", "-qam", "meanwhile")
    put(system.create("b1") + "/a.c", CODE.replace("return b;", "return 2 * b;") + "\nint three;\n")
    equal(told(system), [("file", "a.c", ["a1", "b1"])])
    put(system.path("b1") + "/a.c", CODE.replace("int x = a;", "int x = a - 1;") + "\nint three;\n")
    equal(told(system), [("lines", "a.c", ["a1", "b1"])])


def listen(system):
    return subprocess.Popen([program("agentfsctl"), "--socket", system.socket, "--json", "events", "-f"],
                            stdout=subprocess.PIPE, text=True)


def test_radar__tells_both_once_by_itself_also_over_a_restart(tmp):
    from daemon import System
    s = System(tmp, config="radar: {every: 1}\n").start()
    try:
        start(s, a__c=CODE)
        a, b = s.create("a1"), s.create("b1")
        events = listen(s)
        try:
            put(a + "/a.c", CODE.replace("int x = a;", "int x = 1;"))
            put(b + "/a.c", CODE.replace("int x = a;", "int x = 2;"))
            heard = []
            while len(heard) < 2:
                e = json.loads(events.stdout.readline())
                e = e.get("event", e)
                if e["type"] == "overlap":
                    heard.append((e["agent"], e["text"]))
        finally:
            events.terminate()
            events.wait()
        equal(sorted(heard), [
            ("a1", "b1 changes a.c (int one(int a)) too: the same lines, which conflict"),
            ("b1", "a1 changes a.c (int one(int a)) too: the same lines, which conflict")])
        wait_for(lambda: s.view("a1").get("overlaps") == 1, what="list counts it")
        s.restart()
        events = listen(s)
        try:
            put(b + "/a.c", CODE.replace("int x = a;", "int x = 3;"))
            wait_for(lambda: s.view("b1").get("overlaps") == 1, what="the radar looked again")
            put(b + "/other.c", "x\n")
            put(a + "/other.c", "y\n")
            e = {}
            while e.get("type") != "overlap":
                e = json.loads(events.stdout.readline())
                e = e.get("event", e)
            assert "other.c" in e["text"], f"what was told once is told again: {e}"
        finally:
            events.terminate()
            events.wait()
    finally:
        s.stop()


def test_radar__watch_prints_what_comes_and_goes(system):
    start(system, a__c=CODE)
    a, b = system.create("a1"), system.create("b1")
    put(a + "/a.c", CODE.replace("int x = a;", "int x = 1;"))
    p = subprocess.Popen([program("agentfsctl"), "--socket", system.socket, "--json", "radar", "--watch", "--repo",
                          system.repo], stdout=subprocess.PIPE, text=True)
    try:
        put(b + "/a.c", CODE.replace("int x = a;", "int x = 2;"))
        first = json.loads(p.stdout.readline())
        equal((first["change"], first["kind"], first["path"]), ("new", "lines", "a.c"))
        put(b + "/a.c", CODE)
        second = json.loads(p.stdout.readline())
        equal((second["change"], second["path"]), ("gone", "a.c"))
    finally:
        p.terminate()
        p.wait()


def test_radar__bad_input_is_one_sentence(system, tmp):
    system.refused("NotFound", "radar", "nobody", says="nobody")
    system.refused("NotFound", "radar", "--repo", tmp, says=tmp)


def test_radar__configuration_is_strict(tmp):
    from daemon import System
    for text, says in [("radar: {often: 1}\n", "unknown key 'often'"), ("radar: {every: -1}\n", "every is"),
                       ("radar: {every: 5s}\n", "every is"), ("radar: [1]\n", "map")]:
        expect_log(re.escape("agentfs.yaml:1:"))
        s = System(os.path.join(tmp, "x"), config=text)
        done = run(*s.command(), check=False)
        assert done.returncode != 0 and says in done.stderr, done.stderr
        equal(done.stderr.strip().count("\n"), 0, done.stderr)


main()
