#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A view becomes commits on its branch: what is taken, what is left out, what is refused."""
import os
import threading

from harness import *
import repos


def changes(system, branch="agents/a1/work", base="main"):
    return sorted(line.replace("\t", " ") for line in
                  system.git("diff", "--name-status", "-M", base, branch).split("\n") if line)


def test_materialize__every_kind_of_change(system):
    p = system.create("a1")
    sh("""echo more >>README; rm empty; mv src/util.c src/tool.c; echo new >'odd name'; chmod +x src/main.c
          ln -sf docs link; mkdir -p a/b/c; echo x >a/b/c/d; rm -r docs/deep; echo obj >src/x.o""", cwd=p)
    done = system.json("materialize", "a1", "-m", "all of it")
    equal(changes(system), ["A a/b/c/d", "A odd name", "D docs/deep/er/still/file.txt", "D empty", "M README",
                            "M link", "M src/main.c", "R100 src/util.c src/tool.c"])
    equal(system.git("log", "-1", "--format=%s", done["branch"]), "all of it")
    assert system.git("ls-tree", done["branch"], "src/main.c").startswith("100755")
    assert system.git("ls-tree", done["branch"], "link").startswith("120000")
    equal(sh("git status --porcelain", cwd=p).stdout, "", "the view's own status afterwards")
    equal(sh("git rev-parse HEAD", cwd=p).stdout.strip(), done["commit"])
    equal(get(os.path.join(p, "src/x.o")), "obj\n", "an ignored file stays in the view")


def test_materialize__nothing_changed_makes_no_commit(system):
    system.create("a1")
    done = system.ctl("materialize", "a1")
    equal(system.git("rev-parse", "agents/a1/work"), system.git("rev-parse", "main"))
    assert "nothing" in (done.stdout + done.stderr).lower(), done.stdout + done.stderr


def test_materialize__the_agents_commits_come_first(system):
    p = system.create("a1")
    sh("""echo 1 >one; git add -A; git commit -qm one; echo 2 >two; git add -A; git commit -qm two; echo 3 >three""", cwd=p)
    system.ctl("materialize", "a1", "-m", "rest")
    equal(system.git("log", "--format=%s", "main..agents/a1/work").split("\n"), ["rest", "two", "one"])
    sh("echo 4 >four; git add -A; git commit -qm four", cwd=p)
    system.ctl("materialize", "a1")
    equal(system.git("log", "--format=%s", "main..agents/a1/work").split("\n"), ["four", "rest", "two", "one"])


def test_materialize__what_is_staged_of_other_files_stays_staged_or_committed(system):
    p = system.create("a1")
    sh("echo a >a; git add a; echo b >b", cwd=p)
    system.ctl("materialize", "a1")
    equal(sh("git status --porcelain", cwd=p).stdout, "")
    sh("echo c >c; git add c; git commit -qm c", cwd=p)
    equal(sh("git log --format=%s -1; git rev-list --count HEAD", cwd=p).stdout.split(), ["c", "3"])


def test_materialize__an_amend_moves_the_branch_and_keeps_the_old_tip(system):
    p = system.create("a1")
    sh("echo 1 >one; git add -A; git commit -qm one", cwd=p)
    old = system.json("materialize", "a1")["commit"] or system.git("rev-parse", "agents/a1/work")
    sh("echo 2 >one; git commit -qa --amend -m 'one, better'", cwd=p)
    done = system.ctl("materialize", "a1")
    equal(system.git("log", "--format=%s", "main..agents/a1/work"), "one, better")
    refs = system.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/agentfs/preserved/a1")
    assert old in refs, f"the old tip {old} is not kept: {refs}"
    assert "refs/agentfs/preserved" in done.stdout + done.stderr


def test_materialize__detached_or_elsewhere_is_one_sentence(system):
    p = system.create("a1")
    put(os.path.join(p, "new"), "x")
    tip = system.git("rev-parse", "agents/a1/work")
    sh("git checkout -q --detach", cwd=p)
    system.refused(None, "materialize", "a1")
    sh("git checkout -q -b elsewhere", cwd=p)
    system.refused(None, "materialize", "a1", says="elsewhere")
    sh("git checkout -q agents/a1/work", cwd=p)
    equal(system.git("rev-parse", "agents/a1/work"), tip)
    system.ctl("materialize", "a1")


def test_materialize__a_held_index_lock_is_one_sentence(system):
    p = system.create("a1")
    put(os.path.join(p, "new"), "x")
    put(os.path.join(p, ".git/index.lock"), "")
    system.refused("Locked", "materialize", "a1", says="index.lock")
    os.unlink(os.path.join(p, ".git/index.lock"))
    system.ctl("materialize", "a1")


def test_materialize__judges_the_agents_commits(system):
    """A commit made by plumbing, without touching a file, of what the role may not write."""
    p = system.create("a1")
    sh("""blob=$(echo evil | git hash-object -w --stdin)
          git update-index --add --cacheinfo 100644,$blob,SPRINT.md
          git commit -qm 'sneaked in'""", cwd=p)
    system.refused("Denied", "materialize", "a1", says="SPRINT.md")
    equal(system.git("rev-parse", "agents/a1/work"), system.git("rev-parse", "main"))
    said = system.json("audit", "--control", "--result", "denied")["records"]
    assert [r for r in said if "SPRINT.md" in (r.get("value") or "")], said


def test_materialize__many_files_in_one_new_folder_ask_for_force(system):
    p = system.create("a1")
    os.mkdir(os.path.join(p, "node_modules"))
    for i in range(2100):
        put(os.path.join(p, f"node_modules/f{i}"), "x")
    e = system.refused(None, "materialize", "a1", says="node_modules")
    assert "--force" in e["message"] + (e.get("remedy") or ""), e
    system.ctl("materialize", "a1", "--force")


def test_materialize__scratch_is_left_out(tmp):
    import daemon
    s = daemon.System(tmp).start()
    try:
        p = s.create("a1", "--scope", "src/main.c")
        put(os.path.join(p, "src/scratch.tmp"), "scratch")
        put(os.path.join(p, "src/main.c"), "int main(void) { return 0; }\n")
        s.ctl("materialize", "a1")
        equal(changes(s), ["M src/main.c"])
        equal(get(os.path.join(p, "src/scratch.tmp")), "scratch")
    finally:
        s.stop()


def test_materialize__is_consistent_while_the_agent_writes(system):
    """Two files are always written in the same order, the same number into each: a snapshot never has
    the second one ahead of the first."""
    p = system.create("a1")
    stop = threading.Event()

    def writer():
        n = 0
        while not stop.is_set():
            n += 1
            for name in ("first", "second"):
                with open(os.path.join(p, name), "w") as f:
                    f.write(f"{n:010}\n")
    put(os.path.join(p, "first"), f"{0:010}\n")
    put(os.path.join(p, "second"), f"{0:010}\n")
    t = threading.Thread(target=writer)
    t.start()
    try:
        for _ in range(8):
            system.ctl("materialize", "a1")
            a, b = (system.git("show", f"agents/a1/work:{n}") for n in ("first", "second"))
            if a and b:  # opened with O_TRUNC: a file may be empty for a moment
                assert 0 <= int(a) - int(b) <= 1, f"first {a}, second {b}"
    finally:
        stop.set()
        t.join()


def test_materialize__mapped_pages_are_in_it(system):
    import mmap
    p = system.create("a1")
    put(os.path.join(p, "m"), b"." * 4096)
    f = os.open(os.path.join(p, "m"), os.O_RDWR)
    m = mmap.mmap(f, 4096, mmap.MAP_SHARED)
    m[0:6] = b"mapped"
    system.ctl("materialize", "a1")
    equal(system.git("show", "agents/a1/work:m")[:8], "mapped..")
    m.close()
    os.close(f)


def test_materialize__watchers_hear_of_the_new_index(system):
    """The kernel tells no watcher of an invalidation: a helper renames the files through the mount, as git does."""
    import watch
    p = system.create("a1")
    w = watch.Watcher(os.path.join(p, ".git"))
    put(os.path.join(p, "new"), "x\n")
    equal(w.events(), [], "events before materialize")
    system.ctl("materialize", "a1")
    w.wait_for(("index", "moved-to"), ("refs/heads/agents", "attrib"))  # a folder that it made
    w.close()
    w = watch.Watcher(os.path.join(p, ".git"))
    put(os.path.join(p, "new"), "y\n")
    system.ctl("materialize", "a1")
    w.wait_for(("index", "moved-to"), ("refs/heads/agents/a1/work", "moved-to"))
    w.close()
    equal(run("git", "-C", p, "status", "--porcelain").stdout, "", "status after it")
    equal(run("git", "-C", p, "rev-parse", "HEAD").stdout, system.git("rev-parse", "agents/a1/work") + "\n")


def test_materialize__crlf_attributes_are_cleaned(tmp):
    import daemon
    s = daemon.System(tmp, files={".gitattributes": "*.txt text eol=crlf\n", "a.txt": "one\ntwo\n"}).start()
    try:
        done = s.ctl("create", "a1", "--repo", s.repo)
        p = s.path("a1")
        equal(get(os.path.join(p, "a.txt"), "rb"), b"one\ntwo\n", "stored bytes are shown")
        put(os.path.join(p, "a.txt"), b"one\r\ntwo\r\nthree\r\n")
        s.ctl("materialize", "a1")
        equal(run("git", "-C", s.repo, "cat-file", "blob", "agents/a1/work:a.txt").stdout, "one\ntwo\nthree\n")
        assert "eol" in done.stdout + done.stderr, "create does not say that stored bytes are shown"
    finally:
        s.stop()


def test_materialize__an_unknown_filter_is_refused_by_name(tmp):
    import daemon
    s = daemon.System(tmp, files={".gitattributes": "*.x filter=secret\n", "a.x": "one\n"}).start()
    try:
        p = s.create("a1")
        put(os.path.join(p, "a.x"), "two\n")
        s.refused(None, "materialize", "a1", says="a.x")
        equal(s.git("rev-parse", "agents/a1/work"), s.git("rev-parse", "main"))
    finally:
        s.stop()


main()
