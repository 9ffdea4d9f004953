#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Remote "origin" of a view: fetch, pull and history need nothing but the view, push says what to do instead."""
import errno
import hashlib
import os
import pwd

from harness import *
import daemon
import people
import repos

CONTROL = ".agentfs/control/origin.git"


def git(p, *args, uid=0, check=True, env=None):
    return run("git", *args, cwd=p, uid=uid, check=check, env=env).stdout.strip()


def refs(p):
    return git(p, "for-each-ref", "--format=%(refname) %(objectname) %(symref)").splitlines()


def origins(p):
    return [r for r in refs(p) if not r.startswith("refs/heads/")]


def picture(repo):
    """Every file of a git folder: name, mode, size, time, content."""
    found = {}
    for folder, dirs, names in os.walk(repo):
        for n in names + dirs:
            path = os.path.join(folder, n)
            st = os.lstat(path)
            data = b""
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as f:
                    data = f.read()
            found[path] = (st.st_mode, st.st_uid, st.st_mtime_ns if not os.path.isdir(path) else 0,
                           hashlib.sha256(data).hexdigest())
    return found


def alone(script, hidden, cwd, **kw):
    """Runs a script where `hidden` is an empty folder: a mount namespace of its own, as a sandbox has."""
    need_root()
    return run("unshare", "-m", "bash", "-euo", "pipefail", "-c",
               f"mount -t tmpfs none '{hidden}'; test ! -e '{hidden}/.git'; cd '{cwd}'; {script}", **kw)


def test_origin__is_as_in_a_clone(system):
    s, p = system, system.create("a1")
    clone = os.path.join(s.folder, "clone")
    run("git", "clone", "-q", s.repo, clone)

    def same(what):
        git(p, "fetch", "-q")
        git(clone, "fetch", "-q")
        equal(origins(p), origins(clone), what)
        for words in (["branch", "-r"], ["tag"], ["log", "--oneline", "origin"], ["remote"],
                      ["ls-remote", "--heads", "--tags", "origin"]):
            equal(git(p, *words), git(clone, *words), f"{what}: git {words}")
    same("at first")
    repos.commit(s.repo, {"later": "x\n"})
    s.git("branch", "topic/a")
    s.git("tag", "light")
    s.git("tag", "-a", "-m", "heavy", "heavy")
    same("new commit, branch and tags")
    s.git("pack-refs", "--all")
    s.git("gc", "-q", "--prune=now")
    same("after pack-refs and gc")
    s.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    repos.commit(s.repo, {"later": "y\n"})
    same("loose over packed, and a symbolic branch")
    s.git("symbolic-ref", "-d", "refs/heads/alias")
    s.git("branch", "-D", "topic/a")
    for where in (p, clone):
        git(where, "fetch", "-q", "--prune")
    same("after --prune")
    # a deleted branch goes with any fetch, even where its commits are gone already
    s.git("switch", "-q", "-c", "gone")
    repos.commit(s.repo, {"gone": "g\n"})
    s.git("switch", "-q", "main")
    git(p, "fetch", "-q")
    assert "origin/gone" in git(p, "branch", "-r")
    s.git("branch", "-D", "gone")
    s.git("reflog", "expire", "--expire=now", "--all")
    s.git("gc", "-q", "--prune=now")
    git(p, "fetch", "-q")
    assert "origin/gone" not in git(p, "branch", "-r")
    git(p, "gc", "-q")
    equal(git(p, "fsck", "--no-dangling"), "")
    assert "HEAD branch: main" in git(p, "remote", "show", "origin")
    equal(git(p, "remote", "-v").split()[1], f"{p}/{CONTROL}")


def test_origin__pull_brings_what_the_repository_has(system):
    s, p = system, system.create("a1")
    put(os.path.join(p, "mine"), "m\n")
    sh("git add mine; git commit -qm mine", cwd=p)
    repos.commit(s.repo, {"theirs": "t\n"})
    assert "by" in git(p, "status", "-sb") or "[ahead 1]" in git(p, "status", "-sb")
    git(p, "pull", "-q", "--no-rebase", "--no-edit")
    equal((get(p + "/mine"), get(p + "/theirs")), ("m\n", "t\n"))
    repos.commit(s.repo, {"theirs": "t2\n"})
    git(p, "pull", "-q", "--rebase")
    equal(get(p + "/theirs"), "t2\n")
    equal(git(p, "status", "-sb"), "## agents/a1/work...origin/main [ahead 1]")
    s.ctl("materialize", "a1")
    equal(s.git("log", "--format=%s", "main..agents/a1/work"), "mine")
    equal(s.git("diff", "--name-only", "main", "agents/a1/work"), "mine")


def test_origin__without_the_repositorys_path(system):
    """A sandbox that has only the view: history, fetch, pull, fsck, gc; and what comes later."""
    s = system
    s.git("gc", "-q")
    repos.commit(s.repo, {"loose": "l\n"})
    p = s.create("a1")
    repos.commit(s.repo, {"later": "x\n"})
    s.git("gc", "-q")
    repos.commit(s.repo, {"later": "y\n"})
    out = alone("git log --oneline | wc -l; git fetch -q; git log -p origin/main | grep -c '^+y'; git pull -q;"
                "cat later; git fsck --full --strict; git gc -q; git repack -adlq; git status --porcelain;"
                "git show --stat HEAD~1 | tail -1; test ! -L " + CONTROL + "/objects", s.repo, p).stdout.split("\n")
    equal(out[:3], ["2", "1", "y"])
    equal(git(p, "rev-parse", "HEAD"), s.git("rev-parse", "main"))
    assert os.path.islink(os.path.join(p, CONTROL, "objects")), "no symlink where the path can be reached"
    # a name that was not there is looked up again when it is
    oid = hashlib.sha1(b"blob 2\0n\n").hexdigest()
    put(os.path.join(s.folder, "go"), "")
    script = (f"git cat-file -e {oid} && exit 1; rm {s.folder}/go; while [ ! -e {s.folder}/go ]; do sleep .02; done;"
              f"git cat-file -p {oid}; ls {CONTROL}/objects/{oid[:2]}")
    import threading
    done = []
    t = threading.Thread(target=lambda: done.append(alone(script, s.repo, p)))
    t.start()
    wait_for(lambda: not os.path.exists(os.path.join(s.folder, "go")), 20, "the first look")
    equal(run("git", "-C", s.repo, "hash-object", "-w", "--stdin", input="n\n").stdout.strip(), oid)
    put(os.path.join(s.folder, "go"), "")
    t.join()
    equal(done[0].stdout.split(), ["n", oid[2:]])


def test_origin__alternates_of_the_repository_are_served_too(system):
    s = system
    shared = os.path.join(s.folder, "shared")
    run("git", "clone", "-q", "--shared", s.repo, shared)
    repos.commit(shared, {"own": "o\n"})
    s.ctl("create", "a1", "--repo", shared)
    out = alone(f"mount -t tmpfs none '{s.repo}'; git log --format=%s; git fsck --full; cat own", shared,
                s.path("a1")).stdout
    equal(out.split(), ["more", "first", "o"])


def test_origin__for_a_user_who_may_not_enter_the_repository(tmp):
    need_root()
    nobody = pwd.getpwnam("nobody").pw_uid
    s = daemon.System(tmp).start()
    try:
        os.chmod(s.repo, 0o700)
        s.ctl("create", "a1", "--repo", s.repo, "--user", "nobody")
        p = s.path("a1")
        fails(errno.EACCES, lambda: in_child_or_raise(lambda: os.listdir(s.repo + "/.git"), nobody))
        repos.commit(s.repo, {"later": "x\n"})
        equal(git(p, "log", "--format=%s", uid=nobody), "first")
        git(p, "pull", "-q", uid=nobody)
        equal(git(p, "log", "--format=%s", uid=nobody), "more\nfirst")
        sh("echo z >later; git commit -qam mine; git fsck --full; git gc -q", cwd=p, uid=nobody)
        s.ctl("materialize", "a1")
        equal(s.git("show", "agents/a1/work:later"), "z")
        # whose view it is not sees nothing of it
        equal(in_child(lambda: os.listdir(f"{p}/{CONTROL}"), OTHER_UID), errno.EACCES)
        equal(in_child(lambda: open(f"{p}/{CONTROL}/packed-refs"), OTHER_UID), errno.EACCES)
    finally:
        s.stop()


def test_origin__of_an_ordinary_users_daemon(tmp):
    """His server runs as he does; his sandbox is a user namespace, where he is root."""
    p = people.Person(tmp)
    try:
        repo = p.make_repo()
        p.create("a1")
        view = p.view("a1")["path"]
        repos.commit(repo, {"later": "x\n"}, uid=p.uid)
        p.sh("git pull -q; test $(cat later) = x; test -L .agentfs/control/origin.git/objects", cwd=view)
        repos.commit(repo, {"later": "y\n"}, uid=p.uid)
        if p.run("unshare", "-Urm", "true", check=False).returncode:
            raise Skip("a user may not make namespaces here", kernel=True)
        p.sh(f"unshare -Urm sh -ec 'mount -t tmpfs none {repo}; cd {view}; git pull -q; test $(cat later) = y;"
             "git fsck; test ! -L .agentfs/control/origin.git/objects'", cwd=view)
    finally:
        p.leave()


def in_child_or_raise(function, uid):
    code = in_child(function, uid)
    if code:
        raise OSError(code, os.strerror(code))


def test_origin__shows_nothing_that_its_owner_may_not_read(tmp):
    """Root's server reads the repository as its owner: a symlink of his leads nowhere that he could not go."""
    need_root()
    nobody = pwd.getpwnam("nobody").pw_uid
    s = daemon.System(tmp, repo_uid=nobody).start()
    try:
        secret, own = os.path.join(tmp, "secret"), os.path.join(tmp, "own")
        put(secret, "0" * 40 + "\n")
        os.chmod(secret, 0o600)
        put(own, "visible\n")
        objects = os.path.join(s.repo, ".git/objects")
        names = {"pack/pack-" + "a" * 40 + ".pack": secret, "pack/pack-" + "b" * 40 + ".pack": own,
                 "aa/" + "b" * 38: secret}
        for name, to in names.items():
            os.makedirs(os.path.dirname(os.path.join(objects, name)), exist_ok=True)
            os.symlink(to, os.path.join(objects, name))
        s.ctl("create", "a1", "--repo", s.repo, "--user", "nobody")
        os.symlink(secret, os.path.join(s.repo, ".git/refs/heads/stolen"))
        os.mkfifo(os.path.join(s.repo, ".git/refs/heads/fifo"))
        p = s.path("a1")
        out = alone("set +e; for f in " + " ".join(names) + f"; do cat {CONTROL}/objects/$f 2>&1; done;"
                    f"cat {CONTROL}/packed-refs", s.repo, p, uid=0).stdout
        assert "visible" in out, out
        assert "0" * 40 not in out and "stolen" not in out, out
        equal(out.count("Permission denied"), 2, out)
    finally:
        s.stop()


def test_origin__nothing_there_can_be_changed(system):
    p = system.create("a1")
    top = os.path.join(p, CONTROL)
    before = git(p, "ls-remote", "origin")
    for code in (lambda: put(top + "/HEAD", "x"), lambda: put(top + "/refs/new", "x"), lambda: os.mkdir(top + "/x"),
                 lambda: os.unlink(top + "/packed-refs"), lambda: os.rename(top + "/HEAD", p + "/HEAD"),
                 lambda: os.rename(p + "/README", top + "/HEAD"), lambda: os.symlink("x", top + "/refs/s"),
                 lambda: os.link(top + "/HEAD", p + "/HEAD2"), lambda: os.chmod(top + "/HEAD", 0o666),
                 lambda: os.rmdir(top + "/refs"), lambda: os.truncate(top + "/packed-refs", 0)):
        fails({errno.EACCES, errno.EPERM, errno.EXDEV, errno.EROFS, errno.EEXIST, errno.EBUSY, errno.ENOTEMPTY}, code)
    equal(git(p, "ls-remote", "origin"), before)
    equal(sorted(os.listdir(top)), ["HEAD", "config", "objects", "packed-refs", "refs"])
    sh("rm -rf .agentfs/control/origin.git 2>/dev/null || true; git clean -qxfd", cwd=p)
    equal(git(p, "ls-remote", "origin"), before)


def test_push__is_refused_with_one_sentence(system):
    s, p = system, system.create("a1")
    marker = os.path.join(s.folder, "hook-ran")
    for hook in ("pre-receive", "update", "post-receive", "pre-push", "reference-transaction", "push-to-checkout"):
        put(os.path.join(s.repo, ".git/hooks", hook), f"#!/bin/sh\necho {hook} >>{marker}\n")
        os.chmod(os.path.join(s.repo, ".git/hooks", hook), 0o755)
    sh("echo x >new; git add new; git commit -qm new; git tag t", cwd=p)
    before = picture(s.repo)
    for words in ([], ["origin"], ["origin", "HEAD:main"], ["--all"], ["--tags"], ["-f", "origin", "HEAD:refs/heads/x"],
                  ["origin", "--delete", "main"], ["--mirror"], ["-u", "origin", "HEAD"]):
        done = run("git", "push", *words, cwd=p, check=False)
        assert done.returncode, f"git push {words} succeeded"
        lines = done.stderr.strip().splitlines()
        equal(len(lines), 1, f"lines of git push {words}: {done.stderr}")
        assert "agentfsctl materialize a1" in lines[0], lines
    assert not os.path.exists(marker), get(marker)
    equal(picture(s.repo), before, "the shared repository")


def test_origin__survives_its_server(system):
    """Names, numbers and listings are the same in the server that comes after a crash."""
    s, p = system, system.create("a1")
    expect_log(r"agentfsd\[\d+\] (warning|error): .*a1")
    before = git(p, "ls-remote", "origin")
    numbers = alone(f"find {CONTROL}/objects | sort | xargs stat -c '%n %i %s %Y'", s.repo, p).stdout
    assert numbers.count("\n") > 10
    old = s.server_pid("a1")
    os.kill(old, 9)
    wait_for(lambda: s.view("a1")["state"] == "live" and s.server_pid("a1") not in (None, old), 60, "it is back")
    equal(git(p, "ls-remote", "origin"), before)
    files = [l for l in numbers.splitlines() if "." in l.split()[0].rpartition("/")[2] or len(l.split()[0]) > 60]
    after = alone(f"find {CONTROL}/objects | sort | xargs stat -c '%n %i %s %Y'", s.repo, p).stdout
    assert files and set(files) <= set(after.splitlines()), (numbers, after)


def test_next__keeps_the_upstream(system):
    s, p = system, system.create("a1")
    sh("echo x >new; git add new; git commit -qm new", cwd=p)
    s.ctl("next", "a1", "--task", "two")
    equal(git(p, "status", "-sb"), "## agents/a1/two...origin/main [ahead 1]")
    repos.commit(s.repo, {"later": "x\n"})
    git(p, "pull", "-q", "--no-rebase", "--no-edit")
    equal(get(p + "/later"), "x\n")


main()
