#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""stress-ng's filesystem class and fs_mark run clean in a view, as root and as a user: with --verify, no failure,
nothing left, and what lay beside them is as it was, also after a restart."""
import os

from harness import *
import tree
import views

# What says nothing about a view, and why. All others of the class run.
LEFT_OUT = {
    "bind-mount": "mounts folders of the machine over one another",
    "binderfs": "mounts binderfs",
    "procfs": "reads /proc",
    "eventfd": "has no files",
    "fiemap": "FS_IOC_FIEMAP is an ioctl of file systems on disks; stress-ng leaves it out on FUSE by itself",
    "verity": "FS_IOC_ENABLE_VERITY is one, too",
}


def stressors():
    said = run("stress-ng", "--class", "filesystem?", check=False)
    line = next(x for x in (said.stdout + said.stderr).splitlines() if "stressors:" in x)
    return line.partition("stressors:")[2].split()


def stress(view, uid):
    need_program("stress-ng")
    names = [n for n in stressors() if n not in LEFT_OUT]
    assert len(names) >= 35, names
    folder = view.path("stress")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    keep = view.path("beside")
    os.mkdir(keep)
    for i in range(50):
        put(os.path.join(keep, f"f{i}"), f"{i}\n" * (i * 100))
    before = tree.picture(keep)
    how = ["--sequential", "1", "-t", "10"] if LONG else ["--all", "1", "-t", "4"]
    done = run("stress-ng", "--class", "filesystem", *how, "--exclude", ",".join(LEFT_OUT), "--verify",
               "--temp-path", folder, check=False, uid=uid, timeout=1000)
    said = done.stdout + done.stderr
    equal(done.returncode, 0, "stress-ng: " + said[-2000:])
    bad = [x for x in said.splitlines() if "fail:" in x or "error:" in x]
    equal(bad, [], "failures that stress-ng saw")
    assert "successful run completed" in said, said[-2000:]
    assert view.server.poll() is None, "the server ended"
    equal(os.listdir(folder), [], "left behind")
    equal(tree.picture(keep), before, "what lay beside")
    view.restart()
    equal(tree.picture(keep), before, "what lay beside, after a restart")
    equal(os.listdir(folder), [], "left behind, after a restart")
    print(f"note: stress-ng: {len(names)} stressors clean, uid {uid or os.getuid()}", flush=True)


def test_stress_ng__filesystem_class_runs_clean(view):
    stress(view, 0)


def test_stress_ng__filesystem_class_as_a_user(tmp):
    need_root()
    open_to_others(TMP)
    v = views.View(tmp).start()
    try:
        stress(v, OTHER_UID)
    finally:
        v.stop()


def sizes_below(folder):
    return [os.path.getsize(os.path.join(where, n)) for where, _, names in os.walk(folder) for n in names]


def test_fs_mark__every_way_to_sync(view, tmp):
    """Not at all, fsync of each, of all afterwards, in reverse; with --long those with sync(2) too. A folder for each of
    the two processes: fs_mark makes its names from the second and a seed that is the microsecond at which the process
    begins, so that two which begin in the same one write the same files."""
    need_program("fs_mark")
    count = 500 if LONG else 50
    ways = range(7) if LONG else (0, 1, 3, 5)
    for way in ways:
        folder = view.path(f"mark{way}")
        os.mkdir(folder)
        done = run("fs_mark", "-d", f"mark{way}/0", "-d", f"mark{way}/1", "-n", count, "-s", 10240, "-t", 2, "-L", 2,
                   "-S", way, "-k", "-l", os.path.join(tmp, "log"), cwd=view.mnt)
        assert "Files/sec" in done.stdout, done.stdout
        equal(sizes_below(folder), [10240] * (count * 4), f"sizes, fs_mark -S {way}")
    view.restart()
    for way in ways:
        equal(sizes_below(view.path(f"mark{way}")), [10240] * (count * 4), f"after a restart, -S {way}")


main()
