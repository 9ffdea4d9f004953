#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of tools/bench.

Each run makes a fresh instance of each peer, one after the other, and takes every row on it; a figure is
the median of the runs, so that noise of the machine hits all peers alike. "first" is right after
the page cache was dropped (as root), "warm" the median of three after a pass that is not timed.
"""
import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("AGENTFS_TMP", tempfile.gettempdir())
import repos  # noqa: E402
from harness import ROOT, program, run  # noqa: E402

VIEW, WORKTREE, OVERLAY, FUSEOVL = "view", "git worktree", "overlayfs", "fuse-overlayfs"
QUIET = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
# Row → (unit, what it says). Seconds are shown as ms; the ratio is view / git worktree.
ROWS = {
    "create": ("ms", "create (base known)"),
    "find-first": ("ms", "find + stat, first"),
    "find-warm": ("ms", "find + stat, warm"),
    "grep-first": ("ms", "grep -r, first"),
    "grep-warm": ("ms", "grep -r, warm"),
    "status-first": ("ms", "git status, first"),
    "status-warm": ("ms", "git status, warm"),
    "untar": ("ms", "unpack a tar of 5,000 small files"),
    "delete": ("ms", "delete them"),
    "write-4k": ("µs", "write of 4 KiB"),
    "write-1m": ("µs", "write of 1 MiB"),
    "read-200m": ("ms", "read 200 MiB, warm"),
    "remove": ("ms", "remove it"),
    "materialize-1": ("ms", "1 changed file to a commit"),
    "materialize-100": ("ms", "100 changed files to a commit"),
    "materialize-1000": ("ms", "1,000 changed files to a commit"),
    "disk-1": ("KiB", "disk of 1"),
    "disk-10": ("KiB", "disk of 10"),
    "disk-100": ("KiB", "disk of 100"),
    "memory": ("KiB", "memory (PSS) of an idle one"),
}


def timed(*command, cwd=None, env=None):
    began = time.perf_counter()
    done = subprocess.run(command, cwd=cwd, env=env and {**os.environ, **env}, **QUIET)
    took = time.perf_counter() - began
    if done.returncode not in (0, 1):  # grep finds nothing
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}")
    return took


def drop_caches():
    os.sync()
    if ROOT:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3\n")


def disk(path):
    """KiB that a tree takes, other mounts left out."""
    return int(run("du", "-skx", path).stdout.split()[0])


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))


class Bench:
    def __init__(self, options):
        self.o = options
        self.dir = tempfile.mkdtemp(prefix="agentfs-bench-", dir=options.dir)
        self.results = {row: {} for row in ROWS}
        self.facts = []
        self.daemon = None
        self.count = 0

    def say(self, text):
        if not self.o.quiet:
            print(text, file=sys.stderr, flush=True)

    def add(self, row, peer, value):
        self.results[row].setdefault(peer, []).append(value)

    def wanted(self, *rows):
        return any(not self.o.only or any(r == w or r.startswith(w + "-") for w in self.o.only) for r in rows)

    # ---- the data ----

    def prepare(self):
        self.source = os.path.join(self.dir, "source.git")
        if self.o.repo:
            run("git", "clone", "-q", "--bare", "--no-hardlinks", self.o.repo, self.source, timeout=None)
            self.facts.append("a clone of a given repository")
        else:
            self.say(f"generating {self.o.files} files")
            repos.generate(self.source, self.o.files)
        run("git", "-C", self.source, "config", "gc.auto", "0")
        run("git", "-C", self.source, "-c", "pack.threads=2", "repack", "-qad", timeout=None)
        self.head = run("git", "-C", self.source, "rev-parse", "HEAD").stdout.strip()
        self.main = os.path.join(self.dir, "main")
        run("git", "clone", "-q", "--no-hardlinks", self.source, self.main, timeout=None)
        repos.git(self.main, "config", "gc.auto", "0")
        files = len(run("git", "-C", self.main, "ls-files").stdout.splitlines())
        size = disk(self.main) - disk(self.main + "/.git")
        self.facts.insert(0, f"{files} files, {size // 1024} MiB")
        self.lower = os.path.join(self.dir, "lower")
        if self.peers() & {OVERLAY, FUSEOVL}:
            run("git", "clone", "-q", "--shared", self.main, self.lower, timeout=None)
            run("git", "-C", self.lower, "status", timeout=None)
        self.tar = os.path.join(self.dir, "small.tar")
        small = os.path.join(self.dir, "small")
        for i in range(5000):
            folder = f"{small}/d{i // 50}"
            if i % 50 == 0:
                os.makedirs(folder)
            with open(f"{folder}/f{i}", "wb") as f:
                f.write(b"%d\n" % i * (100 + i % 300))
        run("tar", "-C", small, "-cf", self.tar, ".")
        shutil.rmtree(small)

    def peers(self):
        found = {VIEW, WORKTREE}
        if ROOT:
            found.add(OVERLAY)
        if shutil.which("fuse-overlayfs"):
            found.add(FUSEOVL)
        return found

    # ---- the daemon ----

    def start_daemon(self):
        for d in ("state", "run", "agents"):
            os.makedirs(os.path.join(self.dir, d), exist_ok=True)
        self.socket = os.path.join(self.dir, "run/agentfsd.sock")
        self.log = open(os.path.join(self.dir, "agentfsd.log"), "ab")
        self.daemon = subprocess.Popen(
            [program("agentfsd"), "--foreground", "--state", self.dir + "/state", "--run", self.dir + "/run",
             "--mounts", self.dir + "/agents"], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while subprocess.run(self.ctl("daemon", "status"), **QUIET).returncode:
            if time.monotonic() > end or self.daemon.poll() is not None:
                raise RuntimeError("the daemon does not answer")
            time.sleep(0.05)

    def ctl(self, *args):
        return [program("agentfsctl"), "--socket", self.socket, *args]

    def server_pids(self):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as f:
                    words = f.read().split("\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == "agentfs" and any(w.startswith(self.dir) for w in words):
                found.append(int(pid))
        return found

    # ---- making and removing one instance of a peer ----

    def make(self, peer):
        """Returns (path, handle, seconds)."""
        self.count += 1
        n = self.count
        if peer == VIEW:
            took = self.must(self.ctl("create", f"b{n}", "--repo", self.main))
            return os.path.join(self.dir, "agents", f"b{n}"), f"b{n}", took
        if peer == WORKTREE:
            path = os.path.join(self.dir, f"wt{n}")
            took = self.must(["git", "-C", self.main, "worktree", "add", "-q", "-b", f"wt{n}", path, self.head])
            return path, path, took
        base = os.path.join(self.dir, f"ovl{n}")
        for d in ("upper", "work", "mnt"):
            os.makedirs(os.path.join(base, d))
        options = f"lowerdir={self.lower},upperdir={base}/upper,workdir={base}/work"
        if peer == OVERLAY:
            took = self.must(["mount", "-t", "overlay", "overlay", "-o", options, base + "/mnt"])
        else:
            took = self.must(["fuse-overlayfs", "-o", options, base + "/mnt"])
        return base + "/mnt", base, took

    def remove(self, peer, handle):
        if peer == VIEW:
            return self.must(self.ctl("rollback", "--force", handle))
        if peer == WORKTREE:
            return self.must(["git", "-C", self.main, "worktree", "remove", "--force", handle])
        began = time.perf_counter()
        if subprocess.run(["umount", handle + "/mnt"], **QUIET).returncode:
            subprocess.run(["fusermount3", "-u", handle + "/mnt"], **QUIET)
        shutil.rmtree(handle, ignore_errors=True)
        return time.perf_counter() - began

    def must(self, command):
        began = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        took = time.perf_counter() - began
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode().strip()}")
        return took

    # ---- rows ----

    def first_and_warm(self, name, peer, command, path, env=None):
        if not self.wanted(f"{name}-first", f"{name}-warm"):
            return
        drop_caches()
        self.add(f"{name}-first", peer, timed(*command, cwd=path, env=env))
        timed(*command, cwd=path, env=env)
        self.add(f"{name}-warm", peer, statistics.median(timed(*command, cwd=path, env=env) for _ in range(3)))

    def measure(self, peer):
        path, handle, took = self.make(peer)
        self.add("create", peer, took)
        self.first_and_warm("find", peer, ["find", ".", "-path", "./.git", "-prune", "-o", "-size", "+100000k"], path)
        self.first_and_warm("grep", peer, ["grep", "-r", "--exclude-dir=.git", "no such line anywhere", "."], path)
        self.first_and_warm("status", peer, ["git", "status", "--porcelain"], path)
        if self.wanted("untar", "delete"):
            os.mkdir(path + "/unpacked")
            self.add("untar", peer, timed("tar", "-C", path + "/unpacked", "-xf", self.tar))
            self.add("delete", peer, timed("rm", "-rf", path + "/unpacked"))
        if self.wanted("write-4k", "write-1m", "read-200m"):
            self.measure_data(peer, path)
        self.measure_commits(peer, path, handle)
        took = self.remove(peer, handle)
        self.add("remove", peer, took)

    def measure_data(self, peer, path):
        for row, size, count in (("write-4k", 4096, 5000), ("write-1m", 1 << 20, 200)):
            data = os.urandom(size)
            fd = os.open(path + "/data", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            began = time.perf_counter()
            for _ in range(count):
                os.write(fd, data)
            self.add(row, peer, (time.perf_counter() - began) / count)
            os.close(fd)
        read = ["dd", "if=data", "of=/dev/null", "bs=1M", "count=200"]
        timed(*read, cwd=path)
        self.add("read-200m", peer, statistics.median(timed(*read, cwd=path) for _ in range(3)))
        os.unlink(path + "/data")

    def measure_commits(self, peer, path, handle):
        if not self.wanted("materialize-1", "materialize-100", "materialize-1000"):
            return
        files = run("git", "-C", self.main, "ls-files", "-z").stdout.split("\0")[:-1]
        identity = {"GIT_AUTHOR_NAME": "B", "GIT_AUTHOR_EMAIL": "b@x", "GIT_COMMITTER_NAME": "B",
                    "GIT_COMMITTER_EMAIL": "b@x"}
        for n in (1, 100, 1000):
            chosen = [f for f in files[:: max(1, len(files) // n)] if os.path.isfile(f"{path}/{f}")
                      and not os.path.islink(f"{path}/{f}")][:n]
            for name in chosen:
                with open(f"{path}/{name}", "a") as f:
                    f.write(f"changed {n}\n")
            if peer == VIEW:
                took = self.must(self.ctl("materialize", handle, "-m", "bench"))
            else:
                took = timed("sh", "-c", "git add -A && git commit -qm bench", cwd=path, env=identity)
            self.add(f"materialize-{n}", peer, took)

    def measure_size(self):
        """Idle instances: what each needs of its own, and what all share is told as a fact."""
        if not self.wanted("disk-1", "disk-10", "disk-100", "memory"):
            return
        views = os.path.join(self.dir, "state/views")
        made = []
        for target in (1, 10, 100):
            if not self.wanted(f"disk-{target}") and target > 10:
                break
            while len(made) < target:
                made.append(self.make(VIEW)[1])
            self.add(f"disk-{target}", VIEW, disk(views))
        pids = self.server_pids()
        self.add("memory", VIEW, sum(map(pss, pids)) / max(1, len(pids)))
        self.facts.append(f"{len(made)} idle views; shared by all views of the base: images and indexes "
                          f"{disk(self.dir + '/state/images')} KiB, content cache {disk(self.dir + '/state/content')} KiB")
        for name in made:
            self.remove(VIEW, name)
        path, handle, _ = self.make(WORKTREE)
        size = disk(path) + disk(os.path.join(self.main, ".git/worktrees", os.path.basename(path)))
        self.remove(WORKTREE, handle)
        for n in (1, 10, 100):
            self.add(f"disk-{n}", WORKTREE, size * n)
        if FUSEOVL in self.peers():
            path, handle, _ = self.make(FUSEOVL)
            pid = run("pgrep", "-f", f"^fuse-overlayfs .*{handle}/mnt", check=False).stdout.split()
            if pid:
                self.add("memory", FUSEOVL, pss(int(pid[0])))
            self.remove(FUSEOVL, handle)

    def go(self):
        self.prepare()
        self.start_daemon()
        began = time.perf_counter()
        _, first, took = self.make(VIEW)
        self.facts.append(f"the very first view of a base compiles its image: {took * 1000:.0f} ms")
        path = os.path.join(self.dir, "agents", first)
        took = timed("grep", "-r", "--exclude-dir=.git", "no such line anywhere", ".", cwd=path)
        self.facts.append(f"the very first reading inflates from git: grep -r {took * 1000:.0f} ms")
        self.remove(VIEW, first)
        self.say(f"data and daemon are ready, {time.perf_counter() - began:.0f} s")
        order = [p for p in (VIEW, WORKTREE, OVERLAY, FUSEOVL) if p in self.peers()]
        for i in range(self.o.runs):
            for peer in order[i % len(order):] + order[:i % len(order)]:
                started = time.perf_counter()
                self.measure(peer)
                self.say(f"run {i + 1}/{self.o.runs}: {peer}, {time.perf_counter() - started:.0f} s")
        self.measure_size()

    def clean(self):
        if self.daemon:
            subprocess.run(self.ctl("daemon", "stop"), **QUIET)
            try:
                self.daemon.wait(60)
            except subprocess.TimeoutExpired:
                self.daemon.send_signal(signal.SIGKILL)
                self.daemon.wait()
            self.log.close()
        with open("/proc/self/mountinfo") as f:
            left = [line.split()[4] for line in f if line.split()[4].startswith(self.dir + "/")]
        for point in reversed(left):
            if subprocess.run(["umount", "-l", point], **QUIET).returncode:
                subprocess.run(["fusermount3", "-uz", point], **QUIET)
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- what comes out ----

    def medians(self):
        out = {}
        for row, (unit, _) in ROWS.items():
            scale = {"ms": 1e3, "µs": 1e6, "KiB": 1}[unit]
            values = {p: statistics.median(v) * scale for p, v in self.results[row].items()}
            if values and self.wanted(row):
                out[row] = values
        return out

    def report(self):
        figures = self.medians()
        data = {"rows": {r: {"unit": ROWS[r][0], "text": ROWS[r][1], "median": v,
                             "runs": {p: len(self.results[r][p]) for p in v},
                             "ratio": ratio(v)} for r, v in figures.items()},
                "facts": self.facts, "machine": machine(self.o.dir), "runs": self.o.runs}
        table = markdown(data, [p for p in (VIEW, WORKTREE, OVERLAY, FUSEOVL) if p in self.peers()])
        if self.o.output:
            with open(self.o.output, "w") as f:
                f.write(table)
        print(json.dumps(data, indent=1) if self.o.json else table)


def ratio(values):
    if VIEW in values and values.get(WORKTREE):
        return values[VIEW] / values[WORKTREE]
    return None


def machine(folder):
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "unknown")
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024
    kind = run("findmnt", "-n", "-o", "FSTYPE", "-T", folder, check=False).stdout.strip() or "unknown file system"
    fuse = run("pkg-config", "--modversion", "fuse3", check=False).stdout.strip()
    kernel = ".".join(os.uname().release.split("-")[0].split(".")[:2])
    return (f"kernel {kernel}, {os.cpu_count()} cores ({model}), {memory} MiB of memory, {kind}, libfuse {fuse}, "
            f"{'root' if ROOT else 'ordinary user'}, {time.strftime('%Y-%m-%d')}")


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def markdown(data, peers):
    out = ["# Figures", "",
           "Written by `tools/bench --output docs/FIGURES.md`. All peers ran in the same run on the same data; a",
           f"figure is the median of {data['runs']} runs on fresh instances. Ratio: view / git worktree. First: after the",
           "page cache was dropped. Machines differ: trust the ratios, and measure your own.", "",
           f"Machine: {data['machine']}.", ""]
    out += [f"* {fact}" for fact in data["facts"]] + [""]
    out.append("| what | unit | " + " | ".join(peers) + " | ratio |")
    out.append("|---|---|" + "---:|" * (len(peers) + 1))
    for r in data["rows"].values():
        cells = [number(r["median"].get(p)) for p in peers]
        out.append(f"| {r['text']} | {r['unit']} | " + " | ".join(cells) + f" | {ratio_text(r['ratio'])} |")
    return "\n".join(out) + "\n"


def ratio_text(value):
    if value is None:
        return ""
    return f"1/{1 / value:.0f}" if 0 < value < 0.1 else f"{value:.2f}"


def main():
    p = argparse.ArgumentParser(prog="tools/bench", description="Measures views beside their peers.")
    p.add_argument("--files", type=int, default=20000, metavar="N", help="files of the generated repository")
    p.add_argument("--repo", metavar="PATH", help="measure a clone of this repository instead")
    p.add_argument("--runs", type=int, default=5, metavar="N")
    p.add_argument("--only", type=lambda s: s.split(","), default=[], metavar="ROW,...", help=", ".join(ROWS))
    p.add_argument("--json", action="store_true")
    p.add_argument("--quiet", action="store_true")
    p.add_argument("--output", metavar="FILE", help="write the table there too")
    p.add_argument("--dir", default=os.environ.get("TMPDIR", "/var/tmp"), help="where the data go (a disk, not tmpfs)")
    options = p.parse_args()
    for word in options.only:
        if not any(r == word or r.startswith(word + "-") for r in ROWS):
            p.error(f"there is no row '{word}'; rows are: {', '.join(ROWS)}")
    if options.repo and run("git", "-C", options.repo, "rev-parse", "HEAD", check=False).returncode:
        p.error(f"'{options.repo}' is no git repository with a commit in it")
    bench = Bench(options)
    try:
        bench.go()
        bench.report()
    except RuntimeError as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        bench.clean()
    return 0


if __name__ == "__main__":
    sys.exit(main())
