#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A view moves to another base while it is mounted: files, git's state, conflicts, kills, many times."""
import mmap
import os
import re
import signal
import threading
import time

from harness import *
import libc
import repos
import tree


def commit(system, files, remove=(), message="next"):
    for name in remove:
        os.unlink(os.path.join(system.repo, name))
    repos.write_files(system.repo, files, system.repo_uid)
    system.git("add", "-A")
    system.git("commit", "-q", "-m", message)
    return system.git("rev-parse", "HEAD")


def get(*names):
    with open(os.path.join(*names)) as f:
        return f.read()


def git(p, *args, **kw):
    return run("git", "-C", p, *args, **kw).stdout.strip("\n")


def status(p):
    return git(p, "status", "--porcelain")


def test_sync__watchers_hear_of_what_it_brings(system):
    """inotify: nobody in the view did it, and the kernel was only told to ask anew."""
    import watch
    p = system.create("a1")
    for name in ("docs/guide.md", "README", "src/main.c"):
        get(p, name)
    w = watch.Watcher(p)
    equal(w.events(), [], "events before the sync")
    commit(system, {"docs/guide.md": "# Other\n", "docs/added.md": "new\n"}, ["SPRINT.md"])
    system.ctl("sync", "a1")
    seen = w.wait_for(("docs/guide.md", "modify"), ("docs/added.md", "modify"), ("docs", "attrib"), ("", "attrib"))
    equal([e for e in seen if e[0] in ("README", "src/main.c")], [], "events of what stays as it was")
    equal(get(p, "docs/guide.md"), "# Other\n", "what the watcher finds")
    w.close()
    equal(status(p), "")
    equal(run("cat", os.path.join(p, ".agentfs/control/denied")).stdout.count("agentfs"), 0, "refusals")


def test_sync__brings_what_is_new_and_keeps_what_is_mine(system):
    p = system.create("a1")
    put(os.path.join(p, "README"), "mine\n")
    put(os.path.join(p, "src/new.c"), "int new;\n")
    assert not os.path.exists(os.path.join(p, "docs/added.md"))  # a cached "no such file"
    tip = commit(system, {"docs/guide.md": "# Guide\n\nOther.\n", "docs/added.md": "new\n"}, ["SPRINT.md"])
    ino = os.stat(os.path.join(p, "src/main.c"))
    before = time.time()
    out = system.ctl("sync", "a1").stdout
    assert tip[:10] in out, out
    equal(get(p, "docs/guide.md"), "# Guide\n\nOther.\n")
    equal(get(p, "docs/added.md"), "new\n")
    assert not os.path.exists(os.path.join(p, "SPRINT.md"))
    assert "added.md" in os.listdir(os.path.join(p, "docs")) and "SPRINT.md" not in os.listdir(p)
    equal(get(p, "README"), "mine\n")
    equal(git(p, "rev-parse", "HEAD"), tip)
    equal(system.git("rev-parse", "agents/a1/work"), tip)
    equal(status(p), " M README\n?? src/new.c")
    after = os.stat(os.path.join(p, "src/main.c"))
    equal((after.st_ino, after.st_mtime_ns), (ino.st_ino, ino.st_mtime_ns), "an unchanged file")
    assert os.stat(os.path.join(p, "docs/guide.md")).st_mtime >= before - 1
    equal(system.view("a1")["base"], tip)
    assert "nothing to do" in system.ctl("sync", "a1").stdout
    system.ctl("materialize", "a1")
    equal(system.git("diff", "--name-only", tip, "agents/a1/work"), "README\nsrc/new.c")
    system.ctl("merge", "a1")
    equal(system.git("show", "main:README"), "mine")


def test_sync__merges_by_line_and_leaves_conflicts_to_the_agent(system):
    p = system.create("a1")
    put(os.path.join(p, "docs/guide.md"), "# Guide\n\nOne.\nTwo.\nThree, mine.\n")
    put(os.path.join(p, "README"), "mine\n")
    os.unlink(os.path.join(p, "src/util.h"))
    tip = commit(system, {"docs/guide.md": "# The guide\n\nOne.\nTwo.\nThree.\n", "README": "theirs\n",
                          "src/util.h": "int util(int);\n", "added": "x\n"})
    dry = system.json("sync", "a1", "--dry-run", check=False)
    equal(sorted(c["path"] for c in dry["conflicts"]), ["README", "src/util.h"])
    equal(get(p, "README"), "mine\n")
    assert not os.path.exists(os.path.join(p, "added"))
    done = system.ctl("sync", "a1", check=False)
    equal(done.returncode, 1)
    assert "'README'" in done.stdout and "git add" in done.stdout, done.stdout
    equal(get(p, "docs/guide.md"), "# The guide\n\nOne.\nTwo.\nThree, mine.\n")
    equal(get(p, "README"), "mine\n")
    assert not os.path.exists(os.path.join(p, "src/util.h"))
    equal(get(p, "added"), "x\n")
    equal(git(p, "rev-parse", "HEAD"), tip)
    equal(status(p), "UU README\n M docs/guide.md\nDU src/util.h")
    system.refused("Conflict", "materialize", "a1")
    system.refused("Conflict", "sync", "a1", "--to", "main~1")
    git(p, "checkout", "--merge", "README")
    assert "<<<<<<<" in get(p, "README") and "theirs" in get(p, "README")
    put(os.path.join(p, "README"), "both\n")
    git(p, "add", "README")
    git(p, "checkout", "--theirs", "src/util.h")
    git(p, "add", "src/util.h")
    system.ctl("materialize", "a1")
    system.ctl("merge", "a1")
    equal(system.git("show", "main:README"), "both")
    equal(system.git("show", "main:src/util.h"), "int util(int);")


def test_sync__puts_markers_where_asked(system):
    p = system.create("a1")
    put(os.path.join(p, "README"), "mine\n")
    commit(system, {"README": "theirs\n"})
    equal(system.ctl("sync", "a1", "--markers", check=False).returncode, 1)
    equal(get(p, "README"), "<<<<<<< view\nmine\n=======\ntheirs\n>>>>>>> new base\n")
    equal(status(p), "UU README")


def test_sync__own_commits_are_joined_with_the_new_base(system):
    p = system.create("a1")
    put(os.path.join(p, "src/new.c"), "int new;\n")
    git(p, "add", "-A")
    git(p, "commit", "-qm", "own")
    own = git(p, "rev-parse", "HEAD")
    put(os.path.join(p, "README"), "not committed\n")
    tip = commit(system, {"docs/guide.md": "other\n"})
    system.ctl("sync", "a1")
    equal(git(p, "rev-parse", "HEAD^1", "HEAD^2"), f"{own}\n{tip}")
    equal(status(p), " M README")
    equal(get(p, "docs/guide.md"), "other\n")
    equal(get(p, "src/new.c"), "int new;\n")
    equal(system.git("rev-parse", "agents/a1/work"), git(p, "rev-parse", "HEAD"))
    equal(git(p, "rev-parse", "ORIG_HEAD"), own)
    git(p, "fsck")
    system.git("fsck")
    assert "nothing to do" in system.ctl("sync", "a1").stdout
    system.ctl("merge", "a1")
    equal(system.git("show", "main:src/new.c"), "int new;")
    equal(system.git("show", "main:README"), "not committed")
    system.ctl("sync", "a1")
    equal(status(p), "")
    equal(system.view("a1")["changed"], 0)


def test_sync__commits_that_conflict_leave_a_merge_to_conclude(system):
    p = system.create("a1")
    put(os.path.join(p, "README"), "mine\n")
    git(p, "commit", "-qam", "own")
    own = git(p, "rev-parse", "HEAD")
    tip = commit(system, {"README": "theirs\n", "docs/guide.md": "other\n"})
    done = system.ctl("sync", "a1", check=False)
    equal(done.returncode, 1)
    assert "git commit" in done.stdout, done.stdout
    equal(git(p, "rev-parse", "HEAD"), own)
    equal(git(p, "rev-parse", "MERGE_HEAD"), tip)
    equal(get(p, "README"), "mine\n")
    equal(get(p, "docs/guide.md"), "other\n")
    equal(status(p), "UU README\nM  docs/guide.md")
    system.refused("BranchElsewhere", "materialize", "a1")
    system.refused("BranchElsewhere", "sync", "a1", "--to", "main~1")
    git(p, "merge", "--abort")
    equal(status(p), "")
    equal(get(p, "README"), "mine\n")
    assert "Two." in get(p, "docs/guide.md")
    equal(system.ctl("sync", "a1", check=False).returncode, 1)
    equal(status(p), "UU README\nM  docs/guide.md")
    equal(get(p, "docs/guide.md"), "other\n")
    put(os.path.join(p, "README"), "both\n")
    git(p, "add", "README")
    git(p, "commit", "-qm", "merged")
    equal(status(p), "")
    system.ctl("merge", "a1")
    equal(system.git("show", "main:README"), "both")


def test_sync__after_a_merge_nothing_is_left_over(system):
    p = system.create("a1")
    q = system.create("a2")
    put(os.path.join(p, "README"), "a1\n")
    os.mkdir(os.path.join(p, "one"))
    put(os.path.join(p, "one/two.c"), "int two;\n")
    put(os.path.join(q, "docs/guide.md"), "a2\n")
    system.ctl("merge", "a1")
    node = os.stat(os.path.join(p, "one/two.c"))
    system.ctl("merge", "a2")
    for agent in ("a1", "a2"):
        system.ctl("sync", agent)
        equal(status(system.path(agent)), "")
        equal(system.view(agent)["changed"], 0)
        equal(get(system.path(agent), "one/two.c"), "int two;\n")
        equal(get(system.path(agent), "docs/guide.md"), "a2\n")
    after = os.stat(os.path.join(p, "one/two.c"))
    equal((after.st_ino, after.st_mtime_ns), (node.st_ino, node.st_mtime_ns), "a1's own file, now the base's")


def test_sync__who_has_a_file_open_keeps_it(system):
    p = system.create("a1")
    f = open(os.path.join(p, "docs/guide.md"))
    m = mmap.mmap(os.open(os.path.join(p, "src/util.c"), os.O_RDONLY), 0, prot=mmap.PROT_READ)
    old_guide, old_util = get(p, "docs/guide.md"), m[:]
    folder = os.open(os.path.join(p, "docs/deep/er"), os.O_RDONLY | os.O_DIRECTORY)
    same = os.open(os.path.join(p, "src"), os.O_RDONLY | os.O_DIRECTORY)
    commit(system, {"docs/guide.md": "other\n", "src/util.c": "x\n"}, ["docs/deep/er/still/file.txt"])
    system.ctl("sync", "a1")
    equal(f.read(), old_guide)
    equal(m[:], old_util)
    equal(get(p, "docs/guide.md"), "other\n")
    equal(get(p, "src/util.c"), "x\n")
    equal(os.listdir(folder), [])
    try:
        os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=folder)
        raise AssertionError("a file was made in a folder that is gone")
    except FileNotFoundError:
        pass
    fd = os.open("util.c", os.O_RDONLY, dir_fd=same)
    equal(os.read(fd, 10), b"x\n")
    for x in (folder, same, fd):
        os.close(x)
    f.close()
    m.close()
    assert not os.path.exists(os.path.join(p, "docs/deep"))


def test_sync__wakes_watchers_and_journals_nothing_for_it(system):
    p = system.create("a1")
    os.stat(os.path.join(p, "docs/guide.md"))
    watches = {d: libc.inotify(os.path.join(p, d), 0x2 | 0x4) for d in ("docs", "src")}  # IN_MODIFY, IN_ATTRIB
    commit(system, {"docs/guide.md": "other\n", "docs/added": "x\n"}, ["src/util.h"])
    system.ctl("sync", "a1")
    heard = {d: os.read(fd, 1 << 16) for d, fd in watches.items()}
    for fd in watches.values():
        os.close(fd)
    assert b"guide.md\0" in heard["docs"] and b"added\0" in heard["docs"], heard
    equal(status(p), "")
    equal(system.view("a1")["changed"], 0)
    assert not [r for r in system.records("a1") if r.get("op") in ("truncate", "setattr")], system.records("a1")


def test_sync__back_and_forth_and_many_times(system):
    first = system.git("rev-parse", "HEAD")
    p = system.create("a1")
    put(os.path.join(p, "mine"), "mine\n")
    clean = tree.picture(p)
    second = commit(system, {"README": "second\n", "d/e/f": "x\n"}, ["empty"])
    for _ in range(4):
        system.ctl("sync", "a1")
        equal(get(p, "README"), "second\n")
        equal(git(p, "rev-parse", "HEAD"), second)
        equal(status(p), "?? mine")
        system.ctl("sync", "a1", "--to", first)
        equal(git(p, "rev-parse", "HEAD"), first)
        equal(status(p), "?? mine")
        os.sync()
    now = tree.picture(p)
    equal([d for d in tree.differences(clean, now) if ".git" not in str(d)], [])
    system.stop()
    system.start()
    equal(status(p), "?? mine")
    equal(get(p, "README"), "hello world\n")


def test_sync__a_server_that_is_killed_comes_back_on_one_base_or_the_other(system):
    expect_log("is stale: the view's server has ended")
    p = system.create("a1")
    put(os.path.join(p, "mine"), "mine\n")
    tips = [system.git("rev-parse", "HEAD")]
    tips.append(commit(system, {f"many/{i}": f"{i}\n" for i in range(300)} | {"README": "second\n"}))
    seen = set()
    for i in range(8):
        pid = system.server_pid("a1")
        timer = threading.Timer(0.05 + 0.04 * i, lambda: os.kill(pid, signal.SIGKILL))
        timer.start()
        system.ctl("sync", "a1", "--to", tips[(i + 1) % 2], check=False)
        timer.join()
        wait_for(lambda: system.server_pid("a1") not in (None, pid) and system.view("a1")["state"] == "live", 30,
                 "the view is served again")
        wait_for(lambda: "mine" in os.listdir(p), 10, "the view is mounted again")
        head = git(p, "rev-parse", "HEAD")
        seen.add(head)
        equal(get(p, "README"), "second\n" if head == tips[1] else "hello world\n")
        equal(os.path.exists(os.path.join(p, "many/299")), head == tips[1])
        run("rm", "-f", os.path.join(p, ".git/index.lock"))
        equal(status(p), "?? mine")
    equal(system.ctl("sync", "a1", "--to", tips[1]).returncode, 0)
    equal(get(p, "many/299"), "299\n")


def test_sync__a_daemon_that_is_killed_knows_the_base_afterwards(system):
    expect_log(r"agentfsd\[\d+\] (warning|error): .*a1")
    p = system.create("a1")
    tips = [system.git("rev-parse", "HEAD")]
    tips.append(commit(system, {f"many/{i}": f"{i}\n" for i in range(300)} | {"README": "second\n"}))
    moved = 0
    for i in range(5):
        asker = threading.Thread(target=lambda: system.ctl("sync", "a1", "--to", tips[(i + 1) % 2], check=False))
        asker.start()
        time.sleep(0.03 + 0.03 * i)
        system.restart()
        asker.join()
        head = git(p, "rev-parse", "HEAD")
        moved += head == tips[(i + 1) % 2]
        wait_for(lambda: system.view("a1")["base"] == head, 20, "the row follows the view")
        equal(get(p, "README"), "second\n" if head == tips[1] else "hello world\n")
    system.ctl("sync", "a1", "--to", tips[1])
    put(os.path.join(p, "mine"), "x\n")
    system.ctl("merge", "a1")
    print(f"{moved} of 5 moves survived the daemon")


def test_sync__git_is_told_what_changed_and_no_more(system):
    p = system.create("a1")
    status(p)
    put(os.path.join(p, "mine"), "x\n")
    status(p)
    commit(system, {"docs/guide.md": "other\n", "src/util.c": "x\n"})
    trace = os.path.join(system.folder, "trace")
    system.ctl("sync", "a1")
    equal(run("git", "-C", p, "status", "--porcelain", env={"GIT_TRACE_FSMONITOR": trace}).stdout, "?? mine\n")
    told = re.findall(r"fsmonitor_refresh_callback '([^']*)'", get(trace))
    assert "docs/guide.md" in told and "src/util.c" in told and "/" not in told, told
    assert "README" not in told, told
    commit(system, {"docs/deep/er/still/file.txt": "other\n", "new/one/two": "x\n"}, ["SPRINT.md"])
    system.ctl("sync", "a1")
    put(os.path.join(p, "new/one/three"), "x\n")
    equal(status(p), "?? mine\n?? new/one/three")


def test_sync__follows_another_agents_branch(system):
    p = system.create("a1")
    q = system.create("a2", "--base", "agents/a1/work")
    put(os.path.join(p, "README"), "from a1\n")
    system.ctl("materialize", "a1")
    equal(system.view("a2")["behind"], 1)
    system.ctl("sync", "a2")
    equal(get(q, "README"), "from a1\n")
    equal(status(q), "")
    equal(system.view("a2")["behind"], 0)


def test_sync__says_what_it_cannot_do(system):
    p = system.create("a1")
    commit(system, {"README": "second\n"})
    system.refused("NotFound", "sync", "a1", "--to", "nowhere")
    git(p, "checkout", "-q", "-b", "elsewhere")
    system.refused("BranchElsewhere", "sync", "a1")
    equal(get(p, "README"), "hello world\n")
    git(p, "checkout", "-q", "agents/a1/work")
    put(os.path.join(p, ".git/index.lock"), "")
    system.refused("Locked", "sync", "a1")
    os.unlink(os.path.join(p, ".git/index.lock"))
    system.ctl("sync", "a1")
    equal(get(p, "README"), "second\n")


def test_next__begins_the_new_task_on_another_base(system):
    p = system.create("a1")
    put(os.path.join(p, "one.c"), "int one;\n")
    put(os.path.join(p, "x.o"), "ignored\n")
    tip = commit(system, {"README": "second\n"})
    system.ctl("next", "a1", "--task", "two", "--base", "main")
    equal(git(p, "rev-parse", "--abbrev-ref", "HEAD"), "agents/a1/two")
    equal(git(p, "rev-parse", "HEAD"), tip)
    assert not os.path.exists(os.path.join(p, "one.c"))
    equal(get(p, "README"), "second\n")
    equal(get(p, "x.o"), "ignored\n")
    equal(status(p), "")
    equal(system.git("show", "agents/a1/work:one.c"), "int one;")
    equal(system.git("rev-parse", "agents/a1/two"), tip)
    v = system.view("a1")
    equal((v["task"], v["branch"], v["base"]), ("two", "agents/a1/two", tip))
    system.git("branch", "dev", "main~1")
    system.ctl("next", "a1", "--task", "three", "--base", "dev")
    equal(get(p, "README"), "hello world\n")
    equal((system.view("a1")["target"], system.view("a1")["base"]), ("dev", system.git("rev-parse", "dev")))
    system.ctl("next", "a1", "--task", "four", "--base", "main")
    put(os.path.join(p, "two.c"), "int two;\n")
    system.ctl("merge", "a1")
    equal(system.git("ls-tree", "--name-only", "main", "one.c", "two.c"), "two.c")


def test_next__nothing_comes_back_of_what_was_renamed_and_merged(system):
    p = system.create("a1")
    os.rename(os.path.join(p, "README"), os.path.join(p, "READ.txt"))
    os.rename(os.path.join(p, "docs/guide.md"), os.path.join(p, "a-guide.md"))
    system.ctl("merge", "a1")
    for task in ("two", "three"):
        system.ctl("next", "a1", "--task", task, "--base", "main")
        equal(status(p), "")
        equal([os.path.exists(os.path.join(p, n)) for n in ("README", "READ.txt", "docs/guide.md", "a-guide.md")],
              [False, True, False, True])
        put(os.path.join(p, "task"), task)
        system.ctl("merge", "a1")
    equal(get(p, "READ.txt"), "hello world\n")


def test_next__a_folder_becomes_the_bases_file_where_nothing_is_left_in_it(system):
    mine, other, idle = (system.create(n) for n in ("a1", "b1", "c1"))
    for p in (mine, other):
        sh("rm README; mkdir README; echo mine >README/x", cwd=p)
    put(os.path.join(other, "README/untracked.o"), "ignored\n")
    commit(system, {"README": "second\n"})
    system.ctl("next", "a1", "--task", "two", "--base", "main")
    equal((get(mine, "README"), status(mine)), ("second\n", ""))
    put(os.path.join(mine, "more"), "more\n")
    system.ctl("merge", "a1")
    done = system.ctl("next", "b1", "--task", "two", "--base", "main", check=False)
    assert "README" in done.stdout + done.stderr, done
    equal(get(other, "README/untracked.o"), "ignored\n")
    # A folder of the base that becomes a file, in a view that has not touched it.
    sh("git rm -rq docs; echo one file >docs; git add -A; git commit -qm file", cwd=system.repo)
    system.ctl("sync", "c1")
    equal((get(idle, "docs"), status(idle)), ("one file\n", ""))


def test_freeze__lasts_until_thaw(system):
    p = system.create("a1")
    system.ctl("freeze", "a1")
    equal(system.view("a1")["state"], "frozen")
    refused = sh("echo x >new", cwd=p, check=False)
    assert refused.returncode and "Read-only" in refused.stderr, refused.stderr
    equal(get(p, "README"), "hello world\n")
    system.stop()
    system.start()
    equal(system.view("a1")["state"], "frozen")
    assert sh("echo x >>README", cwd=p, check=False).returncode
    assert any(r["result"] == "denied" for r in system.records("a1", "--result", "denied"))
    commit(system, {"README": "second\n"})
    system.ctl("sync", "a1")
    equal(get(p, "README"), "second\n")
    system.ctl("thaw", "a1")
    equal(system.view("a1")["state"], "live")
    sh("echo x >new", cwd=p)


main()
