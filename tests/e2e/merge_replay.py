#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/bench merge-replay and merge-cases, on a small history made here."""
import json
import sys

from harness import *

LINES = "one\ntwo\nthree\nfour\n"
SOURCE, BUILD = os.environ["AGENTFS_SOURCE"], os.environ["AGENTFS_BUILD"]


def bench(what, *args, check=True):
    done = run(sys.executable, f"{SOURCE}/tools/lib/{what}.py", *args, check=False, env=dict(
        os.environ, AGENTFS_BUILD=os.path.abspath(BUILD)))
    if check:
        equal(done.returncode, 0, done.stdout + done.stderr)
    return done


def history(repo, merges, kept, conflict=True):
    """Merges that conflict in their versions; the person kept `kept`."""
    git = lambda *a: run("git", "-C", repo, "-c", "user.name=a", "-c", "user.email=a@x", *a, check=False)
    os.makedirs(repo)
    git("init", "-q", "-b", "main")
    put(f"{repo}/gone", "x\n")
    for i in range(merges):
        name = f"{repo}/v{i}.toml"
        put(name, 'v = "1.2.3"\n' + LINES)
        git("add", "-A")
        git("commit", "-qm", "file")
        git("checkout", "-qb", f"side{i}")
        put(name, 'v = "1.3.0"\n' + LINES)
        git("commit", "-qam", "side")
        git("checkout", "-q", "main")
        put(name, ('v = "1.2.4"\n' if conflict else 'v = "1.2.3"\n') + LINES + "five\n")
        git("commit", "-qam", "main")
        git("merge", "-q", f"side{i}")
        put(name, f'v = "{kept}"\n' + LINES + "five\n")
        git("add", "-A")
        git("commit", "-qm", "merge")
    return repo


def test_replay__a_repository_is_not_judged_by_itself(tmp):
    """40 merges in each; what one learned speaks for the other, and only what is older for itself."""
    a, b = history(f"{tmp}/a", 40, "1.3.0"), history(f"{tmp}/b", 4, "1.2.4")
    data = json.loads(bench("merge_replay", a, b, "--json", "--jobs", "1").stdout)
    rows = {r["name"]: r for r in data["repositories"]}
    equal((rows["a"]["files"], rows["b"]["files"]), (40, 4))
    # b's answers are wrong: they go by a's record, which is good, until some of its own were wrong. (One that people gave
    # before may be remembered, and right.)
    wrong = rows["b"]["resolved"] - rows["b"].get("right", 0)
    assert 0 < wrong <= 3 and rows["b"].get("right", 0) <= 1, rows["b"]
    # a's first merges have b's bad record and nothing older: left; in the end its own suffices.
    assert 0 < rows["a"]["resolved"] < 40 and rows["a"]["right"] == rows["a"]["resolved"], rows["a"]
    equal(data["broken"], {})
    equal(len(data["differences"]), wrong)
    equal({d["why"] for d in data["differences"]}, {"the person kept ours"})
    # Where a verify command has to pass, a shorter record suffices.
    verified = data["verified"]["a"]
    assert rows["a"]["resolved"] < verified["resolved"] < 40 and verified["right"] == verified["resolved"], verified
    equal(data["did"]["repository"], {"a": {"theirs": 40}, "b": {"ours": 4}})
    text = bench("merge_replay", a, b, "--jobs", "1", "--without", "a").stdout
    assert "| 5 | all but a | 4 | " in text and "the median repository" in text, text
    equal(data["did"]["language"], {"toml": {"theirs": 40, "ours": 4}})


def test_replay__clean_merges_are_compared_with_gits_and_nothing_is_written(tmp):
    repo = history(f"{tmp}/a", 5, "1.3.0", conflict=False)
    before = sorted(os.path.join(d, f) for d, _, names in os.walk(f"{repo}/.git") for f in names)
    out, records = f"{tmp}/FIGURES.md", f"{tmp}/records.c"
    put(out, "# Figures\n\nothers\n")
    data = json.loads(bench("merge_replay", repo, "--json", "--output", out, "--records", records).stdout)
    equal(data["clean"], {"same": 5})
    equal(sorted(os.path.join(d, f) for d, _, names in os.walk(f"{repo}/.git") for f in names), before)
    text = get(out)
    assert text.startswith("# Figures\n\nothers\n") and "the same tree in 5" in text, text
    bench("merge_replay", repo, "--output", out)
    equal(get(out).count("## Merging"), 1)
    assert "records_shipped" in get(records)


def test_replay__what_people_did_with_conflicts_of_kind_is_told(tmp):
    """One side deletes two files that the other changes; the person keeps one of them."""
    repo = f"{tmp}/a"
    git = lambda *a: run("git", "-C", repo, "-c", "user.name=a", "-c", "user.email=a@x", *a, check=False)
    os.makedirs(repo)
    git("init", "-q", "-b", "main")
    for name in "x", "y":
        put(f"{repo}/{name}", LINES)
    git("add", "-A")
    git("commit", "-qm", "files")
    git("checkout", "-qb", "side")
    git("rm", "-q", "x", "y")
    git("commit", "-qm", "gone")
    git("checkout", "-q", "main")
    for name in "x", "y":
        put(f"{repo}/{name}", LINES + "five\n")
    git("commit", "-qam", "main")
    git("merge", "-q", "side")
    git("rm", "-q", "--cached", "y")
    git("add", "x")
    git("commit", "-qm", "merge")
    data = json.loads(bench("merge_replay", repo, "--json").stdout)
    equal(data["kinds"], {"modify/delete": {"ours": 1, "removed": 1}})
    text = bench("merge_replay", repo).stdout
    assert "| modify/delete | 2 | 1 | 0 | 0 | 1 |" in text, text


def test_report__lists_each_resolution_that_is_not_the_persons(tmp):
    sys.path.insert(0, os.path.join(SOURCE, "tools/lib"))
    import merge_report
    one = {"repository": "r", "path": "a.toml", "resolver": "version", "why": "the person kept ours"}
    text = "\n".join(merge_report.differences({"differences": [dict(one, commit="1" * 40), dict(one, commit="2" * 40),
                                                              dict(one, commit="3" * 40, resolver="json")]}))
    assert f"| r | `a.toml` | {'1' * 12}, {'2' * 12} | version | the person kept ours |" in text, text
    assert f"| r | `a.toml` | {'3' * 12} | json | the person kept ours |" in text, text
    equal(merge_report.differences({"differences": []}), [])


def test_time__is_told_beside_what_other_commands_wrote(tmp):
    """A small repository: two thirds of the merges by line, each as git makes it, or the command fails."""
    out = f"{tmp}/FIGURES.md"
    put(out, "# Figures\n\nothers\n")
    bench("merge_replay", history(f"{tmp}/a", 1, "1.3.0", conflict=False), "--output", out)
    before = get(out)
    args = ("--files", "60", "--merges", "6", "--structured", "0", "--runs", "1", "--dir", tmp)
    data = json.loads(bench("merge_time", *args, "--json", "--output", out).stdout)
    equal({k: t["merges"] for k, t in data["times"].items()}, {"none": 2, "some": 2, "asked": 2})
    text = get(out)
    assert text.startswith(before) and text.count("### Time of a merge") == 1, text
    bench("merge_replay", f"{tmp}/a", "--output", out)
    bench("merge_time", *args, "--output", out)
    equal([line for line in get(out).split("\n") if line.startswith("#")], [line for line in text.split("\n") if line.startswith("#")])


def test_replay__what_is_no_repository_is_one_sentence(tmp):
    done = bench("merge_replay", "/nowhere", check=False)
    equal(done.returncode, 1)
    assert "/nowhere" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_cases__each_is_judged(tmp):
    marked = "<<<<<<< ours\ny\n=======\nz\n>>>>>>> theirs\n"
    for name, ext, texts in (("good", ".toml", ('v = "1.2.3"\n', 'v = "1.2.4"\n', 'v = "1.3.0"\n', 'v = "1.3.0"\n')),
                             ("left", "", ("x\n", "y\n", "z\n", "z\n")),
                             ("meant", "", ("x\n", "y\n", "z\n", marked)),
                             ("other", "", ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "a\nb\nC\n")),
                             ("greater", ".toml", ('v = "1.2.3"\n', 'v = "1.2.4"\n', 'v = "1.3.0"\n', 'v = "1.2.4"\n')),
                             ("clean", "", ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"))):
        for part, text in zip(("base", "ours", "theirs", "expected"), texts):
            os.makedirs(f"{tmp}/cases/{name}", exist_ok=True)
            put(f"{tmp}/cases/{name}/{part}{ext}", text)
    data = json.loads(bench("merge_cases", f"{tmp}/cases", "--json").stdout)[f"{tmp}/cases"]
    equal({c["case"]: c["agentfs-merge, a wrong merge costs 5"] for c in data},
          {"good": "right", "left": "conflict", "meant": "right", "other": "different", "greater": "different",
           "clean": "right"})
    equal({c["case"]: c["git merge-file"] for c in data},
          {"good": "conflict", "left": "conflict", "meant": "right", "other": "different", "greater": "conflict",
           "clean": "right"})
    out = f"{tmp}/FIGURES.md"
    put(out, "# Figures\n")
    for _ in range(2):
        bench("merge_cases", f"{tmp}/cases", "--title", "made here", "--cost-of-wrong", "1", "--cost-of-wrong", "5", "--output", out)
    text = get(out)
    equal(text.count("### Cases: made here"), 1)
    assert "| agentfs-merge, a wrong merge costs 1 | 3 | 0 | 1 | 2 |" in text and "* `greater` (5)" in text and "`other`" not in text, text
    done = bench("merge_cases", f"{tmp}/nothing", check=False)
    equal((done.returncode, done.stderr.count("\n")), (1, 1))


main()
