# SPDX-License-Identifier: Apache-2.0
"""agentfs-worker on real views: what becomes of an agent's work.

Usage: test_materialize.py AGENTFS_WORKER AGENTFS SOURCE_ROOT [unittest arguments]
"""
import os
import subprocess
import sys
import unittest

WORKER, AGENTFS, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
sys.path.insert(0, os.path.join(SOURCE, "tests/lib"))
from worker_view import Failed, World, run  # noqa: E402

OWNER = 12345 if os.geteuid() == 0 else None  # a number without an entry in passwd


class Case(unittest.TestCase):
    def setUp(self):
        if not os.access("/dev/fuse", os.R_OK | os.W_OK) and os.environ.get("AGENTFS_MUST_RUN") != "1":
            self.skipTest("needs /dev/fuse, readable and writable by this user")
        self.world = World(WORKER, AGENTFS, OWNER)
        self.addCleanup(self.world.close)

    def view(self, files=None, **more):
        return self.world.view(self.world.repository(files=files), **more)

    def branch(self, v, path=None):
        return v.shared("rev-parse", v.made["branch"] + (":" + path if path else "")).strip()

    def refused(self, v, id, **more):
        before = v.shared("for-each-ref")
        with self.assertRaises(Failed) as c:
            v.materialize(**more)
        self.assertEqual(c.exception.id, id)
        self.assertEqual(v.shared("for-each-ref"), before, "a refusal changes nothing")
        self.assertFalse(os.path.exists(v.file(".git/index.lock")), "the lock is given back")
        return c.exception


class Uncommitted(Case):
    def test_all_kinds_of_change_become_one_commit(self):
        v = self.view()
        self.assertEqual(v.git("status", "--porcelain"), "")
        v.write("src/a.c", "int a = 2;\n")
        v.write("new/deep/file", "x\n")
        os.symlink("README.md", v.file("link"))
        os.chmod(v.file("src/b.c"), 0o755)
        os.rename(v.file("README.md"), v.file("READ"))
        v.write("junk.o", "ignored\n")
        v.write("logs/x", "ignored\n")
        done = v.materialize()
        self.assertEqual({c["path"]: c["status"] for c in done["changes"]},
                         {"src/a.c": "M", "new/deep/file": "A", "link": "A", "src/b.c": "M", "README.md": "D",
                          "READ": "A"})
        self.assertEqual(done["commits"], 1)
        self.assertEqual(v.shared("log", "-1", "--format=%an <%ae>|%cn|%s", v.made["branch"]).strip(),
                         "b1 <b1@agentfs.invalid>|Una User|b1: work (6 files)")
        self.assertIn("120000", v.shared("ls-tree", v.made["branch"], "link"))
        self.assertIn("100755", v.shared("ls-tree", v.made["branch"], "src/b.c"))
        # the view follows
        self.assertEqual(v.git("status", "--porcelain"), "")
        self.assertEqual(v.git("rev-parse", "HEAD").strip(), self.branch(v))
        v.git("fsck", "--strict")
        v.shared("fsck", "--strict")
        if os.geteuid() == 0:
            self.assertEqual(run("find", v.repo, "-uid", "0"), "", "nothing is root's")
        # and a commit of the agent's own descends from it
        v.write("src/a.c", "int a = 3;\n")
        v.git("commit", "-qam", "mine")
        again = v.materialize()
        self.assertEqual(again["commits"], 1)
        self.assertEqual(v.shared("rev-list", "--count", "main.." + v.made["branch"]).strip(), "2")

    def test_nothing_to_commit_is_said(self):
        v = self.view()
        done = v.materialize()
        self.assertIsNone(done["commit"])
        self.assertEqual(done["commits"], 0)
        self.assertTrue(any("nothing to commit" in n for n in done["notes"]), done["notes"])

    def test_file_becomes_folder_and_back(self):
        v = self.view({"a": "1\n", "d/x": "1\n", "d/y": "1\n", "a-b": "1\n"})
        os.unlink(v.file("a"))
        v.write("a/in", "2\n")
        os.unlink(v.file("d/x"))
        os.unlink(v.file("d/y"))
        os.rmdir(v.file("d"))
        v.write("d", "3\n")
        v.materialize()
        self.assertEqual(v.shared("ls-tree", "-r", "--name-only", v.made["branch"]).split(), ["a-b", "a/in", "d"])
        self.assertEqual(v.git("status", "--porcelain"), "")

    def test_staged_work_stays_staged(self):
        v = self.view()
        v.write("src/a.c", "staged\n")
        v.git("add", "src/a.c")
        v.write("src/a.c", "later\n")
        v.write("SPRINTX", "new\n")
        v.materialize()
        self.assertEqual(v.shared("show", v.made["branch"] + ":src/a.c"), "later\n")
        self.assertEqual(v.git("status", "--porcelain"), "")

    def test_forced_add_of_an_ignored_file_is_kept(self):
        v = self.view()
        v.write("keep.o", "x\n")
        v.write("drop.o", "x\n")
        v.git("add", "-f", "keep.o")
        self.assertEqual([c["path"] for c in v.materialize()["changes"]], ["keep.o"])

    def test_nested_repository_is_left_out_and_said(self):
        v = self.view()
        v.git("init", "-q", v.file("sub"))
        v.write("sub/file", "x\n")
        v.write("ok", "x\n")
        done = v.materialize()
        self.assertEqual([c["path"] for c in done["changes"]], ["ok"])
        self.assertEqual([n for n in done["notes"] if "sub" in n], ["'sub': is a git repository of its own: left out"])

    def test_names_that_are_git_elsewhere_are_held_back(self):
        v = self.view()
        v.write("x/.GIT/config", "[core]\n\tfsmonitor = touch /tmp/never\n")
        v.write("git~1", "gitdir: elsewhere\n")
        done = v.materialize()
        self.assertEqual(done["changes"], [])
        self.assertEqual(len([n for n in done["notes"] if "git's own" in n]), 2, done["notes"])

    def test_masses_in_an_ignored_looking_folder_need_force(self):
        v = self.view()
        for i in range(2001):
            v.write(f"node_modules/m{i % 20}/f{i}", "x")
        e = self.refused(v, "TooLarge")
        self.assertIn("node_modules", e.message)
        self.assertEqual(len(v.materialize(force=True)["changes"]), 2001)

    def test_line_ends_are_cleaned_and_foreign_filters_refused(self):
        v = self.view({".gitattributes": "*.txt text\n*.bin filter=crypt\n*.big filter=lfs\n", "a.txt": "1\n"})
        v.write("a.txt", "1\r\n2\r\n")
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
        v.write("x.big", pointer)
        v.materialize()
        self.assertEqual(v.shared("show", v.made["branch"] + ":a.txt"), "1\n2\n")
        self.assertEqual(v.shared("show", v.made["branch"] + ":x.big"), pointer)
        v.write("s.bin", "secret")
        self.assertIn("s.bin", self.refused(v, "Unsupported").message)
        os.unlink(v.file("s.bin"))
        v.write("y.big", "content, no pointer")
        self.assertIn("y.big", self.refused(v, "Unsupported").message)

    def test_scratch_is_never_taken(self):
        v = self.view(policy="agentfs-policy 1\nrole builder\nscratch beside\nwrite src/*.c\n")
        v.write("src/a.c", "new\n")
        v.write("src/notes.tmp", "scratch\n")
        self.assertEqual([c["path"] for c in v.materialize()["changes"]], ["src/a.c"])


class Commits(Case):
    def test_own_commits_come_first_with_their_messages(self):
        v = self.view()
        for i in range(3):
            v.write("src/a.c", f"{i}\n")
            v.git("commit", "-qam", f"step {i}")
        v.git("gc", "-q")  # packs, too
        v.write("src/b.c", "uncommitted\n")
        done = v.materialize(message="the rest")
        self.assertEqual(done["commits"], 4)
        self.assertEqual(v.shared("log", "--format=%s", "main.." + v.made["branch"]).split("\n")[:4],
                         ["the rest", "step 2", "step 1", "step 0"])
        self.assertEqual(v.git("log", "-1", "--format=%s").strip(), "the rest")

    def test_a_commit_that_the_policy_denies_is_refused_by_name(self):
        v = self.view()
        v.write("copy", "mine\n")
        oid = v.git("hash-object", "-w", v.file("copy")).strip()
        v.git("update-index", "--cacheinfo", f"100644,{oid},SPRINT.md")
        v.git("commit", "-qm", "sneak")
        e = self.refused(v, "Denied")
        self.assertIn("SPRINT.md", e.message)
        self.assertIn(v.git("rev-parse", "HEAD")[:10], e.message)
        self.assertEqual(e.error["details"]["path"], "SPRINT.md")

    def test_merging_others_work_is_allowed_and_dropping_it_is_not(self):
        v = self.view()
        repo = v.repo
        with open(os.path.join(repo, "SPRINT.md"), "w") as f:
            f.write("plan 2\n")
        self.world.git(repo, "commit", "-qam", "plan 2")
        self.world.give(repo)
        main = self.world.git(repo, "rev-parse", "main").strip()
        v.write("src/a.c", "mine\n")
        v.git("commit", "-qam", "mine")
        tree = v.git("merge-tree", "--write-tree", "HEAD", main).split()[0]
        ours = v.git("rev-parse", "HEAD^{tree}").strip()
        head = v.git("rev-parse", "HEAD").strip()
        bad = v.git("commit-tree", "-p", head, "-p", main, "-m", "ours", ours).strip()
        v.git("update-ref", "refs/heads/" + v.made["branch"], bad)
        self.assertIn("SPRINT.md", self.refused(v, "Denied").message)
        good = v.git("commit-tree", "-p", head, "-p", main, "-m", "merge", tree).strip()
        v.git("update-ref", "refs/heads/" + v.made["branch"], good)
        v.materialize()
        self.assertEqual(v.shared("merge-base", "--is-ancestor", good, v.made["branch"]), "")

    def test_amended_commits_move_the_branch_and_keep_the_old_tip(self):
        v = self.view()
        v.write("src/a.c", "1\n")
        v.git("commit", "-qam", "one")
        old = v.materialize()["tip"]
        v.git("commit", "-q", "--amend", "-m", "one, better")
        done = v.materialize()
        self.assertNotEqual(done["tip"], old)
        kept = f"refs/agentfs/preserved/b1/{v.request['view_id']}/heads/{v.made['branch']}"
        self.assertEqual(v.shared("rev-parse", kept).strip(), old)
        self.assertTrue(any(kept in n for n in done["notes"]), done["notes"])

    def test_heads_elsewhere_are_refused(self):
        v = self.view()
        v.write("src/a.c", "1\n")
        v.git("switch", "-q", "-c", "other")
        self.assertIn("other", self.refused(v, "BranchElsewhere").message)
        v.git("switch", "-q", v.made["branch"])
        v.git("commit", "-qam", "one")
        v.git("checkout", "-q", "HEAD~1")
        self.assertIn("detached", self.refused(v, "BranchElsewhere").message)
        v.git("switch", "-q", v.made["branch"])
        v.git("switch", "-q", "-c", "x", "HEAD~1")
        v.write("src/a.c", "2\n")
        v.git("commit", "-qam", "two")
        v.git("switch", "-q", v.made["branch"])
        v.git("merge", "x", check=False)
        self.assertIn("merge", self.refused(v, "BranchElsewhere").message)
        v.git("merge", "--abort")
        v.git("rebase", "x", check=False)
        self.refused(v, "BranchElsewhere")
        v.git("rebase", "--abort")
        self.assertEqual(v.materialize()["commits"], 1)

    def test_a_held_lock_is_said(self):
        v = self.view()
        v.write("src/a.c", "1\n")
        v.write(".git/index.lock", "")
        with self.assertRaises(Failed) as c:
            v.materialize()
        self.assertEqual(c.exception.id, "Locked")
        self.assertTrue(os.path.exists(v.file(".git/index.lock")), "it is not ours to remove")
        os.unlink(v.file(".git/index.lock"))
        self.assertEqual(v.materialize()["commits"], 1)

    def test_a_tree_with_a_git_folder_is_refused(self):
        v = self.view()
        v.write("copy", "[core]\n")
        oid = v.git("hash-object", "-w", v.file("copy")).strip()

        def mktree(text):
            return subprocess.run(["git", "-c", "safe.directory=*", "-C", v.path, "mktree"], input=text, text=True,
                                  capture_output=True, check=True).stdout.strip()
        inner = mktree(f"100644 blob {oid}\tconfig\n")
        tree = mktree(f"040000 tree {inner}\t.GiT\n")
        c = v.git("commit-tree", "-p", "HEAD", "-m", "evil", tree).strip()
        v.git("update-ref", "refs/heads/" + v.made["branch"], c)
        self.refused(v, "Denied")


class Reading(Case):
    def test_diff_shows_commits_and_uncommitted_work_and_leaves_nothing(self):
        v = self.view({"a": "1\n2\n3\n4\n5\n6\n", "b": "x\n", "c": "c\n"})
        v.write("b", "y\n")
        v.git("commit", "-qam", "mine")
        os.rename(v.file("a"), v.file("moved"))
        os.unlink(v.file("c"))
        before = run("find", v.repo, "-type", "f")
        done = v.ask("diff", patch=True)
        self.assertEqual(run("find", v.repo, "-type", "f"), before)
        got = {c["path"]: (c["status"], c.get("from"), c.get("added"), c.get("removed")) for c in done["changes"]}
        self.assertEqual(got, {"b": ("M", None, 1, 1), "moved": ("R", "a", 0, 0), "c": ("D", None, 0, 1)})
        self.assertIn("-x\n+y\n", done["patch"])
        only = v.ask("diff", patch=True, paths=["b"])
        self.assertEqual([c["path"] for c in only["changes"]], ["b"])

    def test_log_lists_the_agents_commits(self):
        v = self.view()
        self.assertEqual(v.ask("log")["commits"], [])
        for i in range(2):
            v.write("src/a.c", f"{i}\n")
            v.git("commit", "-qam", f"step {i}\n\nwhy {i}")
        got = v.ask("log", patch=True)["commits"]
        self.assertEqual([(c["subject"], c["body"]) for c in got], [("step 1", "why 1"), ("step 0", "why 0")])
        self.assertIn("+1\n", got[0]["patch"])
        self.assertEqual(got[0]["author"], "b1 <b1@agentfs.invalid>")

    def test_distances_count_both_ways(self):
        v = self.view()

        def distance():
            asked = [{"branch": v.made["branch"], "target": v.made["target"], "base": v.made["base_commit"]},
                     {"branch": v.made["branch"], "target": "", "base": "no commit"}]
            one, none = v.ask("distances", branches=asked)["distances"]
            self.assertIsNone(none)
            return one["ahead"], one["behind"]
        self.assertEqual(distance(), (0, 0))
        v.write("src/a.c", "1\n")
        v.materialize()
        self.world.git(v.repo, "commit", "-q", "--allow-empty", "-m", "on main")
        self.world.give(v.repo)
        self.assertEqual(distance(), (1, 1))


class Ending(Case):
    def test_preserve_keeps_work_branches_and_stashes(self):
        v = self.view()
        for i in range(2):
            v.write("src/a.c", f"stash {i}\n")
            v.git("stash", "-q")
        v.git("switch", "-q", "-c", "side")
        v.write("src/b.c", "side\n")
        v.git("commit", "-qam", "side")
        v.git("switch", "-q", v.made["branch"])
        v.write("src/a.c", "uncommitted\n")
        v.write("new", "untracked\n")
        done = v.ask("preserve")
        base = f"refs/agentfs/preserved/b1/{v.request['view_id']}/"
        self.assertEqual(sorted(r[len(base):] for r in done["preserved"]),
                         ["heads/side", "stash", "stash-1", "work"])
        self.assertEqual(v.shared("show", base + "work:new"), "untracked\n")
        self.assertEqual(v.shared("show", base + "heads/side:src/b.c"), "side\n")
        self.assertEqual({v.shared("show", base + s + ":src/a.c") for s in ("stash", "stash-1")},
                         {"stash 0\n", "stash 1\n"})
        run("sh", "-c", done["restore"].replace("git ", "git -c safe.directory='*' "))
        v.shared("fsck", "--strict")
        self.assertEqual(len(v.ask("preserve")["preserved"]), 5 - 1, "asked again it keeps the same")

    def test_nothing_to_preserve_is_an_empty_list(self):
        v = self.view()
        v.write("src/a.c", "1\n")
        v.materialize()
        self.assertEqual(v.ask("preserve")["preserved"], [])

    def test_preserve_works_with_the_server_gone(self):
        v = self.view()
        v.write("src/a.c", "1\n")
        v.stop()
        self.assertEqual(len(v.ask("preserve")["preserved"]), 1)
        with self.assertRaises(Failed) as c:
            v.materialize()
        self.assertEqual(c.exception.id, "Stale")

    def test_close_with_rollback_keeps_the_tip(self):
        v = self.view()
        v.write("src/a.c", "1\n")
        tip = v.materialize()["tip"]
        v.ask("close", delete_branch=True)
        refs = v.shared("for-each-ref", "--format=%(refname) %(objectname)").split("\n")
        self.assertIn(f"refs/agentfs/preserved/b1/{v.request['view_id']}/heads/{v.made['branch']} {tip}", refs)
        self.assertFalse([r for r in refs if "agentfs/base" in r or r.startswith("refs/heads/agents")])

    def test_next_moves_the_view_to_a_new_branch(self):
        v = self.view()
        v.write("src/a.c", "1\n")
        tip = v.materialize()["tip"]
        done = v.ask("next", new_branch="agents/b1/two")
        self.assertEqual(done["base_commit"], tip)
        self.assertEqual(v.git("branch", "--show-current").strip(), "agents/b1/two")
        self.assertEqual(v.git("status", "--porcelain"), "")
        v.made.update(branch="agents/b1/two", base_commit=tip)
        v.request["task"] = "two"
        v.made["seeds"] = []
        v.write_conf("agentfs-policy 1\nrole builder\nwrite *\n")
        v.write("src/a.c", "2\n")
        self.assertEqual([c["path"] for c in v.materialize()["changes"]], ["src/a.c"])
        self.assertEqual(v.shared("rev-list", "--count", "main..agents/b1/two").strip(), "2")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:])
