#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Resolvers that are no good, what they may cost, and their keys, which are nowhere to be found."""
import contextlib
import json
import os
import subprocess
import time

from fake_llm import HANG, Model, Raw, Status
from harness import *
from resolving import *
import tree


# ---- servers that are no good ----

def failing(tmp, answer, *words, calls=1, **more):
    with Model(answer) as m, system_with(tmp, config(openai(m, **more))) as system:
        before = tree.picture(system.repo)
        said = merge(system, status=1)
        kept_as_it_was(system, before, said)
        notes = " ".join(said["notes"])
        for word in ("resolver 'gpt': ", *words):
            assert word in notes, (word, notes)
        equal(len(said["asked"]), 1, "one that fails is not asked again")
        equal(len(m.calls), calls)


def test_server__fails_with_500(tmp):
    failing(tmp, lambda call: Status(500, "oh no"), "the server failed (HTTP 500): oh no", calls=3)


def test_server__asks_to_wait_for_too_long(tmp):
    failing(tmp, lambda call: Status(429, "later", Retry_After="600"), "fewer calls (HTTP 429)")


def test_server__hangs(tmp):
    begun = time.monotonic()
    failing(tmp, lambda call: HANG, "no answer within 1 s", timeout=1)
    assert time.monotonic() - begun < 30


def test_server__sends_garbage_or_a_flood(tmp):
    failing(tmp, lambda call: Raw(b"\xff\x00<html>"), "no JSON object")


def test_server__floods(tmp):
    failing(tmp, lambda call: Raw(b"x" * (1 << 20), chunks=12), "more than")


def test_server__its_key_is_not_set(tmp):
    with Model(lambda call: NEW) as m, system_with(tmp, config(openai(m)), key=None) as system:
        said = merge(system, status=1)
        assert "the environment variable MY_KEY, which holds its key, is not set" in " ".join(said["notes"]), said["notes"]
        equal(m.calls, [])
        doctor = system.ctl("doctor", check=False).stdout
        assert "resolver 'gpt': the environment variable MY_KEY" in doctor, doctor


# ---- commands ----

def script(tmp, text):
    path = os.path.join(tmp, "resolver.sh")
    put(path, "#!/bin/bash\n" + text)
    os.chmod(path, 0o755)
    return path


def command_config(path, **more):
    return config(json.dumps({"name": "own", "command": [path], "timeout": 5, **more}))


def say(answer):
    return "cat >/dev/null\nprintf '%s' '" + json.dumps(answer) + "'\n"


def test_command__speaks_the_protocol_and_sees_nothing_but_what_it_is_given(tmp):
    path = script(tmp, f"""
        request=$(cat)
        [[ $request == '{{"protocol":1,"ask":"class","path":"work.c"'* ]] || exit 9
        seen=$(ls -A / "{tmp}/repo" "{tmp}/state" ~ 2>/dev/null | grep -E 'work.c|agentfs.db')
        [[ -z $seen ]] || {{ echo "it saw $seen" >&2; exit 8; }}
        (exec 3<>/dev/tcp/127.0.0.1/$(cat "{tmp}/given/port")) 2>/dev/null && {{ echo "it has a network" >&2; exit 7; }}
        touch "{tmp}/given/mine" 2>/dev/null && exit 6
        [[ -z $(env | grep -c SECRET) || $(env | grep -c SECRET) == 0 ]] || exit 5
        printf '%s' '{json.dumps(NEW)}'
    """)
    os.makedirs(os.path.join(tmp, "given"))
    with Model(lambda call: NEW) as m:
        put(os.path.join(tmp, "given", "port"), str(m.server.server_address[1]))
        with environment(MY_SECRET="x"), \
                system_with(tmp, command_config(path, read=[os.path.join(tmp, "given")])) as system:
            said = merge(system)
            equal((said["state"], said["resolved"][0]["conflicts"][0]["resolver"]), ("merged", "ai:own"), said)
            equal(m.calls, [])


def test_command__hangs_floods_forks_fails_or_talks(tmp):
    asleep = f"{os.getpid()}.5"
    cases = [("cat >/dev/null; sleep 600", "no answer within 1 s"),
             ("cat >/dev/null; yes", "it printed more than"),
             (f"setsid sleep {asleep} & disown; exit 3", "it failed (exit 3)"),
             ("echo 'dying of it' >&2; kill -9 $$", "it failed (exit 137): dying of it"),
             ("true", None)]
    path = script(tmp, "true")
    with system_with(tmp, command_config(path, timeout=1)) as system:
        for text, want in cases:
            script(tmp, text + "\n")
            said = merge(system, status=1)
            if want:
                assert want in " ".join(said["notes"]), (text, said["notes"])
            else:
                assert "it is no JSON object" in rejections(said), said
        with contextlib.suppress(FileNotFoundError):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    assert asleep not in open(f"/proc/{pid}/cmdline").read(), "what it forked lives on"


def test_command__an_agent_on_the_command_line_is_wrapped(tmp):
    path = script(tmp, "grep -q 'BEGIN theirs' && " + say(NEW).replace("cat >/dev/null\n", ""))
    with system_with(tmp, config(json.dumps({"name": "cli", "adapter": "command", "command": [path]}))) as system:
        equal(merge(system)["resolved"][0]["conflicts"][0]["resolver"], "ai:cli")


def test_command__only_for_the_languages_and_paths_it_is_for(tmp):
    path = script(tmp, say(NEW))
    for more in ({"languages": ["python"]}, {"paths": ["src/**"]}, {"paths": ["*.c", "!work.c"]}):
        folder = os.path.join(tmp, str(len(os.listdir(tmp))))
        os.makedirs(folder)
        with system_with(folder, command_config(path, **more)) as system:
            equal(merge(system, status=1).get("asked"), None)


# ---- money ----

def test_budget__of_a_merge_ends_it(tmp):
    with Model(lambda call: NEW) as m, system_with(tmp, config(openai(m), budget={"merge": {"calls": 1}})) as system:
        said = merge(system, status=1)
        assert "used up (calls of a merge)" in " ".join(said["notes"]), said["notes"]
        equal(len(m.calls), 1)


def test_budget__of_a_day_lasts_over_merges_and_restarts(tmp):
    with Model(lambda call: {**NEW, "class": "none"}) as m, \
            system_with(tmp, config(openai(m), budget={"day": {"calls": 3}})) as system:
        for calls in (1, 2):
            merge(system, status=1)
            equal(len(m.calls), calls)
        with environment(MY_KEY=KEY):
            system.restart()
        merge(system, status=1)
        said = merge(system, status=1)
        assert "used up (calls of the day)" in " ".join(said["notes"]), said["notes"]
        equal(len(m.calls), 3)


def test_budget__tokens_count(tmp):
    with Model(lambda call: NEW) as m, system_with(tmp, config(openai(m), budget={"merge": {"tokens": 100}})) as system:
        said = merge(system, status=1)
        assert "used up (tokens of a merge)" in " ".join(said["notes"]), said["notes"]
        equal(len(m.calls), 1)


def test_budget__a_dry_run_costs_nothing_unless_it_is_told_to(tmp):
    with Model(lambda call: NEW) as m, system_with(tmp, config(openai(m))) as system:
        said = merge(system, "--dry-run", status=1)
        equal((said["state"], m.calls), ("conflict", []))
        assert "asks no resolver about the 1 conflict that no rule resolves: --ask-models does" in " ".join(said["notes"])
        said = merge(system, "--dry-run", "--ask-models")
        equal((said["state"], said["tier"], len(m.calls)), ("would_merge", "ai-resolve", 2))
        equal(get(os.path.join(system.repo, "work.c")), OURS)


def test_budget__nobody_is_asked_where_it_cannot_help(tmp):
    with Model(lambda call: NEW) as m, system_with(tmp, config(openai(m)), files={"pic": b"\0\1\2"}) as system:
        for branch, data in (("topic", b"\0theirs"), ("main", b"\0ours")):
            system.git("checkout", "-q", branch)
            put(os.path.join(system.repo, "pic"), data)
            system.git("commit", "-qam", "a picture")
        said = merge(system, status=1)
        equal(m.calls, [])
        assert "'pic' is a conflict that none can resolve" in " ".join(said["notes"]), said["notes"]


# ---- keys ----

def test_key__is_nowhere_but_on_its_way_to_the_server(tmp):
    seen = []

    def answer(call):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if KEY.encode() in open(f"/proc/{pid}/cmdline", "rb").read():
                    seen.append(pid)
        return [Status(401, f"wrong key {KEY}"), {**NEW, "text": KEY, "reason": KEY}, Status(400, KEY),
                NEW][min(call["n"], 4) - 1]
    with Model(answer) as m, system_with(tmp, config(openai(m))) as system:
        printed = []
        for i in range(4):
            done = system.ctl("--json", "merge", "topic", "--into", "main", check=False)
            printed.append(done.stdout + done.stderr)
            equal(done.returncode, 0 if i == 3 else 1, done.stdout)
        equal([c["headers"]["authorization"] for c in m.calls], [f"Bearer {KEY}"] * len(m.calls))
        equal(len(m.calls), 5)
        assert "its answer holds its key" in printed[1], printed[1]
        equal(seen, [], "processes with the key on their command line")
        for text in (*printed, system.ctl("merge", "history").stdout, system.ctl("merge", "explain", "1").stdout):
            assert KEY not in text, text
    found = subprocess.run(["grep", "-rlaF", KEY, tmp], capture_output=True, text=True).stdout
    equal(found, "", "files with the key")


main()
