#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The history of conflicts: what was said of each, what people made of it, and what later merges make of that."""
import os
import sqlite3

from harness import *
from merging import *


def rows(system, sql):
    db = sqlite3.connect(os.path.join(system.state, "agentfs.db"))
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def conflict(system, number, ours="OURS", theirs="THEIRS", line="line 7\n", name="list.txt"):
    """Two agents change the same line; the first is merged, the second conflicts. Returns the second's view."""
    file = os.path.join(system.repo, name)
    first, second = system.create(f"a{number}"), system.create(f"b{number}")
    text = get(file)
    put(os.path.join(first, name), text.replace(line, ours + "\n"))
    put(os.path.join(second, name), text.replace(line, theirs + "\n"))
    merged(system, f"a{number}")
    return second


def resolve_by_hand(system, view, number, kept, name="list.txt"):
    """As `merge` tells it: git merge in the view, mend, commit, merge again."""
    system.ctl("materialize", f"b{number}")
    git = lambda *args, check=True: run("git", "-C", view, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *args,
                                        check=check)
    git("merge", system.git("rev-parse", "main"), check=False)
    put(os.path.join(view, name), kept)
    git("commit", "-qam", "resolved by hand")
    merged(system, f"b{number}")


def test_history__what_a_person_kept_is_offered_again(system):
    start(system, list__txt=LINES)
    view = conflict(system, 1)
    said = merged(system, "b1", status=1)
    hunk = said["conflicts"][0]["hunks"][0]
    equal(len(hunk["key"]), 40)
    equal(rows(system, "SELECT state FROM attempts"), [("open",)])
    resolve_by_hand(system, view, 1, LINES.replace("line 7", "BOTH"))
    equal(get(os.path.join(system.repo, "list.txt")), LINES.replace("line 7", "BOTH"))
    # The same conflict in another file, sides swapped.
    start(system, other__txt="head\nline 7\ntail\n")
    conflict(system, 2, ours="THEIRS", theirs="OURS", name="other.txt")
    said = merged(system, "b2", status=1)
    hunk2 = said["conflicts"][0]["hunks"][0]
    equal(hunk2["key"], hunk["key"])
    offered = [c for c in hunk2["candidates"] if c["resolver"] == "remembered"]
    equal([c["text"] for c in offered], ["BOTH\n"], said)
    equal(rows(system, "SELECT state FROM attempts ORDER BY merge"), [("resolved",), ("open",)])
    equal(rows(system, "SELECT who, name, text, class FROM resolutions WHERE who = 'person'"),
          [("person", "Ada", "BOTH\n", "new")])


def test_history__learn_remembers_what_the_repository_has_seen(system):
    """The same conflict in a merge that was not ours; learned twice it is known once."""
    start(system, list__txt=LINES)
    system.git("checkout", "-qb", "side")
    start(system, list__txt=LINES.replace("line 7", "THEIRS"))
    system.git("checkout", "-q", "main")
    start(system, list__txt=LINES.replace("line 7", "OURS"))
    run("git", "-C", system.repo, "merge", "-q", "side", check=False)
    start(system, list__txt=LINES.replace("line 7", "BOTH"))
    system.ctl("merge", "learn")
    system.ctl("merge", "learn")
    equal(rows(system, "SELECT path, text, who FROM hunks JOIN resolutions ON hunk = hunks.id"), [("list.txt", "BOTH\n", "person")])
    start(system, other__txt="head\nline 7\ntail\n")
    conflict(system, 2, name="other.txt")
    said = merged(system, "b2", status=1)["conflicts"][0]["hunks"][0]
    equal([c["text"] for c in said["candidates"] if c["resolver"] == "remembered"], ["BOTH\n"], said)


def test_history__it_acts_where_its_record_allows_it(tmp):
    """The record that it comes with suffices where a wrong merge costs 2."""
    import daemon
    system = daemon.System(tmp, config="merge: {cost-of-wrong: 2}\n").start()
    try:
        text = "".join(f"head {i}\nline 7\nmiddle {i}\n" for i in range(1, 8))
        start(system, list__txt=text)
        view = conflict(system, 0, line="head 1\nline 7\nmiddle 1\n", ours="head 1\nOURS\nmiddle 1",
                        theirs="head 1\nTHEIRS\nmiddle 1")
        merged(system, "b0", status=1)
        resolve_by_hand(system, view, 0, get(os.path.join(system.repo, "list.txt")).replace("OURS", "BOTH"))
        for i in range(2, 7):
            here = (f"head {i}\nline 7\nmiddle {i}\n", f"head {i}\nOURS\nmiddle {i}", f"head {i}\nTHEIRS\nmiddle {i}")
            view = conflict(system, i, line=here[0], ours=here[1], theirs=here[2])
            said = system.json("merge", f"b{i}", check=False)["merges"][0]
            if said["state"] == "merged":
                break
            resolve_by_hand(system, view, i, get(os.path.join(system.repo, "list.txt")).replace("OURS", "BOTH"))
        equal((i, said["tier"], said["resolved"][0]["conflicts"][0]["resolver"]), (2, "auto-resolve", "remembered"))
        equal(get(os.path.join(system.repo, "list.txt")).count("BOTH"), 2)
    finally:
        system.stop()


def test_history__a_later_correction_counts_as_wrong(system):
    start(system, setup__toml=VERSIONS)
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.4"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.3.0"))
    merged(system, "a1")
    merged(system, "b1")
    equal(rows(system, "SELECT state FROM attempts"), [("watched",)])
    start(system, README="hello\n")
    changed(system, "c1", README="more\n")
    merged(system, "c1")
    equal(rows(system, "SELECT name, verdict FROM resolutions WHERE taken"), [("version", "")], "nobody touched it")
    start(system, setup__toml=VERSIONS.replace("1.2.3", "1.2.4"))
    changed(system, "d1", README="still more\n")
    merged(system, "d1")
    equal(rows(system, "SELECT name, verdict FROM resolutions WHERE taken"), [("version", "wrong")])


def test_history__a_merge_of_concurrent_work_is_no_judgement(system):
    start(system, setup__toml=VERSIONS)
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.4"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.3.0"))
    changed(system, "c1", setup__toml=VERSIONS.replace("1.2.3", "1.4.0"))
    merged(system, "a1")
    merged(system, "b1")
    equal(merged(system, "c1")["tier"], "auto-resolve")  # changes the line that b1's merge resolved, without having known it
    system.ctl("merge", "history")
    equal(rows(system, "SELECT name, verdict FROM resolutions WHERE taken"), [("version", "")] * 2)
    start(system, setup__toml=VERSIONS.replace("1.2.3", "1.2.9"))
    system.ctl("merge", "history")
    equal(rows(system, "SELECT name, verdict FROM resolutions WHERE taken ORDER BY id"), [("version", ""), ("version", "wrong")])


def test_history__what_stands_for_ten_commits_counts_as_right(system):
    start(system, setup__toml=VERSIONS)
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.4"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.3.0"))
    merged(system, "a1")
    fired = merged(system, "b1")["resolved"][0]["conflicts"][0]["fired"]
    for i in range(10):
        start(system, README=f"{i}\n")
    start(system, setup__toml=VERSIONS.replace("1.2.3", "1.4.0"))  # by then it may change
    changed(system, "c1", setup__toml=VERSIONS.replace("1.2.3", "1.5.0"))
    start(system, setup__toml=VERSIONS.replace("1.2.3", "1.4.1"))
    said = merged(system, "c1")
    equal(rows(system, "SELECT name, verdict FROM resolutions WHERE verdict <> ''"), [("version", "right")])
    changed(system, "d1", setup__toml=VERSIONS.replace("1.2.3", "1.7.0"))
    start(system, setup__toml=VERSIONS.replace("1.2.3", "1.6.1"))
    equal(merged(system, "d1")["resolved"][0]["conflicts"][0]["fired"], fired + 1, "the live record counts")


def test_history__branches_and_commits_that_are_gone_end_the_search(system):
    start(system, list__txt=LINES)
    conflict(system, 1)
    merged(system, "b1", status=1)
    system.ctl("rollback", "b1", "--force")
    system.git("checkout", "-q", "--orphan", "fresh")
    system.git("commit", "-qm", "another history")
    system.git("branch", "-qM", "fresh", "main")
    changed(system, "c1", list__txt=LINES + "more\n")
    merged(system, "c1")
    assert rows(system, "SELECT state FROM attempts")[0][0] in ("open", "gone")


def test_history__a_locked_database_refuses_a_merge_in_a_sentence(system):
    """A merge that could not be written down could be lost by a kill: it is not begun."""
    start(system, list__txt=LINES)
    conflict(system, 1)
    db = sqlite3.connect(os.path.join(system.state, "agentfs.db"), isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    e = system.refused("Busy", "merge", "b1", says="database is locked")
    assert "try again" in e["remedy"], e
    db.execute("ROLLBACK")
    db.close()
    equal(merged(system, "b1", status=1)["merge"] > 0, True)


def test_history__a_damaged_history_does_not_stop_a_merge(system):
    expect_log("cannot (read|write) the history of merges")
    start(system, list__txt=LINES)
    conflict(system, 1)
    merged(system, "b1", status=1)
    db = sqlite3.connect(os.path.join(system.state, "agentfs.db"))
    db.execute("DROP TABLE hunks")
    db.commit()
    db.close()
    equal(merged(system, "b1", status=1)["state"], "conflict")
    changed(system, "c1", other__txt="new\n")
    equal(merged(system, "c1")["state"], "merged")
    assert "cannot read the history of merges: no such table" in system.logged(), system.logged()


main()
