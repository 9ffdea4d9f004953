#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Redirected folders: plain folders of the view's own, mounted where a rule says."""
import contextlib
import errno
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import threading
import time

from harness import *
import views

RULES = ("node_modules/", ".venv/", "target/", "!/docs/target")


@contextlib.contextmanager
def view_of(tmp, **kw):
    kw.setdefault("redirect", RULES)
    v = views.View(tmp, policy_text=views.policy(**kw)).start()
    try:
        yield v
    finally:
        v.stop()


def mounts(v):
    for folder, folders, _ in os.walk(v.mnt):  # asks for each, and so waits for it
        folders[:] = [f for f in folders if os.stat(os.path.join(folder, f)).st_dev == os.stat(v.mnt).st_dev]
    with open("/proc/self/mountinfo") as f:
        paths = [line.split()[4] for line in f]
    return sorted(p[len(v.mnt) + 1:] for p in paths if p.startswith(v.mnt + "/"))


def plain(v, path):
    """The plain folder of a redirected one."""
    return os.path.join(v.dir, "redirect", str(place(v, path)))


def place(v, path):
    return {os.stat(os.path.join(v.dir, "redirect", n)).st_ino: int(n)
            for n in os.listdir(os.path.join(v.dir, "redirect"))}[os.stat(v.path(path)).st_ino]


def status(v):
    return {r["path"]: r["state"] for r in json.loads(get(v.path(".agentfs/control/status.json")))["redirects"]}


def test_redirect__is_a_plain_folder_with_its_owner_and_mode(tmp):
    need_root()
    with view_of(tmp) as v:
        os.mkdir(v.path("node_modules"), 0o750)
        equal(mounts(v), ["node_modules"])
        put(v.path("node_modules/x"), "content")
        equal(get(plain(v, "node_modules") + "/x"), "content")
        assert os.stat(v.path("node_modules")).st_dev != os.stat(v.mnt).st_dev
        equal(oct(os.stat(v.path("node_modules")).st_mode), "0o40750")
        os.mkdir(v.path("docs/target"))
        os.makedirs(v.path("src/deep/target/debug/deps"))
        equal(mounts(v), ["node_modules", "src/deep/target"])
        equal(status(v), {"node_modules": "mounted", "src/deep/target": "mounted"})
        options = [line.split()[5] for line in open("/proc/self/mountinfo") if line.split()[4].endswith("/node_modules")]
        assert "nosuid" in options[0] and "nodev" in options[0], options
        assert os.path.exists(v.path("docs/target")) and os.stat(v.path("docs/target")).st_dev == os.stat(v.mnt).st_dev
        os.chmod(v.mnt, 0o777)
        equal(in_child(lambda: os.mkdir(v.path(".venv")), uid=OTHER_UID), 0)
        equal(os.stat(v.path(".venv")).st_uid, OTHER_UID)
        equal(in_child(lambda: put(v.path(".venv/mine"), "x"), uid=OTHER_UID), 0)
        names = os.listdir(v.mnt)
        assert "node_modules" in names and ".venv" in names, names
        put(v.path("target"), "a file is no folder")
        assert os.path.isfile(v.path("target"))


def test_redirect__nothing_is_written_below_the_mount(tmp):
    """Made and filled by many at once, by cwd and by path: all of it is in the plain folders."""
    need_root()
    with view_of(tmp) as v:
        script = """
            set -e
            mkdir -p p$0
            cd p$0
            mkdir target
            cd target
            echo a >one
            mkdir d; echo b >d/two
            cd ..
            echo c >target/three
            test "$(cat target/one target/d/two target/three | tr -d '\\n')" = abc
        """
        jobs = [subprocess.Popen(["bash", "-c", script, str(i)], cwd=v.mnt) for i in range(24)]
        for j in jobs:
            equal(j.wait(60), 0)
        equal(len(mounts(v)), 24)
        for i in range(24):
            equal(sorted(os.listdir(plain(v, f"p{i}/target"))), ["d", "one", "three"])


def test_redirect__a_mount_that_is_lost_is_made_again(tmp):
    """Somebody unmounts it, or the kernel drops it with its name: who asks for what it holds has it back."""
    need_root()
    with view_of(tmp) as v:
        os.makedirs(v.path("p/target"))
        put(v.path("p/target/x"), "x")
        for _ in range(3):
            run("umount", v.path("p/target"))
            equal(get(v.path("p/target/x")), "x")
            put(v.path("p/target/y"), "y")
            equal(mounts(v), ["p/target"])
        equal(sorted(os.listdir(plain(v, "p/target"))), ["x", "y"])
        run("umount", v.path("p/target"))
        equal(sorted(os.listdir(v.path("p/target"))), ["x", "y"])


def test_redirect__racing_lookups_wait_for_the_mount(tmp):
    need_root()
    with view_of(tmp) as v:
        stop = threading.Event()
        seen = []

        def look():
            while not stop.is_set():
                for i in range(40):
                    try:
                        seen.append((os.stat(v.path(f"r{i}/target")).st_dev, os.listdir(v.path(f"r{i}"))))
                    except FileNotFoundError:
                        pass
        threads = [threading.Thread(target=look) for _ in range(3)]
        for t in threads:
            t.start()
        for i in range(40):
            os.mkdir(v.path(f"r{i}"))
            os.mkdir(v.path(f"r{i}/target"))
            put(v.path(f"r{i}/target/f"), "x")
        stop.set()
        for t in threads:
            t.join()
        assert len(seen) > 40
        own = os.stat(v.mnt).st_dev
        assert all(dev != own for dev, _ in seen), "somebody saw the folder below the mount"
        for i in range(40):
            equal(os.listdir(plain(v, f"r{i}/target")), ["f"])


def worker(v, seed, seconds, worst):
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    target = v.path("target")
    while time.monotonic() < end:
        begin = time.monotonic()
        try:
            rng.choice((lambda: os.mkdir(target), lambda: os.rmdir(target), lambda: os.listdir(target),
                        lambda: os.makedirs(f"{target}/d{seed}/e", exist_ok=True),
                        lambda: put(f"{target}/f{seed}", "x"), lambda: put(v.path(f"beside{seed}"), "x"),
                        lambda: shutil.rmtree(target, ignore_errors=True)))()
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.ENOTEMPTY, errno.ESTALE):
                raise
        worst.value = max(worst.value, time.monotonic() - begin)


def test_redirect__makers_and_removers_do_not_wait_for_each_other(tmp):
    """A helper that walks to the folder, a caller that holds the lock of the folder above and waits for the
    helper: with each wait bounded by a timeout of seconds, none may be seen."""
    need_root()
    with view_of(tmp) as v:
        worst = [multiprocessing.Value("d", 0.0) for _ in range(6)]
        jobs = [multiprocessing.Process(target=worker, args=(v, i, 20 if LONG else 4, w)) for i, w in enumerate(worst)]
        for j in jobs:
            j.start()
        for j in jobs:
            j.join()
            equal(j.exitcode, 0)
        assert "warning" not in v.logged(), v.logged()[-2000:]
        assert max(w.value for w in worst) < 2.5, [w.value for w in worst]
        shutil.rmtree(v.path("target"), ignore_errors=True)


def test_redirect__rm_rf_works_as_of_any_folder(tmp):
    need_root()
    with view_of(tmp) as v:
        for n in (0, 1, 30, 400, 1500 if LONG else 700):
            for i in range(n):
                os.makedirs(v.path(f"node_modules/p{i}/lib"))
                put(v.path(f"node_modules/p{i}/lib/x"), "x")
            os.makedirs(v.path("node_modules"), exist_ok=True)
            run("rm", "-rf", "node_modules", cwd=v.mnt)
            assert not os.path.lexists(v.path("node_modules")) and mounts(v) == [], n
            equal(os.listdir(v.dir + "/redirect"), [], "plain folders")
        os.mkdir(v.path("target"))
        put(v.path("target/x"), "x")
        fails((errno.EBUSY, errno.ENOTEMPTY), os.rmdir, v.path("target"))
        equal(get(v.path("target/x")), "x")
        fails((errno.EBUSY, errno.EXDEV), os.rename, v.path("target"), v.path("other"))
        os.unlink(v.path("target/x"))
        os.stat(v.path("target"))
        equal(mounts(v), ["target"], "an empty one stays mounted")
        os.rmdir(v.path("target"))
        os.mkdir(v.path("target"))
        put(v.path("target/x"), "y")
        v.restart()
        equal(get(v.path("target/x")), "y")
        equal(sh("git clean -xfdq && ls target 2>&1 || true", cwd=v.mnt).stdout,
              "ls: cannot access 'target': No such file or directory\n")


def test_redirect__a_folder_above_can_be_renamed(tmp):
    need_root()
    with view_of(tmp) as v:
        os.makedirs(v.path("a/b/target"))
        put(v.path("a/b/target/x"), "x")
        os.rename(v.path("a"), v.path("c"))
        equal(get(v.path("c/b/target/x")), "x")
        v.restart()
        equal(get(v.path("c/b/target/x")), "x")
        equal(mounts(v), ["c/b/target"])


def test_redirect__borders_are_those_of_a_mount(tmp):
    need_root()
    with view_of(tmp) as v:
        os.mkdir(v.path("target"))
        put(v.path("target/in"), "x")
        put(v.path("out"), "x")
        fails(errno.EXDEV, os.rename, v.path("out"), v.path("target/out"))
        fails(errno.EXDEV, os.link, v.path("target/in"), v.path("linked"))
        sh("mv out target/; mv target/in .; cp -a target copy; tar cf ../t.tar target; tar xOf ../t.tar target/out", cwd=v.mnt)
        equal(sorted(os.listdir(v.mnt + "/copy")), ["out"])
        equal(sh("find . -xdev -name out | sort", cwd=v.mnt).stdout, "./copy/out\n")
        put(v.path("target/run"), "#!/bin/sh\necho ran\n")
        os.chmod(v.path("target/run"), 0o755)
        equal(run(v.path("target/run")).stdout, "ran\n")
        os.symlink("../README", v.path("target/l"))
        equal(get(v.path("target/l")), "hello world\n")


def test_redirect__is_there_again_after_kill_and_restart(tmp):
    need_root()
    with view_of(tmp) as v:
        for name in ("node_modules", "src/target"):
            os.mkdir(v.path(name))
            put(v.path(name, "x"), name)
        kept = open(v.path("node_modules/x"))
        for again in (v.restart, lambda: (v.kill(), v.start())):
            again()
            equal(mounts(v), ["node_modules", "src/target"])
            for name in ("node_modules", "src/target"):
                equal(get(v.path(name, "x")), name)
        equal(kept.read(), "node_modules", "a file that was open all the time")
        kept.close()
        v.kill()
        os.mkdir(v.dir + "/redirect/999999")  # a crash between the folder and its record
        v.start()
        assert "999999" not in os.listdir(v.dir + "/redirect")


def test_redirect__is_one_record_and_no_change(tmp):
    need_root()
    with view_of(tmp) as v:
        os.mkdir(v.path("node_modules"))
        os.stat(v.path("node_modules"))
        info = json.loads(get(v.path(".agentfs/control/status.json")))
        for i in range(200):
            put(v.path(f"node_modules/f{i}"), "x" * 1000)
        after = json.loads(get(v.path(".agentfs/control/status.json")))
        equal(after["sequence"], info["sequence"], "records for what is written in it")
        equal(sh("git status --porcelain", cwd=v.mnt).stdout, "", "git must not list it")
        assert "node_modules/" in get(v.path(".git/info/exclude")).splitlines()
        equal(get(v.path(".git/info/exclude")).count("node_modules"), 1)
        os.mkdir(v.path("src/node_modules"))
        put(v.path("src/node_modules/x"), "x")
        equal(get(v.path(".git/info/exclude")).count("node_modules"), 1)
        equal(sh("git add -A; git status --porcelain", cwd=v.mnt).stdout, "")


def test_redirect__not_where_the_role_may_not_write(tmp):
    need_root()
    with view_of(tmp, write=("src/**",), scratch="none") as v:
        fails(errno.EACCES, os.mkdir, v.path("node_modules"))
        os.mkdir(v.path("src/target"))
        equal(mounts(v), ["src/target"])
    with view_of(tmp + "/2", write=(), scratch="none") as v:
        fails(errno.EROFS, os.mkdir, v.path("node_modules"))
        equal(mounts(v), [])
    with view_of(tmp + "/3", hide=("docs",)) as v:
        fails((errno.EACCES, errno.EEXIST, errno.ENOENT), os.mkdir, v.path("docs/.venv"))
        equal(mounts(v), [])


def test_redirect__a_cut_off_namespace_writes_nothing_below(tmp):
    """One that took its copy of the mounts before sees the old ones, and of new ones only that they are stale."""
    need_root()
    with view_of(tmp) as v:
        os.makedirs(v.path("early/target"))
        put(v.path("early/target/x"), "x")
        script = """
            echo in; read go
            test "$(cat early/target/x)" = x
            ! (echo w >late/target/y) 2>/dev/null
            ! cat late/target/z 2>/dev/null
            ! rmdir late/target 2>/dev/null
            mkdir own own/target; ! (echo q >own/target/q) 2>/dev/null
            echo done
        """
        child = subprocess.Popen(["unshare", "-m", "bash", "-ec", script], cwd=v.mnt, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        equal(child.stdout.readline(), "in\n")
        os.makedirs(v.path("late/target"))
        put(v.path("late/target/z"), "z")
        said, _ = child.communicate("\n", timeout=60)
        equal((child.returncode, said), (0, "done\n"))
        equal(os.listdir(v.path("late/target")), ["z"])
        equal(os.listdir(v.path("own/target")), [])


def test_redirect__what_the_base_has_is_none(tmp):
    need_root()
    import repos
    os.mkdir(tmp + "/r")
    repo = repos.make(tmp + "/r/repo", {"target/tracked": "x\n", "README": "x\n"})
    v = views.View(tmp, repo=repo, policy_text=views.policy(redirect=RULES)).start()
    try:
        os.mkdir(v.path("target/debug"))
        put(v.path("target/debug/x"), "x")
        equal(mounts(v), [])
        sh("rm -r target; mkdir target; echo y >target/tracked", cwd=v.mnt)
        equal(mounts(v), [])
        equal(sh("git status --porcelain", cwd=v.mnt).stdout, " M target/tracked\n")
    finally:
        v.stop()


def test_redirect__a_mount_that_fails_is_an_ordinary_folder(tmp):
    """An ordinary user's server cannot mount: everything is in the overlay, as without a rule."""
    import people
    people.fuse_for_everybody()
    os.chmod(tmp, 0o777)
    code = f"""
import sys, os
sys.path.insert(0, {os.path.dirname(os.path.abspath(views.__file__))!r})
import views
v = views.View({tmp!r} + '/v', policy_text=views.policy(redirect=('target/',))).start()
os.mkdir(v.path('target'))
open(v.path('target/x'), 'w').write('x')
assert os.stat(v.path('target')).st_dev == os.stat(v.mnt).st_dev
assert not os.path.exists(v.dir + '/redirect')
v.restart()
assert open(v.path('target/x')).read() == 'x'
v.stop()
"""
    if ROOT:
        os.mkdir(tmp + "/v")
        os.chown(tmp + "/v", OTHER_UID, OTHER_UID)
    env = {"HOME": tmp, "GIT_CONFIG_GLOBAL": "/dev/null", "AGENTFS_BUILD": BUILD, "AGENTFS_TMP": tmp}
    run("python3", "-c", code, cwd=tmp, uid=OTHER_UID, env=env)


main()
