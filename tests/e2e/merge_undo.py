#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merge explain and merge undo: what was said of each conflict, and a merge taken back."""
import os

from harness import *
from merging import *
import tree


def versions(system):
    """Merge 2 is one that resolver `version` resolved."""
    start(system, setup__toml=VERSIONS, list__txt=LINES)
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.4"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.3.0"), list__txt=LINES.replace("line 9", "LINE 9"))
    merged(system, "a1")
    equal(merged(system, "b1")["merge"], 2)


def test_undo__takes_the_merge_back_and_counts_as_wrong(system):
    versions(system)
    tip = system.git("rev-parse", "main")
    message = system.git("log", "-1", "--format=%B")
    assert f"\nJournal: {system.view('b1')['id']} 1-" in message, message
    said = system.json("merge", "undo", "2")
    equal(get(os.path.join(system.repo, "setup.toml")), VERSIONS.replace("1.2.3", "1.2.4"))
    equal(get(os.path.join(system.repo, "list.txt")), LINES)
    equal(system.git("status", "--porcelain"), "")
    equal(system.git("rev-parse", "main"), said["commit"])
    equal(system.git("rev-parse", "main^"), tip)
    message = system.git("log", "-1", "--format=%B")
    assert message.startswith("Undo merge of b1 into main") and tip in message, message
    equal(sorted(c["path"] for c in said["changes"]), ["list.txt", "setup.toml"])
    explained = system.json("merge", "explain", "2")
    equal(explained["record"]["state"], "undone")
    equal([(s["name"], s["taken"], s["verdict"]) for s in explained["hunks"][0]["said"] if s["taken"]], [("version", True, "wrong")])
    system.refused("Invalid", "merge", "undo", "2", says="merge 2 was undone already")


def test_undo__what_came_later_stays(system):
    versions(system)
    start(system, list__txt=LINES.replace("line 9", "LINE 9").replace("line 2\n", "line 2b\n"), other="new\n")
    text = system.ctl("merge", "undo", "2").stdout
    assert "undone" in text and "list.txt" in text, text
    equal(get(os.path.join(system.repo, "list.txt")), LINES.replace("line 2\n", "line 2b\n"))
    equal(get(os.path.join(system.repo, "other")), "new\n")


def test_undo__is_refused_where_the_lines_were_changed_again(system):
    versions(system)
    start(system, list__txt=LINES.replace("line 9", "line nine"))
    before, tip = tree.picture(system.repo), system.git("rev-parse", "main")
    system.refused("Conflict", "merge", "undo", "2", says=("merge 2", "'list.txt'"))
    equal(tree.differences(before, tree.picture(system.repo)), [])
    equal(system.git("rev-parse", "main"), tip)
    equal(system.json("merge", "history")["merges"][0]["state"], "merged")


def test_undo__a_fast_forward_and_a_squash(system):
    start(system, list__txt=LINES)
    changed(system, "a1", list__txt=LINES.replace("line 3\n", "LINE 3\n"))
    equal(merged(system, "a1")["fast_forward"], True)
    system.ctl("merge", "undo", "1")
    equal(get(os.path.join(system.repo, "list.txt")), LINES)
    changed(system, "b1", list__txt=LINES.replace("line 5\n", "LINE 5\n"))
    start(system, README="another\n")
    number = merged(system, "b1", "--squash")["merge"]
    system.ctl("merge", "undo", str(number))
    equal(get(os.path.join(system.repo, "list.txt")), LINES)
    equal(get(os.path.join(system.repo, "README")), "another\n")


def test_undo__other_refusals_are_one_sentence(system):
    versions(system)
    now = LINES.replace("line 9", "LINE 9")
    changed(system, "c1", list__txt=now.replace("line 1\n", "title\n"))
    start(system, list__txt=now.replace("line 1\n", "label\n"))
    conflict = merged(system, "c1", status=1)
    equal(conflict["state"], "conflict")
    system.refused("Invalid", "merge", "undo", str(conflict["merge"]), says="changed nothing")
    system.refused("NotFound", "merge", "undo", "99", says="there is no merge 99")
    equal(system.ctl("merge", "undo", "x", check=False).returncode, 2)
    put(os.path.join(system.repo, "list.txt"), "somebody is at work here\n")
    system.refused("Dirty", "merge", "undo", "2", says="list.txt")
    equal(get(os.path.join(system.repo, "list.txt")), "somebody is at work here\n")
    system.git("checkout", "-q", "list.txt")
    system.git("revert", "--no-edit", "-m", "1", "HEAD~1")
    system.refused("Invalid", "merge", "undo", "2", says="has nothing of merge 2 left")
    system.git("reset", "-q", "--hard", "HEAD~4")
    system.refused("Invalid", "merge", "undo", "2", says="does not contain what merge 2 made")


def test_explain__shows_what_a_person_kept(system):
    start(system, list__txt=LINES)
    changed(system, "a1", list__txt=LINES.replace("line 7", "OURS 7"))
    view = changed(system, "b1", list__txt=LINES.replace("line 8", "THEIRS 8"))
    merged(system, "a1")
    number = str(merged(system, "b1", status=1)["merge"])
    text = system.ctl("merge", "explain", number).stdout
    for word in ("list.txt:7", "< OURS 7", "> THEIRS 8", "not taken: ", "resolver adjacent", "list.txt: content"):
        assert word in text, text
    system.ctl("materialize", "b1")
    git = lambda *args, check=True: run("git", "-C", view, "-c", "user.name=Ada", "-c", "user.email=a@example.org", *args,
                                        check=check)
    git("merge", system.git("rev-parse", "main"), check=False)
    put(os.path.join(view, "list.txt"), LINES.replace("line 7", "OURS 7").replace("line 8", "THEIRS 8"))
    git("commit", "-qam", "by hand")
    merged(system, "b1")
    text = system.ctl("merge", "explain", number).stdout
    assert "Ada kept (mix, commit " in text and "it was right, by what people made of it" in text, text


main()
