# SPDX-License-Identifier: Apache-2.0
"""agentfs-worker's ops merge and apply on real repositories and worktrees.

Usage: test_merge_op.py AGENTFS_WORKER AGENTFS SOURCE_ROOT [unittest arguments]
"""
import json
import os
import subprocess
import sys
import unittest

WORKER, AGENTFS, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
sys.path.insert(0, os.path.join(SOURCE, "tests/lib"))
from worker_view import Failed, World  # noqa: E402

OWNER = 12345 if os.geteuid() == 0 else None
FILES = {"a": "".join(f"line {i}\n" for i in range(10)), "d/f": "f\n", "d/g": "g\n", "x": "x\n",
         ".gitignore": "*.o\n"}


class Case(unittest.TestCase):
    def setUp(self):
        self.world = World(WORKER, AGENTFS, OWNER)
        self.addCleanup(self.world.close)
        self.repo = self.world.repository(files=FILES)

    def git(self, *args, repo=None, **kw):
        return self.world.git(repo or self.repo, *args, **kw).strip()

    def put(self, path, text, repo=None):
        full = os.path.join(repo or self.repo, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as f:
            f.write(text)

    def get(self, path, repo=None):
        with open(os.path.join(repo or self.repo, path)) as f:
            return f.read()

    def commit(self, branch, script, start="main"):
        """A commit on `branch`, made in a worktree of its own; its id."""
        tree = os.path.join(self.world.dir, "scratch")
        have = self.git("branch", "--list", branch)
        self.git("worktree", "add", "-q", *([tree, branch] if have else ["-b", branch, tree, start]))
        subprocess.run(["sh", "-ec", script], cwd=tree, check=True)
        self.git("add", "-A", repo=tree)
        self.git("commit", "-q", "--allow-empty", "-m", branch, repo=tree)
        tip = self.git("rev-parse", "HEAD", repo=tree)
        self.git("worktree", "remove", "--force", tree)
        self.world.give(self.repo)
        return tip

    def on_main(self, script):
        subprocess.run(["sh", "-ec", script], cwd=self.repo, check=True)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "main goes on")
        self.world.give(self.repo)

    def merge(self, source="topic", into="main", **more):
        return self.world.ask("merge", **dict({"repo": self.repo, "source": source, "into": into,
                                               "agent": "b1", "task": "work"}, **more))

    def state(self):
        tree = subprocess.run(["sh", "-c", "find . -path ./.git -prune -o -not -type d -print0 | sort -z | xargs -0 ls -ld "
                               "--time-style=full-iso; cat a; cat .git/index | cksum"],
                              cwd=self.repo, capture_output=True, text=True).stdout
        return self.git("for-each-ref"), self.git("status", "--porcelain", "-uall"), tree

    def refused(self, id, *words, op=None, **more):
        self.git("status")  # the index refreshed, so that status itself changes nothing later
        before = self.state()
        with self.assertRaises(Failed) as c:
            op(**more) if op else self.merge(**more)
        self.assertEqual(c.exception.id, id, c.exception.message)
        for w in words:
            self.assertIn(w, c.exception.message)
        self.assertEqual(self.state(), before, "a refusal changes nothing")
        self.clean_git_folder()
        return c.exception

    def clean_git_folder(self):
        left = [f for f in os.listdir(os.path.join(self.repo, ".git"))
                if "agentfs" in f or f.endswith(".lock")]
        self.assertEqual(left, [])


class Merge(Case):
    def test_updates_the_worktree_as_git_would(self):
        self.commit("topic", "echo new >d/new; rm x; chmod +x d/f; ln -s a link; sed -i 's/line 1/LINE 1/' a")
        self.on_main("sed -i 's/line 9/LINE 9/' a")
        self.put("mine", "untracked\n")
        self.put("d/g", "my own\n")
        self.world.give(self.repo)
        m = self.merge()
        if OWNER:
            roots = subprocess.run(["find", self.repo, "-uid", "0"], capture_output=True, text=True).stdout
            self.assertEqual(roots, "", "nothing is root's")
        self.assertEqual(m["state"], "merged")
        self.assertEqual((m["tier"], m["fast_forward"], m["conflicts"]), ("clean-merge", False, []))
        self.assertEqual({c["path"]: c["status"] for c in m["changes"]},
                         {"a": "M", "d/f": "M", "d/new": "A", "link": "A", "x": "D"})
        self.assertEqual(self.git("rev-parse", "main"), m["commit"])
        self.assertEqual(self.git("status", "--porcelain", "-uall").split("\n"), ["M d/g", "?? mine"])
        self.assertTrue(os.access(os.path.join(self.repo, "d/f"), os.X_OK))
        self.assertEqual(os.readlink(os.path.join(self.repo, "link")), "a")
        self.assertEqual(self.get("d/g"), "my own\n")
        self.assertIn("LINE 1", self.get("a"))
        self.assertEqual(self.git("log", "-1", "--format=%s|%an|%ce"),
                         "Merge topic into main|Una User|una@example.org")
        body = self.git("log", "-1", "--format=%b")
        self.assertIn("Agent: b1", body)
        self.assertIn("Changed: 5 paths", body)
        self.assertIn("merge topic", self.git("reflog", "-1"))
        self.git("fsck", "--strict")
        self.clean_git_folder()
        self.assertEqual(self.merge()["state"], "up_to_date")

    def test_fast_forward_makes_no_commit(self):
        tip = self.commit("topic", "echo new >new")
        m = self.merge()
        self.assertEqual((m["state"], m["fast_forward"], m["commit"]), ("merged", True, tip))
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.assertEqual(self.get("new"), "new\n")

    def test_squash_has_one_parent(self):
        self.commit("topic", "echo new >new")
        m = self.merge(squash=True)
        self.assertEqual(self.git("rev-list", "--parents", "-1", "main").split(),
                         [m["commit"], self.git("rev-parse", "main~1")])
        self.assertEqual(self.merge(squash=True)["state"], "up_to_date")

    def test_dry_run_changes_nothing_and_tells_the_same(self):
        self.commit("topic", "echo new >new")
        self.on_main("echo other >other")
        self.git("status")
        before = self.state()
        m = self.merge(dry_run=True)
        self.assertEqual((m["state"], m["commit"]), ("would_merge", None))
        self.assertEqual(self.state(), before)
        self.assertEqual(self.merge()["tree"], m["tree"])
        self.commit("more", "echo more >more", "topic")
        self.put("more", "mine\n")
        self.refused("Dirty", "'more'", source="more", dry_run=True)

    def test_a_conflict_changes_nothing(self):
        self.commit("topic", "echo theirs >x; echo t >n")
        self.on_main("echo ours >x; echo o >n")
        self.git("status")
        before = self.state()
        m = self.merge()
        self.assertEqual((m["state"], m["commit"], m["tree"]), ("conflict", None, None))
        self.assertEqual({c["path"]: c["kind"] for c in m["conflicts"]}, {"x": "content", "n": "add/add"})
        self.assertTrue(all(c["path"] in c["reason"] for c in m["conflicts"]))
        self.assertEqual(self.state(), before)

    def test_what_is_in_the_way_is_named_and_kept(self):
        self.commit("topic", "echo t >x; echo t >new; mkdir p; echo t >p/q; echo t >o.o; git add -f o.o; rm d/f")
        self.on_main("echo other >other")
        for path, text, word in (("x", "mine\n", "modified"), ("new", "mine\n", "untracked"),
                                 ("o.o", "mine\n", "ignored"), ("d/f", "mine\n", "modified"),
                                 ("p", "a file\n", "'p' is a file"), ("new/deep", "mine\n", "new/deep")):
            with self.subTest(path=path):
                self.put(path, text)
                self.refused("Dirty", path, word)
                full = os.path.join(self.repo, path)
                os.unlink(full)
                if path == "new/deep":
                    os.rmdir(os.path.join(self.repo, "new"))
                self.git("checkout", "-q", "--", "x", "d/f")
                self.world.give(self.repo)
        os.symlink(self.world.dir, os.path.join(self.repo, "p"))
        e = self.refused("Dirty", "'p' is a symbolic link")
        self.assertEqual([p["path"] for p in e.error["details"]["paths"]], ["p"])
        os.unlink(os.path.join(self.repo, "p"))
        self.put("x", "staged\n")
        self.git("add", "x")
        self.world.give(self.repo)
        self.refused("Dirty", "'x' has staged changes")
        self.git("reset", "-q", "--hard")
        self.world.give(self.repo)
        self.assertEqual(self.merge()["state"], "merged")
        self.assertEqual(self.git("status", "--porcelain"), "")

    def test_what_is_there_already_is_fine(self):
        self.commit("topic", "echo t >x; echo t >new; rm d/f")
        self.on_main("echo other >other")
        self.put("x", "t\n")
        self.put("new", "t\n")
        os.unlink(os.path.join(self.repo, "d/f"))
        self.assertEqual(self.merge()["state"], "merged")
        self.assertEqual(self.git("status", "--porcelain"), "")

    def test_files_and_folders_change_places(self):
        self.commit("topic", "rm -r d; echo file >d; rm x; mkdir x; echo deep >x/y")
        self.on_main("echo other >other")
        self.merge()
        self.assertEqual((self.get("d"), self.get("x/y")), ("file\n", "deep\n"))
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.commit("back", "rm d; mkdir d; echo f >d/f; rm -r x; echo x >x")
        self.put("x/mine", "mine\n")
        self.refused("Dirty", "x/mine", source="back")
        os.unlink(os.path.join(self.repo, "x/mine"))
        self.merge("back")
        self.assertEqual((self.get("d/f"), self.get("x")), ("f\n", "x\n"))
        self.assertEqual(self.git("status", "--porcelain"), "")

    def test_a_linked_worktree_is_updated(self):
        self.commit("topic", "echo new >new")
        linked = os.path.join(self.world.dir, "linked")
        self.git("worktree", "add", "-q", "-b", "release", linked, "main")
        self.put("r", "r\n", linked)
        self.git("add", "r", repo=linked)
        self.git("commit", "-q", "-m", "r", repo=linked)
        for p in (self.repo, linked):
            self.world.give(p)
        self.merge(into="release")
        self.assertEqual(self.get("new", linked), "new\n")
        self.assertEqual(self.git("status", "--porcelain", repo=linked), "")
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.assertIn("merge topic", self.git("reflog", "-1", repo=linked))
        # its folder gone: the branch moves alone
        subprocess.run(["rm", "-r", linked], check=True)
        self.commit("more", "echo more >more")
        self.assertEqual(self.merge("more", "release")["state"], "merged")

    def test_a_branch_that_nobody_has_checked_out(self):
        self.commit("topic", "echo new >new")
        self.git("branch", "aside")
        self.world.give(self.repo)
        self.merge(into="aside")
        self.assertEqual(self.git("show", "aside:new"), "new")
        self.assertFalse(os.path.exists(os.path.join(self.repo, "new")))

    def test_a_bare_repository(self):
        self.commit("topic", "echo new >new")
        self.on_main("echo other >other")
        bare = os.path.join(self.world.dir, "bare.git")
        self.git("clone", "-q", "--bare", self.repo, bare)
        self.world.give(bare)
        m = self.merge(repo=bare)
        self.assertEqual(self.git("rev-parse", "main", repo=bare), m["commit"])

    def test_a_worktree_in_the_middle_of_something(self):
        self.commit("topic", "echo theirs >x")
        self.on_main("echo ours >x")
        self.commit("other", "echo o >o", "main")
        self.git("merge", "topic", check=False)
        self.world.give(self.repo)
        self.refused("Dirty", "in the middle of a merge", source="other")
        self.git("merge", "--abort")
        self.git("rebase", "topic", check=False)
        self.world.give(self.repo)
        self.refused("Dirty", "in the middle of a rebase", source="other")

    def test_a_branch_that_cannot_move_undoes_files_and_index(self):
        self.commit("topic", "echo new >e; rm x; rm -r d; echo file >d; sed -i 's/line 1/X/' a")
        self.on_main("echo other >other")
        lock = os.path.join(self.repo, ".git/refs/heads/main.lock")
        self.git("status")
        before = self.state()
        self.put(".git/refs/heads/main.lock", "")
        with self.assertRaises(Failed) as c:
            self.merge()
        self.assertEqual(c.exception.id, "Busy", c.exception.message)
        os.unlink(lock)
        self.assertEqual(self.state(), before)
        self.clean_git_folder()
        self.assertEqual(self.merge()["state"], "merged")

    def test_gits_lock_is_respected(self):
        self.commit("topic", "echo new >new")
        self.put(".git/index.lock", "")
        self.world.give(self.repo)
        with self.assertRaises(Failed) as c:
            self.merge()
        self.assertEqual(c.exception.id, "Locked")
        self.assertTrue(os.path.exists(os.path.join(self.repo, ".git/index.lock")))

    def test_filters_are_refused_and_line_ends_converted(self):
        self.commit("topic", "printf '*.txt eol=crlf\n' >.gitattributes; printf 'one\\ntwo\\n' >t.txt")
        self.merge()
        with open(os.path.join(self.repo, "t.txt"), "rb") as f:
            self.assertEqual(f.read(), b"one\r\ntwo\r\n")
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.git("config", "filter.bad.smudge", "touch " + os.path.join(self.world.dir, "ran") + "; cat")
        self.commit("topic", "echo '*.bin filter=bad' >>.gitattributes; echo b >b.bin")
        if os.path.exists(os.path.join(self.world.dir, "ran")):
            os.unlink(os.path.join(self.world.dir, "ran"))
        self.refused("Unsupported", "b.bin", "filter=bad")
        self.assertFalse(os.path.exists(os.path.join(self.world.dir, "ran")))

    def test_nothing_of_the_configuration_runs(self):
        ran = os.path.join(self.world.dir, "ran")
        self.git("config", "merge.bad.driver", f"touch {ran}; true")
        self.git("config", "core.hooksPath", self.world.dir)
        self.put("../reference-transaction", f"#!/bin/sh\ntouch {ran}\n")
        self.on_main("echo 'a merge=bad' >.gitattributes")
        self.commit("topic", "sed -i 's/line 1/X/' a; git mv d e")
        self.on_main("sed -i 's/line 9/Y/' a; echo more >d/more")
        os.chmod(os.path.join(self.world.dir, "reference-transaction"), 0o755)
        if os.path.exists(ran):
            os.unlink(ran)
        m = self.merge()
        self.assertEqual(m["state"], "conflict")
        self.assertIn("a", [c["path"] for c in m["conflicts"]])
        self.assertFalse(os.path.exists(ran))

    def test_names(self):
        self.commit("topic", "echo new >new")
        self.refused("NotFound", "'topik'", "'topic'", source="topik")
        self.refused("NotFound", "'mian'", "'main'", into="mian")
        self.git("checkout", "-q", "--orphan", "island")
        self.git("commit", "-q", "-m", "island")
        self.git("checkout", "-q", "main")
        self.world.give(self.repo)
        self.refused("Invalid", "no common history", source="island")
        self.assertEqual(self.merge(into=None)["into"], "main")

    def test_criss_cross_and_folder_renames_go_to_git(self):
        self.commit("topic", "git mv d e")
        self.on_main("echo more >d/more")
        m = self.merge()
        self.assertEqual([(c["path"], c["kind"]) for c in m["conflicts"]], [("e/more", "folder rename")])
        self.commit("p", "echo p >x", "main~1")
        self.commit("q", "echo q >a", "main~1")
        p, q = self.git("rev-parse", "p"), self.git("rev-parse", "q")
        tree = self.git("merge-tree", "--write-tree", p, q)
        for name, parents in (("p2", (p, q)), ("q2", (q, p))):
            self.git("branch", name, self.git("commit-tree", "-p", parents[0], "-p", parents[1], "-m", name, tree))
        self.commit("p2", "echo P >pp")
        self.commit("q2", "echo Q >qq")
        want = self.git("merge-tree", "--write-tree", "q2", "p2")
        self.world.give(self.repo)
        m = self.merge("p2", "q2")
        self.assertEqual((m["state"], m["tree"]), ("merged", want))

    def test_without_git_the_doubtful_cases_conflict(self):
        self.commit("topic", "git mv x y; sed -i 's/line 1/X/' a")
        self.on_main("echo more >>x; sed -i 's/line 9/Y/' a")
        git = os.path.realpath(subprocess.run(["sh", "-c", "command -v git"], capture_output=True,
                                              text=True).stdout.strip())
        request = {"op": "merge", "state": self.world.state, "repo": self.repo, "source": "topic",
                   "into": "main", "user_name": "u", "user_email": "u@e"}
        p = subprocess.run(["unshare", "-m", "sh", "-c",
                            f"mount --make-rprivate / && mount --bind /dev/null {git} && exec {WORKER}"],
                           input=json.dumps(request), capture_output=True, text=True)
        if p.returncode and not p.stdout:
            self.skipTest("needs a mount namespace: " + p.stderr.strip())
        m = json.loads(p.stdout)["ok"]
        self.assertEqual(m["state"], "conflict")
        self.assertEqual([c["kind"] for c in m["conflicts"]], ["modify/delete"])
        self.assertIn("needs git", m["conflicts"][0]["reason"])

    def test_what_outgrows_the_memory_is_merged_on_the_disk(self):
        """Files that both sides changed, and a rename for git's own merge; git's folder in a tmpfs with so many files."""
        self.git("branch", "-f", "base", "main")
        self.commit("lines", "sed -i 's/line 1/line 0/' a", "base")  # a line that stands elsewhere: git is asked
        self.commit("renamed", "git mv x y; sed -i 's/line 1/X/' a", "base")
        self.on_main("echo more >>x; sed -i 's/line 9/Y/' a")
        want = {name: self.git("merge-tree", "--write-tree", "main", name) for name in ("lines", "renamed")}
        self.world.give(self.repo)
        for inodes in (1, 2, 5, 12, 20, 24, 26, 28, 31, 100):
            for name in want:
                request = {"op": "merge", "state": self.world.state, "repo": self.repo, "source": name,
                           "into": "main", "dry_run": True, "user_name": "u", "user_email": "u@e"}
                p = subprocess.run(
                    ["unshare", "-m", "sh", "-c",
                     "mount --make-rprivate / && mount -t tmpfs -o mode=1777,size=64m,nr_inodes="
                     f"{inodes} none /dev/shm && exec {WORKER}"],
                    input=json.dumps(request), capture_output=True, text=True,
                    env={k: v for k, v in os.environ.items() if k != "TMPDIR"})
                if p.returncode and not p.stdout:
                    self.skipTest("needs a mount namespace: " + p.stderr.strip())
                self.assertIn("ok", json.loads(p.stdout), f"{inodes} files, {name}")
                m = json.loads(p.stdout)["ok"]
                self.assertEqual((m["state"], m["tree"], m["notes"]), ("would_merge", want[name], []),
                                 f"{inodes} files, {name}")


class Kill(Case):
    POINTS = ["lock", "staged", "file", "file:2", "file:4", "files", "index", "moved"]

    def killed(self, point):
        request = {"op": "merge", "state": self.world.state, "repo": self.repo, "source": "topic",
                   "into": "main", "user_name": "u", "user_email": "u@e", "peer_uid": self.world.owner}
        p = subprocess.run([WORKER], input=json.dumps(request), capture_output=True, text=True,
                           env=dict(os.environ, AGENTFS_FAILPOINT=point))
        self.assertEqual(p.returncode, -9, f"the point {point} was not reached: {p.stdout}{p.stderr}")

    def test_a_kill_leaves_what_status_shows_and_the_merge_completes(self):
        self.commit("topic", "echo new >new; echo t >x; rm -r d; echo file >d; sed -i 's/line 1/X/' a")
        self.on_main("echo other >other")
        start = self.git("rev-parse", "main")
        for point in self.POINTS:
            with self.subTest(point=point):
                self.git("reset", "-q", "--hard", start)
                self.git("clean", "-qfd")
                self.put("mine", "mine\n")
                self.world.give(self.repo)
                self.killed(point)
                tip = self.git("rev-parse", "main")
                status = [s.strip() for s in self.git("status", "--porcelain", "-uall").split("\n")]
                self.assertEqual(tip == start, point != "moved")
                if point in ("files", "index"):
                    self.assertGreater(len(status), 3, status)
                m = self.merge()
                self.assertEqual(m["state"], "up_to_date" if point == "moved" else "merged")
                self.assertEqual(self.git("status", "--porcelain", "-uall"), "?? mine")
                self.assertEqual(self.get("d"), "file\n")
                self.git("fsck", "--strict")
                self.clean_git_folder()


class Hold(Case):
    """The target moves in a second step, to what was made in the first."""

    def hold(self, *sources, **more):
        return self.world.ask("hold", **dict({
            "repo": self.repo, "into": "main", "agent": "b1", "task": "work",
            "sources": [{"source": s, "keep": f"k-{s}"} for s in sources]}, **more))["merges"]

    def land(self, start, commit, *drop):
        return self.world.ask("land", repo=self.repo, into="main", drop=[f"k-{d}" for d in drop],
                              **{"from": start, "commit": commit})

    def kept(self):
        return self.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/agentfs/merge").split("\n")

    def test_nothing_moves_before_it_lands(self):
        self.commit("topic", "echo t >new")
        self.on_main("echo other >other")
        start = self.git("rev-parse", "main")
        m, = self.hold("topic")
        self.assertEqual((m["state"], m["onto"], self.git("rev-parse", "main")), ("held", start, start))
        self.assertEqual(self.kept(), [f"refs/agentfs/merge/k-topic {m['commit']}"])
        self.assertFalse(os.path.exists(os.path.join(self.repo, "new")))
        self.assertFalse(self.land(start, m["commit"], "topic")["already"])
        self.assertEqual((self.git("rev-parse", "main"), self.get("new")), (m["commit"], "t\n"))
        self.assertEqual((self.kept(), self.git("status", "--porcelain")), ([""], ""))
        self.assertTrue(self.land(start, m["commit"], "topic")["already"])
        self.clean_git_folder()

    def test_one_on_top_of_the_other_but_not_on_the_same_path(self):
        for name, script in (("t1", "echo 1 >one"), ("t2", "sed -i 's/line 1/A/' a"), ("t3", "sed -i 's/line 9/B/' a"),
                             ("t4", "rm x; echo 4 >four")):
            self.commit(name, script)
        self.on_main("rm x; echo main >x2")
        start = self.git("rev-parse", "main")
        merges = self.hold("t1", "t2", "t3", "t4", "nowhere", disjoint=True)
        self.assertEqual([m.get("state", "error") for m in merges], ["held", "held", "later", "held", "error"])
        self.assertEqual(merges[4]["error"]["id"], "NotFound")
        self.assertEqual([m["onto"] for m in (merges[0], merges[1], merges[3])],
                         [start, merges[0]["commit"], merges[1]["commit"]])
        self.assertEqual([k.split(" ")[0][-2:] for k in self.kept()], ["t1", "t2", "t4"])
        self.land(start, merges[3]["commit"], "t1", "t2", "t4")
        self.assertEqual((self.get("one"), self.get("four"), "A" in self.get("a")), ("1\n", "4\n", True))
        later, = self.hold("t3", disjoint=True, avoid=["b"])
        self.assertEqual(later["state"], "held")
        self.assertEqual(self.hold("t3", disjoint=True, avoid=["a"])[0]["state"], "later")

    def test_a_target_that_moved_and_a_changed_file_are_refused(self):
        self.commit("topic", "sed -i 's/line 1/A/' a")
        self.on_main("echo o >o")
        start = self.git("rev-parse", "main")
        m, = self.hold("topic")
        self.put("a", "mine\n")
        self.refused("Dirty", "'a'", op=lambda: self.land(start, m["commit"], "topic"))
        self.git("checkout", "-q", "a")
        self.on_main("echo more >more")
        self.refused("Busy", "was moved by somebody else", op=lambda: self.land(start, m["commit"], "topic"))
        self.refused("Invalid", "cannot name", op=lambda: self.world.ask("drop-held", repo=self.repo, drop=["a..b"]))
        self.world.ask("drop-held", repo=self.repo, drop=["k-topic", "k-none"])
        self.assertEqual(self.kept(), [""])

    def test_a_resolver_that_is_left_out_does_not_act(self):
        self.on_main("echo 'version = 1.2.3' >v.toml")
        self.commit("topic", "echo 'version = 1.2.4' >v.toml")
        self.on_main("echo 'version = 1.3.0' >v.toml")
        m, = self.hold("topic")
        self.assertEqual((m["state"], m["resolved"][0]["conflicts"][0]["resolver"]), ("held", "version"))
        m, = self.hold("topic", without="version")
        self.assertEqual(m["state"], "conflict")
        self.assertEqual(m["conflicts"][0]["hunks"][0]["candidates"][0]["resolver"], "version")

    def test_a_kill_while_landing_is_gone_on_with(self):
        self.commit("topic", "echo new >new; echo t >x; rm -r d; sed -i 's/line 1/X/' a")
        self.on_main("echo other >other")
        start = self.git("rev-parse", "main")
        for point in Kill.POINTS + ["landed"]:
            with self.subTest(point=point):
                self.git("reset", "-q", "--hard", start)
                self.world.give(self.repo)
                m, = self.hold("topic")
                request = {"op": "land", "state": self.world.state, "repo": self.repo, "into": "main", "from": start,
                           "commit": m["commit"], "drop": ["k-topic"], "user_name": "u", "user_email": "u@e",
                           "peer_uid": self.world.owner}
                p = subprocess.run([WORKER], input=json.dumps(request), capture_output=True, text=True,
                                   env=dict(os.environ, AGENTFS_FAILPOINT=point))
                self.assertEqual(p.returncode, -9, f"the point {point} was not reached: {p.stdout}{p.stderr}")
                self.assertEqual(self.land(start, m["commit"], "topic")["already"], point in ("moved", "landed"))
                self.assertEqual((self.git("rev-parse", "main"), self.git("status", "--porcelain"), self.kept()),
                                 (m["commit"], "", [""]))
                self.clean_git_folder()


class Apply(Case):
    def apply(self, source, base="main", **more):
        return self.world.ask("apply", repo=self.repo, source=source, base=self.git("rev-parse", base), **more)

    def test_changes_files_and_nothing_else(self):
        tip = self.commit("topic", "mkdir e; echo new >e/new; rm x; sed -i 's/line 1/X/' a; "
                                   "chmod +x d/f")
        self.put("a", FILES["a"].replace("line 9", "mine"))
        self.git("status")
        with open(os.path.join(self.repo, ".git/index"), "rb") as f:
            index = f.read()
        m = self.apply(tip, worktree=self.repo)
        self.assertEqual({c["path"]: c["status"] for c in m["changes"]},
                         {"a": "M", "d/f": "M", "e/new": "A", "x": "D"})
        self.assertIn("X", self.get("a"))
        self.assertIn("mine", self.get("a"))
        self.assertFalse(os.path.exists(os.path.join(self.repo, "x")))
        with open(os.path.join(self.repo, ".git/index"), "rb") as f:
            self.assertEqual(f.read(), index)
        self.assertEqual([s.strip() for s in self.git("status", "--porcelain", "-uall").split("\n")],
                         ["M a", "M d/f", "D x", "?? e/new"])
        self.clean_git_folder()
        self.git("checkout", "-q", "--", "a")
        self.world.give(self.repo)
        self.apply(tip)
        self.assertIn("nothing to change", self.apply(tip)["notes"][0])

    def test_conflicts_change_nothing_and_are_listed(self):
        tip = self.commit("topic", "echo t >x; echo t >new; rm d/f; echo fine >fine")
        self.put("x", "mine\n")
        self.put("new", "mine\n")
        self.put("d/f", "mine\n")
        e = self.refused("Conflict", "'d/f'", op=lambda: self.apply(tip))
        self.assertEqual({c["path"]: c["kind"] for c in e.error["details"]["conflicts"]},
                         {"d/f": "modify/delete", "new": "add/add", "x": "content"})
        self.assertFalse(os.path.exists(os.path.join(self.repo, "fine")))

    def test_into_a_linked_worktree_and_no_other_repository(self):
        tip = self.commit("topic", "echo t >new")
        linked = os.path.join(self.world.dir, "linked")
        self.git("worktree", "add", "-q", "-b", "side", linked)
        for p in (self.repo, linked):
            self.world.give(p)
        self.apply(tip, worktree=os.path.join(linked, "d"))
        self.assertEqual(self.get("new", linked), "t\n")
        self.assertFalse(os.path.exists(os.path.join(self.repo, "new")))
        other = self.world.repository("other")
        self.refused("Invalid", "not of the view's repository", op=lambda: self.apply(tip, worktree=other))

    def test_never_through_a_symbolic_link(self):
        tip = self.commit("topic", "mkdir p; echo t >p/q")
        outside = os.path.join(self.world.dir, "outside")
        os.makedirs(outside)
        os.symlink(outside, os.path.join(self.repo, "p"))
        with self.assertRaises(Failed):
            self.apply(tip)
        self.assertEqual(os.listdir(outside), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
