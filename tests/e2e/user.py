#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary user's day: a daemon that starts by itself, two agents, their tools, their end."""
import errno
import os
import signal
import subprocess

from harness import *
from people import NAMELESS_UID, Person, at_home
import repos


def work(p, view):
    """What an agent does with its tools, in a view of a repository of repos.SMALL."""
    p.sh("make -s && test $(./prog) = 42", cwd=view)
    p.sh("sed -i 's/return 42/return 43/' src/util.c; make -s; test $(./prog) = 43", cwd=view)
    p.sh("git add -A; git commit -qm 'util: forty-three'; git status --porcelain | grep . && exit 1; true", cwd=view)
    p.sh("tar cf ../../all.tar --exclude=.git --exclude=SPRINT.md .; mkdir copy; tar xf ../../all.tar -C copy; diff -r docs copy/docs;"
         "rm -r copy ../../all.tar", cwd=view)


def test_vim_sqlite_npm__work_in_a_view(p):
    need_program("vim", "sqlite3", "npm")
    p.create("a1")
    view = p.view("a1")["path"]
    p.sh("vim -u NONE -es -c '%s/hello/goodbye/' -c wq README", cwd=view)
    equal(get_as(p, view + "/README"), "goodbye world\n")
    equal(p.sh("sqlite3 d.sqlite 'create table t(a); insert into t values(7); select * from t'", cwd=view).stdout,
          "7\n")
    p.sh("mkdir ../../pkg; cd ../../pkg; echo '{\"name\":\"left\",\"version\":\"1.0.0\",\"main\":\"i.js\"}' >package.json;"
         "echo 'module.exports = 1' >i.js; npm pack --silent", cwd=view)
    p.sh("echo '{\"name\":\"x\",\"version\":\"1.0.0\"}' >package.json;"
         "npm install --no-audit --no-fund --offline ../../pkg/left-1.0.0.tgz; test -f node_modules/left/i.js", cwd=view)


def get_as(p, path):
    return p.run("cat", path).stdout


def test_two_agents__from_nothing_to_a_merged_branch(p):
    out = p.ctl("create", "alice", "--task", "login")
    view = p.home + "/agents/alice"
    equal(out.stdout.splitlines()[0], view)
    p.create("bob", "--scope", "docs/**")
    equal(p.status()["kind"], "user")
    work(p, view)
    assert "+\treturn 43;" in p.ctl("diff", cwd=view).stdout
    assert "alice: 1 commit on agents/alice/login" in p.ctl("materialize", cwd=view).stdout
    assert "util: forty-three" in p.ctl("log", "alice").stdout
    p.ctl("next", "alice", "--task", "second")
    equal(p.sh("git branch --show-current", cwd=view).stdout, "agents/alice/second\n")
    p.ctl("merge", "agents/alice/login")
    equal(p.sh("git status --porcelain; git log -1 --format=%s", cwd=p.repo).stdout, "util: forty-three\n")
    assert "docs/**" in p.ctl("brief", "bob").stdout


def test_denial_by_mode_bits__is_in_the_audit(p):
    p.create("bob", "--scope", "docs/**")
    view = p.view("bob")["path"]
    done = p.sh("echo x >README", cwd=view, check=False)
    assert "Permission denied" in done.stderr, done.stderr
    assert p.sh("sed -i s/hello/x/ README", cwd=view, check=False).returncode != 0
    equal(get_as(p, view + "/README"), "hello world\n")
    found = [r for r in p.json("audit", "bob", "--result", "denied")["records"] if r["path"] == "README"]
    assert [r for r in found if r.get("inferred")], found
    assert "(inferred)" in p.ctl("audit", "bob", "--result", "denied").stdout
    assert "scope" in p.ctl("why", "README", cwd=view).stdout


def test_kept_work__comes_back_with_the_printed_command(p):
    for end in ("destroy", "rollback"):
        p.create("a1", "--task", "t-" + end)
        view = p.view("a1")["path"]
        p.sh("echo kept >new; git init -q inner; echo deep >inner/file", cwd=view)
        said = p.ctl(end, "a1").stdout
        command = [line for line in said.splitlines() if line.startswith("bring it back: ")]
        equal(len(command), 1, said)
        equal(said.splitlines()[-1], command[0], "the last line")
        p.sh(command[0].split(":", 1)[1])
        tip = p.sh("git show a1-restored:new a1-restored:inner/file", cwd=p.repo).stdout
        equal(tip, "kept\ndeep\n", end)
        p.sh("git branch -qD a1-restored", cwd=p.repo)
        assert not os.path.exists(view), "the mount point stays"


def test_stop_and_start__views_come_back(p):
    p.create("a1")
    view = p.view("a1")["path"]
    p.sh("echo one >one", cwd=view)
    for _ in range(3):
        p.ctl("daemon", "stop")
        equal(p.ctl("daemon", "status", check=False).returncode, 3)
        done = p.sh("echo lost >two", cwd=view, check=False)
        assert done.returncode != 0, "a write below the mount point of a view that is away"
        equal(p.run("ls", view).stdout, "")
        p.ctl("list")
        equal(get_as(p, view + "/one"), "one\n")
    p.ctl("daemon", "stop")
    p.ctl("daemon", "start")
    equal(get_as(p, view + "/one"), "one\n")


def test_kill_of_the_daemon__views_serve_on_and_are_adopted(p):
    p.create("a1")
    view, server, pid = p.view("a1")["path"], p.server_pid("a1"), p.status()["pid"]
    os.kill(pid, signal.SIGKILL)
    p.sh("echo while-away >one", cwd=view)
    equal(get_as(p, view + "/one"), "while-away\n")
    assert "A\tone" in p.ctl("diff", "--name-status", "a1").stdout
    assert p.status()["pid"] != pid
    equal(p.server_pid("a1"), server, "the process that serves")


def test_kill_of_a_server__nothing_acknowledged_is_lost(p):
    expect_log("view 'a1' is stale: the view's server has ended")
    p.create("a1")
    view = p.view("a1")["path"]
    for i in range(3):
        p.sh(f"echo {i} >f{i}; mkdir d{i}; mv f{i} d{i}/g", cwd=view)
        server = p.server_pid("a1")
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: p.run("cat", f"{view}/d{i}/g", check=False).stdout == f"{i}\n", 30, "the view is served again")
    equal(p.sh("cat d?/g", cwd=view).stdout, "0\n1\n2\n")
    equal(p.view("a1")["state"], "live")


def test_two_creates_at_once__make_one(p):
    p.ctl("list")
    for task in ("same", "other"):
        words = [["create", "a1", "--task", "same"], ["create", "a1", "--task", task]]
        both = [subprocess.Popen([program("agentfsctl"), *w], cwd=p.repo, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env={**os.environ, **p.env}, **as_user(p.uid)) for w in words]
        said = [c.communicate(timeout=60) for c in both]
        codes = sorted(c.returncode for c in both)
        if task == "same":
            assert codes[0] == 0 and codes[1] in (0, 1), said
            assert [s for s in said if "already" in s[0] + s[1] or "is being" in s[1]], said
        else:
            equal(codes, [0, 1], said)
        equal([v["agent"] for v in p.json("list")["views"]], ["a1"])
        p.sh("echo x >works", cwd=p.view("a1")["path"])
        p.ctl("rollback", "a1")


for name, function in list(globals().items()):
    if name.startswith("test_"):
        globals()[name] = at_home(function)


def test_umask__changes_nothing(tmp):
    for umask in ("077", "000"):
        folder = os.path.join(tmp, umask)
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        p = Person(folder)
        p.make_repo()
        try:
            p.sh(f"umask {umask}; agentfsctl create a1", cwd=p.repo)
            view = p.view("a1")["path"]
            equal(p.sh("stat -c %a README tools/run.sh src", cwd=view).stdout.split(), ["644", "755", "755"])
            p.sh("echo x >one; git add -A; git commit -qm one", cwd=view)
            p.ctl("merge", "a1")
            loose = p.sh(f"find {p.home}/.local {p.runtime}/agentfs -perm /022 ! -type l", check=False).stdout
            equal(loose, "", "files of the daemon that others may write")
            p.ctl("destroy", "a1")
        finally:
            p.leave()


def test_odd_paths__spaces_and_letters(tmp):
    p = Person(tmp, home="hö me 'x", runtime="ru n")
    p.make_repo("pro jekt-ü \"q\"")
    try:
        p.create("a1")
        view = p.view("a1")["path"]
        equal(view, p.home + "/agents/a1")
        p.sh("mkdir 'ä b'; echo x >'ä b/ñ c'; git add -A; git commit -qm 'ünï'; git status --porcelain", cwd=view)
        p.sh("echo y >'ä b/new one'", cwd=view)
        assert "ä b/new one" in p.ctl("diff", "--name-status", "a1").stdout
        p.ctl("daemon", "stop")
        p.ctl("merge", "a1")
        equal(get_as(p, p.repo + "/ä b/new one"), "y\n")
        p.sh("echo z >uncommitted", cwd=view)
        said = p.ctl("rollback", "a1").stdout
        p.sh([line for line in said.splitlines() if line.startswith("bring it back: ")][0].split(":", 1)[1])
        equal(p.sh("git show a1-restored:uncommitted", cwd=p.repo).stdout, "z\n")
    finally:
        p.leave()


def test_without_xdg_runtime_dir__the_folder_is_in_tmp(tmp):
    p = Person(tmp, runtime=None)
    p.make_repo()
    run_dir, there = f"/tmp/agentfs-{p.me}", os.path.exists(f"/tmp/agentfs-{p.me}")
    if there:
        raise Skip(f"{run_dir} is in use")
    try:
        p.create("a1")
        equal(p.status()["run_dir"], run_dir)
        equal(os.stat(run_dir).st_mode & 0o7777, 0o700)
        p.sh("echo x >one; git add -A; git commit -qm one", cwd=p.view("a1")["path"])
        p.ctl("merge", "a1")
        p.ctl("rollback", "a1")
    finally:
        p.leave()
        run("rm", "-rf", run_dir)


def test_without_a_name__fusermounts_own_words_are_told(tmp):
    """fusermount3 serves nobody who is in no passwd file."""
    need_root()
    p = Person(tmp, uid=NAMELESS_UID)
    p.make_repo()
    try:
        done = p.ctl("create", "a1", check=False)
        equal(done.returncode, 1, done.stderr)
        assert "could not determine username" in done.stderr, done.stderr
        equal(p.json("list")["views"], [])
        assert not os.path.exists(p.home + "/agents/a1")
        doctor = p.ctl("--json", "doctor", check=False)
        equal(doctor.returncode, 1)
        assert f"uid {p.me} has no name" in doctor.stdout, doctor.stdout
    finally:
        p.leave()


def test_home_that_may_not_be_written__is_one_sentence(tmp):
    need_root()
    p = Person(tmp)
    p.make_repo()
    os.chmod(p.home, 0o555)
    expect_log("cannot make the folder '.*Permission denied")
    try:
        done = p.ctl("create", "a1", check=False)
        equal(done.returncode, 3, done.stderr)
        lines = [line for line in done.stderr.splitlines() if p.home in line]
        equal(len(lines), 1, done.stderr)
        assert "ermission denied" in lines[0], done.stderr
        equal(done.stdout, "")
    finally:
        os.chmod(p.home, 0o700)
        p.leave()


main()
