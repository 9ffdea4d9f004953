#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of tools/bench: what is promised, and whether it was met.

Every row is measured on all peers in the same run on the same data, pass by pass in turn, so that noise of
the machine hits all alike. A figure is the median of the passes; a ratio the median of the ratios of the
passes. Warm rows: every peer gets WARM_UPS passes that are not timed (in a view the kernel asks for
attributes once more after the first READ), then PASSES. Rows of large writes begin each pass with memory at hand (back_memory()).
What the rows do: bench_rows.py; what misses its promise, and why: bench_why.py.
"""
import argparse
import json
import mmap
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("AGENTFS_TMP", tempfile.gettempdir())
import merge_report  # noqa: E402
import repos  # noqa: E402
from bench_why import section  # noqa: E402
from harness import ROOT, as_user, program, run  # noqa: E402

VIEW, WORKTREE, OVERLAY, FUSEOVL = "view", "git worktree", "overlayfs", "fuse-overlayfs"
PEERS = (VIEW, WORKTREE, OVERLAY, FUSEOVL)
QUIET = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
BUILD_FILES, NPM_PACKAGES, UNPACKED = 120, 300, 5000


def plain(factor):
    return [(WORKTREE, factor)]


# Row → (unit, what it says, what is promised: at most FACTOR times PEER, or that many UNIT where no peer is
# named). git worktree is the machine's own file system, plain.
ROWS = {
    "create": ("ms", "create (base known)", plain(1 / 200)),
    "image-first": ("ms", "create on a new base, image from scratch", plain(1 / 5)),
    "image-next": ("ms", "create on a new base, from its parent's image", plain(1 / 50)),
    "remove": ("ms", "remove it", []),
    "status-first": ("ms", "git status, first", plain(1.0)),
    "status-warm": ("ms", "git status, warm", plain(0.5)),
    "find-first": ("ms", "find + stat, page cache dropped", []),
    "find-warm": ("ms", "find + stat, warm", plain(1.05)),
    "grep-first": ("ms", "grep -r, page cache dropped", []),
    "grep-second": ("ms", "grep -r in a second view, against cold caches", plain(1.0)),
    "grep-warm": ("ms", "grep -r, warm", plain(1.05)),
    "make-build": ("ms", f"C build of {BUILD_FILES} files from clean, make -j2", plain(1.10)),
    "make-nothing": ("ms", "make with nothing to do", plain(1.05)),
    "unpack-root": ("ms", f"unpack {UNPACKED} small files as root", [(WORKTREE, 4.5), (FUSEOVL, 0.6)]),
    "unpack-user": ("ms", f"unpack {UNPACKED} small files as a user", [(WORKTREE, 3.5), (FUSEOVL, 0.6)]),
    "delete": ("ms", "delete them", [(WORKTREE, 2.5), (FUSEOVL, 0.6)]),
    "npm": ("ms", f"npm install of {NPM_PACKAGES} packages from a local cache", plain(2.0)),
    "npm-redirected": ("ms", "the same, node_modules redirected", plain(1.05)),
    "write-1m": ("µs", "write of 1 MiB", [(WORKTREE, 3.5), (FUSEOVL, 1.0)]),
    "write-4k": ("µs", "write of 4 KiB", [(WORKTREE, 8.0), (FUSEOVL, 1.0)]),
    "read-200m": ("ms", "sequential read of a new file, 200 MiB, warm", [(WORKTREE, 1.1), (FUSEOVL, 1.0)]),
    "materialize-1": ("ms", "1 changed file to a commit", plain(0.5)),
    "materialize-100": ("ms", "100 changed files to a commit", plain(0.25)),
    "materialize-1000": ("ms", "1,000 changed files to a commit", plain(0.25)),
    "disk-1": ("KiB", "disk of 1", []),
    "disk-100": ("KiB", "disk of 100, all that they share included, against one checkout", plain(1.02)),
    "memory": ("KiB", "memory (PSS) of an idle one, of 100", [(None, 3072)]),
    "memory-used": ("KiB", "memory (PSS) of one idle again after git status and grep -r", [(None, 3072)]),
    "fair": ("µs", "a small operation beside grep -r in another view, against alone", [("alone", 2.0)]),
    "fair-first": ("µs", "a small operation beside the first grep -r of another view, from the disk", [("alone", 2.0)]),
    "list-100": ("ms", "agentfsctl list of 100", []),
    "adopt-100": ("ms", "daemon restart until 100 views are adopted", []),
    "idle-100": ("%", "processor time of 100 idle ones", [(None, 1.0)]),
}
SCALE = {"ms": 1e3, "µs": 1e6, "KiB": 1, "%": 100}


def timed(*command, cwd=None, env=None, uid=0):
    began = time.perf_counter()
    if cwd and uid and ROOT:
        command, cwd = ("env", "-C", cwd, *command), None
    done = subprocess.run(command, cwd=cwd, env=env and {**os.environ, **env}, **QUIET, **as_user(uid))
    took = time.perf_counter() - began
    if done.returncode not in (0, 1):  # grep finds nothing
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}")
    return took


def must(command, **kw):
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **kw)
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode().strip()[-400:]}")
    return took


def drop_caches():
    os.sync()
    if ROOT:
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3\n")


def back_memory(mib=1024):
    """Free memory is there. A hypervisor takes back what nobody uses, and whoever touches it first waits for each page: without
    this, who allocates pays for what others gave back, and who was given pages just freed does not."""
    with open("/proc/meminfo") as f:
        available = next(int(line.split()[1]) for line in f if line.startswith("MemAvailable:")) >> 10
    size = min(mib, available // 4) << 20
    with mmap.mmap(-1, size) as m:
        m[::mmap.PAGESIZE] = bytes(size // mmap.PAGESIZE)


def disk(path):
    """KiB that a tree takes, other mounts left out."""
    return int(run("du", "-skx", path).stdout.split()[0])


class Instance:
    def __init__(self, peer, path, handle, took):
        self.peer, self.path, self.handle, self.took = peer, path, handle, took


class Bench:
    """The data, the daemon and the peers' instances."""

    def __init__(self, options):
        self.o = options
        self.dir = tempfile.mkdtemp(prefix="agentfs-bench-", dir=options.dir)
        os.chmod(self.dir, 0o755)
        self.results = {row: {} for row in ROWS}
        self.facts, self.left_out = [], {}
        self.daemon = None
        self.count = 0
        found = {VIEW, WORKTREE} | ({OVERLAY} if ROOT else set()) | ({FUSEOVL} if shutil.which("fuse-overlayfs") else set())
        self.peers = [p for p in PEERS if p in found]

    def say(self, text):
        if not self.o.quiet:
            print(text, file=sys.stderr, flush=True)

    def add(self, row, peer, value):
        self.results[row].setdefault(peer, []).append(value)

    def leave_out(self, row, why):
        self.left_out[row] = why

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
        self.main = os.path.join(self.dir, "main")
        run("git", "clone", "-q", "--no-hardlinks", self.source, self.main, timeout=None)
        repos.git(self.main, "config", "gc.auto", "0")
        self.add_c_project()
        self.head = repos.git(self.main, "rev-parse", "HEAD")
        files = len(run("git", "-C", self.main, "ls-files").stdout.splitlines())
        size = disk(self.main) - disk(self.main + "/.git")
        self.facts.insert(0, f"{files} files, {size // 1024} MiB")
        self.lower = os.path.join(self.dir, "lower")
        if OVERLAY in self.peers or FUSEOVL in self.peers:
            run("git", "clone", "-q", "--shared", self.main, self.lower, timeout=None)
            run("git", "-C", self.lower, "status", timeout=None)
        self.tar = os.path.join(self.dir, "small.tar")
        small = os.path.join(self.dir, "small")
        for i in range(UNPACKED):
            folder = f"{small}/d{i // 50}"
            if i % 50 == 0:
                os.makedirs(folder)
            with open(f"{folder}/f{i}", "wb") as f:
                f.write(b"%d\n" % i * (100 + i % 300))
        run("tar", "-C", small, "-cf", self.tar, ".")
        shutil.rmtree(small)

    def add_c_project(self):
        """A program of BUILD_FILES sources that include headers of their own, committed to the base."""
        folder = os.path.join(self.main, "bench-c")
        os.makedirs(folder)
        for i in range(BUILD_FILES):
            with open(f"{folder}/m{i}.h", "w") as f:
                f.write(f"int m{i}(int x);\n" + "".join(f"struct s{i}_{k} {{ int a[{k + 1}]; }};\n" for k in range(40)))
            with open(f"{folder}/m{i}.c", "w") as f:
                f.write("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n" +
                        "".join(f'#include "m{(i + k) % BUILD_FILES}.h"\n' for k in range(12)) +
                        "".join(f"static int f{k}(int x) {{ return x * {k} + (int)strlen(\"{i}\"); }}\n" for k in range(60)) +
                        f"int m{i}(int x)\n{{\n\treturn " + " + ".join(f"f{k}(x)" for k in range(60)) + ";\n}\n")
        with open(f"{folder}/Makefile", "w") as f:
            f.write("O := $(patsubst %.c,%.o,$(wildcard *.c))\nlib.a: $O\n\trm -f $@\n\tar rc $@ $^\n"
                    "%.o: %.c\n\t$(CC) -O1 -MMD -c -o $@ $<\nclean:\n\trm -f *.o *.d lib.a\n-include $(O:.o=.d)\n")
        repos.git(self.main, "add", "-A")
        repos.git(self.main, "-c", "user.name=b", "-c", "user.email=b@x", "commit", "-qm", "a C project")

    # ---- the daemon ----

    def start_daemon(self):
        for d in ("state", "run", "agents"):
            os.makedirs(os.path.join(self.dir, d), exist_ok=True)
        self.socket = os.path.join(self.dir, "run/agentfsd.sock")
        config = os.path.join(self.dir, "agentfs.yaml")
        with open(config, "w") as f:
            f.write('redirect: ["redirected/node_modules/"]\n')
        self.log = open(os.path.join(self.dir, "agentfsd.log"), "ab")
        self.daemon = subprocess.Popen(
            [program("agentfsd"), "--foreground", "--config", config, "--state", self.dir + "/state",
             "--run", self.dir + "/run", "--mounts", self.dir + "/agents"],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while subprocess.run(self.ctl("daemon", "status"), **QUIET).returncode:
            if time.monotonic() > end or self.daemon.poll() is not None:
                raise RuntimeError("the daemon does not answer")
            time.sleep(0.005)

    def ctl(self, *args):
        return [program("agentfsctl"), "--socket", self.socket, *args]

    def servers(self):
        """Process → agent of all views' servers."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as f:
                    words = f.read().split("\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == "agentfs" and any(w.startswith(self.dir) for w in words):
                found[int(pid)] = os.path.basename(words[words.index("--view") + 1])
        return found

    # ---- making and removing one instance of a peer ----

    def make(self, peer, *options, rev=None):
        self.count += 1
        n = self.count
        if peer == VIEW:
            base = ("--base", rev) if rev else ()
            took = must(self.ctl("create", f"b{n}", "--repo", self.main, *base, *options))
            return Instance(peer, os.path.join(self.dir, "agents", f"b{n}"), f"b{n}", took)
        if peer == WORKTREE:
            path = os.path.join(self.dir, f"wt{n}")
            took = must(["git", "-C", self.main, "worktree", "add", "-q", "-b", f"wt{n}", path, rev or self.head])
            return Instance(peer, path, path, took)
        base = os.path.join(self.dir, f"ovl{n}")
        for d in ("upper", "work", "mnt"):
            os.makedirs(os.path.join(base, d))
        mount = f"lowerdir={self.lower},upperdir={base}/upper,workdir={base}/work"
        if peer == OVERLAY:
            took = must(["mount", "-t", "overlay", "overlay", "-o", mount, base + "/mnt"])
        else:
            other = ",allow_other" if ROOT else ""
            took = must(["fuse-overlayfs", "-o", mount + other, base + "/mnt"])
        return Instance(peer, base + "/mnt", base, took)

    def remove(self, i):
        if i.peer == VIEW:
            return must(self.ctl("rollback", "--force", i.handle))
        if i.peer == WORKTREE:
            return must(["git", "-C", self.main, "worktree", "remove", "--force", i.handle])
        began = time.perf_counter()
        if subprocess.run(["umount", i.handle + "/mnt"], **QUIET).returncode:
            subprocess.run(["fusermount3", "-u", i.handle + "/mnt"], **QUIET)
        shutil.rmtree(i.handle, ignore_errors=True)
        return time.perf_counter() - began

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

def compare(values, promise):
    """One promise of a row: (text, met or None where the peer was not measured)."""
    peer, factor = promise
    if peer is None:
        return f"≤ {number(factor)}", statistics.median(values[VIEW]) <= factor
    if peer not in values:
        return f"≤ {factor_text(factor)} {peer}", None
    ratio = ratio_of(values, peer)
    return f"{factor_text(ratio)} {peer} (≤ {factor_text(factor)})", ratio <= factor


def ratio_of(values, peer):
    a, b = values[VIEW], values[peer]
    if len(a) == len(b):
        return statistics.median(x / y for x, y in zip(a, b))
    return statistics.median(a) / statistics.median(b)


def judge(row, values):
    """The row's ratios with what was promised, and its verdict."""
    unit, _, promises = ROWS[row]
    scaled = {p: [x * SCALE[unit] for x in v] for p, v in values.items()}
    said = [compare(scaled, p) for p in promises]
    known = [met for _, met in said if met is not None]
    verdict = "" if not known else "**not met**" if not all(known) else "met"
    if not promises and WORKTREE in scaled:
        said = [(f"{factor_text(ratio_of(scaled, WORKTREE))} {WORKTREE}", None)]
    return {"unit": unit, "text": ROWS[row][1], "median": {p: statistics.median(v) for p, v in scaled.items()},
            "passes": {p: len(v) for p, v in scaled.items()}, "against": [s for s, _ in said], "verdict": verdict}


def report(bench):
    rows = {r: judge(r, v) for r, v in bench.results.items() if VIEW in v and bench.wanted(r)}
    data = {"rows": rows, "facts": bench.facts, "left_out": bench.left_out, "machine": machine(bench.o.dir),
            "runs": bench.o.runs}
    table = markdown(data, bench.peers)
    if bench.o.output:
        merging = merge_report.kept_sections(bench.o.output)  # other commands'
        with open(bench.o.output, "w") as f:
            f.write(table + ("\n" + merging if merging else ""))
    print(json.dumps(data, indent=1) if bench.o.json else table)


def machine(folder):
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "unknown")
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024
    kind = run("findmnt", "-n", "-o", "FSTYPE", "-T", folder, check=False).stdout.strip() or "unknown file system"
    fuse = run("pkg-config", "--modversion", "fuse3", check=False).stdout.strip()
    kernel = ".".join(os.uname().release.split("-")[0].split(".")[:2])
    return (f"kernel {kernel}, {os.cpu_count()} cores ({model}), {memory} MiB of memory, {kind}, libfuse {fuse}, "
            f"{'root' if ROOT else 'ordinary user'}, {time.strftime('%Y-%m-%d')}, load {os.getloadavg()[0]:.1f} at the end")


def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def factor_text(value):
    return f"1/{1 / value:.0f}" if 0 < value <= 0.2 else f"{value:.2f} ×"


def markdown(data, peers):
    met = sum(r["verdict"] == "met" for r in data["rows"].values())
    promised = sum(bool(r["verdict"]) for r in data["rows"].values())
    out = ["# Figures", "",
           "Written by `tools/bench --output docs/FIGURES.md`. All peers ran in the same run on the same data, in turn;",
           f"a figure is the median of its passes (at least {data['runs']}), a ratio the median of the ratios of the passes. `git worktree`",
           "is the machine's own file system, plain. Warm rows: three passes that are not timed, for every peer.",
           "Machines differ: trust the ratios, and measure your own.", "",
           f"Machine: {data['machine']}.", ""]
    out += [f"* {fact}" for fact in data["facts"]]
    out += [f"* left out: {ROWS[row][1]}: {why}" for row, why in data["left_out"].items()]
    out += ["", f"**{met} of {promised} promises met.** A ratio stands beside what was promised (at most).", "",
            "| what | unit | " + " | ".join(peers) + " | measured (promised) | verdict |",
            "|---|---|" + "---:|" * len(peers) + "---|---|"]
    for r in data["rows"].values():
        cells = [number(r["median"].get(p)) for p in peers]
        out.append(f"| {r['text']} | {r['unit']} | " + " | ".join(cells) +
                   f" | {', '.join(r['against'])} | {r['verdict']} |")
    return "\n".join(out) + "\n" + section(data["rows"])


def main():
    p = argparse.ArgumentParser(prog="tools/bench", description="Measures views beside their peers.")
    p.add_argument("--files", type=int, default=50000, metavar="N", help="files of the generated repository")
    p.add_argument("--repo", metavar="PATH", help="measure a clone of this repository instead")
    p.add_argument("--runs", type=int, default=5, metavar="N", help="passes of each row; slow rows make fewer")
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
    import bench_rows
    bench = Bench(options)
    try:
        bench_rows.run_all(bench)
        report(bench)
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
    sys.modules["bench"] = sys.modules["__main__"]
    sys.exit(main())
