# SPDX-License-Identifier: Apache-2.0
"""What each row of tools/bench does."""
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import tarfile
import threading
import time

from bench import (FUSEOVL, NPM_PACKAGES, QUIET, VIEW, WORKTREE, back_memory, disk, drop_caches, must, timed)
import repos
from harness import ROOT, run

WARM_UPS, MANY = 3, 100
FIND = ["find", ".", "-path", "./.git", "-prune", "-o", "-size", "+100000k"]
GREP = ["grep", "-r", "--exclude-dir=.git", "no such line anywhere", "."]
STATUS = ["git", "status", "--porcelain"]
IDENTITY = {"GIT_AUTHOR_NAME": "B", "GIT_AUTHOR_EMAIL": "b@x", "GIT_COMMITTER_NAME": "B", "GIT_COMMITTER_EMAIL": "b@x"}


def run_all(b):
    b.prepare()
    b.start_daemon()
    first_views(b)
    groups = [(("status-first", "status-warm", "find-first", "find-warm", "grep-first", "grep-warm"), reading),
              (("grep-second",), second_view), (("make-build", "make-nothing"), building),
              (("unpack-root", "unpack-user", "delete"), unpacking), (("npm", "npm-redirected"), npm),
              (("write-1m", "write-4k", "read-200m"), data), (("create", "remove"), creating),
              (("image-first", "image-next"), new_bases),
              (("materialize-1", "materialize-100", "materialize-1000"), commits),
              (("disk-1", "disk-100", "memory", "memory-used", "fair", "fair-first", "list-100", "adopt-100",
                "idle-100"), many)]
    for rows, function in groups:
        if not b.wanted(*rows):
            continue
        began = time.perf_counter()
        function(b)
        b.say(f"{', '.join(r for r in rows if b.wanted(r))}: {time.perf_counter() - began:.0f} s")


def turn(list_, i):
    return list_[i % len(list_):] + list_[:i % len(list_)]


def instances(b, peers=None, **kw):
    return [b.make(p, **kw) for p in (peers or b.peers)]


def remove(b, made):
    for i in made:
        b.remove(i)


def in_turn(b, row, made, function, warm_ups=0, passes=None):
    """The same passes for every peer, one peer after the other within each."""
    for _ in range(warm_ups):
        for i in made:
            function(i)
    for n in range(passes or b.o.runs):
        for i in turn(made, n):
            b.add(row, i.peer, function(i))


def first_views(b):
    first = b.make(VIEW)
    b.facts.append(f"the very first view compiles the base's image: {first.took * 1000:.0f} ms")
    took = timed(*GREP, cwd=first.path)
    b.facts.append(f"the very first reading of all inflates from git: grep -r {took * 1000:.0f} ms")
    b.remove(first)


# ---- making views ----

def creating(b):
    for n in range(b.o.runs):
        made = [b.make(p) for p in turn(b.peers, n)]
        for i in made:
            b.add("create", i.peer, i.took)
        for i in made:
            b.add("remove", i.peer, b.remove(i))


def commit(b, k):
    """A new commit of ten changed files on top of the last; returns it."""
    name = f"new-{k}"
    with open(os.path.join(b.main, name), "w") as f:
        f.write(name)
    files = run("git", "-C", b.main, "ls-files", "-z").stdout.split("\0")[:-1]
    for f in files[k::max(1, len(files) // 10)][:10]:
        path = os.path.join(b.main, f)
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "a") as out:
                out.write(f"/* {k} */\n")
    repos.git(b.main, "add", "-A")
    repos.git(b.main, "-c", "user.name=b", "-c", "user.email=b@x", "commit", "-qm", name)
    return repos.git(b.main, "rev-parse", "HEAD")


def new_bases(b):
    images = os.path.join(b.dir, "state/images")
    for k in range(b.o.runs):
        rev = commit(b, k)
        tree = b.make(WORKTREE, rev=rev)
        for row in ("image-next", "image-first"):
            if row == "image-first":  # nothing is known of this repository
                for name in os.listdir(images):
                    if not name.startswith("."):
                        os.unlink(os.path.join(images, name))
            view = b.make(VIEW, rev=rev)
            b.add(row, VIEW, view.took)
            b.add(row, WORKTREE, tree.took)
            b.remove(view)
        b.remove(tree)
    b.head = repos.git(b.main, "rev-parse", "HEAD")


# ---- reading ----

def reading(b):
    if b.wanted("status-first"):
        for n in range(b.o.runs):
            made = instances(b, turn(b.peers, n))
            for i in made:
                drop_caches()
                b.add("status-first", i.peer, timed(*STATUS, cwd=i.path))
            remove(b, made)
    made = instances(b)
    for name, command in (("find", FIND), ("grep", GREP), ("status", STATUS)):
        if name != "status" and b.wanted(f"{name}-first"):
            def cold(i, command=command):
                drop_caches()
                return timed(*command, cwd=i.path)
            in_turn(b, f"{name}-first", made, cold, passes=min(3, b.o.runs))
        if b.wanted(f"{name}-warm"):
            in_turn(b, f"{name}-warm", made, lambda i, c=command: timed(*c, cwd=i.path), WARM_UPS, max(5, b.o.runs))
    remove(b, made)


def second_view(b):
    """Another view has read it all; this one has not. The worktree's pages are not in memory."""
    first, tree = b.make(VIEW), b.make(WORKTREE)
    for _ in range(min(3, b.o.runs)):
        drop_caches()
        b.add("grep-second", WORKTREE, timed(*GREP, cwd=tree.path))
        drop_caches()
        timed(*GREP, cwd=first.path)
        view = b.make(VIEW)
        b.add("grep-second", VIEW, timed(*GREP, cwd=view.path))
        b.remove(view)
    remove(b, [first, tree])


def building(b):
    made = instances(b)

    def build(i):
        timed("make", "-s", "clean", cwd=i.path + "/bench-c")
        return timed("make", "-s", "-j2", cwd=i.path + "/bench-c")
    if b.wanted("make-build"):
        in_turn(b, "make-build", made, build, 1, min(3, b.o.runs))
    else:
        for i in made:
            build(i)
    in_turn(b, "make-nothing", made, lambda i: timed("make", "-s", "-j2", cwd=i.path + "/bench-c"), WARM_UPS,
            max(5, b.o.runs) * 2)
    remove(b, made)


# ---- writing ----

def unpacking(b):
    if b.wanted("unpack-root", "delete") and ROOT:
        made = instances(b)

        def unpack(i):
            os.mkdir(i.path + "/unpacked")
            took = timed("tar", "-C", i.path + "/unpacked", "-xf", b.tar)
            b.add("delete", i.peer, timed("rm", "-rf", i.path + "/unpacked"))
            return took
        in_turn(b, "unpack-root", made, unpack)
        remove(b, made)
    if not b.wanted("unpack-user"):
        return
    who = "nobody" if ROOT else None
    uid = 65534 if ROOT else 0
    made = [b.make(p, *(("--user", who) if who and p == VIEW else ())) for p in b.peers]
    for i in made:
        if ROOT and i.peer != VIEW:
            os.chown(i.path, uid, uid)

    def unpack_as_user(i):
        timed("mkdir", i.path + "/mine", uid=uid)
        took = timed("tar", "-C", i.path + "/mine", "-xf", b.tar, uid=uid)
        timed("rm", "-rf", i.path + "/mine", uid=uid)
        return took
    in_turn(b, "unpack-user", made, unpack_as_user)
    remove(b, made)


def make_packages(b):
    """NPM_PACKAGES packages of 15 files each as tarballs, and a package.json that wants them all."""
    folder = os.path.join(b.dir, "npm")
    os.makedirs(folder)
    for k in range(NPM_PACKAGES):
        with tarfile.open(f"{folder}/p{k}.tgz", "w:gz", compresslevel=1) as tar:
            files = {"package.json": json.dumps({"name": f"p{k}", "version": "1.0.0"})}
            files.update({f"lib/f{n}.js": f"module.exports = {n};\n" * (20 + (k * n) % 200) for n in range(14)})
            for name, text in files.items():
                info = tarfile.TarInfo("package/" + name)
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text.encode()))
    wanted = {f"p{k}": f"file:{folder}/p{k}.tgz" for k in range(NPM_PACKAGES)}
    with open(f"{folder}/package.json", "w") as f:
        json.dump({"name": "all", "version": "1.0.0", "dependencies": wanted}, f)
    return folder


def npm(b):
    if not shutil.which("npm"):
        for row in ("npm", "npm-redirected"):
            b.leave_out(row, "npm is not installed")
        return
    packages = make_packages(b)
    env = {"npm_config_cache": packages + "/cache", "npm_config_update_notifier": "false", "HOME": packages}
    command = ["npm", "install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]

    def install(i, folder):
        path = f"{i.path}/{folder}"
        os.makedirs(path, exist_ok=True)
        shutil.copy(packages + "/package.json", path)
        took = must(command, cwd=path, env={**os.environ, **env})
        where = f"{path}/node_modules"
        for name in os.listdir(where):  # a redirected folder itself is not the view's to remove
            timed("rm", "-rf", f"{where}/{name}")
        return took
    for row, folder in (("npm", "plain"), ("npm-redirected", "redirected")):
        if not b.wanted(row):
            continue
        made = instances(b, [VIEW, WORKTREE])
        in_turn(b, row, made, lambda i, f=folder: install(i, f), 1, min(3, b.o.runs))
        remove(b, made)


def data(b):
    made = instances(b)

    def write(i, size, count):
        bytes_ = os.urandom(size)
        back_memory()
        fd = os.open(i.path + "/data", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        began = time.perf_counter()
        for _ in range(count):
            os.write(fd, bytes_)
        took = (time.perf_counter() - began) / count
        os.close(fd)
        return took
    in_turn(b, "write-4k", made, lambda i: write(i, 4096, 5000), 1)
    in_turn(b, "write-1m", made, lambda i: write(i, 1 << 20, 200), 1)
    read = ["dd", "if=data", "of=/dev/null", "bs=1M", "count=200"]
    in_turn(b, "read-200m", made, lambda i: timed(*read, cwd=i.path), WARM_UPS, max(5, b.o.runs))
    remove(b, made)


# ---- commits ----

def commits(b):
    files = [f for f in run("git", "-C", b.main, "ls-files", "-z").stdout.split("\0")[:-1]
             if os.path.isfile(f"{b.main}/{f}") and not os.path.islink(f"{b.main}/{f}")]
    for k in range(b.o.runs):
        made = instances(b, turn(b.peers, k))
        for i in made:  # both know what is there: neither begins with a look at everything
            timed(*STATUS, cwd=i.path)
        for n in (1, 100, 1000):
            if not b.wanted(f"materialize-{n}"):
                continue
            for i in made:
                for name in files[k::max(1, len(files) // n)][:n]:
                    with open(f"{i.path}/{name}", "a") as f:  # new objects for each, or the second finds them
                        f.write(f"changed {n} {k} {i.peer}\n")
                if i.peer == VIEW:
                    took = must(b.ctl("materialize", i.handle, "-m", "bench"))
                else:
                    took = timed("sh", "-c", "git add -A && git commit -qm bench", cwd=i.path, env=IDENTITY)
                b.add(f"materialize-{n}", i.peer, took)
        remove(b, made)


# ---- many ----

def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


def ticks(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def make_many(b):
    """MANY views, MANY/4 at a time."""
    made, failed, lock = [], [], threading.Lock()
    names = iter(range(MANY))

    def worker():
        while True:
            with lock:
                n = next(names, None)
            if n is None:
                return
            try:
                must(b.ctl("create", f"many{n}", "--repo", b.main))
            except RuntimeError as e:
                failed.append(str(e))
            made.append(f"many{n}")
    began = time.perf_counter()
    threads = [threading.Thread(target=worker) for _ in range(MANY // 4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise RuntimeError(f"{len(failed)} of {MANY} creates in parallel failed: {failed[0]}")
    b.facts.append(f"{MANY} views, {MANY // 4} at a time: {time.perf_counter() - began:.1f} s")
    return made


def many(b):
    state = os.path.join(b.dir, "state")
    one = b.make(VIEW)
    b.add("disk-1", VIEW, disk(state + "/views"))
    b.remove(one)
    tree = b.make(WORKTREE)
    size = disk(tree.path) + disk(os.path.join(b.main, ".git/worktrees", os.path.basename(tree.path)))
    b.remove(tree)
    b.add("disk-1", WORKTREE, size)
    made = make_many(b)
    parts = {name: disk(f"{state}/{name}") for name in ("views", "images", "content")}
    b.add("disk-100", VIEW, sum(parts.values()))
    b.add("disk-100", WORKTREE, size)
    b.facts.append(f"{MANY} idle views take {parts['views']} KiB; shared: images and indexes {parts['images']} KiB, "
                   f"content cache {parts['content']} KiB")
    time.sleep(6)  # what is written late, is written
    pids = b.servers()
    for pid in pids:
        b.add("memory", VIEW, pss(pid))
    before, began = ticks(pids), time.perf_counter()
    time.sleep(10)
    b.add("idle-100", VIEW, (ticks(pids) - before) / (time.perf_counter() - began))
    if b.wanted("memory-used"):
        used = made[:10]
        for name in used:
            path = os.path.join(b.dir, "agents", name)
            timed(*STATUS, cwd=path)
            timed(*GREP, cwd=path)
        time.sleep(5)  # idle again
        for pid, agent in pids.items():
            if agent in used:
                b.add("memory-used", VIEW, pss(pid))
    if b.wanted("fair", "fair-first"):
        fairness(b, made[-1], made[-2])
    if b.wanted("list-100"):
        for _ in range(b.o.runs):
            time.sleep(3.2)  # the daemon may keep an answer for 3 s
            b.add("list-100", VIEW, timed(*b.ctl("list", "--all")))
    if b.wanted("adopt-100"):
        adopt(b)
    began = time.perf_counter()
    for name in made:
        must(b.ctl("rollback", "--force", name))
    b.facts.append(f"removing them one after the other: {time.perf_counter() - began:.1f} s")
    fuse_memory(b)


def fuse_memory(b):
    if FUSEOVL not in b.peers:
        return
    i = b.make(FUSEOVL)
    pid = run("pgrep", "-f", f"^fuse-overlayfs .*{i.handle}/mnt", check=False).stdout.split()
    if pid:
        b.add("memory", FUSEOVL, pss(int(pid[0])))
    b.remove(i)


def small_operations(path, seconds):
    """Median of: make a file, write 100 bytes, look at it, rename it, remove it."""
    took, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        with open(path + "/small", "w") as f:
            f.write("x" * 100)
        os.stat(path + "/small")
        os.rename(path + "/small", path + "/small2")
        os.unlink(path + "/small2")
        took.append(time.perf_counter() - began)
        time.sleep(0.002)
    return statistics.median(took)


def fairness(b, quiet, loud):
    """One view reads everything, again and again; how does another one feel it? From the disk, then from memory."""
    one, other = (os.path.join(b.dir, "agents", n) for n in (quiet, loud))
    small_operations(one, 1)
    for row in ("fair-first", "fair"):
        if not b.wanted(row):
            continue
        for _ in range(b.o.runs):
            b.add(row, "alone", small_operations(one, 2))
            if row == "fair-first":
                drop_caches()
            else:
                timed(*GREP, cwd=other)
            grep = subprocess.Popen(["sh", "-c", "while :; do grep -r --exclude-dir=.git 'no such line' . ; done"], cwd=other,
                                    start_new_session=True, **QUIET)
            try:
                b.add(row, VIEW, small_operations(one, 2))
            finally:
                os.killpg(grep.pid, signal.SIGKILL)
                grep.wait()


def adopt(b):
    """kill -9 of the daemon; the next one serves when all views are live again."""
    for _ in range(min(3, b.o.runs)):
        b.daemon.send_signal(signal.SIGKILL)
        b.daemon.wait()
        began = time.perf_counter()
        b.start_daemon()
        while True:
            done = run(*b.ctl("--json", "list", "--all"), check=False)
            if done.returncode == 0 and all(v["state"] == "live" for v in json.loads(done.stdout)["views"]):
                break
        b.add("adopt-100", VIEW, time.perf_counter() - began)
