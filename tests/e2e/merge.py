#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Branches into the target: what merges, what conflicts, what is never overwritten."""
import os

from harness import *
import repos
import tree


def two(system, first, second):
    """Two agents; each script runs in its view."""
    for agent, script in (("a1", first), ("b1", second)):
        sh(script, cwd=system.create(agent))


def test_merge__a_conflict_changes_nothing_and_names_the_path(system):
    two(system, "sed -i 's/hello/good day/' README; echo a >only-a", "sed -i 's/hello/good night/' README; echo b >only-b")
    system.ctl("merge", "a1")
    before, tip = tree.picture(system.repo), system.git("rev-parse", "main")
    done = system.ctl("--json", "merge", "b1", check=False)
    equal(done.returncode, 1, done.stdout + done.stderr)
    assert "README" in done.stdout + done.stderr
    equal(system.git("rev-parse", "main"), tip)
    equal(tree.differences(before, tree.picture(system.repo)), [])
    assert not os.path.exists(os.path.join(system.repo, ".git/MERGE_HEAD"))
    equal(system.git("log", "-1", "--format=%an", "agents/b1/work"), "b1", "the branch was made all the same")


def test_merge__kinds_of_conflict(system):
    two(system, "rm README; sed -i s/One/A/ docs/guide.md; echo a >new; chmod +x src/main.c",
        "echo x >>README; sed -i s/One/B/ docs/guide.md; echo b >new; chmod +x src/main.c")
    system.ctl("merge", "a1")
    done = system.ctl("--json", "merge", "b1", "--dry-run", check=False)
    equal(done.returncode, 1)
    import json
    assert "left in tree" not in done.stdout, done.stdout
    conflicts = {c["path"]: c["kind"] for c in json.loads(done.stdout)["merges"][0]["conflicts"]}
    equal(set(conflicts), {"README", "docs/guide.md", "new"})
    assert len(set(conflicts.values())) == 3, conflicts


def test_merge__the_way_out_of_a_conflict_is_one(system):
    import re
    two(system, "sed -i 's/hello/good day/' README; echo a >only-a", "sed -i 's/hello/good night/' README; echo b >only-b")
    system.ctl("merge", "a1")
    for args in (("b1", "--dry-run"), ("b1",), ("agents/b1/work",)):
        said = system.ctl("merge", *args, check=False)
        equal(said.returncode, 1)
        command = re.search(r"git merge [0-9a-f]+", said.stdout)
        assert command, said.stdout
    view = system.path("b1")
    equal(run(*command.group().split(), cwd=view, check=False).returncode, 1, "git merge in the view")
    put(os.path.join(view, "README"), "good day and night\n")
    sh("git add README; git commit -qm resolved", cwd=view)
    system.ctl("merge", "b1")
    equal(get(os.path.join(system.repo, "README")), "good day and night\n")
    equal(get(os.path.join(system.repo, "only-a")) + get(os.path.join(system.repo, "only-b")), "a\nb\n")
    equal(system.git("status", "--porcelain"), "")


def test_merge__dry_run_changes_nothing(system):
    two(system, "echo a >a", "echo b >b")
    tip = system.git("rev-parse", "main")
    done = system.json("merge", "a1", "--dry-run")
    equal(done["merges"][0]["state"], "would_merge")
    equal(system.git("rev-parse", "main"), tip)
    equal(system.git("status", "--porcelain"), "")


def test_merge__dry_run_of_several_is_as_the_real_one(system):
    two(system, "sed -i 's/hello/good day/' README; echo a >a; echo 1 >SPRINT.md.new",
        "sed -i 's/hello/good night/' README; echo b >b")
    sh("sed -i s/One/1/ docs/guide.md; echo c >c", cwd=system.create("c1"))
    sh("sed -i s/Three/3/ docs/guide.md; echo d >d", cwd=system.create("d1"))
    tip = system.git("rev-parse", "main")
    def states(*args, code=0):
        done = system.ctl("--json", "merge", *args, check=False)
        equal(done.returncode, code, done.stdout + done.stderr)
        return [m["state"] for m in __import__("json").loads(done.stdout)["merges"]]
    equal(states("a1", "b1", "--dry-run", code=1), ["would_merge", "conflict"])
    equal(states("c1", "d1", "a1", "--dry-run"), ["would_merge"] * 3)
    equal(states("c1", "c1", "--dry-run"), ["would_merge", "up_to_date"])
    equal((system.git("rev-parse", "main"), system.git("status", "--porcelain")), (tip, ""))
    equal(states("c1", "d1", "a1"), ["merged"] * 3)
    equal(states("b1", code=1), ["conflict"])


def test_merge__a_modified_path_in_the_target_is_not_overwritten(system):
    two(system, "sed -i s/hello/hi/ README; echo a >untracked-there", "echo b >b")
    put(os.path.join(system.repo, "README"), "my own work\n")
    system.refused("Dirty", "merge", "a1", says="README")
    equal(get(os.path.join(system.repo, "README")), "my own work\n")
    system.git("checkout", "-q", "README")
    put(os.path.join(system.repo, "untracked-there"), "mine\n")
    system.refused("Dirty", "merge", "a1", says="untracked-there")
    equal(get(os.path.join(system.repo, "untracked-there")), "mine\n")
    os.unlink(os.path.join(system.repo, "untracked-there"))
    put(os.path.join(system.repo, "SPRINT.md"), "other path, also mine\n")
    system.ctl("merge", "a1")
    equal(get(os.path.join(system.repo, "SPRINT.md")), "other path, also mine\n")
    equal(get(os.path.join(system.repo, "README")), "hi world\n")
    equal(system.git("status", "--porcelain"), "M SPRINT.md")


def test_merge__a_target_that_is_not_checked_out(system):
    system.git("branch", "release")
    two(system, "echo a >a", "echo b >b")
    before = tree.picture(system.repo)
    system.ctl("merge", "a1", "--into", "release")
    equal(system.git("show", "release:a"), "a")
    equal(tree.differences(before, tree.picture(system.repo)), [])


def test_merge__squash_and_up_to_date(system):
    p = system.create("a1")
    sh("echo 1 >1; git add -A; git commit -qm 1; echo 2 >2; git add -A; git commit -qm 2", cwd=p)
    repos.commit(system.repo, {"elsewhere": "x"})
    equal(system.json("merge", "a1", "--squash")["merges"][0]["state"], "merged")
    equal(len(system.git("log", "-1", "--format=%P").split()), 1)
    equal(system.git("show", "HEAD:2"), "2")
    system.create("b1")
    equal(system.json("merge", "b1")["merges"][0]["state"], "up_to_date")


def test_merge__destroy_afterwards(system):
    p = system.create("a1")
    put(os.path.join(p, "new"), "x\n")
    system.ctl("merge", "a1", "--destroy")
    equal(system.views(), [])
    equal(get(os.path.join(system.repo, "new")), "x\n")


def test_merge__a_renamed_folder_takes_new_files_along_or_says_so(system):
    """One side moves a folder, the other adds to it: as git does it, never silently in the old place."""
    two(system, "git mv docs manual; git commit -qm moved", "echo new >docs/new.md; git add -A; git commit -qm added")
    system.ctl("merge", "a1")
    done = system.ctl("merge", "b1", check=False)
    if done.returncode == 0:
        names = system.git("ls-tree", "-r", "--name-only", "main").split("\n")
        assert "manual/new.md" in names and "docs/new.md" not in names, names
    else:
        assert "docs" in done.stdout + done.stderr


def test_merge__several_merge_bases_come_out_as_git_does(system):
    """A criss-cross history."""
    p = system.create("a1")
    sh("sed -i s/One/Eins/ docs/guide.md; git commit -qam a", cwd=p)
    system.ctl("materialize", "a1")
    repos.commit(system.repo, {"src/util.h": "int util(void);\nint b;\n"}, "b")
    system.git("branch", "side", "agents/a1/work")
    main = system.git("rev-parse", "main")
    system.git("merge", "-q", "--no-ff", "-m", "m1", "side")
    system.git("checkout", "-q", "side")
    system.git("merge", "-q", "--no-ff", "-m", "m2", main)
    repos.commit(system.repo, {"on-side": "x\n"}, "on side")
    system.git("checkout", "-q", "main")
    repos.commit(system.repo, {"on-main": "x\n"}, "on main")
    want = run("git", "-C", system.repo, "merge-tree", "--write-tree", "main", "side").stdout.split()[0]
    system.ctl("merge", "side", "--into", "main")
    equal(system.git("rev-parse", "main^{tree}"), want)


def test_merge__a_branch_that_moves_meanwhile_is_not_lost(system):
    """Merges by the daemon and commits by a person, at once: no commit of either is lost."""
    import threading
    p = system.create("a1")
    errors = []

    def person():
        for i in range(10):
            done = run("git", "-C", system.repo, "-c", "user.name=P", "-c", "user.email=p@x", "commit", "-q",
                       "--allow-empty", "-m", f"person {i}", check=False)
            if done.returncode and "lock" not in done.stderr:
                errors.append(done.stderr)
    t = threading.Thread(target=person)
    t.start()
    for i in range(5):
        put(os.path.join(p, f"f{i}"), "x\n")
        done = system.ctl("merge", "a1", check=False)
        assert done.returncode in (0, 1), done.stderr
    t.join()
    system.ctl("merge", "a1")
    equal(errors, [])
    names = system.git("ls-tree", "--name-only", "main").split("\n")
    assert all(f"f{i}" in names for i in range(5)), names
    said = system.git("log", "--format=%s", "main").split("\n")
    made = [m for m in said if m.startswith("person")]
    equal(len(made), len(set(made)))
    equal(system.git("status", "--porcelain"), "")


def test_merge__renormalize_is_told_where_it_matters(system):
    s = system
    repos.commit(s.repo, {"eol.txt": "one\r\ntwo\r\n"})
    p = s.create("a1")
    put(os.path.join(p, "eol.txt"), b"one\r\nTWO\r\n")
    repos.commit(s.repo, {".gitattributes": "*.txt text\n", "eol.txt": "one\ntwo\n"})
    for on in (False, True):
        s.git("config", "merge.renormalize", str(on).lower())
        done = s.ctl("--json", "merge", "a1", check=False)
        equal(done.returncode, 1)
        assert ("merge.renormalize" in done.stdout) == on, done.stdout


def test_apply__in_a_split_or_sparse_index(system):
    s = system
    p = s.create("a1")
    put(os.path.join(p, "docs/guide.md"), "changed\n")
    for words in (("update-index", "--split-index"), ("sparse-checkout", "set", "--cone", "--sparse-index", "docs")):
        s.git(*words)
        s.ctl("apply", "a1")
        equal(s.git("status", "--short"), "M docs/guide.md")
        equal(get(os.path.join(s.repo, "docs/guide.md")), "changed\n")
        s.git("checkout", "-q", "docs/guide.md")
        s.git("update-index", "--no-split-index")


main()
