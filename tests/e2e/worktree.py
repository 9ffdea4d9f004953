#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""create --git worktree: the view's git is a worktree of its repository."""
import os
import pwd
import signal
import subprocess

from harness import *
import daemon
import repos

BRANCH = "agents/a1/work"


def create(s, *args, agent="a1"):
    return s.create(agent, "--git", "worktree", *args)


def folders(s):
    top = os.path.join(s.repo, ".git/worktrees")
    return sorted(os.listdir(top)) if os.path.isdir(top) else []


def gitdir(s, agent="a1"):
    name = [n for n in folders(s) if n.startswith(agent + "-")]
    equal(len(name), 1, f"folders of {agent} in {folders(s)}")
    return os.path.join(s.repo, ".git/worktrees", name[0])


def commits(s, branch=BRANCH, base="main"):
    out = s.git("log", "--format=%s", f"{base}..{branch}")
    return out.split("\n") if out else []


def preserved(s):
    out = s.git("for-each-ref", "--format=%(refname)", "refs/agentfs/preserved")
    return out.split("\n") if out else []


def test_worktree__is_one_to_git_itself(system):
    p = create(system)
    top = gitdir(system)
    equal(get(os.path.join(p, ".git")), f"gitdir: {top}\n")
    equal(sh("git rev-parse --git-dir --git-common-dir --show-toplevel --abbrev-ref HEAD", cwd=p).stdout.split(),
          [top, os.path.join(system.repo, ".git"), p, BRANCH])
    equal(sh("git status --porcelain", cwd=p).stdout, "")
    sh("git branch common; git config shared.key yes; git tag here", cwd=p)
    equal(system.git("rev-parse", "common", "here"), "\n".join(2 * [system.git("rev-parse", "main")]))
    equal(system.git("config", "shared.key"), "yes")
    listed = system.git("worktree", "list", "--porcelain")
    assert f"worktree {p}\n" in listed and f"branch refs/heads/{BRANCH}" in listed, listed
    assert "locked agentfs: view " in listed and "agent a1" in listed, listed
    equal(system.git("fsck", "--strict"), "")


def test_worktree__the_first_status_reads_no_file(system):
    p = create(system)
    index = os.path.join(gitdir(system), "index")
    made = os.stat(index).st_mtime_ns
    equal(sh("git diff-files --quiet && echo clean", cwd=p).stdout, "clean\n", "the prepared index's stat data")
    debug = sh("git ls-files --debug README", cwd=p).stdout
    st = os.lstat(os.path.join(p, "README"))
    assert f"mtime: {int(st.st_mtime)}:" in debug and f"size: {st.st_size}" in debug, debug
    assert f"ino: {st.st_ino & 0xffffffff}" in debug, debug
    equal(os.stat(index).st_mtime_ns, made, "git diff-files had to write the index")


def test_worktree__list_and_show_say_so(system):
    create(system)
    system.create("b1")
    equal({v["agent"]: v["git"] for v in system.views()}, {"a1": "worktree", "b1": "private"})
    assert "worktree" in system.ctl("show", "a1").stdout
    assert BRANCH + " (worktree)" in system.ctl("list").stdout
    again = system.ctl("create", "a1", "--git", "worktree")
    assert "already there" in again.stdout, again.stdout
    system.refused("NameTaken", "create", "a1", "--git", "private", says="git")
    system.refused("NameTaken", "create", "b1", "--git", "worktree", says="git")


def test_worktree__create_says_what_is_given_up(system):
    done = system.ctl("create", "a1", "--git", "worktree")
    for word in ("shared", "judged", "hooks", "branch"):
        assert word in done.stderr, done.stderr
    assert "worktree" in system.ctl("doctor").stdout


def test_worktree__the_branch_is_checked_out_there(system):
    create(system)
    done = run("git", "-C", system.repo, "switch", BRANCH, check=False)
    assert done.returncode and ("already" in done.stderr), done.stderr
    assert run("git", "-C", system.repo, "branch", "-D", BRANCH, check=False).returncode
    system.git("commit", "-q", "--allow-empty", "-m", "on main")
    system.refused("BranchElsewhere", "merge", "main", "--into", BRANCH, says="a1")
    assert "on main" not in system.git("log", "--format=%s", BRANCH)


def test_worktree__git_in_the_repository_leaves_it_alone(system):
    p = create(system)
    system.git("worktree", "prune", "--expire=now")
    assert os.path.isdir(gitdir(system))
    done = run("git", "-C", system.repo, "worktree", "remove", p, check=False)
    assert done.returncode and "agentfs" in done.stderr, done.stderr
    system.stop()
    system.git("worktree", "prune", "--expire=now")
    assert os.path.isdir(gitdir(system)), "pruned while the view was not mounted"
    assert BRANCH in system.git("worktree", "list")
    system.start()
    equal(sh("git status --porcelain", cwd=p).stdout, "")
    put(os.path.join(p, "new"), "x\n")
    system.ctl("materialize", "a1")
    system.git("gc", "-q", "--prune=now")
    equal(sh("git status --porcelain; git log -1 --format=%an", cwd=p).stdout, "a1\n")


def test_worktree__materialize(system):
    p = create(system)
    sh("echo 1 >one; git add one; git commit -qm one; echo 2 >two; echo more >>README; rm empty; echo o >src/x.o; "
       "echo 3 >three; git add three", cwd=p)
    equal(commits(system), ["one"], "the agent's commit stands on the branch at once")
    done = system.json("materialize", "a1", "-m", "rest")
    equal((done["commits"], done["branch"]), (1, BRANCH))
    equal(commits(system), ["rest", "one"])
    equal(system.git("diff", "--name-status", "main", BRANCH).split(),
          "M README D empty A one A three A two".split())
    equal(sh("git status --porcelain; git rev-parse HEAD", cwd=p).stdout.strip(), done["commit"])
    equal(sh("git log -g -1 --format=%gs", cwd=p).stdout.strip(), "agentfs: materialize")
    equal(sh("git diff-files --quiet && git diff --cached --quiet && echo clean", cwd=p).stdout, "clean\n")
    sh("echo 4 >four; git add -A; git commit -qm four", cwd=p)
    equal(commits(system), ["four", "rest", "one"])
    done = system.ctl("materialize", "a1")
    assert "nothing to commit" in done.stdout + done.stderr, done.stdout + done.stderr
    equal(commits(system), ["four", "rest", "one"])
    equal(sorted(os.listdir(gitdir(system))),
          sorted(n for n in os.listdir(gitdir(system)) if not n.endswith((".lock", ".tmp"))), "left behind")


def test_worktree__what_the_role_may_not_is_refused_though_it_is_committed(system):
    p = create(system)
    sh("""echo ok >fine; git add fine; git commit -qm fine
          blob=$(echo sneaky | git hash-object -w --stdin)
          git update-index --add --cacheinfo 100644,$blob,SPRINT.md; git commit -qm sneaky
          git branch backup; echo left >left""", cwd=p)
    tip = system.git("rev-parse", BRANCH)
    e = system.refused("Denied", "materialize", "a1", says=("SPRINT.md", "a1"))
    equal((e["details"]["path"], e["details"]["commit"]), ("SPRINT.md", tip))
    equal(system.git("rev-parse", BRANCH), tip, "the uncommitted part was committed on top of it")
    system.refused("Denied", "merge", "a1")
    denied = [r for r in system.json("audit", "a1", "--result", "denied")["records"] if r.get("path") == "SPRINT.md"]
    assert denied, "no denial in the journal"
    sh("git reset -q --soft HEAD^; git reset -q SPRINT.md", cwd=p)
    system.ctl("materialize", "a1", "-m", "rest")
    equal(commits(system), ["rest", "fine"])


def test_worktree__what_others_have_is_not_judged_as_the_agents(system):
    system.create("b1", "--role", "architect")
    put(system.path("b1", "SPRINT.md"), "a new plan\n")
    system.ctl("materialize", "b1")
    p = create(system)
    # by plumbing: the view refuses to show what its role may not write
    sh("git update-ref HEAD agents/b1/work; git read-tree HEAD; echo x >mine", cwd=p)
    system.ctl("materialize", "a1")
    equal(commits(system), ["a1: work (1 file)", "b1: work (1 file)"])
    equal(system.git("show", BRANCH + ":SPRINT.md"), "a new plan")
    repos.commit(system.repo, {"FEATURES.md": "of a user\n"})
    system.git("branch", "users")
    system.git("reset", "-q", "--hard", "HEAD^")
    sh("""git read-tree -i -m HEAD^^ HEAD users
          merge=$(git commit-tree -p HEAD -p users -m merged $(git write-tree)); git update-ref HEAD $merge""", cwd=p)
    system.ctl("materialize", "a1")
    equal(system.git("show", BRANCH + ":FEATURES.md"), "of a user")
    sh("git update-ref HEAD $(git commit-tree -p HEAD -m 'taken out' main^{tree}); git read-tree HEAD", cwd=p)
    system.refused("Denied", "materialize", "a1", says="deletes")


def test_worktree__head_elsewhere_is_one_sentence(system):
    p = create(system)
    put(os.path.join(p, "new"), "x")
    tip = system.git("rev-parse", BRANCH)
    sh("git checkout -q --detach", cwd=p)
    system.refused("BranchElsewhere", "materialize", "a1", says="detached")
    sh("git checkout -q -b elsewhere", cwd=p)
    system.refused("BranchElsewhere", "materialize", "a1", says="elsewhere")
    system.refused("BranchElsewhere", "next", "a1", "--task", "t2")
    sh(f"git checkout -q {BRANCH}; git add new; git commit -qm n; echo y >new; git stash -q", cwd=p)
    sh("GIT_SEQUENCE_EDITOR='sed -i s/^pick/edit/' git rebase -q -i HEAD^ >/dev/null 2>&1", cwd=p)
    system.refused("BranchElsewhere", "materialize", "a1", says="rebase")
    sh("git rebase --abort; git stash pop -q", cwd=p)
    assert tip != system.git("rev-parse", BRANCH)
    system.ctl("materialize", "a1")
    equal(commits(system), ["a1: work (1 file)", "n"])


def test_worktree__an_index_that_is_locked_is_waited_for_and_then_told(system):
    p = create(system)
    put(os.path.join(p, "new"), "x")
    lock = os.path.join(gitdir(system), "index.lock")
    put(lock, "")
    system.refused("Locked", "materialize", "a1", says="index.lock")
    os.unlink(lock)
    system.ctl("materialize", "a1")
    assert not os.path.exists(lock)


def test_worktree__diff_log_apply_and_next(system):
    p = create(system)
    sh("echo 1 >one; git add one; git commit -qm one; echo 2 >two", cwd=p)
    equal(sorted(c["path"] for c in system.json("diff", "a1")["changes"]), ["one", "two"])
    equal([c["subject"] for c in system.json("log", "a1")["commits"]], ["one"])
    system.ctl("apply", "a1", cwd=system.repo)
    equal(get(os.path.join(system.repo, "two")), "2\n")
    sh("git reset -q --hard; git clean -qfd", cwd=system.repo)
    system.ctl("next", "a1", "--task", "second")
    equal(sh("git rev-parse --abbrev-ref HEAD; git status --porcelain", cwd=p).stdout, "agents/a1/second\n")
    equal(commits(system), ["a1: work (1 file)", "one"])
    sh("echo 3 >three; git add -A; git commit -qm three", cwd=p)
    system.ctl("merge", "a1")
    equal(commits(system, "main", BRANCH), ["three"])
    equal(get(os.path.join(system.repo, "three")), "3\n")
    run("git", "-C", system.repo, "switch", "-q", BRANCH)


def test_worktree__merge_with_destroy(system):
    p = create(system)
    sh("echo 1 >one; git add one; git commit -qm one; echo 2 >two", cwd=p)
    would = system.json("merge", "a1", "--dry-run")["merges"][0]
    equal((would["state"], commits(system)), ("would_merge", ["one"]))
    system.ctl("merge", "a1", "--destroy")
    equal(system.git("log", "--format=%s", "-2", "main").split("\n"), ["a1: work (1 file)", "one"])
    equal((folders(system), preserved(system), os.path.exists(p)), ([], [], False))
    equal(system.git("worktree", "list").count("\n"), 0, "worktrees besides the main one")


def test_worktree__destroy_keeps_what_is_uncommitted(system):
    p = create(system)
    sh("echo 1 >one; git add one; git commit -qm one; echo 2 >two; git checkout -q --detach; echo 3 >three; "
       "git add three; git commit -qm three", cwd=p)
    tip = sh("git rev-parse HEAD", cwd=p).stdout.strip()
    system.ctl("destroy", "a1")
    equal((folders(system), commits(system)), ([], ["one"]))
    kept = {r.split("/", 5)[5]: r for r in preserved(system)}
    equal(sorted(kept), ["heads/HEAD", "work"])
    equal(system.git("rev-parse", kept["heads/HEAD"], kept["work"] + "^"), f"{tip}\n{tip}")
    equal(system.git("show", kept["work"] + ":two"), "2")


def test_worktree__rollback_takes_the_branch(system):
    p = create(system)
    sh("echo 1 >one; git add one; git commit -qm one", cwd=p)
    system.ctl("rollback", "a1")
    equal((folders(system), system.git("branch", "--list", BRANCH)), ([], ""))
    equal([system.git("log", "-1", "--format=%s", r) for r in preserved(system)], ["one"])


def test_worktree__removed_by_force_is_told_and_loses_nothing(system):
    p = create(system)
    sh("echo 1 >one; git add one; git commit -qm one; echo 2 >two", cwd=p)
    sh(f"rm -r {gitdir(system)}")
    e = system.refused("BranchElsewhere", "materialize", "a1", says=("a1", "destroy"))
    assert "no more" in e["message"]
    system.ctl("destroy", "a1")
    work = [r for r in preserved(system) if r.endswith("/work")]
    equal([system.git("show", w + ":two") for w in work], ["2"])


def test_worktree__leftovers_are_found_by_doctor(system):
    system.create("b1")
    create(system)
    assert not [c for c in system.json("doctor")["checks"] if c["name"] == "leftover"]
    left = os.path.join(system.repo, ".git/worktrees/gone-0123456789ab")
    sh(f"cp -r {gitdir(system)} {left}; echo 'agentfs: view {'0' * 32} of agent gone; x' >{left}/locked; "
       f"echo /nowhere/.git >{left}/gitdir")
    found = [c for c in system.json("doctor")["checks"] if c["name"] == "leftover"]
    equal(len(found), 1, found)
    assert left in found[0]["text"] and "gone" in found[0]["text"], found
    assert left in found[0]["remedy"], found
    sh(f"rm -r {left}")


def test_worktree__a_half_made_one_is_undone_at_the_next_start(system):
    mount = system.path("a1")
    os.makedirs(mount)
    put(os.path.join(mount, "in the way"), "x")
    system.refused(None, "create", "a1", "--git", "worktree")
    equal((folders(system), system.git("branch", "--list", BRANCH)), ([], ""), "after a create that failed")
    os.unlink(os.path.join(mount, "in the way"))
    os.rmdir(mount)
    for n in range(4):
        making = subprocess.Popen([program("agentfsctl"), "--socket", system.socket, "create", f"k{n}", "--repo",
                                   system.repo, "--git", "worktree"], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        if n % 2:
            wait_for(lambda: making.poll() is not None or any(f.startswith(f"k{n}-") for f in folders(system)), 30,
                     "the folder is made")
        system.kill()
        making.wait(60)
        system.start()
        known = {v["agent"] for v in system.views()}
        equal({f.rsplit("-", 1)[0] for f in folders(system)}, known, "folders and views after a kill")
        equal({b.strip().strip("+ ") for b in system.git("branch", "--list", "agents/*").split("\n") if b},
              {f"agents/{a}/work" for a in known}, "branches and views after a kill")


def test_worktree__daemon_killed_in_the_middle_of_materialize(system):
    p = create(system)
    for n in range(3):
        put(os.path.join(p, f"f{n}"), f"{n}\n")
        asked = subprocess.Popen([program("agentfsctl"), "--socket", system.socket, "materialize", "a1"],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if n:
            wait_for(lambda: asked.poll() is not None or os.path.exists(os.path.join(gitdir(system), "index.lock")),
                     30, "it has begun")
        system.process.send_signal(signal.SIGKILL)
        system.process.wait()
        system.process = None
        asked.wait(60)
        system.start()
        wait_for(lambda: not os.path.exists(os.path.join(gitdir(system), "index.lock")), 30, "its worker has ended")
        system.ctl("materialize", "a1")
        equal(sh("git status --porcelain; git ls-files f*", cwd=p).stdout.split(), [f"f{i}" for i in range(n + 1)])
    equal(system.git("fsck", "--strict"), "")
    system.ctl("destroy", "a1")
    equal(folders(system), [])


def test_worktree__a_bare_repository(tmp):
    repo = repos.make(os.path.join(tmp, "plain"))
    bare = os.path.join(tmp, "bare.git")
    run("git", "clone", "-q", "--bare", repo, bare)
    sh("git config user.name Ada; git config user.email ada@example.org", cwd=bare)
    s = daemon.System(tmp, repo=bare).start()
    try:
        p = create(s)
        sh("echo 1 >one; git add -A; git commit -qm one; echo 2 >two; git status --porcelain", cwd=p)
        s.ctl("merge", "a1", "--destroy")
        equal(s.git("log", "--format=%s", "-2").split("\n"), ["a1: work (1 file)", "one"])
        assert not os.path.exists(os.path.join(bare, "worktrees"))
    finally:
        s.stop()


def test_worktree__belongs_to_the_repositorys_owner(tmp):
    need_root()
    nobody = pwd.getpwnam("nobody")
    s = daemon.System(tmp, repo_uid=nobody.pw_uid).start()
    try:
        s.refused("Denied", "create", "a1", "--git", "worktree", says="owner")
        equal((folders(s), s.git("branch", "--list", BRANCH)), ([], ""))
        create(s, "--user", "nobody")
        p = s.path("a1")
        sh("git -c user.name=n -c user.email=n@n commit -q --allow-empty -m mine; git status; echo x >new", cwd=p,
           uid=nobody.pw_uid)
        s.ctl("materialize", "a1")
        s.ctl("merge", "a1", "--destroy", "--json")
        strangers = [os.path.join(w, n) for w, dirs, names in os.walk(s.repo) for n in dirs + names
                     if os.lstat(os.path.join(w, n)).st_uid != nobody.pw_uid]
        equal((strangers, folders(s)), ([], []))
    finally:
        s.stop()


def test_worktree__another_user_needs_a_shared_repository(tmp):
    need_root()
    nobody = pwd.getpwnam("nobody")
    s = daemon.System(tmp, repo_uid=OTHER_UID).start()
    try:
        s.git("config", "--add", "agentfs.grant", "nobody")
        s.refused("Denied", "create", "a1", "--git", "worktree", "--user", "nobody", says="sharedRepository")
        s.git("config", "core.sharedRepository", "0666")
        sh("chmod -R a+w .git", cwd=s.repo)
        create(s, "--user", "nobody")
        sh("git -c safe.directory='*' -c user.name=n -c user.email=n@n commit -q --allow-empty -m mine; echo x >new",
           cwd=s.path("a1"), uid=nobody.pw_uid, env={"HOME": tmp, "GIT_CONFIG_COUNT": "1",
                                                    "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"})
        s.ctl("materialize", "a1")
        equal(commits(s), ["a1: work (1 file)", "mine"])
        s.ctl("destroy", "a1")
        equal(folders(s), [])
    finally:
        s.stop()


def test_worktree__its_own_configuration_where_the_repository_has_that(system):
    system.git("config", "extensions.worktreeConfig", "true")
    p = create(system)
    equal(sh("git config core.fsmonitorHookVersion", cwd=p).stdout, "2\n")
    helper = sh("git config core.fsmonitor", cwd=p).stdout.strip().strip("'")
    equal(os.path.realpath(helper), helper)
    sh("git status; echo x >new", cwd=p)
    equal(sh("git status --porcelain", cwd=p).stdout, "?? new\n")
    equal(run("git", "-C", system.repo, "config", "core.fsmonitor", check=False).stdout, "")
    system.ctl("materialize", "a1")
    equal(sh("git status --porcelain", cwd=p).stdout, "")


def test_worktree__one_that_is_gone_blocks_nobody(system):
    """A linked worktree whose folder was deleted by hand: its branch may be taken over."""
    linked = os.path.join(system.folder, "linked")
    system.git("worktree", "add", "-q", "-b", "agents/c1/work", linked)
    system.refused("BranchElsewhere", "create", "c1", says=linked)
    sh(f"rm -r {linked}")
    system.create("c1")
    system.ctl("materialize", "c1")


main()
