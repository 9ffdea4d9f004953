#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lock files that both sides changed are written anew by a command, in a sandbox, or conflict and say what would help."""
import json

from daemon import System
from harness import *

LIST = "sort deps.txt | sed 's/$/ locked/' >app.lock"
FILES = {"deps.txt": "a\n\n\n\nz\n", "app.lock": "a locked\nz locked\n", "sub/deps.txt": "a\n\n\n\nz\n",
         "sub/app.lock": "a locked\nz locked\n", "Cargo.lock": "v 1\n", "x.txt": "x\n"}


def repository(tmp, command=LIST, name="app.lock", more="", **kw):
    config = f"merge: {{regenerate: {{{json.dumps(name)}: {json.dumps(command)}{more}}}}}\n" if command else ""
    return System(tmp, files=FILES, config=config, **kw).start()


def write(s, name, text):
    with open(os.path.join(s.repo, name), "w") as f:
        f.write(text)
    if s.repo_uid:
        os.chown(os.path.join(s.repo, name), s.repo_uid, s.repo_uid)


def diverge(s, ours, theirs):
    """Branch `topic` with theirs, main with ours: {path: text}."""
    s.git("checkout", "-qb", "topic")
    for name, text in theirs.items():
        write(s, name, text)
    s.git("commit", "-qam", "theirs")
    s.git("checkout", "-q", "main")
    for name, text in ours.items():
        write(s, name, text)
    s.git("commit", "-qam", "ours")


BOTH = ({"deps.txt": "a\nb\n\n\n\nz\n", "app.lock": "a locked\nb locked\nz locked\n"},
        {"deps.txt": "a\n\n\n\ny\nz\n", "app.lock": "a locked\ny locked\nz locked\n"})


def merge(s, *args):
    done = s.ctl("--json", "merge", "topic", "--into", "main", *args, check=False)
    return json.loads(done.stdout or done.stderr)["merges"][0]


def test_merge__a_lock_file_is_written_anew(tmp):
    s = repository(tmp)
    try:
        diverge(s, *BOTH)
        done = merge(s)
        equal(done["state"], "merged", str(done))
        equal(done["tier"], "auto-resolve")
        equal([(r["path"], r["conflicts"][0]["resolver"]) for r in done["resolved"]], [("app.lock", "regenerate")])
        text = s.git("show", "main:app.lock")
        equal([x for x in text.splitlines() if x.strip() != "locked"], ["a locked", "b locked", "y locked", "z locked"])
        assert "Resolved: app.lock (regenerate)" in s.git("log", "-1", "--format=%B")
    finally:
        s.stop()


def test_merge__each_in_its_own_folder(tmp):
    s = repository(tmp)
    try:
        sub = lambda side: {f"sub/{k}": v for k, v in side.items()} | side
        diverge(s, sub(BOTH[0]), sub(BOTH[1]))
        done = merge(s)
        equal(done["state"], "merged", str(done))
        equal(s.git("show", "main:sub/app.lock"), s.git("show", "main:app.lock"))
        assert "y locked" in s.git("show", "main:sub/app.lock")
    finally:
        s.stop()


def test_merge__nothing_else_that_the_command_wrote_is_taken(tmp):
    s = repository(tmp, LIST + "; echo evil >x.txt; echo evil >new; rm -f deps.txt")
    try:
        diverge(s, *BOTH)
        equal(merge(s)["state"], "merged")
        equal(s.git("show", "main:x.txt"), "x")
        equal(s.git("ls-tree", "--name-only", "main").split(), ["Cargo.lock", "app.lock", "deps.txt", "sub", "x.txt"])
    finally:
        s.stop()


def test_merge__beside_another_conflict_it_stays_one(tmp):
    s = repository(tmp)
    try:
        diverge(s, {**BOTH[0], "x.txt": "ours\n"}, {**BOTH[1], "x.txt": "theirs\n"})
        done = merge(s)
        equal(done["state"], "conflict")
        equal([c["path"] for c in done["conflicts"]], ["app.lock", "x.txt"])
    finally:
        s.stop()


def test_merge__a_command_that_fails_leaves_the_conflict(tmp):
    s = repository(tmp, "echo no such package: left-pad >&2; exit 4")
    try:
        diverge(s, *BOTH)
        before = s.git("rev-parse", "main")
        done = merge(s)
        equal(done["state"], "conflict")
        assert "failed (exit 4): no such package: left-pad" in done["conflicts"][0]["reason"], done
        equal(s.git("rev-parse", "main"), before)
    finally:
        s.stop()


def test_merge__one_that_hangs_or_leaves_no_file(tmp):
    s = repository(tmp, "x", more=", \"*.lck\": x")
    nap = f"sleep 54{os.getpid()}"
    try:
        diverge(s, *BOTH)
        for entry, words in (({"command": nap, "timeout": 1}, "was not done in time"),
                             ({"command": "rm app.lock"}, "its command left no file there"),
                             ({"command": "rm app.lock; ln -s /etc/passwd app.lock"}, "its command left no file there")):
            with open(s.config, "w") as f:
                f.write(f"merge: {{regenerate: {{app.lock: {json.dumps(entry)}}}}}\n")
            s.ctl("policy", "reload")
            done = merge(s)
            equal(done["state"], "conflict", str(done))
            assert words in done["conflicts"][0]["reason"], done["conflicts"][0]["reason"]
        equal(run("pgrep", "-fc", "[s]" + nap[1:] + "$", check=False).stdout.strip(), "0")
    finally:
        s.stop()


def test_merge__without_a_command_the_conflict_names_the_key(tmp):
    s = repository(tmp, None)
    try:
        diverge(s, {"Cargo.lock": "v 2\n"}, {"Cargo.lock": "v 3\n"})
        done = merge(s)
        equal(done["state"], "conflict")
        assert "merge: {regenerate: {Cargo.lock: COMMAND}}" in done["conflicts"][0]["reason"], done
    finally:
        s.stop()


def test_merge__npm_writes_its_lock_file_anew(tmp):
    """The real one, without a network: packages that lie in the repository."""
    need_program("npm")
    version = '{"name": "%s", "version": "1.0.0"}\n'
    packages = ("apple", "banana", "cherry", "damson")
    manifest = lambda *names: json.dumps({"name": "app", "version": "1.0.0", "dependencies":
                                          {n: f"file:packages/{n}" for n in names}}, indent=2) + "\n"
    npm = "npm install --package-lock-only --ignore-scripts --offline --no-audit --no-fund"
    s = System(tmp, files={**{f"packages/{n}/package.json": version % n for n in packages},
                           "package.json": manifest("apple", "damson")},
               config=f"merge: {{regenerate: {{package-lock.json: {{command: {json.dumps(npm)}, network: false}}}}}}\n").start()
    try:
        def side(branch, *names):
            s.git("checkout", "-q", *branch)
            write(s, "package.json", manifest(*names))
            run("sh", "-c", npm, cwd=s.repo)
            s.git("add", "-A")
            s.git("commit", "-qm", str(names))
        side(["main"], "apple", "damson")
        side(["-b", "topic"], "apple", "cherry", "damson")
        side(["main"], "apple", "banana", "damson")
        done = merge(s)
        equal(done["state"], "merged", str(done))
        equal(sorted(done_by(done)), [("package-lock.json", "regenerate"), ("package.json", "json")])
        lock = json.loads(s.git("show", "main:package-lock.json"))
        equal(sorted(lock["packages"][""]["dependencies"]), list(packages))
        equal(lock, {**lock, "packages": {**lock["packages"], "": json.loads(s.git("show", "main:package.json"))}})
        # What npm would write now is what stands there.
        before = get(os.path.join(s.repo, "package-lock.json"))
        run("sh", "-c", npm, cwd=s.repo)
        equal(get(os.path.join(s.repo, "package-lock.json")), before)
    finally:
        s.stop()


def done_by(done):
    return [(r["path"], r["conflicts"][0]["resolver"]) for r in done["resolved"]]


def test_merge__what_the_configuration_names_is_shown_to_no_rule(tmp):
    """Its lines would be resolved: they are versions."""
    s = repository(tmp, "echo 'v = 7.7.7' >x.txt", name="x.txt")
    try:
        diverge(s, {"x.txt": "v = 1.0.0\n"}, {"x.txt": "v = 2.0.0\n"})
        equal(done_by(merge(s)), [("x.txt", "regenerate")])
        equal(s.git("show", "main:x.txt"), "v = 7.7.7")
    finally:
        s.stop()


def test_merge__a_file_marked_as_generated_names_the_key(tmp):
    s = repository(tmp, None)
    try:
        write(s, ".gitattributes", "x.txt linguist-generated\n")
        s.git("add", "-A")
        s.git("commit", "-qm", "attributes")
        diverge(s, {"x.txt": "v = 1.0.0\n"}, {"x.txt": "v = 2.0.0\n"})
        done = merge(s)
        equal(done["state"], "conflict")
        assert "merge: {regenerate: {x.txt: COMMAND}}" in done["conflicts"][0]["reason"], done
    finally:
        s.stop()


def test_merge__in_a_users_repository(tmp):
    need_root()
    s = repository(tmp, repo_uid=OTHER_UID)
    try:
        diverge(s, *BOTH)
        equal(merge(s, "--dry-run")["state"], "would_merge")
        equal(merge(s)["state"], "merged")
    finally:
        s.stop()


main()
