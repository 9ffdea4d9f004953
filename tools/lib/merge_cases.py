# SPDX-License-Identifier: Apache-2.0
"""tools/bench merge-cases: a folder of merges whose outcome is known.

A case is a folder with files base, ours, theirs and expected, all with one extension or none (`base.py` …); its
language is the extension's. Folders may be nested. Where expected holds conflict markers a conflict is what is
right. agentfs-merge, at each cost of a wrong merge that is asked for, and git merge-file are asked the same.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter

import merge_report

PROGRAM = os.path.join(os.environ.get("AGENTFS_BUILD", "build-bench"), "merge/agentfs-merge")
PARTS = ("base", "ours", "theirs", "expected")
VERDICTS = ("right", "but for order and space", "conflict", "different")


def cases(top):
    """(name, {part: path}, extension)"""
    for folder, dirs, names in sorted(os.walk(top)):
        dirs.sort()
        for base in sorted(n for n in names if os.path.splitext(n)[0] == "base"):
            ext = os.path.splitext(base)[1]
            paths = {p: os.path.join(folder, p + ext) for p in PARTS}
            if all(os.path.isfile(p) for p in paths.values()):
                yield os.path.relpath(folder, top), paths, ext


def read(path):
    with open(path, "rb") as f:
        return f.read()


def words(text):
    return sorted(b"".join(line.split()) for line in text.splitlines() if line.strip())


def judge(status, text, expected):
    wanted = b"\n<<<<<<<" in b"\n" + expected
    if status:
        return "right" if wanted else "conflict"
    if text == expected:
        return "right"
    return "but for order and space" if not wanted and words(text) == words(expected) else "different"


def ask(command, paths, folder, name):
    """The merged text as a program leaves it in place of ours, and its exit status."""
    ours = os.path.join(folder, "ours")
    with open(ours, "wb") as f:
        f.write(read(paths["ours"]))
    done = subprocess.run(command(paths["base"], ours, paths["theirs"], name), capture_output=True)
    if done.returncode < 0 or done.returncode > 127:
        raise RuntimeError(f"{command('', '', '', '')[0]} failed on '{paths['base']}': "
                           f"{done.stderr.decode(errors='replace').strip()}")
    return done.returncode, read(ours)


def programs(costs):
    """What is asked: its name → the command."""
    asked = {f"agentfs-merge, a wrong merge costs {k:g}":
             lambda b, o, t, n, k=k: [PROGRAM, "--cost-of-wrong", f"{k:g}", b, o, t, n] for k in costs}
    asked["git merge-file"] = lambda b, o, t, n: ["git", "merge-file", o, b, t]
    return asked


def measure(top, asked):
    """[{"case", program: verdict …}]"""
    listed = []
    with tempfile.TemporaryDirectory(prefix="agentfs-cases-") as tmp:
        for name, paths, ext in cases(top):
            expected = read(paths["expected"])
            listed.append({"case": name, **{p: judge(*ask(command, paths, tmp, "file" + ext), expected)
                                            for p, command in asked.items()}})
    return listed


def section(title, listed, asked):
    """Markdown: the table, and each case that came out otherwise than expected here and not with git."""
    rows = [(p, *(Counter(c[p] for c in listed)[v] for v in VERDICTS)) for p in asked]
    out = [f"### Cases: {title}", "", *merge_report.table((f"of {len(listed):,} cases", *VERDICTS), rows), ""]
    wrong = [(c["case"], p) for p in asked for c in listed
             if c[p] == "different" and c["git merge-file"] != "different"]
    if wrong:
        out += ["Different here and not with git (and at which cost):", ""] + [f"* `{case}` ({p.rsplit(' ', 1)[1]})" for case, p in wrong] + [""]
    return "\n".join(out)


def parse():
    p = argparse.ArgumentParser(prog="tools/bench merge-cases", description=__doc__.split("\n")[0])
    p.add_argument("folders", metavar="DIR", nargs="+")
    p.add_argument("--cost-of-wrong", metavar="K", type=float, action="append", dest="costs", help="of a wrong merge (default: 5); any number of them")
    p.add_argument("--title", action="append", default=[], help="what a folder's cases are, in the folders' order (default: its name)")
    p.add_argument("--output", metavar="FILE", help="put the tables into this file, in place of those of the last time")
    p.add_argument("--json", action="store_true")
    return p.parse_args()


def main():
    options = parse()
    asked, done, texts = programs(options.costs or [5]), {}, []
    for i, folder in enumerate(options.folders):
        try:
            listed = done[folder] = measure(folder, asked)
        except (OSError, RuntimeError) as e:
            print(f"merge-cases: {e}", file=sys.stderr)
            return 1
        if not listed:
            print(f"merge-cases: no case below '{folder}': each is a folder with the files base, ours, theirs and "
                  "expected", file=sys.stderr)
            return 1
        title = options.title[i] if i < len(options.title) else os.path.basename(os.path.abspath(folder))
        texts.append(section(title, listed, asked))
    if options.output:
        merge_report.put_section(options.output, "\n".join(texts), "cases")
    print(json.dumps(done, indent=1) if options.json else "\n".join(texts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
