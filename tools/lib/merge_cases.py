# SPDX-License-Identifier: Apache-2.0
"""tools/bench merge-cases: a folder of merges whose outcome is known.

A case is a folder with files base, ours, theirs and expected, all with one extension or none (`base.py` …); its
language is the extension's. Folders may be nested. agentfs-merge and git merge-file are asked the same.
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
    if status:
        return "conflict"
    if text == expected:
        return "right"
    return "but for order and space" if words(text) == words(expected) else "different"


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


def main():
    p = argparse.ArgumentParser(prog="tools/bench merge-cases", description=__doc__.split("\n")[0])
    p.add_argument("folder", metavar="DIR")
    p.add_argument("--json", action="store_true")
    options = p.parse_args()
    ours, gits, listed = Counter(), Counter(), []
    with tempfile.TemporaryDirectory(prefix="agentfs-cases-") as tmp:
        try:
            for name, paths, ext in cases(options.folder):
                expected = read(paths["expected"])
                a = judge(*ask(lambda b, o, t, n: [PROGRAM, b, o, t, n], paths, tmp, "file" + ext), expected)
                b = judge(*ask(lambda b, o, t, n: ["git", "merge-file", o, b, t], paths, tmp, ""), expected)
                ours[a] += 1
                gits[b] += 1
                listed.append({"case": name, "agentfs-merge": a, "git merge-file": b})
        except (OSError, RuntimeError) as e:
            print(f"merge-cases: {e}", file=sys.stderr)
            return 1
    if not listed:
        print(f"merge-cases: no case below '{options.folder}': each is a folder with the files base, ours, theirs and "
              "expected", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"cases": listed, "agentfs-merge": ours, "git merge-file": gits}, indent=1))
        return 0
    for c in listed:
        if c["agentfs-merge"] == "different":
            print(f"different: {c['case']}")
    print("\n".join(merge_report.table(("of " + str(len(listed)) + " cases", *VERDICTS), [
        (n, *(c[v] for v in VERDICTS)) for n, c in (("agentfs-merge", ours), ("git merge-file", gits))])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
