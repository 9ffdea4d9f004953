# SPDX-License-Identifier: Apache-2.0
"""A repository with one conflict, a daemon, and resolvers of a test's choice."""
import contextlib
import json
import os

import daemon
import repos
from harness import BUILD, Skip, equal, program, put
import tree

KEY = "sk-test-0815-not-to-be-found"
BASE = "int work(int n)\n{\n\tint total = count(n);\n\n\treturn total;\n}\n"
OURS = BASE.replace("count(n)", "count(n, limit)")
THEIRS = BASE.replace("count(n)", "count(n) + extra")
BOTH = BASE.replace("count(n)", "count(n, limit) + extra")
LINE = "\tint total = count(n, limit) + extra;\n"
NEW = {"class": "new", "text": LINE, "confidence": 0.9, "reason": "both are wanted"}
LINES = "one\ntwo\nthree\nfour\n"


def need_parts():
    with contextlib.suppress(AssertionError):
        return program("agentfs-resolve-openai")
    raise Skip("built without libcurl")


def need_grammars():
    folder = os.path.join(BUILD, "grammars")
    if not os.path.exists(os.path.join(folder, ".lock")):
        raise Skip(f"needs the grammars: run tools/grammars {folder}")


def openai(server, **more):
    keys = {"name": "gpt", "adapter": "openai", "model": "m-1", "url": server.url("openai"), "key-env": "MY_KEY",
            "network": True, "timeout": 20, **more}
    return json.dumps(keys)  # JSON is YAML


def config(*resolvers, **more):
    more = "".join(f"  {k.replace('_', '-')}: {json.dumps(v)}\n" for k, v in more.items())
    return f"merge:\n{more}  resolvers:\n" + "".join(f"    - {r}\n" for r in resolvers)


@contextlib.contextmanager
def system_with(tmp, text, base=BASE, ours=OURS, theirs=THEIRS, path="work.c", key=KEY, files=None):
    need_parts()
    repo = os.path.join(tmp, "repo")
    repos.make(repo, {path: base, **(files or {})})

    def commit(branch, text, message):
        repos.git(repo, "checkout", "-q", *branch)
        put(os.path.join(repo, path), text)
        repos.git(repo, "commit", "-qam", message)
    commit(["-b", "topic"], theirs, "add what is extra")
    commit(["main"], ours, "limit what is counted\n\nAgent: carol\nTask: limits\n")
    system = daemon.System(tmp, config=text, repo=repo)
    with environment(MY_KEY=key):
        system.start()
    try:
        yield system
    finally:
        system.stop()


@contextlib.contextmanager
def environment(**values):
    before = {k: os.environ.get(k) for k in values}
    os.environ.update({k: v for k, v in values.items() if v is not None})
    try:
        yield
    finally:
        for k, v in before.items():
            os.environ.pop(k, None)
            if v is not None:
                os.environ[k] = v


def merge(system, *more, status=0):
    done = system.ctl("--json", "merge", "topic", "--into", "main", *more, check=False)
    equal(done.returncode, status, done.stdout + done.stderr)
    return json.loads(done.stdout)["merges"][0]


def kept_as_it_was(system, before, said):
    equal(said["state"], "conflict")
    equal(tree.differences(before, tree.picture(system.repo)), [], "a conflict changes nothing")


def rejections(said):
    return [r["why"] for h in said["conflicts"][0]["hunks"] for r in h.get("rejected", [])]
