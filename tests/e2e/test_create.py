# SPDX-License-Identifier: Apache-2.0
"""agentfs-worker on real repositories: create, uncreate, and each refusal.

Usage: test_create.py AGENTFS_WORKER AGENTFS SOURCE_ROOT [unittest arguments]
"""
import os
import sys
import unittest

WORKER, AGENTFS, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3]
sys.path.insert(0, os.path.join(SOURCE, "tests/lib"))
from worker_view import Failed, GIT_ENV, World, run  # noqa: E402

ROOT = os.geteuid() == 0
OWNER = 12345 if ROOT else None


class Case(unittest.TestCase):
    def setUp(self):
        self.world = World(WORKER, AGENTFS, OWNER)
        self.addCleanup(self.world.close)

    def refused(self, id, repo, *words, **more):
        with self.assertRaises(Failed) as c:
            self.world.create(repo, **more)
        self.assertEqual(c.exception.id, id, c.exception.message)
        for w in words:
            self.assertIn(w, c.exception.message)
        if os.path.isdir(os.path.join(self.world.state, "images")):
            self.assertEqual([f for f in os.listdir(os.path.join(self.world.state, "images"))
                              if f.endswith(".tmp")], [], "temporary files go")
        return c.exception


class Create(Case):
    def test_makes_base_ref_branch_image_and_seeds(self):
        repo = self.world.repository()
        request, made = self.world.create(repo)
        head = self.world.git(repo, "rev-parse", "HEAD").strip()
        self.assertEqual(made["base_commit"], head)
        self.assertEqual(made["target"], "main")
        self.assertEqual(made["worktree"], repo)
        self.assertTrue(made["branch_made"])
        self.assertEqual(self.world.git(repo, "rev-parse", "refs/agentfs/base/" + request["view_id"],
                                        made["branch"]).split(), [head, head])
        images = os.listdir(os.path.join(self.world.state, "images"))
        self.assertEqual(sorted(images), sorted([".lock", made["image"], made["index"]]))
        if ROOT:
            self.assertEqual(run("find", repo, "-uid", "0"), "", "nothing is root's")
        # the base stays alive whatever its owner prunes
        self.world.git(repo, "commit", "-q", "--amend", "-m", "other")
        self.world.git(repo, "branch", "-D", made["branch"])
        self.world.git(repo, "reflog", "expire", "--expire=now", "--all")
        self.world.git(repo, "gc", "-q", "--prune=now")
        self.assertEqual(self.world.git(repo, "cat-file", "-t", head).strip(), "commit")

    def test_a_second_view_uses_the_image_that_is_there(self):
        repo = self.world.repository()
        _, one = self.world.create(repo)
        path = os.path.join(self.world.state, "images", one["image"])
        before = os.stat(path)
        _, two = self.world.create(repo, agent="b2")
        self.assertEqual(two["image"], one["image"])
        self.assertEqual(os.stat(path).st_mtime_ns, before.st_mtime_ns)

    def test_uncreate_takes_it_back(self):
        repo = self.world.repository()
        before = self.world.git(repo, "for-each-ref")
        request, made = self.world.create(repo)
        self.world.ask("uncreate", repo=repo, view_id=request["view_id"], branch=made["branch"],
                       branch_made=made["branch_made"], branch_was=made["branch_was"],
                       base_commit=made["base_commit"])
        self.assertEqual(self.world.git(repo, "for-each-ref"), before)

    def test_base_names_its_target(self):
        repo = self.world.repository()
        self.world.git(repo, "branch", "dev")
        self.world.git(repo, "tag", "v1")
        self.world.give(repo)
        self.assertEqual(self.world.create(repo, base="dev")[1]["target"], "dev")
        self.assertEqual(self.world.create(repo, agent="b2", base="v1")[1]["target"], "")

    def test_bare_shallow_and_linked_repositories_work(self):
        repo = self.world.repository()
        self.world.git(repo, "commit", "-q", "--allow-empty", "-m", "second")
        bare, shallow, linked = (os.path.join(self.world.dir, n) for n in ("bare.git", "shallow", "linked"))
        run("git", "-c", "safe.directory=*", "clone", "-q", "--bare", repo, bare, env=GIT_ENV)
        run("git", "-c", "safe.directory=*", "clone", "-q", "--depth", "1", "file://" + repo, shallow, env=GIT_ENV)
        self.world.git(repo, "worktree", "add", "-q", "-b", "side", linked)
        for r in (repo, bare, shallow, linked):
            self.world.give(r)
        self.assertIsNone(self.world.create(bare)[1]["worktree"])
        seeds = {s["path"] for s in self.world.create(shallow, agent="b2")[1]["seeds"]}
        self.assertIn("shallow", seeds)
        made = self.world.create(linked, agent="b3")[1]
        self.assertEqual((made["target"], made["worktree"]), ("side", repo))

    def test_notes_say_what_is_shown_as_stored(self):
        repo = self.world.repository(files={".gitattributes": "*.txt eol=crlf\n*.big filter=lfs\n# *.x ident\n"})
        oid = self.world.git(repo, "rev-parse", "HEAD").strip()
        self.world.git(repo, "update-index", "--add", "--cacheinfo", f"160000,{oid},sub")
        self.world.git(repo, "commit", "-qm", "sub")
        self.world.give(repo)
        notes = " ".join(self.world.create(repo)[1]["notes"])
        for word in ("1 submodule", "line ends", "LFS"):
            self.assertIn(word, notes)
        self.assertNotIn("ident", notes)


class Refusals(Case):
    def test_what_is_no_repository(self):
        self.refused("NotFound", self.world.dir, "not in a git repository")
        self.refused("NotFound", os.path.join(self.world.dir, "missing"))

    def test_no_commit_yet(self):
        repo = os.path.join(self.world.dir, "empty")
        run("git", "init", "-q", repo, env=GIT_ENV)
        self.world.give(repo)
        self.refused("Unsupported", repo, "no commit yet", "make one first")

    def test_sha256(self):
        repo = os.path.join(self.world.dir, "sha256")
        run("git", "init", "-q", "--object-format=sha256", repo, env=GIT_ENV)
        self.world.give(repo)
        self.refused("Unsupported", repo, "sha256")

    def test_unknown_revision(self):
        self.refused("NotFound", self.world.repository(), "no-such", base="no-such")

    def test_a_branch_with_commits_of_its_own(self):
        repo = self.world.repository()
        self.world.git(repo, "switch", "-q", "-c", "agents/b1/work")
        self.world.git(repo, "commit", "-q", "--allow-empty", "-m", "mine")
        self.world.git(repo, "switch", "-q", "main")
        self.world.give(repo)
        self.refused("NameTaken", repo, "--task", "--base agents/b1/work")
        self.assertNotIn("agentfs/base", self.world.git(repo, "for-each-ref"))

    def test_a_branch_inside_the_base_is_taken_over(self):
        repo = self.world.repository()
        self.world.git(repo, "branch", "agents/b1/work")
        self.world.git(repo, "commit", "-q", "--allow-empty", "-m", "second")
        self.world.give(repo)
        made = self.world.create(repo)[1]
        self.assertFalse(made["branch_made"])
        self.assertEqual(self.world.git(repo, "rev-parse", "agents/b1/work").strip(), made["base_commit"])
        self.assertEqual(made["branch_was"], self.world.git(repo, "rev-parse", "HEAD~1").strip())

    def test_a_branch_that_is_checked_out(self):
        repo = self.world.repository()
        self.world.git(repo, "worktree", "add", "-q", "-b", "agents/b1/work", os.path.join(self.world.dir, "wt"))
        self.world.give(repo)
        self.world.give(os.path.join(self.world.dir, "wt"))
        self.refused("BranchElsewhere", repo, "checked out")

    def test_a_branch_that_is_a_folder_of_others(self):
        repo = self.world.repository()
        self.world.git(repo, "branch", "agents")
        self.world.give(repo)
        self.refused("NameTaken", repo)

    def test_no_valid_branch_name(self):
        self.refused("Invalid", self.world.repository(), "valid branch name", branch="a..b")

    def test_partial_clone_that_lacks_objects(self):
        repo = self.world.repository()
        self.world.git(repo, "config", "uploadpack.allowFilter", "true")
        part = os.path.join(self.world.dir, "part")
        run("git", "-c", "safe.directory=*", "clone", "-q", "--no-checkout", "--filter=blob:none", "file://" + repo,
            part, env=GIT_ENV)
        self.world.give(part)
        self.refused("NotFetched", part, "lacks")
        # also where the image is there already, from a whole clone
        self.world.create(repo)
        self.refused("NotFetched", part, "lacks")

    def test_a_damaged_tree(self):
        repo = self.world.repository()
        tree = self.world.git(repo, "rev-parse", "HEAD:src").strip()
        path = os.path.join(repo, ".git/objects", tree[:2], tree[2:])
        os.chmod(path, 0o644)
        with open(path, "r+b") as f:
            f.write(b"rubbish")
        self.refused("Damaged", repo, tree)

    @unittest.skipUnless(ROOT, "several users need root")
    def test_another_users_repository_unless_granted(self):
        repo = self.world.repository()
        self.refused_peer(repo)
        self.world.git(repo, "config", "--add", "agentfs.grant", "54321")
        self.world.give(repo)
        _, made = self.ask_as(repo, 54321)
        self.assertEqual(made["owner_uid"], 12345)
        self.assertEqual(run("find", repo, "-uid", "0"), "")

    def ask_as(self, repo, uid):
        request = dict(repo=repo, agent="b1", task="work", view_id="ab" * 16, branch="agents/b1/work", uid=uid,
                       gid=uid, peer_uid=uid, peer_gid=uid)
        return request, self.world.ask("create", **request)

    def refused_peer(self, repo):
        with self.assertRaises(Failed) as c:
            self.ask_as(repo, 54321)
        self.assertEqual(c.exception.id, "Denied")
        self.assertIn("agentfs.grant", c.exception.message)

    def test_nothing_of_the_repository_is_run(self):
        repo = self.world.repository()
        mark = os.path.join(self.world.dir, "ran")
        for name in ("post-checkout", "reference-transaction", "post-index-change"):
            hook = os.path.join(repo, ".git/hooks", name)
            os.makedirs(os.path.dirname(hook), exist_ok=True)
            with open(hook, "w") as f:
                f.write(f"#!/bin/sh\ntouch {mark}\n")
            os.chmod(hook, 0o755)
        self.world.git(repo, "config", "core.fsmonitor", f"touch {mark}")
        self.world.give(repo)
        self.world.create(repo)
        self.assertFalse(os.path.exists(mark))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:])
