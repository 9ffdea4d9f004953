#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Work is never lost: destroy, rollback, pruned bases, two restarts of the machine's worth of daemons."""
import os

from harness import *
import tree


def preserved(system, agent):
    out = system.git("for-each-ref", "--format=%(refname)", f"refs/agentfs/preserved/{agent}/")
    return [line for line in out.split("\n") if line]


def test_destroy__keeps_uncommitted_work_and_says_how_to_bring_it_back(system):
    p = system.create("a1")
    put(os.path.join(p, "README"), "not committed\n")
    put(os.path.join(p, "src/new.c"), "int new;\n")
    done = system.ctl("destroy", "a1")
    refs = preserved(system, "a1")
    assert refs, "nothing was preserved"
    work = [r for r in refs if r.endswith("/work")][0]
    equal(system.git("show", f"{work}:README"), "not committed")
    equal(system.git("show", f"{work}:src/new.c"), "int new;")
    assert work in done.stdout + done.stderr, done.stdout + done.stderr
    assert not os.path.exists(p)


def test_rollback__takes_the_branch_but_keeps_its_work(system):
    p = system.create("a1")
    put(os.path.join(p, "committed"), "c\n")
    sh("git add -A; git commit -qm committed; git checkout -q -b side; echo s >side; git add -A; git commit -qm side",
       cwd=p)
    sh("git checkout -q agents/a1/work; echo st >README; git stash -q; echo left >left", cwd=p)
    system.ctl("rollback", "a1")
    refs = preserved(system, "a1")
    kinds = {r.split("/", 5)[5] for r in refs}
    assert {"work", "stash", "heads/side"} <= kinds, kinds
    equal(system.git("branch", "--list", "agents/a1/work"), "", "the branch after rollback")
    ref = {r.split("/", 5)[5]: r for r in refs}
    equal(system.git("show", ref["heads/side"] + ":side"), "s")
    equal(system.git("show", ref["stash"] + ":README"), "st")
    equal(system.git("show", ref["work"] + ":left"), "left")
    equal(system.git("show", ref["work"] + ":committed"), "c")
    system.git("gc", "-q", "--prune=now")
    equal(system.git("show", ref["work"] + ":left"), "left", "after gc")


def test_destroy__nothing_to_keep_keeps_nothing(system):
    system.create("a1")
    system.ctl("destroy", "a1")
    equal(preserved(system, "a1"), [])
    equal(system.git("for-each-ref", "refs/agentfs"), "")


def test_destroy__a_view_in_use_needs_force(system):
    p = system.create("a1")
    fd = os.open(os.path.join(p, "README"), os.O_RDONLY)
    try:
        system.refused("Busy", "destroy", "a1")
        system.ctl("destroy", "a1", "--force")
    finally:
        os.close(fd)
    equal(system.views(), [])


def test_base__survives_amend_reflog_expire_and_gc(system):
    p = system.create("a1")
    before = tree.picture(p)
    system.git("commit", "-q", "--amend", "--allow-empty", "-m", "rewritten")
    put(os.path.join(system.repo, "README"), "other\n")
    system.git("commit", "-qa", "--amend", "-m", "rewritten")
    system.git("reflog", "expire", "--expire=now", "--all")
    system.git("gc", "-q", "--prune=now")
    system.stop()
    run("rm", "-rf", os.path.join(system.state, "content"))
    os.mkdir(os.path.join(system.state, "content"))
    system.start()
    equal(tree.differences(before, tree.picture(p)), [])
    put(os.path.join(p, "new"), "x\n")
    system.ctl("materialize", "a1")
    equal(system.git("show", "agents/a1/work:README"), "hello world")


def test_closed_view__is_still_audited(system):
    p = system.create("a1")
    put(os.path.join(p, "README"), "x\n")
    system.ctl("materialize", "a1")
    system.ctl("destroy", "a1")
    assert [r for r in system.records("a1") if r.get("path") == "README"], "the journal of a closed view"


def test_stop__while_views_are_being_made_leaves_no_mount(system):
    """One that would have been mounted after all others were unmounted stayed there."""
    s = system
    import threading
    makers = [threading.Thread(target=lambda n=n: s.ctl("create", f"m{n}", "--repo", s.repo, check=False))
              for n in range(12)]
    for t in makers:
        t.start()
    wait_for(lambda: s.mounted(), what="the first is mounted")
    s.stop()  # asserts that nothing is mounted
    for t in makers:
        t.join()
    equal(s.mounted(), [])
    s.start()
    assert all(v["state"] == "live" for v in s.views()), s.views()


def test_views__come_back_after_the_daemon_was_stopped(system):
    p = system.create("a1")
    sh("echo more >>README; mkdir d; echo x >d/x; rm empty; chmod +x src/main.c", cwd=p)
    before = tree.picture(p, times=True)
    system.stop()
    equal(os.listdir(p), [], "the mount point of a stopped view")
    system.start()
    equal(tree.differences(before, tree.picture(p, times=True)), [])


def test_control_calls__are_journaled(system):
    system.create("a1")
    system.ctl("destroy", "a1")
    records = system.json("audit", "--control")["records"]
    text = str(records).lower()
    assert "create" in text and "destroy" in text, records


main()
