#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Untracked, ignored files of the main worktree appear in every new view, copy-on-write: which ones, what
they cost, whose they are, and what survives."""
import errno
import os
import pwd
import random
import subprocess
import threading
import time

from harness import *
import daemon
import repos

IGNORED = {".gitignore": "*.o\n/prog\n.env\nnode_modules/\nconfig/local/\n*.secret\n/big/\n",
           "README": "hello world\n", "src/main.c": "int main(void) { return 0; }\n",
           "config/shared.yml": "a: 1\n", "packages/a/index.js": "a\n"}


def make(tmp, include=None, config=None, files=None, **kw):
    """A daemon with a repository that ignores .env, node_modules/, config/local/, *.secret and /big/."""
    uid = kw.get("repo_uid", kw.get("uid", 0))
    s = daemon.System(tmp, files=IGNORED, config=config, **kw)
    if include is not None:
        repos.write_files(s.repo, {".worktreeinclude": include}, uid)
        s.git("add", "-A")
        s.git("commit", "-qm", "include")
    repos.write_files(s.repo, files or {}, uid)
    return s.start()


def notes(system, agent, *args):
    done = system.ctl("create", agent, "--repo", system.repo, *args)
    return done.stdout + done.stderr


def tree(folder):
    """Every name below, with what stat and reading say of it."""
    found = {}
    for d, dirs, names in os.walk(folder):
        dirs[:] = [n for n in dirs if n != ".git"]
        for n in sorted(dirs + names):
            p = os.path.join(d, n)
            st = os.lstat(p)
            kind = "l " + os.readlink(p) if os.path.islink(p) else "d" if os.path.isdir(p) else get(p, "rb")
            found[os.path.relpath(p, folder)] = (st.st_mode, int(st.st_mtime), kind)
    return found


def is_clean(path, *kept):
    """git of the view says that nothing changed, and really looks."""
    for options in ([], ["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"]):
        equal(run("git", *options, "status", "--porcelain", "-uall", cwd=path).stdout, "".join(kept), "status")


def test_seed__env_and_dependencies_appear_and_are_no_change(tmp):
    s = make(tmp, ".env\nnode_modules/\n",
             files={".env": "TOKEN=1\n", "node_modules/x/index.js": "x\n", "packages/a/node_modules/y/i.js": "y\n",
                    "other.secret": "no\n", "src/a.o": "no\n"})
    os.symlink("../x/index.js", os.path.join(s.repo, "node_modules/x/link"))
    os.chmod(os.path.join(s.repo, ".env"), 0o600)
    try:
        said = notes(s, "a1")
        assert "seeded: .env, node_modules/, packages/a/node_modules/ (from .worktreeinclude)" in said, said
        p = s.path("a1")
        equal(get(p + "/.env"), "TOKEN=1\n")
        equal(os.stat(p + "/.env").st_mode & 0o777, 0o600)
        equal(tree(p + "/node_modules"), tree(s.repo + "/node_modules"))
        equal(get(p + "/packages/a/node_modules/y/i.js"), "y\n")
        for name in ("other.secret", "src/a.o"):
            fails(errno.ENOENT, os.stat, os.path.join(p, name))
        is_clean(p)
        v = s.view("a1")
        equal((v["changed"], v["bytes"] < 65536), (0, True), "changed files, bytes")
        equal(s.json("diff", "a1")["changes"], [])
    finally:
        s.stop()


def test_seed__configuration_names_patterns_too(tmp):
    s = make(tmp, config='seed: [".env", "config/local/**", "!config/local/not.yml"]\n',
             files={".env": "T\n", "config/local/a.yml": "a\n", "config/local/deep/b.yml": "b\n",
                    "config/local/not.yml": "n\n"})
    try:
        said = notes(s, "a1")
        assert "(from seed: in the configuration)" in said, said
        p = s.path("a1")
        equal(sorted(os.listdir(p + "/config/local")), ["a.yml", "deep"])
        equal(get(p + "/config/local/deep/b.yml"), "b\n")
        equal(sorted(os.listdir(p + "/config")), ["local", "shared.yml"])
        is_clean(p)
    finally:
        s.stop()


def test_seed__patterns_lead_where_they_say(tmp):
    """Plain names and globs: each folder of the base; with a slash: ignored folders, too."""
    s = make(tmp, ".env\n*.secret\n!no.secret\nbuild/conf/\n/nm/*/keep\n",
             files={"packages/a/.env": "1\n", "packages/new/.env": "not in a folder of the base\n",
                    "src/x.secret": "2\n", "src/no.secret": "-\n", "packages/new/y.secret": "-\n",
                    "node_modules/z/.env": "in an ignored folder\n", "build/conf/c": "3\n", "build/obj": "-\n",
                    "nm/p/keep": "4\n", "nm/p/drop": "-\n", "packages/a/index.js": "a\n"})
    try:
        put(s.repo + "/.git/info/exclude", "/build/\n/nm/\n")
        said = notes(s, "a1")
        assert "seeded: build/conf/, nm/p/keep, packages/a/.env, src/x.secret (from" in said, said
        p = s.path("a1")
        found = run("git", "status", "--porcelain", "--ignored", "-uall", cwd=p).stdout.splitlines()
        equal(sorted(line[3:] for line in found), ["build/conf/c", "nm/p/keep", "packages/a/.env", "src/x.secret"])
        is_clean(p)
    finally:
        s.stop()


def test_seed__only_what_git_ignores_and_the_base_lacks(tmp):
    s = make(tmp, "README\nnotes.txt\nnothing-here\n.env\n", files={".env": "T\n", "notes.txt": "not ignored\n"})
    try:
        put(os.path.join(s.repo, "README"), "changed in the main worktree\n")
        said = notes(s, "a1")
        for sentence in ("pattern 'README' of .worktreeinclude matches 'README', which is tracked",
                         "matches 'notes.txt', which git does not ignore", "add it to .gitignore",
                         "pattern 'nothing-here' of .worktreeinclude matches no ignored file"):
            assert sentence in said, f"'{sentence}' is not in: {said}"
        p = s.path("a1")
        equal(get(p + "/README"), "hello world\n")
        fails(errno.ENOENT, os.stat, p + "/notes.txt")
        equal(get(p + "/.env"), "T\n")
    finally:
        s.stop()


def journal_seeds(s, agent):
    return [r for r in s.records(agent, "-n", "100000") if r.get("op") == "seed"]


def calls_of_create(s, agent):
    """System calls that daemon, worker and server make on the ignored folder while a view is created. Others are not
    counted: the daemon looks after its views now and then, too."""
    trace = os.path.join(s.folder, "trace-" + agent)
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-y", "-o", trace, "-e", "trace=%file,getdents64",
                               "-p", str(s.process.pid)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: "TracerPid:\t0" not in get(f"/proc/{s.process.pid}/status"), 20, "strace is attached")
        s.create(agent)
    finally:
        tracer.terminate()
        tracer.wait()
    with open(trace, errors="replace") as f:
        lines = f.readlines()
    assert any(s.repo in x for x in lines), "nothing was traced"
    return [x for x in lines if s.repo + "/big" in x or f'{s.repo}>, "big' in x]


def test_seed__creation_costs_the_same_for_many_files(tmp):
    """Records, and where strace may be used system calls: not one more for 100,000 ignored files than
    for one. Depth short: 20,000."""
    count = 100000 if LONG else 20000
    s = make(tmp, "big/\n", files={"big/d0/f": "x"})
    try:
        traced = ROOT and run("which", "strace", check=False).returncode == 0
        s.create("warm")
        few = calls_of_create(s, "few") if traced else s.create("few") and []
        for d in range(count // 100):
            os.makedirs(f"{s.repo}/big/d{d}", exist_ok=True)
            for f in range(100):
                os.close(os.open(f"{s.repo}/big/d{d}/f{f}", os.O_CREAT | os.O_WRONLY))
        many = calls_of_create(s, "many") if traced else s.create("many") and []
        assert not traced or 0 < len(many) <= len(few), f"for one file: {few}, for {count}: {many}"
        equal(len(journal_seeds(s, "many")), len(journal_seeds(s, "few")), "records of seeds at creation")
        p = s.path("many")
        equal(len(os.listdir(p + "/big")), count // 100)
        equal(sorted(os.listdir(p + "/big/d7")), sorted(f"f{i}" for i in range(100)))
        seen = sum(len(names) for _, _, names in os.walk(p + "/big"))
        equal(seen, count + 1, "files in the view")
        equal(len(journal_seeds(s, "many")), len(journal_seeds(s, "few")) + count // 100 + 1,
              "one record per folder that was looked into")
        is_clean(p)
        equal(s.view("many")["changed"], 0)
    finally:
        s.stop()


def test_seed__writes_stay_in_the_view(tmp):
    s = make(tmp, ".env\nnode_modules/\n", files={".env": "TOKEN=1\n", "node_modules/x/i.js": "one two three\n",
                                                   "node_modules/y/i.js": "y\n", "node_modules/z/i.js": "z\n"})
    try:
        before = tree(s.repo)
        p, q = s.create("a1"), s.create("a2")
        put(p + "/.env", "MINE\n", "a")
        with open(p + "/node_modules/x/i.js", "r+b") as f:
            f.seek(4)
            f.write(b"TWO")
        os.truncate(p + "/node_modules/y/i.js", 1)
        os.rename(p + "/node_modules/z", p + "/node_modules/zz")
        put(p + "/node_modules/new.js", "new\n")
        os.unlink(p + "/node_modules/zz/i.js")
        os.rmdir(p + "/node_modules/zz")
        equal(get(p + "/.env"), "TOKEN=1\nMINE\n")
        equal(get(p + "/node_modules/x/i.js"), "one TWO three\n")
        equal(get(p + "/node_modules/y/i.js"), "y")
        equal(sorted(os.listdir(p + "/node_modules")), ["new.js", "x", "y"])
        equal(tree(s.repo), before, "the main worktree")
        equal(get(q + "/node_modules/x/i.js"), "one two three\n", "another view")
        assert s.view("a1")["changed"] >= 3, s.view("a1")
        is_clean(p)  # ignored, changed or not
        run("rm", "-rf", p + "/node_modules")
        fails(errno.ENOENT, os.stat, p + "/node_modules")
        equal(tree(s.repo), before, "the main worktree")
    finally:
        s.stop()


def test_seed__the_main_worktree_may_change(tmp):
    s = make(tmp, "node_modules/\n.env\n", files={".env": "old\n", "node_modules/a": "first\n", "node_modules/b": "b\n",
                                                  "node_modules/gone/x": "x\n", "node_modules/c": "c\n"})
    try:
        p = s.create("a1")
        equal(get(p + "/node_modules/a"), "first\n")
        equal(sorted(os.listdir(p + "/node_modules")), ["a", "b", "c", "gone"])
        put(s.repo + "/node_modules/a", "second, which is longer\n")  # read before: stays
        put(s.repo + "/node_modules/b", "changed before anybody read it\n")
        put(s.repo + "/node_modules/later", "after the folder was listed\n")
        os.unlink(s.repo + "/node_modules/c")
        run("rm", "-rf", s.repo + "/node_modules/gone")
        equal(get(p + "/node_modules/a"), "first\n")
        equal(get(p + "/node_modules/b"), "changed before anybody read it\n")
        equal(os.stat(p + "/node_modules/b").st_size, 31)
        expect_log(r"warning: read 'node_modules/c': it is gone from the main worktree")
        expect_log(r"warning: 'node_modules/gone' is gone from the main worktree")
        fails(errno.EIO, get, p + "/node_modules/c")
        fails(errno.ENOENT, os.stat, p + "/node_modules/later")
        equal(os.listdir(p + "/node_modules/gone"), [])
        os.rmdir(p + "/node_modules/gone")
        put(p + "/node_modules/c", "the agent's own\n")
        equal(get(p + "/node_modules/c"), "the agent's own\n")
        q = s.create("a2")
        equal(sorted(os.listdir(q + "/node_modules")), ["a", "b", "later"])
    finally:
        s.stop()


def test_seed__symlinks_lead_nowhere_for_the_server(tmp):
    """What the owner of the worktree, or a race, puts in the way never makes the server read elsewhere."""
    s = make(tmp, "node_modules/\n.env\n", files={"node_modules/d/f": "inside\n", "node_modules/e/f": "inside\n",
                                                  "node_modules/g": "inside\n"})
    outside = os.path.join(tmp, "outside")
    repos.write_files(outside, {"f": "SECRET\n", "sub/f": "SECRET\n"})
    os.symlink(outside + "/f", s.repo + "/.env")
    os.symlink(outside, s.repo + "/node_modules/out")
    os.mkfifo(s.repo + "/node_modules/pipe")
    repos.write_files(s.repo, {"node_modules/h/.git/config": "[core]\n", "node_modules/h/x": "x\n"})
    try:
        p = s.create("a1")
        equal(os.readlink(p + "/.env"), outside + "/f")
        equal(sorted(os.listdir(p + "/node_modules")), ["d", "e", "g", "h", "out"])
        equal(os.readlink(p + "/node_modules/out"), outside)
        equal(os.listdir(p + "/node_modules/h"), ["x"])
        equal(os.listdir(p + "/node_modules/e"), ["f"])
        for name in ("d", "e", "g"):  # swapped after their names were taken over
            run("rm", "-rf", f"{s.repo}/node_modules/{name}")
        os.symlink(outside, s.repo + "/node_modules/d")
        os.symlink(outside, s.repo + "/node_modules/e")
        os.symlink(outside + "/f", s.repo + "/node_modules/g")
        expect_log(r"warning: .*is gone from the main worktree")
        equal(os.listdir(p + "/node_modules/d"), [])
        fails(errno.EIO, get, p + "/node_modules/e/f")
        fails(errno.EIO, get, p + "/node_modules/g")
    finally:
        s.stop()


def test_seed__a_view_inside_the_worktree_is_not_looked_into(tmp):
    s = make(tmp, "node_modules/\n", files={"node_modules/x": "x\n"})
    try:
        os.mkdir(s.repo + "/node_modules/views")
        s.create("a1", "--mount", s.repo + "/node_modules/views/a1")
        p = s.create("a2")
        equal(sorted(os.listdir(p + "/node_modules")), ["views", "x"])
        equal(os.listdir(p + "/node_modules/views"), [])
        inner = s.repo + "/node_modules/views/a1"
        equal(os.listdir(inner + "/node_modules/views"), [])
    finally:
        s.stop()


def test_seed__a_user_gets_what_that_user_may_read(tmp):
    need_root()
    nobody = pwd.getpwnam("nobody").pw_uid
    s = make(tmp, "node_modules/\n.env\n", repo_uid=nobody,
             files={".env": "MINE\n", "node_modules/x": "x\n", "node_modules/root-only": "SECRET\n",
                    "node_modules/closed/f": "SECRET\n"})
    n = s.repo + "/node_modules/"
    os.chmod(s.repo + "/.env", 0o600)
    os.chown(n + "root-only", 0, 0)
    os.chmod(n + "root-only", 0o600)
    os.chown(n + "closed", 0, 0)
    os.chmod(n + "closed", 0o700)
    try:
        p = s.create("a1", "--user", "nobody")
        equal(in_child(lambda: equal(get(p + "/.env"), "MINE\n"), nobody), 0)
        equal(in_child(lambda: equal(get(p + "/node_modules/x"), "x\n"), nobody), 0)
        expect_log(r"warning: read 'node_modules/root-only': this view's user may not read it")
        equal(in_child(lambda: get(p + "/node_modules/root-only"), nobody), errno.EACCES)
        fails(errno.EACCES, get, p + "/node_modules/root-only")  # not even root, through this view
        equal(in_child(lambda: os.listdir(p + "/node_modules/closed"), nobody), errno.EACCES)
        fails(errno.EACCES, os.listdir, p + "/node_modules/closed")
        equal(os.stat(p + "/.env").st_uid, nobody)
        equal(in_child(lambda: put(p + "/.env", "changed\n"), nobody), 0)
        equal(get(s.repo + "/.env"), "MINE\n")
    finally:
        s.stop()


def test_seed__under_a_users_own_daemon(tmp):
    with fuse_for_all():
        s = make(tmp, "node_modules/\n.env\n", uid=OTHER_UID if ROOT else 0,
                 files={".env": "MINE\n", "node_modules/a/x": "x\n"})
        try:
            p = s.create("a1")
            me = OTHER_UID if ROOT else 0
            equal(in_child(lambda: equal((get(p + "/.env"), get(p + "/node_modules/a/x")), ("MINE\n", "x\n")), me), 0)
            equal(in_child(lambda: put(p + "/.env", "changed\n"), me), 0)
            equal(get(s.repo + "/.env"), "MINE\n")
        finally:
            s.stop()


def test_seed__roles_apply(tmp):
    s = make(tmp, ".env\nnode_modules/\n", config='roles:\n  builder:\n    hide: ["*.key", ".env"]\n',
             files={".env": "T\n", "node_modules/x": "x\n", "node_modules/deep/my.key": "K\n"})
    try:
        p = s.create("b1")
        fails(errno.ENOENT, os.stat, p + "/.env")
        equal(os.listdir(p + "/node_modules/deep"), [])
        q = s.create("s1", "--role", "scout")
        equal(get(q + "/.env"), "T\n")
        fails(errno.EROFS if ROOT else errno.EACCES, put, q + "/.env", "no\n")  # a user's kernel looks at the mode first
        fails(errno.EROFS if ROOT else errno.EACCES, os.unlink, q + "/node_modules/x")
        equal(get(q + "/node_modules/deep/my.key"), "K\n")
        r = s.create("b2")  # a hidden file does not appear under another name, looked at or not
        fails(errno.EACCES, os.rename, r + "/node_modules", r + "/src/nm")
    finally:
        s.stop()


def random_reads(p, rng, n):
    files = [os.path.join(d, f) for d, _, names in os.walk(p + "/node_modules") for f in names]
    for f in rng.sample(sorted(files), min(n, len(files))):
        get(f)


def test_seed__kill_and_recovery_keep_all_of_it(tmp):
    files = {f"node_modules/p{i}/f{j}": f"content {i} {j}\n" * (i + 1) for i in range(30) for j in range(10)}
    s = make(tmp, "node_modules/\n.env\n", files={".env": "T\n", **files})
    rng = random.Random(SEED)
    print(f"# seed {SEED}")
    try:
        p = s.create("a1")
        expect_log(r"agentfsd\[\d+\] (warning|error): .*a1")
        want = tree(s.repo + "/node_modules")
        for step in range(4):
            random_reads(p, rng, 20)
            os.listdir(p + f"/node_modules/p{step}")
            put(p + f"/node_modules/p{step}/f0", f"mine {step}\n")
            os.unlink(p + f"/node_modules/p{step}/f1")
            mtime = int(os.stat(p + f"/node_modules/p{step}/f0").st_mtime)
            want[f"p{step}/f0"] = (want[f"p{step}/f0"][0], mtime, f"mine {step}\n".encode())
            del want[f"p{step}/f1"]
            old = s.server_pid("a1")
            os.kill(old, 9)
            wait_for(lambda: s.view("a1")["state"] == "live" and s.server_pid("a1") not in (None, old), 60, "again")
            # what was taken over does not depend on the main worktree any more
            got = get(p + f"/node_modules/p{step}/f2")
            put(s.repo + f"/node_modules/p{step}/f2", "changed later\n")
            equal(get(p + f"/node_modules/p{step}/f2"), got)
        got = tree(p + "/node_modules")
        for name in want:
            if os.path.isdir(s.repo + "/node_modules/" + name):
                want[name] = got[name] = None  # times of folders: the agent changed what is in them
        equal(got, want)
        equal(s.view("a1")["changed"], 4)
        is_clean(p)
    finally:
        s.stop()


def test_seed__materialize_leaves_them_out(tmp):
    s = make(tmp, ".env\nnode_modules/\n", files={".env": "SECRET=1\n", "node_modules/x/i.js": "x\n",
                                                  "node_modules/y/i.js": "y\n"})
    try:
        p = s.create("a1")
        get(p + "/.env")
        put(p + "/node_modules/x/i.js", "changed\n")
        put(p + "/src/new.c", "new\n")
        # the base's own rules do not save a seed from being added here: nothing is but by the agent's will
        put(p + "/.gitignore", "*.o\n")
        s.ctl("materialize", "a1")
        names = s.git("ls-tree", "-r", "--name-only", "agents/a1/work").split("\n")
        equal([n for n in names if n == ".env" or n.startswith("node_modules")], ["node_modules/x/i.js"])
        assert "src/new.c" in names
        equal(s.git("show", "agents/a1/work:node_modules/x/i.js"), "changed")
        # moved: the agent's own from then on, looked at or not
        os.rename(p + "/node_modules/y", p + "/src/y")
        os.rename(p + "/.env", p + "/src/settings.txt")
        s.ctl("materialize", "a1")
        equal(s.git("show", "agents/a1/work:src/y/i.js"), "y")
        equal(s.git("show", "agents/a1/work:src/settings.txt"), "SECRET=1")
        equal(s.json("diff", "a1", "--name-status") is not None, True)
    finally:
        s.stop()


def test_seed__a_new_base_wins_and_the_rest_stays(tmp):
    """sync: a seed whose path the new base has gives way; the others stay, also where their folder goes."""
    s = make(tmp, ".env\nnode_modules/\n", files={".env": "T\n", "node_modules/a/x": "x\n",
                                                   "packages/a/node_modules/y": "y\n"})
    try:
        p = s.create("a1")
        get(p + "/node_modules/a/x")
        s.git("checkout", "-q", "-b", "next")
        put(s.repo + "/.env", "of the base\n")
        put(s.repo + "/README", "two\n")
        s.git("add", "-f", ".env")
        s.git("rm", "-q", "packages/a/index.js")
        s.git("commit", "-qam", "next")
        s.ctl("sync", "a1", "--to", "next")
        put(s.repo + "/.env", "later\n")
        expect_log(r"agentfsd\[\d+\] (warning|error): .*a1")
        for _ in range(2):
            equal(get(p + "/README"), "two\n")
            equal(get(p + "/.env"), "of the base\n")
            equal(get(p + "/node_modules/a/x"), "x\n")
            equal(get(p + "/packages/a/node_modules/y"), "y\n")
            is_clean(p)
            equal(s.view("a1")["changed"], 0)
            old = s.server_pid("a1")
            os.kill(old, 9)
            wait_for(lambda: s.view("a1")["state"] == "live" and s.server_pid("a1") not in (None, old), 60, "again")
    finally:
        s.stop()


def test_seed__a_file_in_motion_is_never_half_of_two(tmp):
    """The main worktree rewrites a file all the time; every view that reads it sees one version."""
    size = 3 << 20
    s = make(tmp, "big/\n", files={"big/f": b"0" * size, "big/g": "g"})
    stop = threading.Event()

    def rewrite():
        n = 0
        while not stop.is_set():
            n += 1
            with open(s.repo + "/big/f", "r+b") as f:
                f.write(b"%d" % (n % 10) * size)
            time.sleep(0.05)
    writer = threading.Thread(target=rewrite)
    try:
        writer.start()
        expect_log(r"warning: read 'big/f': it is being changed all the time in the main worktree")
        whole = 0
        for i in range(6):
            p = s.create(f"m{i}")
            try:
                data = get(p + "/big/f", "rb")
            except OSError as e:
                equal(e.errno, errno.EIO)
                continue
            equal(len(data), size)
            assert data == data[:1] * size, "a mix of two versions"
            whole += 1
        stop.set()
        writer.join()
        p = s.create("last")
        data = get(p + "/big/f", "rb")
        assert data == data[:1] * size
        assert whole, "no read succeeded while the file was in motion"
    finally:
        stop.set()
        writer.join()
        s.stop()


if __name__ == "__main__":
    main()
