#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""git status in a view asks the view what changed: it must say what a status that looks at every file
says, after anything."""
import os
import random
import re

from harness import *

SLOW = ["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"]


def status(p, *options, untracked="all"):
    """untracked: git's untracked cache is that of one way to list them, and begun anew by another."""
    env = {"GIT_OPTIONAL_LOCKS": "0"} if options else {}
    text = run("git", *options, "status", "--porcelain=v2", f"-u{untracked}", cwd=p, env=env).stdout
    return sorted(text.splitlines())


def same(p, what, untracked="all"):
    fast = status(p, untracked=untracked)
    equal(fast, status(p, *SLOW, untracked=untracked), f"git status with fsmonitor, and without, after {what}")
    return fast


def perf(folder, p, *options):
    """What git says of itself: name → number."""
    trace = os.path.join(folder, "perf")
    text = run("git", *options, "status", "--porcelain", cwd=p, env={"GIT_TRACE2_PERF": trace}).stdout
    with open(trace) as f:
        said = dict(re.findall(r"\.\.([a-z-]+):(\d+)$", f.read(), re.M))
    os.unlink(trace)
    return sorted(text.splitlines()), said


def steps(p, rng):
    """One random change; a word for it."""
    def any_file():
        found = [os.path.join(d, n) for d, dirs, names in os.walk(p) for n in names
                 if "/.git" not in d[len(p):]]
        return rng.choice(sorted(found)) if found else os.path.join(p, "first")

    def any_dir():
        found = [d for d, _, _ in os.walk(p) if "/.git" not in d[len(p):] and d != p]
        return rng.choice(sorted(found)) if found else p

    kind = rng.choice(["edit", "replace", "unlink", "new", "mkdir", "movefile", "movedir", "rmtree",
                       "chmod", "add", "commit", "checkout", "stash", "symlink", "link", "ignored"])
    try:
        if kind == "edit":
            with open(any_file(), "ab") as f:
                f.write(b"more\n")
        elif kind == "replace":
            f = any_file()
            put(f + ".tmp", f"new {rng.random()}\n")
            os.rename(f + ".tmp", f)
        elif kind == "unlink":
            os.unlink(any_file())
        elif kind == "new":
            put(os.path.join(any_dir(), f"n{rng.randrange(9)}"), "x\n")
        elif kind == "mkdir":
            d = os.path.join(any_dir(), f"d{rng.randrange(5)}")
            os.mkdir(d)
            put(os.path.join(d, "f"), "y\n")
        elif kind == "movefile":
            os.rename(any_file(), os.path.join(any_dir(), f"m{rng.randrange(9)}"))
        elif kind == "movedir":
            os.rename(any_dir(), os.path.join(p, f"md{rng.randrange(5)}"))
        elif kind == "rmtree":
            d = any_dir()
            if d != p:
                run("rm", "-rf", d)
        elif kind == "chmod":
            os.chmod(any_file(), rng.choice([0o644, 0o755]))
        elif kind == "symlink":
            os.symlink("target", os.path.join(any_dir(), f"s{rng.randrange(5)}"))
        elif kind == "link":
            os.link(any_file(), os.path.join(any_dir(), f"l{rng.randrange(5)}"))
        elif kind == "ignored":
            put(os.path.join(any_dir(), "x.o"), "o\n")
        elif kind == "add":
            run("git", "add", "-A", cwd=p)
        elif kind == "commit":
            run("git", "add", "-A", cwd=p)
            run("git", "commit", "-qm", "c", cwd=p, check=False)
        elif kind == "checkout":
            run("git", "checkout", "-q", "--", ".", cwd=p, check=False)
        elif kind == "stash":
            run("git", "stash", "-qu", cwd=p, check=False)
            if rng.random() < 0.5:
                run("git", "stash", "pop", "-q", cwd=p, check=False)
    except (OSError, AssertionError):
        pass
    return kind


def walk(system, untracked, most):
    p = system.create("a1")
    asked = run("git", "config", "core.fsmonitor", cwd=p).stdout
    assert "fsmonitor" in asked, f"the view's git does not ask the view: {asked}"
    equal(same(p, "create", untracked), [])
    rng, changed = random.Random(SEED), 0
    print(f"# seed {SEED}")
    for step in range(most):
        words = [steps(p, rng) for _ in range(rng.randrange(1, 4))]
        changed += bool(same(p, f"step {step}: {' '.join(words)}", untracked))
    assert changed > most // 4, "the steps changed too little to show anything"


def test_fsmonitor__status_is_that_of_every_file(system):
    walk(system, "all", 400 if LONG else 60)


def test_fsmonitor__so_is_one_that_lists_folders(system):
    walk(system, "normal", 400 if LONG else 60)


def test_fsmonitor__after_a_restart_of_the_view(system):
    p = system.create("a1")
    put(os.path.join(p, "src/new.c"), "x\n")
    equal(len(same(p, "a new file")), 1)
    os.unlink(os.path.join(p, "src/new.c"))
    put(os.path.join(p, "README"), "changed\n")
    expect_log(r"agentfsd\[\d+\] (warning|error): .*a1")  # the daemon says that a view's server died
    old = system.server_pid("a1")
    os.kill(old, 9)
    wait_for(lambda: system.view("a1")["state"] == "live" and system.server_pid("a1") not in (None, old),
             60, "the view is mounted again")
    equal(len(same(p, "kill -9 of the view's server")), 1)


def test_fsmonitor__after_materialize(system):
    p = system.create("a1")
    put(os.path.join(p, "src/new.c"), "x\n")
    same(p, "a new file")
    system.ctl("materialize", "a1")
    equal(same(p, "materialize"), [])
    put(os.path.join(p, "src/new.c"), "changed\n")
    equal(len(same(p, "a change behind it")), 1)


def test_fsmonitor__first_status_reads_no_file(system):
    """The prepared index says that all is as in the base; git asks, and believes it."""
    p = system.create("a1")
    trace = os.path.join(system.folder, "trace")
    run("strace", "-f", "-e", "trace=lstat,newfstatat,openat", "-o", trace, "git", "status", "--short",
        cwd=p, env={"ASAN_OPTIONS": "detect_leaks=0"})  # a traced program cannot look for leaks
    with open(trace) as f:
        looked = [l for l in f if '"src/main.c"' in l or '"README"' in l]
    equal(looked, [], "files that the first git status looked at")


def base_with_ignores(system):
    for path, text in (("docs/.gitignore", "*.log\n"), ("docs/deep/a/b/page", "x\n"), ("docs/deep/.gitignore", "tmp\n")):
        os.makedirs(os.path.dirname(os.path.join(system.repo, path)), exist_ok=True)
        put(os.path.join(system.repo, path), text)
    sh("git add -A; git commit -qm ignores", cwd=system.repo)


def test_fsmonitor__first_status_opens_no_folder(system):
    """The prepared index says also that nothing is untracked."""
    base_with_ignores(system)
    p = system.create("a1")
    text, said = perf(system.folder, p)
    equal(text, [])
    equal({n: said.get(n, "0") for n in ("opendir", "node-creation", "gitignore-invalidation")},
          {"opendir": "0", "node-creation": "0", "gitignore-invalidation": "0"}, "what the first git status did")
    sh("git fsck --cache --no-dangling", cwd=p)


def test_fsmonitor__first_status_sees_what_came_before_it(system):
    base_with_ignores(system)
    p = system.create("a1")
    for path in ("docs/x.log", "docs/deep/tmp", "docs/deep/a/b/new", "docs/deep/a/c/d/new", "new.c", "docs/deep/new.log"):
        os.makedirs(os.path.dirname(os.path.join(p, path)), exist_ok=True)
        put(os.path.join(p, path), "x\n")
    text, said = perf(system.folder, p)
    equal(text, ["?? docs/deep/a/b/new", "?? docs/deep/a/c/", "?? new.c"])
    assert 0 < int(said["opendir"]) < 8, f"folders opened: {said}"
    equal(len(same(p, "the first status", "normal")), 3)
    put(os.path.join(p, "docs/.gitignore"), "deep\n")
    put(os.path.join(p, ".git/info/exclude"), "new.c\n")
    equal(len(same(p, "other ignore files", "normal")), 2)


def test_fsmonitor__first_status_with_excludes_of_ones_own(system):
    p, mine = system.create("a1"), os.path.join(system.folder, "mine")
    put(mine, "*.tmp\n")
    put(os.path.join(p, "src/x.tmp"), "x\n")
    put(os.path.join(p, "src/y"), "x\n")
    text, said = perf(system.folder, p, "-c", f"core.excludesFile={mine}")
    equal(text, ["?? src/y"])
    equal(len(same(p, "a status without them", "normal")), 2)


def test_fsmonitor__a_commit_compared_with_the_files(system):
    """git 2.32 to 2.42 take a file that the monitor vouches for as deleted, now and then, where they compare with
    a commit: what their stack holds decides. They are told to look."""
    p = system.create("a1")
    put(os.path.join(p, "README"), "changed\n")
    sh("git commit -qam one; git status >/dev/null; echo more >>README; git status >/dev/null", cwd=p)
    for words in (["diff", "--name-status", "HEAD~1"], ["diff-index", "--name-status", "HEAD"],
                  ["-c", "core.quotepath=off", "diff", "--name-status", "HEAD"]):
        want = run("git", *SLOW, *words, cwd=p).stdout
        equal(want, "M\tREADME\n")
        for n in range(200 if LONG else 60):
            got = run("git", *words, cwd=p, env={f"FILLER{i}": "x" * (37 * n % 1000) for i in range(n % 7)}).stdout
            equal(got, want, f"git {' '.join(words)}, run {n}")
    for n in range(20):
        done = run("git", "checkout", "HEAD", cwd=p)
        equal([l for l in done.stdout.split("\n") if "\t" in l], ["M\tREADME"], f"local changes, run {n}")


main()
