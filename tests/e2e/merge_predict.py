#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merge predict: what merges would come to, in which order best; nothing moves."""
import os

from harness import *
from merging import *
import tree


def refs(system):
    return [r for r in system.git("for-each-ref").splitlines() if "/base/" not in r]


def test_predict__each_alone_and_the_best_order_together(system):
    start(system, setup__toml=VERSIONS, list__txt=LINES)
    changed(system, "big", setup__toml=VERSIONS.replace("1.2.3", "1.3.0"), list__txt=LINES.replace("line 7", "BIG"), x1="1", x2="2")
    changed(system, "small", list__txt=LINES.replace("line 7", "SMALL"))
    changed(system, "newer", setup__toml=VERSIONS.replace("1.2.3", "1.4.0"))
    before, was = tree.picture(system.repo), refs(system)
    said = system.json("merge", "predict", "big", "small", "newer")
    equal([(m["source"], m["state"], m["tier"]) for m in said["merges"]],
          [(a, "would_merge", "clean-merge") for a in ("big", "small", "newer")], "each alone is clean")
    equal([(m["past"], m["probability"]) for m in said["merges"]], [(0, None)] * 3)
    # The one that would be in nobody's way comes first; `big` conflicts with `small` whichever is first.
    equal(said["order"], ["small", "newer", "big"])
    text = system.ctl("merge", "predict", "big", "small", "newer").stdout
    assert "Best order: agentfsctl merge small newer big" in text and "nothing known" in text, text
    equal([(o["source"], o["state"], o["conflicts"]) for o in said["in_order"]],
          [("small", "would_merge", []), ("newer", "would_merge", []), ("big", "conflict", ["list.txt"])])
    assert text.endswith("\nIn that order big conflicts in list.txt.\n"), text
    equal(tree.differences(before, tree.picture(system.repo)), [])
    equal(refs(system), was, "no branch was made or moved")
    equal(system.json("merge", "history")["merges"], [])


def test_predict__what_conflicts_says_where_and_the_past_counts(system):
    start(system, setup__toml=VERSIONS, list__txt=LINES)
    changed(system, "a1", list__txt=LINES.replace("line 7", "ONE"))
    changed(system, "b1", list__txt=LINES.replace("line 7", "TWO"), setup__toml=VERSIONS.replace("1.2.3", "1.3.0"))
    changed(system, "c1", setup__toml=VERSIONS.replace("1.2.3", "1.4.0"))
    changed(system, "d1", list__txt=LINES.replace("line 12", "LINE 12"))
    system.ctl("merge", "a1")
    system.ctl("merge", "b1", check=False)
    start(system, setup__toml=VERSIONS.replace("1.2.3", "1.3.1"))
    said = {m["source"]: m for m in system.json("merge", "predict", "b1", "c1", "d1")["merges"]}
    equal((said["b1"]["state"], [c["path"] for c in said["b1"]["conflicts"]], said["b1"]["probability"]), ("conflict", ["list.txt"], 0))
    equal((said["c1"]["state"], said["c1"]["tier"]), ("would_merge", "auto-resolve"))
    equal((said["d1"]["past"], said["d1"]["past_merged"], said["d1"]["probability"]), (2, 1, 0.5))
    text = system.ctl("merge", "predict", "d1").stdout
    assert "50 % (1 of 2 went in)" in text and "Best order" not in text, text


def test_predict__branches_and_bad_input(system):
    start(system, list__txt=LINES)
    system.git("branch", "side")
    changed(system, "a1", list__txt=LINES.replace("line 7", "ONE"))
    said = system.json("merge", "predict", "side", "a1")
    equal([m["state"] for m in said["merges"]], ["up_to_date", "would_merge"])
    said = system.json("merge", "predict", "nothing-of-that-name", "a1")
    equal(said["merges"][0]["state"], "error")
    assert "nothing-of-that-name" in said["merges"][0]["error"], said
    equal(said["order"], ["a1", "nothing-of-that-name"])
    equal(system.ctl("merge", "predict", check=False).returncode, 2)
    system.refused("Invalid", "merge", "predict", *[f"b{i}" for i in range(21)], says="from 1 to 20")


main()
