#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tier 2: conflicts of lines that a rule resolves, where its record allows it."""
import json
import os
import sqlite3

from harness import *
from merging import changed, merged, start
import tree

VERSIONS = 'name = "x"\nversion = "1.2.3"\nend\n'
LINES = "one\ntwo\nthree\nfour\n"


def test_auto__versions_merge_to_the_greater_and_say_so(system):
    start(system, setup__toml=VERSIONS)
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.4"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.10.0"))
    equal(merged(system, "a1")["tier"], "clean-merge")
    said = merged(system, "b1", "--dry-run")
    equal((said["state"], said["tier"]), ("would_merge", "auto-resolve"))
    equal(get(os.path.join(system.repo, "setup.toml")), VERSIONS.replace("1.2.3", "1.2.4"), "a dry run changes nothing")
    said = merged(system, "b1")
    equal((said["state"], said["tier"]), ("merged", "auto-resolve"))
    answer = said["resolved"][0]["conflicts"][0]
    equal((said["resolved"][0]["path"], answer["resolver"], answer["line"]), ("setup.toml", "version", 2))
    assert 0 < answer["right"] <= answer["fired"], answer
    message = system.git("log", "-1", "--format=%B", "main")
    assert "\nTier: auto-resolve\nResolved: setup.toml (version)" in message, message
    equal(get(os.path.join(system.repo, "setup.toml")), VERSIONS.replace("1.2.3", "1.10.0"))
    equal(system.git("status", "--porcelain"), "")


def test_auto__what_its_record_does_not_allow_stays_a_conflict_with_its_lines(system):
    start(system, list__c=LINES)
    changed(system, "a1", list__c=LINES.replace("two", "TWO"))
    changed(system, "b1", list__c=LINES.replace("three", "THREE"))
    merged(system, "a1")
    before = tree.picture(system.repo)
    said = merged(system, "b1", status=1)
    equal(said["state"], "conflict")
    hunk = said["conflicts"][0]["hunks"][0]
    equal((hunk["line"], hunk["base"], hunk["ours"], hunk["theirs"]), (2, "two\nthree\n", "TWO\nthree\n", "two\nTHREE\n"))
    equal(hunk["candidates"][0]["resolver"], "adjacent")  # with grammars there are more
    equal(hunk["candidates"][0]["text"], "TWO\nTHREE\n")
    equal(tree.differences(before, tree.picture(system.repo)), [])
    text = system.ctl("merge", "b1", check=False).stdout
    for word in ("line 2", "< TWO", "> THREE", "= TWO", "resolver adjacent"):
        assert word in text, text


def test_auto__one_conflict_left_leaves_the_whole_file(system):
    both = VERSIONS + "a\nb\nc\nd\n" + "who\n"
    start(system, setup__toml=both)
    changed(system, "a1", setup__toml=both.replace("1.2.3", "1.2.4").replace("who", "ours"))
    changed(system, "b1", setup__toml=both.replace("1.2.3", "1.3.0").replace("who", "theirs"))
    merged(system, "a1")
    said = merged(system, "b1", status=1)
    equal([h["theirs"] for h in said["conflicts"][0]["hunks"]], ["theirs\n"])
    assert not said.get("resolved"), said
    equal(get(os.path.join(system.repo, "setup.toml")), both.replace("1.2.3", "1.2.4").replace("who", "ours"))


def test_auto__lock_and_generated_files_are_left_to_who_writes_them(system):
    start(system, Cargo__lock=VERSIONS, made__c=VERSIONS, __gitattributes="made.c linguist-generated\n")
    changed(system, "a1", Cargo__lock=VERSIONS.replace("1.2.3", "1.2.4"), made__c=VERSIONS.replace("1.2.3", "1.2.4"))
    changed(system, "b1", Cargo__lock=VERSIONS.replace("1.2.3", "1.3.0"), made__c=VERSIONS.replace("1.2.3", "1.3.0"))
    merged(system, "a1")
    said = merged(system, "b1", status=1)
    equal(sorted(c["path"] for c in said["conflicts"]), ["Cargo.lock", "made.c"])


def test_auto__beside_a_rename_that_git_merges(system):
    """Where git's own merge decides, its conflicts of lines are shown to the rules, too."""
    start(system, setup__toml=VERSIONS, old__c=LINES * 20)
    view = system.create("a1")
    put(os.path.join(view, "setup.toml"), VERSIONS.replace("1.2.3", "1.2.4"))
    os.rename(os.path.join(view, "old.c"), os.path.join(view, "new.c"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.3.0"), old__c=LINES * 20 + "more\n")
    merged(system, "a1")
    said = merged(system, "b1")
    equal(said["tier"], "auto-resolve")
    equal(get(os.path.join(system.repo, "setup.toml")), VERSIONS.replace("1.2.3", "1.3.0"))
    equal(get(os.path.join(system.repo, "new.c")), LINES * 20 + "more\n")
    equal(system.git("status", "--porcelain"), "")


def test_auto__a_renamed_file_is_resolved_under_its_new_name(system):
    start(system, setup__toml=VERSIONS + LINES * 5)
    view = system.create("a1")
    os.rename(os.path.join(view, "setup.toml"), os.path.join(view, "project.toml"))
    put(os.path.join(view, "project.toml"), (VERSIONS + LINES * 5).replace("1.2.3", "1.2.4"))
    changed(system, "b1", setup__toml=(VERSIONS + LINES * 5).replace("1.2.3", "1.3.0"))
    merged(system, "a1")
    said = merged(system, "b1")
    equal((said["tier"], said["resolved"][0]["path"]), ("auto-resolve", "project.toml"))
    equal(get(os.path.join(system.repo, "project.toml")), (VERSIONS + LINES * 5).replace("1.2.3", "1.3.0"))
    assert not os.path.exists(os.path.join(system.repo, "setup.toml"))
    equal(system.git("status", "--porcelain"), "")


def test_auto__with_several_merge_bases_their_own_merge_is_the_base(system):
    """Criss-cross: each side has merged the other once, and then both raise the version."""
    git = system.git
    start(system, setup__toml=VERSIONS, a=LINES, b=LINES)
    for branch, name, start_at in (("left", "a", "main"), ("right", "b", "main")):
        git("checkout", "-qb", branch, start_at)
        put(os.path.join(system.repo, name), LINES.upper())
        git("commit", "-qam", branch)
    git("merge", "-q", "-m", "cross", "left")
    git("checkout", "-q", "left")
    git("merge", "-q", "-m", "cross", "right~1")
    equal(len(git("merge-base", "--all", "left", "right").split()), 2)
    put(os.path.join(system.repo, "setup.toml"), VERSIONS.replace("1.2.3", "1.4.0"))
    git("commit", "-qam", "left's version")
    git("checkout", "-q", "right")
    put(os.path.join(system.repo, "setup.toml"), VERSIONS.replace("1.2.3", "1.3.0"))
    git("commit", "-qam", "right's version")
    said = merged(system, "left", "--into", "right")
    equal((said["state"], said["tier"]), ("merged", "auto-resolve"))
    equal(said["resolved"][0]["conflicts"][0]["base"], 'version = "1.2.3"\n')
    equal(get(os.path.join(system.repo, "setup.toml")), VERSIONS.replace("1.2.3", "1.4.0"))
    equal(get(os.path.join(system.repo, "a")), LINES.upper())


def test_auto__what_a_wrong_merge_costs_decides(tmp):
    import daemon
    system = daemon.System(tmp, config="merge: {cost-of-wrong: 2}\n").start()
    try:
        start(system, list__c=LINES)
        changed(system, "a1", list__c=LINES.replace("two", "TWO"))
        changed(system, "b1", list__c=LINES.replace("three", "THREE"))
        merged(system, "a1")
        equal(merged(system, "b1")["resolved"][0]["conflicts"][0]["resolver"], "adjacent")
    finally:
        system.stop()


def history(system, merges, right):
    """Merges of neighbouring lines; the person took both, or (in the others) ours."""
    git = system.git
    for i in range(merges):
        name = f"m{i}.c"
        put(os.path.join(system.repo, name), LINES)
        git("add", "-A")
        git("commit", "-qm", f"{name}")
        git("checkout", "-qb", f"side{i}")
        put(os.path.join(system.repo, name), LINES.replace("three", "THREE"))
        git("commit", "-qam", "side")
        git("checkout", "-q", "main")
        put(os.path.join(system.repo, name), LINES.replace("two", "TWO"))
        git("commit", "-qam", "main")
        run("git", "-C", system.repo, "merge", "-q", f"side{i}", check=False)
        kept = LINES.replace("two", "TWO")
        put(os.path.join(system.repo, name), kept.replace("three", "THREE") if i < right else kept)
        git("add", "-A")
        git("commit", "-qm", f"merge {i}")
        git("branch", "-qD", f"side{i}")


def test_learn__a_good_record_here_lets_a_resolver_act(system):
    history(system, 32, 32)
    start(system, list__c=LINES)
    learned = json.loads(system.ctl("--json", "merge", "learn", "--repo", system.repo).stdout)
    records = {(r["resolver"], r["language"], r["paths"]): (r["fired"], r["right"]) for r in learned["records"]}
    equal(records["adjacent", "c", "plain"], (32, 32))
    equal((learned["merges"], learned["conflicted"], learned["conflicts"]), (32, 32, 32))
    changed(system, "a1", list__c=LINES.replace("two", "ZWEI"))
    changed(system, "b1", list__c=LINES.replace("three", "DREI"))
    merged(system, "a1")
    said = merged(system, "b1")
    equal((said["tier"], said["resolved"][0]["conflicts"][0]["fired"]), ("auto-resolve", 32))
    equal(get(os.path.join(system.repo, "list.c")), LINES.replace("two", "ZWEI").replace("three", "DREI"))


def test_learn__a_bad_record_here_takes_the_right_away(system):
    git = system.git
    for i in range(30):
        name = f"v{i}.toml"
        for text, branch in ((VERSIONS, None), (VERSIONS.replace("1.2.3", "1.3.0"), f"side{i}")):
            if branch:
                git("checkout", "-qb", branch)
            put(os.path.join(system.repo, name), text)
            git("add", "-A")
            git("commit", "-qm", name)
        git("checkout", "-q", "main")
        put(os.path.join(system.repo, name), VERSIONS.replace("1.2.3", "1.2.4"))
        git("commit", "-qam", "main")
        run("git", "-C", system.repo, "merge", "-q", f"side{i}", check=False)
        put(os.path.join(system.repo, name), VERSIONS.replace("1.2.3", "1.2.4"))  # the lesser one, each time
        git("add", "-A")
        git("commit", "-qm", "merge")
    start(system, setup__toml=VERSIONS)
    text = system.ctl("merge", "learn", "--repo", system.repo).stdout
    assert "version    right in 0 of 30" in text and "1.2.4" in text, text
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.5"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.3.1"))
    merged(system, "a1")
    merged(system, "b1", status=1)


def test_learn__what_was_learned_outlives_the_daemon(system):
    history(system, 3, 2)
    system.ctl("merge", "learn", "--repo", system.repo, "--last", "2")
    system.stop()
    db = sqlite3.connect(os.path.join(system.state, "agentfs.db"))
    rows = {key: (fired, right) for key, fired, right in
            db.execute("SELECT resolver || '/' || language, fired, right FROM resolver_records")}
    db.close()
    equal(rows["adjacent/c"], (2, 1))
    system.start()


def test_learn__bad_input_is_one_sentence(system):
    for args, status, words in ((("--last", "0", "--repo", system.repo), 1, "from 1 to 100000"), (("--last", "x"), 2, "not 'x'"),
                                (("--last", "200000", "--repo", system.repo), 1, "from 1 to 100000"),
                                (("--repo", "/nowhere"), 1, "/nowhere")):
        said = system.ctl("merge", "learn", *args, check=False)
        equal(said.returncode, status, said.stderr)
        assert words in said.stderr, said.stderr


def test_history__each_merge_can_be_explained(system):
    start(system, setup__toml=VERSIONS, list__c=LINES)
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.4"), list__c=LINES.replace("two", "TWO"))
    changed(system, "b1", setup__toml=VERSIONS.replace("1.2.3", "1.3.0"))
    changed(system, "c1", list__c=LINES.replace("three", "THREE"))
    assert "No merge" in system.ctl("merge", "history").stderr
    merged(system, "a1", "--dry-run")
    numbers = [merged(system, "a1")["merge"], merged(system, "b1")["merge"], merged(system, "c1", status=1)["merge"]]
    equal(numbers, [1, 2, 3])
    system.stop()
    system.start()
    history = json.loads(system.ctl("--json", "merge", "history").stdout)["merges"]
    equal([(m["merge"], m["state"], m["tier"], m["paths"]) for m in history],
          [(3, "conflict", None, ["list.c"]), (2, "merged", "auto-resolve", ["setup.toml"]),
           (1, "merged", "clean-merge", [])])
    equal([m["merge"] for m in json.loads(system.ctl("--json", "merge", "history", "setup.toml").stdout)["merges"]], [2])
    equal([m["merge"] for m in json.loads(system.ctl("--json", "merge", "history", "--last", "1", "--repo", system.repo)
                                          .stdout)["merges"]], [3])
    equal(json.loads(system.ctl("--json", "merge", "history", "--repo", "/nowhere").stdout)["merges"], [])
    text = system.ctl("merge", "explain", "2").stdout
    for word in ("agents/b1/work" if "agents/b1" in text else "b1", "setup.toml:2", "resolver version",
                 '< version = "1.2.4"', '> version = "1.3.0"', '= version = "1.3.0"'):
        assert word in text, text
    text = system.ctl("merge", "explain", "3").stdout
    assert "list.c: content" in text and "= TWO" in text, text
    for args, status, words in ((("explain", "9"), 1, "there is no merge 9"), (("explain", "x"), 2, "not 'x'"),
                                (("history", "--last", "0"), 1, "is 1 or more")):
        said = system.ctl("merge", *args, check=False)
        equal(said.returncode, status, said.stderr)
        assert words in said.stderr, said.stderr


def test_history__a_user_sees_its_own_merges(system):
    need_root()
    start(system, setup__toml=VERSIONS)
    changed(system, "a1", setup__toml=VERSIONS.replace("1.2.3", "1.2.4"))
    merged(system, "a1")
    os.chmod(system.run_dir, 0o755)
    os.chmod(system.socket, 0o666)
    said = system.ctl("--json", "merge", "history", uid=OTHER_UID)
    equal(json.loads(said.stdout)["merges"], [])
    assert "there is no merge 1" in system.ctl("merge", "explain", "1", uid=OTHER_UID, check=False).stderr


main()
