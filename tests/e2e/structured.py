#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/grammars, and structured merges where its grammars are and where they are not."""
import hashlib
import json
import os
import shutil

from harness import *
from resolving import need_grammars

BASE = "int a(void)\n{\n\treturn 0;\n}\n"
OURS = BASE + "\nint ours(void)\n{\n\treturn 1;\n}\n"
THEIRS = BASE + "\nint theirs(void)\n{\n\treturn 2;\n}\n"


def merge(tmp, name="a.c"):
    for n, text in (("base", BASE), ("ours", OURS), ("theirs", THEIRS)):
        put(os.path.join(tmp, n), text)
    return run(program("agentfs-merge"), "--print", "--cost-of-wrong", "1000", "base", "ours", "theirs", name, cwd=tmp,
               check=False)


def test_structured__is_said_where_its_record_does_not_suffice(tmp):
    need_grammars()
    done = merge(tmp)
    equal(done.returncode, 1, done.stderr)
    assert "resolver structured-add" in done.stderr, done.stderr


def test_structured__no_profile_means_no_answer(tmp):
    need_grammars()
    assert "structured" not in merge(tmp, "a.unknown").stderr


def test_doctor__says_whether_grammars_are_there(system):
    checks = json.loads(system.ctl("doctor", "--json").stdout)["checks"]
    found = [c for c in checks if c["name"] == "grammars"]
    equal(len(found), 1, checks)
    there = os.path.exists(os.path.join(BUILD, "grammars", "libtree-sitter.so"))
    equal(found[0]["state"], "ok" if there else "warning")


def fake_tools(tmp, npm, lock=None):
    """tools/grammars with a lock file of its own and an npm that is a script; what it is run with."""
    tools = os.path.join(tmp, "source", "tools")
    os.makedirs(tools)
    shutil.copy(os.path.join(SOURCE, "tools", "grammars"), tools)
    put(os.path.join(tools, "grammars.lock"), lock or get(os.path.join(SOURCE, "tools", "grammars.lock")))
    bin_ = os.path.join(tmp, "bin")
    os.makedirs(bin_)
    for name in ("bash", "sh", "nproc", "sha512sum", "mkdir", "mktemp", "rm", "grep", "awk", "sort", "xargs", "tar", "gzip",
                 "install", "mv", "cc", "as", "ld", "tail", "head", "dirname", "cat", "cp"):
        if shutil.which(name):
            os.symlink(os.path.realpath(shutil.which(name)), os.path.join(bin_, name))
    if npm is not None:
        put(os.path.join(bin_, "npm"), "#!/bin/bash\n" + npm)
        os.chmod(os.path.join(bin_, "npm"), 0o755)
    return run(os.path.join(tools, "grammars"), os.path.join(tmp, "out"), check=False,
               env={"PATH": bin_, "TMPDIR": tmp, "HOME": tmp, "LC_ALL": "C.UTF-8"})


def objects(tmp):
    out = os.path.join(tmp, "out")
    return sorted(n for n in os.listdir(out)) if os.path.isdir(out) else []


def test_grammars__without_npm_is_one_sentence(tmp):
    done = fake_tools(tmp, None)
    equal(done.returncode, 1)
    equal(done.stderr.count("\n"), 1, done.stderr)
    assert "npm is missing: no grammars, so no structured merge" in done.stderr, done.stderr
    equal(objects(tmp), [])


def test_grammars__without_network_is_one_sentence(tmp):
    done = fake_tools(tmp, "echo 'npm error network is unreachable' >&2\nexit 1\n")
    equal(done.returncode, 1)
    assert done.stderr.startswith("agentfs: npm could not fetch the grammars"), done.stderr
    assert "unreachable" in done.stderr, done.stderr
    equal(objects(tmp), [])


def test_grammars__another_hash_is_not_compiled(tmp):
    package = os.path.join(tmp, "fake-1.0.0.tgz")
    put(package, "not what it should be")
    lock = "evil src fake 1.0.0 " + "0" * 128 + "\n"
    done = fake_tools(tmp, f"cp {package} .\n", lock)
    equal(done.returncode, 1)
    assert "its hash differs; it was not compiled" in done.stderr, done.stderr
    equal(objects(tmp), [])


def test_grammars__are_compiled_once(tmp):
    where = os.path.join(tmp, "pack", "package")
    os.makedirs(os.path.join(where, "src"))
    put(os.path.join(where, "src", "parser.c"), "void *tree_sitter_tiny(void) { return 0; }\n")
    put(os.path.join(where, "LICENSE"), "MIT\n")
    package = os.path.join(tmp, "scope-tiny-1.0.0.tgz")
    run("tar", "-czf", package, "-C", os.path.dirname(where), "package")
    with open(package, "rb") as f:
        lock = f"# comment\ntiny src @scope/tiny 1.0.0 {hashlib.sha512(f.read()).hexdigest()}\n"
    done = fake_tools(tmp, f"cp {package} .\necho x >>{tmp}/called\n", lock)
    equal(done.returncode, 0, done.stderr)
    equal(objects(tmp), [".lock", "tiny.LICENSE", "tiny.so"])
    again = run(os.path.join(tmp, "source/tools/grammars"), os.path.join(tmp, "out"), check=False)
    equal(again.returncode, 0, again.stderr)
    equal(get(os.path.join(tmp, "called")), "x\n")


main()
