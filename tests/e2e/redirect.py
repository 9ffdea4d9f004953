#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Redirected folders with the daemon: npm, venv and a build at work in them, restarts, the view's end."""
import errno
import json
import os
import signal
import subprocess

from harness import *
from daemon import System

RULES = "redirect: ['node_modules/', '.venv/', 'target/']\n"


def system_with(tmp, config=RULES, **kw):
    return System(tmp, config=config, **kw).start()


def redirects(s, agent):
    return {r["path"]: r["state"] for r in s.json("show", agent)["view"].get("redirects", [])}


def packages(folder, n=12):
    """A package that depends on n others, some scoped, one with a program; all as packed files."""
    names = [("@scope/" if i % 4 == 0 else "") + f"dep{i}" for i in range(n)]
    for i, name in enumerate(names):
        p = f"{folder}/src/{i}"
        os.makedirs(p + "/lib")
        more = {"bin": {"hello": "./cli.js"}} if i == 1 else {}
        put(p + "/package.json", json.dumps({"name": name, "version": "1.0.0", "main": "lib/index.js", **more}))
        put(p + "/lib/index.js", f"module.exports = {i}\n")
        put(p + "/cli.js", "#!/usr/bin/env node\nconsole.log('hello')\n")
        for k in range(20):
            put(f"{p}/lib/m{k}.js", f"module.exports = {k}\n" * 20)
    sh(f"cd {folder} && for d in src/*; do npm pack --silent ./$d >/dev/null; done")
    packed = sorted(f for f in os.listdir(folder) if f.endswith(".tgz"))
    equal(len(packed), n)
    return {name: f"file:{folder}/{name.replace('@', '').replace('/', '-')}-1.0.0.tgz" for name in names}


NPM = "npm {} --no-audit --no-fund --offline --loglevel=error"


def npm_works(view, deps):
    put(view + "/package.json", json.dumps({"name": "app", "version": "1.0.0", "dependencies": deps}))
    env = {"HOME": os.path.dirname(view) + "-home", "npm_config_cache": os.path.dirname(view) + "-cache",
           "npm_config_update_notifier": "false"}
    check = ("test $(node -p \"require('dep3') + require('@scope/dep4')\") = 7 && "
             "test $(./node_modules/.bin/hello) = hello")
    for command in ("install", "ci", "install dep1", "uninstall dep2", "prune", "ci"):
        sh(f"{NPM.format(command)} >/dev/null && {check}", cwd=view, env=env)
    sh(f"rm -rf node_modules && {NPM.format('ci')} >/dev/null && {check}", cwd=view, env=env)
    return env


def test_npm__install_ci_and_start_over(tmp):
    need_root()
    need_program("npm", "node")
    os.mkdir(tmp + "/packages")
    deps = packages(tmp + "/packages")
    s = system_with(tmp)
    try:
        p = s.create("a1")
        env = npm_works(p, deps)
        equal(redirects(s, "a1"), {"node_modules": "mounted"})
        equal(sh("git status --porcelain", cwd=p).stdout, "?? package-lock.json\n?? package.json\n")
        names = s.json("diff", "a1", "--name-status")["changes"]
        equal(sorted(c["path"] for c in names), ["package-lock.json", "package.json"])
        said = s.ctl("show", "a1").stdout
        assert "redirected  node_modules (" in said and "iB)" in said, said
        s.ctl("materialize", "a1")
        assert "node_modules" not in s.git("ls-tree", "-r", "--name-only", "agents/a1/work")
        made = [r for r in s.records("a1") if r.get("op") == "redirect"]
        equal({r["path"] for r in made}, {"node_modules"})
        assert "node_modules/ (agentfs.yaml:1)" in made[0]["rule"], made[0]
        inside = [r for r in s.records("a1") if "node_modules/" in r.get("path", "")]
        equal(inside, [], "records of what is in it")
        sh("git clean -xfdq && test ! -e node_modules && git checkout -q . 2>/dev/null; git status --porcelain", cwd=p, env=env)
    finally:
        s.stop()


def test_venv_and_build__in_redirected_folders(tmp):
    need_root()
    s = system_with(tmp)
    try:
        p = s.create("a1")
        sh("python3 -m venv --without-pip .venv && ./.venv/bin/python -c 'import sys; print(sys.prefix)'", cwd=p)
        equal(run(p + "/.venv/bin/python", "-c", "import sys; print(sys.prefix)").stdout, p + "/.venv\n")
        # what a build tool does: a lock, hard links and renames within target, a link to the program
        sh("""mkdir -p target/debug/deps target/debug/.fingerprint && exec 9>target/debug/.lock && flock 9
              for i in $(seq 50); do echo "int f$i;" >target/debug/deps/f$i.c.tmp
                  mv target/debug/deps/f$i.c.tmp target/debug/deps/f$i.c; done
              cc -c -o target/debug/deps/util.o src/util.c; cc -c -o target/debug/deps/main.o src/main.c
              cc -o target/debug/deps/prog-0123 target/debug/deps/*.o && ln target/debug/deps/prog-0123 target/debug/prog
              test $(target/debug/prog) = 42 && cp target/debug/prog prog-copy && rm prog-copy""", cwd=p)
        equal(redirects(s, "a1"), {".venv": "mounted", "target": "mounted"})
        equal(sh("git status --porcelain", cwd=p).stdout, "")
        sh("rm -rf target .venv", cwd=p)
        equal(redirects(s, "a1"), {})
    finally:
        s.stop()


def test_restarts__they_are_there_before_the_view_is_live(tmp):
    need_root()
    expect_log("view 'a1' is stale: the view's server has ended")
    s = system_with(tmp)
    try:
        p = s.create("a1")
        for name in ("target", "src/target", "docs/node_modules"):
            os.mkdir(f"{p}/{name}")
            put(f"{p}/{name}/x", name)

        def whole():
            for name in ("target", "src/target", "docs/node_modules"):
                equal(get(f"{p}/{name}/x"), name)
                assert f"{p}/{name}" in s.mounted(), f"{name} is not mounted"
        s.kill()  # the daemon alone
        whole()
        s.start()
        whole()
        for _ in range(3):
            os.kill(s.server_pid("a1"), signal.SIGKILL)
            wait_for(lambda: s.view("a1")["state"] == "live" and s.server_pid("a1"), what="the view is back")
            whole()
        s.ctl("daemon", "stop")
        s.process.wait()
        equal(s.mounted(), [])
        s.start()
        whole()
    finally:
        s.stop()


def test_end__in_use_is_refused_and_all_goes_with_the_view(tmp):
    need_root()
    s = system_with(tmp)
    try:
        p = s.create("a1")
        for name in ("target", "node_modules"):
            os.mkdir(f"{p}/{name}")
            put(f"{p}/{name}/x", "x" * 100_000)
        user = subprocess.Popen(["sleep", "60"], cwd=p + "/target")
        try:
            s.refused("Busy", "destroy", "a1", says="in use")
            for name in ("target", "node_modules"):
                equal(len(get(f"{p}/{name}/x")), 100_000)
        finally:
            user.kill()
            user.wait()
        user = subprocess.Popen(["sleep", "60"], cwd=p)
        try:
            s.refused("Busy", "destroy", "a1", says="in use")
            equal(len(get(f"{p}/target/x")), 100_000)
        finally:
            user.kill()
            user.wait()
        closed = os.path.join(s.state, "closed", s.view("a1")["id"])
        s.ctl("destroy", "a1")
        equal(s.mounted(), [])
        wait_for(lambda: not os.path.exists(closed + "/redirect"), what="the plain folders are gone")
        assert os.path.exists(closed + "/journal")
        p = s.create("b1")
        os.mkdir(p + "/target")
        user = subprocess.Popen(["sleep", "60"], cwd=p + "/target")
        try:
            s.ctl("rollback", "b1", "--force")
        finally:
            user.kill()
            user.wait()
        equal(s.mounted(), [])
    finally:
        s.stop()


def test_rules__reach_open_views_and_quotas_do_not_count_them(tmp):
    need_root()
    s = system_with(tmp, "quotas: {bytes: 1M, nodes: 100}\n")
    try:
        p = s.create("a1")
        os.mkdir(p + "/target")
        fails(errno.EDQUOT, put, p + "/target/big", b"x" * 2_000_000)
        put(s.config, RULES + "quotas: {bytes: 1M, nodes: 100}\n")
        s.ctl("policy", "reload")
        equal(redirects(s, "a1"), {}, "one that was there stays in the overlay")
        os.mkdir(p + "/node_modules")
        put(p + "/node_modules/big", b"x" * 2_000_000)
        for i in range(300):
            put(f"{p}/node_modules/f{i}", "x")
        v = s.json("show", "a1")["view"]
        assert v["bytes"] < 1 << 20 and v["nodes"] < 100, v
        assert v["redirects"][0]["bytes"] >= 2_000_000, v
        put(s.config, "quotas: {bytes: none}\n")
        s.ctl("policy", "reload")
        put(p + "/node_modules/more", "x")  # a rule that is gone changes nothing that is there
        equal(redirects(s, "a1"), {"node_modules": "mounted"})
        s.refused("Invalid", "create", "c1", "--repo", s.repo, "--mount", p + "/node_modules/m")
        s.refused("Invalid", "create", "c1", "--repo", s.repo, "--mount", p + "/src/m")
    finally:
        s.stop()


def test_sync__keeps_them_and_what_a_base_adds_below_comes_to_light(tmp):
    need_root()
    s = system_with(tmp)
    try:
        p = s.create("a1")
        for name in ("target", "src/target"):
            os.mkdir(f"{p}/{name}")
            put(f"{p}/{name}/x", name)
        put(s.repo + "/README", "changed\n")
        os.mkdir(s.repo + "/target")
        put(s.repo + "/target/tracked", "t\n")
        s.git("add", "-Af")
        s.git("commit", "-qm", "second")
        s.ctl("sync", "a1")
        equal(get(p + "/README"), "changed\n")
        for name in ("target", "src/target"):
            equal(get(f"{p}/{name}/x"), name)
        equal(s.json("diff", "a1", "--name-status")["changes"], [])
        s.ctl("daemon", "stop")
        s.process.wait()
        s.start()
        equal(os.listdir(p + "/target"), ["x"])
        sh("rm -rf target || true", cwd=p)
        equal(os.listdir(p + "/target"), ["tracked"])
        equal(redirects(s, "a1"), {"src/target": "mounted"})
        equal(sh("git status --porcelain", cwd=p).stdout, "")
    finally:
        s.stop()


def test_user__has_them_in_the_overlay_and_doctor_says_so(tmp):
    need_root()
    import people
    people.fuse_for_everybody()
    s = system_with(tmp, uid=OTHER_UID)
    try:
        p = s.create("a1")
        s2 = lambda script: sh(script, cwd=p, uid=OTHER_UID, env={"HOME": tmp})
        s2("mkdir target && echo x >target/x && python3 -m venv --without-pip .venv && .venv/bin/python -c 'print(1)'")
        equal(redirects(s, "a1"), {})
        checks = [c for c in s.json("doctor")["checks"] if c["name"] == "redirect"]
        equal([c["state"] for c in checks], ["warning"])
        assert "in the overlay" in checks[0]["text"] and "system daemon" in checks[0]["remedy"], checks
        s2("rm -rf target && test ! -e target")
    finally:
        s.stop()


def test_doctor__says_nothing_without_rules_and_ok_with(tmp):
    need_root()
    s = system_with(tmp, "")
    try:
        equal([c for c in s.json("doctor")["checks"] if c["name"] == "redirect"], [])
        put(s.config, RULES)
        s.ctl("policy", "reload")
        equal([c["state"] for c in s.json("doctor")["checks"] if c["name"] == "redirect"], ["ok"])
    finally:
        s.stop()


main()
