#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tier 4: a file written anew, where what lands is verified."""
import json
import os
import re

from fake_llm import Model
from harness import *
from resolving import *


# ---- tier 4 ----

def reimagine_config(model):
    return config(openai(model), reimagine=True)


def test_reimagine__needs_a_verify_command(tmp):
    with Model(lambda call: {"class": "none"}) as m, system_with(tmp, reimagine_config(m)) as system:
        said = merge(system, status=1)
        assert "'work.c' was not reimagined: that needs a verify command for 'main', and none is configured" in said["notes"], \
            said["notes"]


def test_reimagine__writes_the_file_anew_and_says_from_what(tmp):
    """The worker alone: what it makes is to be verified before it lands."""
    anew = "int work(int n)\n{\n\tint total = count(n, limit);\n\n\ttotal += extra;\n\treturn total;\n}\n"

    def answer(call):
        if "Write the file anew" not in call["system"]:
            return {"class": "none", "reason": "not by line"}
        return {"class": "new", "file": anew if "rejected" in call["user"] else OURS}
    with Model(answer) as m, system_with(tmp, reimagine_config(m)) as system:
        said = worker(system, m, hold=True, verify=True)
        equal((said["tier"], said["needs_verify"]), ("reimagine", True))
        file = said["resolved"][0]
        equal((file["path"], file["tier"], file["conflicts"][0]["text"]), ("work.c", "reimagine", anew))
        assert "agentfs-resolve-openai --timeout 20" in file["command"] and "m-1" in file["command"], file["command"]
        equal([a["ask"] for a in said["asked"]], ["class", "file", "file"])
        assert "it lacks 'extra'" in m.calls[2]["user"]
        commit = said["commit"] or said["would"]
        message = system.git("log", "-1", "--format=%B", commit)
        blobs = [system.git("rev-parse", f"{rev}:work.c")[:10] for rev in ("main~1", "main", "topic")]
        assert re.search(r"\nTier: reimagine\nReimagined: work.c \(base {}, ours {}, theirs {}, by agentfs-resolve-openai "
                         .format(*blobs), message) or "Reimagined: work.c (base " in message, message
        equal(system.git("show", f"{commit}:work.c") + "\n", anew)


ANEW = "int work(int n)\n{\n\tint total = count(n, limit);\n\n\ttotal += extra;\n\treturn total;\n}\n"


def landing(tmp, command, state, **more):
    """The whole way: merged, verified by the command, landed or not. Returns what was said, and main's tip before."""
    def answer(call):
        return {"class": "new", "file": ANEW} if "Write the file anew" in call["system"] else {"class": "none"}
    verify = f"verify: {{main: {{command: {json.dumps(command)}, timeout: 60}}}}\n"
    with Model(answer) as m, system_with(tmp, verify + reimagine_config(m), **more) as system:
        tip = system.git("rev-parse", "main")
        said = merge(system, status=0 if state == "merged" else 1)
        equal(said["state"], state, str(said))
        equal(system.git("status", "--porcelain"), "")
        shown = system.ctl("merge", "explain", str(said["merge"])).stdout
        if state == "conflict":
            equal((system.git("rev-parse", "main"), get(os.path.join(system.repo, "work.c"))), (tip, OURS))
            return said, shown
        equal(get(os.path.join(system.repo, "work.c")), ANEW)
        parents = system.git("log", "-1", "--format=%P", "main").split()
        equal(parents, [tip, system.git("rev-parse", "topic")])
        message = system.git("log", "-1", "--format=%B", "main")
        blobs = [system.git("rev-parse", f"{rev}:work.c")[:10] for rev in ("main~2", "main~1", "topic")]
        assert "\nTier: reimagine\nReimagined: work.c (base {}, ours {}, theirs {}, by ".format(*blobs) in message, message
        return said, shown


def test_reimagine__lands_what_the_verify_command_passes(tmp):
    said, shown = landing(tmp, "grep -q 'total += extra' work.c", "merged")
    equal((said["tier"], said["resolved"][0]["conflicts"][0]["basis"]), ("reimagine", "verify"))
    assert "reimagine" in shown and "verified before it landed" in shown, shown


def test_reimagine__what_does_not_pass_is_a_conflict_that_says_so(tmp):
    said, shown = landing(tmp, "! grep -n 'total += extra' work.c", "conflict")
    note = "what ai:gpt had resolved was left out: with what it made of 'work.c' the verify command fails: 5:"
    assert any(note in n for n in said["notes"]), said["notes"]
    assert note in shown, shown
    equal([c["path"] for c in said["conflicts"]], ["work.c"])


def test_reimagine__what_drops_a_name_is_a_conflict(tmp):
    def answer(call):
        return {"class": "new", "file": OURS} if "Write the file anew" in call["system"] else {"class": "none"}
    with Model(answer) as m, system_with(tmp, reimagine_config(m)) as system:
        said = worker(system, m, hold=True, verify=True)
        equal(said["state"], "conflict")
        assert "'work.c' was not reimagined by 'gpt': it lacks 'extra', which the source added" in said["notes"], said["notes"]


def worker(system, model, **more):
    """Op merge as a dry run, as the daemon asks it where what is made is verified."""
    request = {"op": "merge", "state": system.state, "peer_uid": os.getuid(), "peer_gid": os.getgid(), "repo": system.repo,
               "source": "topic", "into": "main", "dry_run": True, "cost_of_wrong": 5, "agent": "", "task": "",
               "ai": {"ask": True, "reimagine": True, "reservation": 1,
                      "budget": {"calls": 20, "ms": 600000, "tokens": 100000},
                      "resolvers": [{"name": "gpt", "timeout": 20, "network": True, "languages": [], "paths": [], "read": [],
                                     "programs": [program("agentfs-resolve-openai")], "key_env": "MY_KEY", "key": KEY,
                                     "argv": [program("agentfs-resolve-openai"), "--timeout", "20", "--url",
                                              model.url("openai"), "--model", "m-1", "--key-env", "MY_KEY"]}]}, **more}
    done = run(program("agentfs-worker"), input=json.dumps(request), check=False)
    assert KEY not in done.stdout + done.stderr, done.stdout + done.stderr
    last = json.loads(done.stdout.strip().splitlines()[-1])
    assert "ok" in last, last
    equal(last["ok"]["ai_spent"]["reservation"], 1)
    return last["ok"]


main()
