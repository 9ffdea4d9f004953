# SPDX-License-Identifier: Apache-2.0
"""tools/bench merge-replay: historic merges made again, and what came of it.

Every repository is replayed twice by agentfs-replay (tests/bench/replay.c), which asks the product's own code. First
to learn: what each resolver said of each conflict, and what the person kept. Then its conflicted merges once more,
where a resolver acts by its record *in the other repositories* and in the merges of this one that are older; the
records that the program carries are never looked at. So no answer is judged by itself.
"""
import argparse
import concurrent.futures
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict

import merge_report

COST_VERIFIED = 2  # what a wrong merge costs where a verify command has to pass, as merge/evidence.h
PROGRAM = os.path.join(os.environ.get("AGENTFS_BUILD", "build-bench"), "tests/bench/agentfs-replay")


def lower(fired, right):
    """Lower end of Wilson's 95 % interval, as merge/evidence.c."""
    if not fired:
        return 0.0
    z, p = 1.959964, right / fired
    root = z * math.sqrt(p * (1 - p) / fired + z * z / (4 * fired * fired))
    return (p + z * z / (2 * fired) - root) / (1 + z * z / fired)


def git(repo, *args):
    done = subprocess.run(["git", "-C", repo, *args], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"'{repo}' is no repository with a commit in it: {done.stderr.strip()}")
    return done.stdout.strip()


class Repository:
    def __init__(self, path):
        self.path = path
        self.git = git(path, "rev-parse", "--absolute-git-dir")
        self.commit = git(path, "rev-parse", "--short=12", "HEAD")
        name = [p for p in os.path.abspath(path).split("/") if p not in (".git", "repo")][-1]
        self.name = name.removesuffix(".git").replace("+", "/")
        self.merges, self.records, self.seconds = [], [], 0.0
        self.verified = []  # the conflicted merges as they go where a verify command has to pass

    def run(self, *args, sink):
        done = subprocess.Popen([PROGRAM, self.git, *args], stdout=subprocess.PIPE, text=True, errors="replace")
        for line in done.stdout:
            sink(json.loads(line))
        if done.wait():
            raise RuntimeError(f"agentfs-replay failed on '{self.path}' ({done.returncode})")

    def learn(self, options):
        def sink(o):
            if "records" in o:
                self.records = o["records"]
            else:
                self.merges.append(o)
        start = time.monotonic()
        self.run("--last", str(options.last), "--own", sink=sink)
        self.seconds = time.monotonic() - start
        return self

    def again(self, others, options, folder, cost):
        """The conflicted merges again, with records of the others and of older merges: commit → merge."""
        only, records = (os.path.join(folder, f"{self.name.replace('/', '+')}.{n}") for n in "or")
        conflicted = {m["commit"]: 1 for m in self.merges if m["files"] or m.get("conflicts")}
        with open(only, "w") as f:
            json.dump(conflicted, f)
        with open(records, "w") as f:
            json.dump([[*k, *v] for k, v in others.items()], f)
        found = {}

        def sink(o):
            if "commit" in o:
                found[o["commit"]] = o
        self.run("--last", str(options.last), "--only", only, "--records", records, "--own", "--no-git", "--texts",
                 "--cost", str(cost), sink=sink)
        return found

    def judge(self, others, options, folder):
        self.verified = list(self.again(others, options, folder, COST_VERIFIED).values())
        found = self.again(others, options, folder, options.cost)
        for m in self.merges:
            if m["commit"] in found:
                keep = {k: m[k] for k in ("ms", "git_ms", "git_conflicts", "git_error") if k in m}
                m.update(found[m["commit"]], **keep)
        return self


def count(repositories):
    """(resolver, language, paths) → [fired, right]."""
    total = defaultdict(lambda: [0, 0])
    for r in repositories:
        for resolver, language, paths, fired, right in r.records:
            total[resolver, language, paths][0] += fired
            total[resolver, language, paths][1] += right
    return total


def write_records(path, total, repositories):
    out = ["/* SPDX-License-Identifier: Apache-2.0 */",
           "/* Written by tools/bench merge-replay --records; docs/FIGURES.md says from which histories. */",
           '#include "records.h"', "", "static struct record_row rows[] = {"]
    names = {"plain": "PLAIN", "lock": "LOCK", "generated": "GENERATED", "changelog": "CHANGELOG", "names": "NAMES",
             "ignore": "IGNORE"}
    for (resolver, language, paths), (fired, right) in sorted(total.items()):
        out.append(f'\t{{"{resolver}", "{language}", PATH_{names[paths]}, {{{fired}, {right}}}}},')
    out += ["};", "", "const struct records records_shipped = {.v = rows, .n = sizeof(rows) / sizeof(rows[0])};", ""]
    with open(path, "w") as f:
        f.write("\n".join(out))


# ---- what came of it ----

def right(conflict):
    return conflict["answers"][conflict["taken"]]["verdict"] != "different"


def judged(merge):
    """(path, file or None, kind, resolved, right) of each path that conflicts."""
    kinds = {}
    for path, kind, _ in merge.get("conflicts", []):
        kinds.setdefault(path, kind)
    for path, f in merge["files"].items():
        done = f["left"] == 0 and path not in kinds and all(c["taken"] >= 0 for c in f["conflicts"])
        yield path, f, kinds.get(path, "content"), done, done and all(map(right, f["conflicts"]))
    for path, kind in kinds.items():
        if path not in merge["files"]:
            yield path, None, kind, False, False


def did(f):
    """What the person did with a file's conflicts of lines: the least that they kept in one of them."""
    what = {c["did"] for c in f["conflicts"]}
    if what <= {"all", "words"}:
        return "words" if "words" in what else "all"
    if "removed" in what or "new" in what:
        return "removed" if "removed" in what else "new"
    dropped = what - {"all", "words"}
    if len(dropped) > 1:
        return "some"
    return "nothing" if dropped == {"base"} else dropped.pop()


def answered(f):
    """Has some resolver the right answer to each of its conflicts?"""
    return all(any(a["verdict"] != "different" for a in c["answers"]) for c in f["conflicts"])


def why_left(f, kind):
    if f is None:
        return f"conflict of kind: {kind}"
    if f["paths"] in ("lock", "generated"):
        return "lock and generated files: to be written anew"
    if "refused" in f:
        return f"answers that break an invariant ({f['refused'][0]})"
    if any(not c["answers"] for c in f["conflicts"]):
        return "no resolver has an answer to one of its conflicts"
    if any(len({a["mark"] for a in c["answers"] if a["acts"]}) > 1 for c in f["conflicts"]):
        return "resolvers that may act say different texts"
    return "answers, but their records do not suffice"


def verified(repositories, out):
    """Resolved and right by repository, where a wrong merge costs COST_VERIFIED."""
    rows = {}
    for r in repositories:
        c = rows[r.name] = Counter()
        for m in r.verified:
            for _, f, _, done, ok in judged(m):
                c.update(files=1, resolved=done, right=ok)
                if f and "broken" in f:
                    out["broken"][f["broken"][0]] += 1
    return {n: dict(c) for n, c in rows.items()}


def sum_up(repositories, options):
    out = {"repositories": [], "resolvers": {}, "languages": {}, "left": Counter(), "broken": Counter(), "refused": Counter(), "differences": [],
           "clean": Counter(), "clean_reasons": [], "times": {}, "errors": Counter(), "kinds": defaultdict(Counter),
           "kind_merges": defaultdict(Counter),
           "did": {"repository": defaultdict(Counter), "language": defaultdict(Counter)},
           "did_right": defaultdict(Counter)}
    languages, times = defaultdict(Counter), defaultdict(lambda: ([], []))
    acts = defaultdict(Counter)
    for r in repositories:
        c = Counter()
        for m in r.merges:
            c["merges"] += 1
            if "error" in m:
                out["errors"][m["error"].split(":")[0]] += 1
                continue
            if "git_ms" in m:
                which = "git" if m["by_git"] else "none" if not m["by_line"] else "lines" if m["files"] else "some"
                times[which][0].append(m["merge_ms"])
                times[which][1].append(m["git_ms"])
                compare_clean(out, r, m)
            any_conflict = False
            for path, f, kind, done, ok in judged(m):
                any_conflict = True
                language = f["language"] if f else "(kind)"
                for where in (c, languages[language]):
                    where["files"] += 1
                    where["resolved"] += done
                    where["right"] += ok
                count_did(out, r.name, path, f, m, ok)
                if f and "refused" in f:
                    out["refused"][f["refused"][0]] += 1
                if f and "broken" in f:
                    out["broken"][f["broken"][0]] += 1
                    out["differences"].append({"repository": r.name, "commit": m["commit"], "path": path,
                                               "resolver": "invariant", "why": " ".join(f["broken"])})
                if not done:
                    out["left"][why_left(f, kind)] += 1
                for conflict in f["conflicts"] if f else []:
                    c["conflicts"] += 1
                    for i, a in enumerate(conflict["answers"]):
                        t = acts[a["by"]]
                        t["fired"] += 1
                        t[a["verdict"]] += 1
                        t["allowed"] += a["acts"]
                        if done and i == conflict["taken"]:
                            t["acted"] += 1
                            t["acted_right"] += right(conflict)
                    if done and not right(conflict):
                        a = conflict["answers"][conflict["taken"]]
                        out["differences"].append(
                            {"repository": r.name, "commit": m["commit"], "path": path, "resolver": a["by"],
                             "why": conflict["kept"], **{k: conflict.get(k, "") for k in
                                                         ("base", "ours", "theirs", "said", "person")}})
            c["conflicted"] += any_conflict
        out["repositories"].append({"name": r.name, "commit": r.commit, "seconds": round(r.seconds, 1), **c})
    for name, t in acts.items():
        good = t["fired"] - t["different"]
        out["resolvers"][name] = dict(t, lower=round(lower(t["fired"], good), 3))
    out["languages"] = {k: dict(v) for k, v in languages.items()}
    out["times"] = {k: {"merges": len(a), "ms": statistics.median(a), "git_ms": statistics.median(b),
                        "ratio": statistics.median(x / y for x, y in zip(a, b))} for k, (a, b) in times.items()}
    total = Counter()
    for c in out["repositories"]:
        total.update({k: v for k, v in c.items() if isinstance(v, int)})
    out["total"] = dict(total)
    out["kind_merges"] = {k: len(v) for k, v in out["kind_merges"].items()}
    out["cost"], out["without"] = options.cost, options.without
    out["verified"] = verified(repositories, out)
    return out


def count_did(out, repository, path, f, m, ok):
    if not f:
        at = next(c for c in m["conflicts"] if c[0] == path)
        out["kinds"][at[1]][at[2]] += 1
        out["kind_merges"][at[1]][m["commit"]] += 1
        return
    what = did(f)
    out["did"]["repository"][repository][what] += 1
    out["did"]["language"][f["language"]][what] += 1
    out["did_right"][what].update(files=1, answered=answered(f), right=ok)


def compare_clean(out, r, m):
    ours, gits = not m["conflicts"], not m["git_conflicts"]
    if ours and gits and m["files"]:
        ours = False  # a resolver acted: no clean merge
    if not gits and not ours:
        return
    if ours and gits:
        out["clean"]["same" if m["same"] else "differ"] += 1
        if not m["same"]:
            why = m["notes"] or ["no note"]
            out["clean_reasons"].append({"repository": r.name, "commit": m["commit"], "paths": m["differ"], "why": why})
        return
    out["clean"]["only ours" if ours else "only git's"] += 1
    if m["files"] and ours:
        return
    why = m["notes"] or [f"{c[0]}: {c[1]}" for c in (m["conflicts"] or m["git_conflicts"])[:3]]
    out["clean_reasons"].append({"repository": r.name, "commit": m["commit"], "why": why,
                                 "paths": [c[0] for c in (m["conflicts"] or m["git_conflicts"])[:3]]})


def write_differences(path, data):
    with open(path, "w") as f:
        f.write("# Where a resolver's text is not the person's\n\n")
        for d in data["differences"]:
            f.write(f"## {d['repository']} {d['commit'][:12]} {d['path']}\n\nresolver {d['resolver']}: {d['why']}\n\n")
            for k in ("base", "ours", "theirs", "said", "person"):
                if k in d:
                    f.write(f"{k}:\n\n" + "".join(f"    {x}\n" for x in d[k].split("\n")) + "\n")
        f.write("# Clean merges that are not git's\n\n")
        for d in data["clean_reasons"]:
            f.write(f"* {d['repository']} {d['commit'][:12]}: {'; '.join(d['why'])} ({', '.join(d['paths'])})\n")


def replay(options, folder):
    repositories = [Repository(p) for p in options.repositories]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda r: r.learn(options), repositories))
        total = count(repositories)
        list(pool.map(lambda r: r.judge(count(x for x in repositories if x is not r), options, folder), repositories))
    return repositories, total


def main():
    p = argparse.ArgumentParser(prog="tools/bench merge-replay", description=__doc__.split("\n")[0])
    p.add_argument("repositories", nargs="+", metavar="REPO")
    p.add_argument("--last", type=int, default=3000, metavar="N", help="the newest N merges of each (default: 3000)")
    p.add_argument("--cost", type=int, default=5, metavar="K", help="what a wrong merge costs (default: 5)")
    p.add_argument("--without", metavar="NAME", help="give the totals without this repository, too (owner/name)")
    p.add_argument("--jobs", type=int, default=2, metavar="N", help="repositories at a time (default: 2)")
    p.add_argument("--json", action="store_true", help="print everything")
    p.add_argument("--output", metavar="FILE", help="write the section Merging there (docs/FIGURES.md)")
    p.add_argument("--records", metavar="FILE", help="write the records that are shipped (merge/records_shipped.c)")
    p.add_argument("--differences", metavar="FILE", help="list every resolution that is not the person's")
    options = p.parse_args()
    folder = tempfile.mkdtemp(prefix="agentfs-replay-")
    try:
        repositories, total = replay(options, folder)
    except RuntimeError as e:
        print(f"merge-replay: {e}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    data = sum_up(repositories, options)
    if options.records:
        write_records(options.records, total, repositories)
    if options.differences:
        write_differences(options.differences, data)
    text = merge_report.section(data)
    if options.output:
        merge_report.put_section(options.output, text)
    print(json.dumps(data, indent=1) if options.json else text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
