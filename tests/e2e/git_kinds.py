#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Repositories of other kinds, what git can make of a view, and what materialize, diff and destroy make of it then."""
import os

from harness import *
import repos
import tree

FILE = ["-c", "protocol.file.allow=always"]


def git(p, *args, check=True):
    return run("git", *args, cwd=p, check=check, env={"GIT_EDITOR": "true"}).stdout.strip()


def notes(done):
    return done.stderr + done.stdout


def view_of(s, repo, agent="a1", *args):
    """A view of another repository; its path, and what create said."""
    done = s.ctl("create", agent, "--repo", repo, *args)
    return s.path(agent), notes(done)


def source(s, name="source", files=None):
    """A repository to clone from: two commits on main, one more on a branch."""
    path = repos.make(os.path.join(s.folder, name), files or {"README": "r\n", "src/x.c": "x\n", "docs/g.md": "g\n"})
    repos.commit(path, {"src/x.c": "x2\n"}, "second")
    run("git", "-C", path, "config", "uploadpack.allowFilter", "true")
    return path


def clone(s, name, *options, bare_url=None):
    path = os.path.join(s.folder, name)
    run("git", "clone", "-q", *options, "file://" + (bare_url or os.path.join(s.folder, "source")), path)
    git(path, "config", "user.name", "Ada")
    git(path, "config", "user.email", "ada@example.org")
    return path


def work_in(s, repo, agent, merged=True):
    """A day in a view of it: commit, uncommitted work, fetch, log, materialize, merge. Returns what create said."""
    p, said = view_of(s, repo, agent)
    equal(git(p, "status", "--porcelain"), "")
    put(os.path.join(p, "src/x.c"), f"committed by {agent}\n")
    git(p, "commit", "-qam", "one")
    put(os.path.join(p, "new.txt"), f"{agent}\n")
    repos.commit(repo, {"theirs.txt": f"{agent}\n"}, "theirs")
    git(p, "fetch", "-q")
    equal(git(p, "rev-parse", "origin/main"), git(repo, "rev-parse", "main"))
    done = s.ctl("materialize", agent)
    assert "2 commits" in notes(done), notes(done)
    assert "kept as" not in notes(done), notes(done)
    equal(git(repo, "show", f"agents/{agent}/work:src/x.c"), f"committed by {agent}")
    equal(s.ctl("log", agent).stdout.count("\ncommit ") + 1, 2)
    equal(git(p, "status", "--porcelain"), "")
    equal([r for r in s.git("for-each-ref").split("\n") if "preserved" in r], [])
    if merged:
        s.ctl("merge", agent)
        equal(git(repo, "show", "main:src/x.c"), f"committed by {agent}")
        equal(git(repo, "show", "main:theirs.txt"), agent)
        equal(git(repo, "status", "--porcelain"), "")
    return said


def test_kinds__shallow(system):
    s = system
    source(s)
    work_in(s, clone(s, "one", "--depth", "1"), "a1")
    repos.commit(os.path.join(s.folder, "source"), {"README": "r2\n"}, "third")
    work_in(s, clone(s, "two", "--depth", "2"), "a2")
    assert os.path.exists(s.path("a2", ".git/shallow"))
    equal(git(s.path("a2"), "fsck", "--no-dangling"), "")


def test_kinds__partial(system):
    s = system
    source(s)
    said = work_in(s, clone(s, "partial", "--filter=blob:none"), "a1")
    assert "partial clone" in said and "--refetch" in said, said


def test_kinds__sparse_checkout(system):
    s = system
    source(s)
    repo = clone(s, "sparse")
    git(repo, "sparse-checkout", "set", "--cone", "docs")
    work_in(s, repo, "a1")
    equal(sorted(os.listdir(s.path("a1"))), [".git", "README", "docs", "new.txt", "src"])
    equal(git(repo, "ls-files", "-t", "src"), "S src/x.c", "the repository's own sparse checkout stays one")


def test_kinds__split_or_sparse_index(system):
    s = system
    source(s)
    for agent, words in (("a1", [["update-index", "--split-index"]]),
                         ("a2", [["sparse-checkout", "set", "--cone", "--sparse-index", "docs"]])):
        repo = clone(s, "index-" + agent)
        for w in words:
            git(repo, *w)
        said = work_in(s, repo, agent, merged=False)
        assert "split or sparse" in said and said.count("\n") < 6, said
        s.refused("Unsupported", "merge", agent, says=("split or sparse", "--no-split-index"))
        git(repo, "update-index", "--no-split-index")
        git(repo, "sparse-checkout", "disable")
        s.ctl("merge", agent)
        equal(git(repo, "show", "main:src/x.c"), f"committed by {agent}")


def test_kinds__extensions(system):
    s = system
    source(s)
    repo = clone(s, "extended")
    git(repo, "config", "core.repositoryformatversion", "1")
    git(repo, "config", "extensions.worktreeConfig", "true")
    git(repo, "config", "extensions.preciousObjects", "true")
    work_in(s, repo, "a1")
    git(repo, "config", "extensions.somethingNew", "true")
    s.refused("Unsupported", "create", "a2", "--repo", repo, says="extensions.somethingnew")


def test_kinds__submodules(system):
    s = system
    lib = repos.make(os.path.join(s.folder, "lib"), {"l.c": "l\n"})
    git(s.repo, *FILE, "submodule", "add", "-q", lib, "lib")
    git(s.repo, "commit", "-qm", "lib")
    p, said = view_of(s, s.repo)
    assert "1 submodule: shown as empty folder until git submodule update --init" in said, said
    equal(os.listdir(os.path.join(p, "lib")), [])
    equal(git(p, "status", "--porcelain"), "")
    git(p, *FILE, "submodule", "update", "-q", "--init")
    equal(get(os.path.join(p, "lib/l.c")), "l\n")
    equal(git(p, "status", "--porcelain"), "")
    equal(notes(s.ctl("materialize", "a1")).count("lib"), 0)
    put(os.path.join(p, "lib/l.c"), "l2\n")
    equal(git(p, "status", "--porcelain"), "M lib")
    sh("git -c user.name=x -c user.email=x@y commit -qam l2", cwd=os.path.join(p, "lib"))
    git(p, "commit", "-qam", "lib moves")
    moved = git(os.path.join(p, "lib"), "rev-parse", "HEAD")
    said = notes(s.ctl("materialize", "a1"))
    assert "'lib' is a submodule: push its commit from there" in said, said
    equal(s.git("rev-parse", "agents/a1/work:lib"), moved)
    put(os.path.join(p, "lib/l.c"), "l3\n")
    said = notes(s.ctl("destroy", "a1"))
    assert "'lib': is a submodule: its files are kept, its history is not" in said, said
    ref = s.git("for-each-ref", "--format=%(refname)", "refs/agentfs/preserved/a1/")
    equal(s.git("show", ref + ":lib/l.c"), "l3")


def test_kinds__lfs_pointers_and_eol(system):
    s = system
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "1" * 64 + "\nsize 5\n"
    repos.commit(s.repo, {".gitattributes": "*.big filter=lfs diff=lfs merge=lfs -text\n*.bat text eol=crlf\n*.id ident\n",
                          "x.big": pointer, "r.bat": b"a\r\nb\r\n", "v.id": "$Id$\n"})
    p, said = view_of(s, s.repo)
    assert "Git LFS pointers" in said and "line ends" in said and "$Id$" in said, said
    equal(get(os.path.join(p, "x.big")), pointer)
    for name in ("x.big", "r.bat", "v.id"):  # git reads each anew, and finds what is stored
        os.utime(os.path.join(p, name))
    equal(git(p, "status", "--porcelain"), "")
    for name in ("r.bat", "v.id"):  # written by git, they are converted, and are the same to it
        os.unlink(os.path.join(p, name))
        git(p, "checkout", "-q", "--", name)
    equal(get(os.path.join(p, "r.bat"), "rb"), b"a\r\nb\r\n")
    assert get(os.path.join(p, "v.id")).startswith("$Id: ")
    equal(git(p, "status", "--porcelain"), "")
    assert "nothing to commit" in notes(s.ctl("materialize", "a1"))
    git(p, "switch", "-q", "-c", "other", "HEAD~1")
    git(p, "switch", "-q", "agents/a1/work")
    equal(get(os.path.join(p, "x.big")), pointer)


def test_sparse__what_is_left_out_is_not_deleted(system):
    """git sparse-checkout takes files out of the view: to materialize, diff and destroy they are as they were."""
    s = system
    p, _ = view_of(s, s.repo)
    git(p, "sparse-checkout", "set", "--cone", "docs")
    assert not os.path.exists(p + "/src")
    equal(s.ctl("diff", "a1").stdout, "")
    put(p + "/docs/guide.md", "sparse work\n")
    s.ctl("materialize", "a1")
    equal(s.git("diff", "--name-status", "main", "agents/a1/work"), "M\tdocs/guide.md")
    equal(git(p, "status", "--porcelain"), "")
    # staged in the index alone, outside of the cone
    oid = run("git", "hash-object", "-w", "--stdin", cwd=p, input="staged\n").stdout.strip()
    git(p, "update-index", "--cacheinfo", f"100644,{oid},src/util.c")
    git(p, "update-index", "--skip-worktree", "src/util.c")
    os.unlink(p + "/docs/deep/er/still/file.txt")
    s.ctl("materialize", "a1")
    equal(s.git("diff", "--name-status", "main", "agents/a1/work").split("\n"),
          ["D\tdocs/deep/er/still/file.txt", "M\tdocs/guide.md", "M\tsrc/util.c"])
    equal(s.git("show", "agents/a1/work:src/util.c"), "staged")
    git(p, "sparse-checkout", "reapply", "--sparse-index")
    put(p + "/docs/guide.md", "sparse index\n")
    for words in (["materialize", "a1"], ["diff", "a1"]):
        s.refused("Unsupported", *words, says="git sparse-checkout reapply --no-sparse-index")
    s.ctl("destroy", "a1")
    ref = s.git("for-each-ref", "--format=%(refname)", "refs/agentfs/preserved/a1/")
    equal(s.git("diff", "--name-status", "agents/a1/work", ref), "M\tdocs/guide.md")


def test_split_index__says_what_to_do(system):
    s = system
    p, _ = view_of(s, s.repo)
    put(p + "/new.txt", "n\n")
    git(p, "add", "-A")
    git(p, "update-index", "--split-index")
    s.refused("Unsupported", "materialize", "a1", says="git update-index --no-split-index")
    assert "new.txt" in s.ctl("diff", "a1").stdout
    git(p, "update-index", "--no-split-index")
    s.ctl("materialize", "a1")
    equal(s.git("show", "agents/a1/work:new.txt"), "n")


def test_worktree__inside_a_view_is_its_own(system):
    s = system
    s.git("rm", "-q", "SPRINT.md")  # which a builder may not write, in a worktree of his own either
    s.git("commit", "-qm", "no plan")
    p, _ = view_of(s, s.repo)
    git(p, "worktree", "add", "-q", "-b", "side", "wt")
    put(p + "/wt/inside.txt", "i\n")
    sh("git add -A; git commit -qm inside; git fetch -q; git pull -q origin main; echo u >uncommitted", cwd=p + "/wt")
    put(p + "/mine.txt", "m\n")
    said = notes(s.ctl("materialize", "a1"))
    assert "'wt': is a git repository of its own: left out" in said, said
    equal(s.git("diff", "--name-status", "main", "agents/a1/work"), "A\tmine.txt")
    s.ctl("destroy", "a1")
    kept = s.git("for-each-ref", "--format=%(refname)", "refs/agentfs/preserved/a1/").split("\n")
    equal({k.split("/", 5)[5] for k in kept}, {"work", "heads/side"})
    ref = {k.split("/", 5)[5]: k for k in kept}
    equal(s.git("show", ref["heads/side"] + ":inside.txt"), "i")
    equal(s.git("show", ref["work"] + ":wt/uncommitted"), "u")


def test_materialize__after_rebase_amend_reset_and_merge(system):
    s = system
    p, _ = view_of(s, s.repo)

    def brought(what):
        said = notes(s.ctl("materialize", "a1"))
        equal(s.git("rev-parse", "agents/a1/work"), git(p, "rev-parse", "HEAD"), what)
        equal(git(p, "status", "--porcelain"), "", what)
        return said

    def kept(said, tip):
        """What the branch does not contain any more has a ref, and the note names it."""
        refs = s.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/agentfs/preserved/a1/").split("\n")
        ref = [r.split()[1] for r in refs if r.startswith(tip)]
        assert ref and ref[0] in said, (ref, said)
    sh("echo mine >src/util.h; git commit -qam one; echo two >two.txt; git add .; git commit -qm two", cwd=p)
    assert "kept as" not in brought("two commits")
    old = git(p, "rev-parse", "HEAD")
    repos.commit(s.repo, {"src/util.h": "theirs\n", "later.txt": "l\n"}, "theirs")
    git(p, "fetch", "-q")
    equal(run("git", "rebase", "origin/main", cwd=p, check=False).returncode, 1)
    for words in (["materialize", "a1"], ["merge", "a1"], ["next", "a1", "--task", "t2"]):
        s.refused("BranchElsewhere", *words, says="a rebase is under way in the view of a1")
    equal(s.git("rev-parse", "agents/a1/work"), old)
    put(p + "/src/util.h", "both\n")
    sh("git add src/util.h; GIT_EDITOR=true git rebase --continue", cwd=p)
    kept(brought("a rebase with a conflict"), old)
    equal(s.git("log", "--format=%s", "main..agents/a1/work"), "two\none")
    equal(s.git("diff", "--name-status", "main", "agents/a1/work"), "M\tsrc/util.h\nA\ttwo.txt")
    old = git(p, "rev-parse", "HEAD")
    sh("echo better >>two.txt; git commit -qa --amend -m 'two, better'", cwd=p)
    kept(brought("an amend"), old)
    equal(s.git("log", "--format=%s", "main..agents/a1/work"), "two, better\none")
    old = git(p, "rev-parse", "HEAD")
    git(p, "reset", "-q", "--hard", "HEAD~1")
    kept(brought("a reset"), old)
    equal(s.git("diff", "--name-status", "main", "agents/a1/work"), "M\tsrc/util.h")
    git(p, "reset", "-q", "--soft", "HEAD~1")  # what was committed is uncommitted work now
    said = notes(s.ctl("materialize", "a1"))
    equal(s.git("diff", "--name-status", "main", "agents/a1/work"), "M\tsrc/util.h")
    assert "kept as" in said, said
    repos.commit(s.repo, {"src/util.h": "theirs again\n", "more.txt": "m\n"}, "theirs again")
    git(p, "fetch", "-q")
    equal(run("git", "merge", "origin/main", cwd=p, check=False).returncode, 1)
    s.refused("BranchElsewhere", "materialize", "a1", says="a merge is under way")
    put(p + "/src/util.h", "merged\n")
    sh("git add .; git commit -q --no-edit", cwd=p)
    assert "kept as" not in brought("a merge with a conflict")
    equal(s.git("diff", "--name-status", "main", "agents/a1/work"), "M\tsrc/util.h")
    sh("git switch -qc side HEAD~1; echo s >side.txt; git add .; git commit -qm side; git switch -q -", cwd=p)
    sh("git cherry-pick side; git revert --no-edit HEAD; git merge -q --no-ff --no-edit side", cwd=p)
    brought("cherry-pick, revert and merge")
    for words, what in ((["switch", "-q", "side"], "another branch"), (["checkout", "-q", "HEAD~1"], "detached")):
        git(p, *words)
        s.refused("BranchElsewhere", "materialize", "a1", says=what)
    git(p, "switch", "-q", "agents/a1/work")
    git(p, "bisect", "start", "HEAD", "HEAD~2")
    s.refused("BranchElsewhere", "materialize", "a1", says="bisection")
    git(p, "bisect", "reset")
    sh("echo x >x; git add x; git stash -q; git gc -q --prune=now; git repack -adq; git prune; git pack-refs --all", cwd=p)
    brought("gc, repack, prune and pack-refs")
    s.ctl("merge", "a1")
    equal(s.git("show", "main:src/util.h"), "merged")
    equal(s.git("show", "main:side.txt"), "s")
    equal(s.git("fsck", "--strict", "--no-dangling"), "")


def test_denied_paths__git_stops_before_them(system):
    """A role that may not write a path cannot pull over a change of it: git says so, and nothing is lost."""
    s = system
    p, _ = view_of(s, s.repo)
    sh("echo mine >mine.txt; git add .; git commit -qm mine", cwd=p)
    repos.commit(s.repo, {"SPRINT.md": "a new plan\n"}, "plan")
    head = git(p, "rev-parse", "HEAD")
    done = run("git", "pull", "--no-rebase", "--no-edit", cwd=p, check=False)
    assert done.returncode and "SPRINT.md': Permission denied" in done.stderr, done.stderr
    git(p, "reset", "-q", "--hard")
    equal(git(p, "rev-parse", "HEAD"), head)
    equal(git(p, "status", "--porcelain"), "")
    equal((get(p + "/SPRINT.md"), get(p + "/mine.txt")), ("the plan\n", "mine\n"))


def test_hooks__of_the_repository_do_not_run_in_a_view(system):
    s = system
    marker = os.path.join(s.folder, "ran")
    for hook in ("pre-commit", "commit-msg", "post-commit", "post-checkout", "post-merge", "pre-rebase", "post-rewrite",
                 "pre-auto-gc", "reference-transaction", "post-index-change", "pre-push", "fsmonitor-watchman"):
        put(os.path.join(s.repo, ".git/hooks", hook), f"#!/bin/sh\necho {hook} >>{marker}\n")
        os.chmod(os.path.join(s.repo, ".git/hooks", hook), 0o755)
    for key, value in (("core.hooksPath", s.repo + "/.git/hooks"), ("core.fsmonitor", s.repo + "/.git/hooks/pre-commit"),
                       ("alias.st", f"!touch {marker}"), ("diff.external", f"touch {marker}"),
                       ("core.sshCommand", f"touch {marker}"), ("uploadpack.packObjectsHook", f"touch {marker}"),
                       ("core.alternateRefsCommand", f"touch {marker}")):
        run("git", "-C", s.repo, "config", key, value)
    p, _ = view_of(s, s.repo)
    if os.path.exists(marker):  # the repository's owner's own git may run them
        os.unlink(marker)
    sh("echo x >README; git diff >/dev/null; git commit -qam x; git switch -qc side; git switch -q -; git fetch -q; git pull -q;"
       "git merge -q --no-ff --no-edit side || true; git rebase -q origin/main; git gc -q; git status >/dev/null; git log -p -1"
       " >/dev/null; git push 2>/dev/null || true", cwd=p)
    s.ctl("materialize", "a1")
    assert not os.path.exists(marker), get(marker)


main()
