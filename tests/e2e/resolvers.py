#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shipped resolvers alone: what they tell a model, what they make of its words, and where keys go."""
import contextlib
import json
import os
import stat
import time

from fake_llm import HANG, Model, Raw, Status
from harness import *

KEY = "sk-very-secret-4711"
DIALECTS = ("openai", "anthropic")
REQUEST = {
    "protocol": 1, "ask": "class", "path": "src/a.c", "language": "c", "attempt": 1, "sample": 1,
    "classes": ["ours", "theirs", "both", "base", "new"], "rejected": None, "verify_output": None,
    "conflict": {"line": 9, "base": "x = 1;\n", "ours": "x = 2;\n", "theirs": "x = 3;\n", "before": "above;\n",
                 "after": "below;\n", "enclosing": "int main(void)"},
    "ours": {"branch": "main", "agent": None, "role": None, "task": None, "messages": ["double it"], "diff": "-x\n+y\n"},
    "theirs": {"branch": "agents/bob/t", "agent": "bob", "role": "builder", "task": "triple", "messages": [],
               "diff": ""},
    "candidates": [{"resolver": "adjacent", "does": "neighbouring lines", "fired": 9, "right": 8, "text": "x = 23;\n"}],
    "history": [{"path": "src/b.c", "base": "p\n", "ours": "q\n", "theirs": "r\n", "kept": "s\n", "similarity": 0.5}],
}


def need_http():
    with contextlib.suppress(AssertionError):
        return program("agentfs-resolve-openai")
    raise Skip("built without libcurl")


def ask(model, dialect, *more, request=REQUEST, key=KEY, timeout=20):
    need_http()
    return run(program(f"agentfs-resolve-{dialect}"), "--url", model.url(dialect), "--model", "m-1", "--key-env",
               "MY_KEY", "--timeout", str(timeout), *more, input=json.dumps(request), check=False,
               env={"MY_KEY": key} if key else None)


def fails_with(done, *words):
    equal(done.returncode, 1, done.stdout + done.stderr)
    equal(done.stdout, "")
    for word in words:
        assert word in done.stderr, done.stderr
    equal(len(done.stderr.strip().splitlines()), 1, done.stderr)
    assert KEY not in done.stderr, "the key is in the error"


def test_http__both_dialects_ask_and_answer(tmp):
    want = {"class": "theirs", "confidence": 0.75, "reason": "three is more", "more": "dropped"}
    for dialect in DIALECTS:
        with Model(lambda call: want) as m:
            done = ask(m, dialect)
            equal(done.returncode, 0, done.stderr)
            equal(json.loads(done.stdout),
                  {"class": "theirs", "confidence": 0.75, "reason": "three is more", "tokens": 123})
            call = m.calls[0]
            equal((call["dialect"], call["model"]), (dialect, "m-1"))
            equal(call["headers"]["authorization" if dialect == "openai" else "x-api-key"],
                  f"Bearer {KEY}" if dialect == "openai" else KEY)
            for piece in ("File: src/a.c (c)", "BEGIN ours\nx = 2;\nEND ours", "BEGIN theirs\nx = 3;\n", "agent: bob",
                          "task: triple", "It is in: int main(void)", "double it", "right in 8 of 9", "x = 23;",
                          "BEGIN past kept\ns\n", "above;", "below;"):
                assert piece in call["user"], (piece, call["user"])
            assert '"none"' in call["system"]


def test_http__what_is_asked_decides_what_is_told(tmp):
    with Model(lambda call: {"class": "new", "text": "x = 6;\n"}) as m:
        equal(ask(m, "openai", request={**REQUEST, "ask": "text", "rejected": "it was empty"}).returncode, 0)
        assert "new text has to hold" in m.calls[0]["system"]
        assert "rejected: it was empty." in m.calls[0]["user"]
        files = {"base": "b\n", "ours": "o\n", "theirs": "t\n"}
        equal(ask(m, "openai", request={**REQUEST, "ask": "file", "files": files, "conflict": None,
                                        "verify_output": "test 3 failed\n"}).returncode, 0)
        assert "the whole file" in m.calls[1]["system"]
        assert "BEGIN file as in theirs\nt\n" in m.calls[1]["user"] and "test 3 failed" in m.calls[1]["user"]


def test_http__a_fence_around_the_object_is_taken_off_and_prose_is_no_answer(tmp):
    with Model(lambda call: ['```json\n{"class": "ours"}\n```', "Sure! I would take ours.", "[1]", ""][call["n"] - 1]) as m:
        equal(json.loads(ask(m, "openai").stdout)["class"], "ours")
        fails_with(ask(m, "openai"), "did not answer with a JSON object")
        fails_with(ask(m, "openai"), "did not answer with a JSON object")
        fails_with(ask(m, "openai"), "did not answer with a JSON object")


def test_http__busy_and_broken_servers_are_asked_again_and_then_given_up(tmp):
    for dialect in DIALECTS:
        with Model(lambda call: Status(429, "slow down", Retry_After="1") if call["n"] == 1 else {"class": "ours"}) as m:
            equal(ask(m, dialect).returncode, 0)
            equal(len(m.calls), 2)
        with Model(lambda call: Status(500, "oh no")) as m:
            fails_with(ask(m, dialect), "the server failed (HTTP 500): oh no")
            equal(len(m.calls), 3)
        with Model(lambda call: Status(429, "slow down", Retry_After="3000")) as m:
            fails_with(ask(m, dialect), "fewer calls (HTTP 429)")
            equal(len(m.calls), 1, "calls where the time does not allow to wait")


def test_http__a_refused_key_is_never_repeated(tmp):
    for code in (401, 403, 400):
        with Model(lambda call: Status(code, f"your key {KEY} is wrong")) as m:
            fails_with(ask(m, "openai"), f"HTTP {code}")
            equal(len(m.calls), 1)


def test_http__hangs_garbage_and_floods_end(tmp):
    with Model(lambda call: HANG) as m:
        begun = time.monotonic()
        fails_with(ask(m, "openai", timeout=1), "no answer within 1 s")
        assert time.monotonic() - begun < 10
    for dialect in DIALECTS:
        with Model(lambda call: Raw(b"\x00\xff<html>")) as m:
            fails_with(ask(m, dialect), "is no JSON object")
        with Model(lambda call: Raw(b"[]")) as m:
            fails_with(ask(m, dialect), "is no JSON object")
        with Model(lambda call: Raw(b"{}")) as m:
            fails_with(ask(m, dialect), "the server's answer has no")
        with Model(lambda call: Raw(b"x" * (1 << 20), chunks=12)) as m:
            fails_with(ask(m, dialect), "more than")


def test_http__keys_go_over_https_only_and_have_to_be_there(tmp):
    with Model(lambda call: {"class": "ours"}) as m:
        fails_with(ask(m, "openai", key=None), "MY_KEY", "is not set")
        fails_with(ask(m, "openai", key="two\nlines"), "has bytes that no key has")
        equal(m.calls, [])
    need_http()
    done = run(program("agentfs-resolve-openai"), "--url", "http://model.invalid/v1", "--model", "m", "--key-env", "MY_KEY",
               input=json.dumps(REQUEST), check=False, env={"MY_KEY": KEY})
    fails_with(done, "over https only")
    done = run(program("agentfs-resolve-openai"), "--url", "http://127.0.0.1.model.invalid/v1", "--model", "m", "--key-env",
               "MY_KEY", input=json.dumps(REQUEST), check=False, env={"MY_KEY": KEY})
    fails_with(done, "over https only")


def test_http__no_request_of_the_protocol_is_no_call(tmp):
    with Model(lambda call: {"class": "ours"}) as m:
        fails_with(ask(m, "openai", request={**REQUEST, "protocol": 2}), "protocol version 1")
        fails_with(ask(m, "openai", request=[]), "protocol version 1")
        equal(m.calls, [])
        done = run(program("agentfs-resolve-openai"), "--wrong", input="", check=False)
        equal(done.returncode, 2)
        assert "usage:" in done.stderr


def agent(tmp, script):
    path = os.path.join(tmp, "agent.sh")
    put(path, "#!/bin/bash\n" + script)
    os.chmod(path, 0o755)
    return path


def ask_command(*command, timeout=20):
    return run(program("agentfs-resolve-command"), "--timeout", str(timeout), "--", *command, input=json.dumps(REQUEST),
               check=False)


def test_command__prompt_in_answer_out(tmp):
    path = agent(tmp, 'cat >"$1"; echo \'{"class": "both", "reason": "why not"}\'')
    heard = os.path.join(tmp, "heard")
    done = ask_command(path, heard)
    equal((done.returncode, json.loads(done.stdout)), (0, {"class": "both", "reason": "why not"}), done.stderr)
    assert "BEGIN theirs\nx = 3;\n" in get(heard)
    # One that reads nothing is none the worse for it.
    equal(ask_command(agent(tmp, 'echo \'{"class": "ours"}\'')).returncode, 0)


def test_command__what_hangs_floods_fails_or_is_not_there(tmp):
    marker = f"{os.getpid()}.25"
    fails_with(ask_command(agent(tmp, f"sleep {marker} & sleep {marker}"), timeout=1), "no answer within 1 s")

    def asleep():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if marker in open(f"/proc/{pid}/cmdline").read():
                    found.append(pid)
        return found
    wait_for(lambda: not asleep(), what="what the agent started is gone")
    fails_with(ask_command("yes"), "printed more than")
    fails_with(ask_command(agent(tmp, "exit 3")), "failed (exit 3)")
    fails_with(ask_command(agent(tmp, "echo I cannot tell.")), "did not answer with a JSON object")
    fails_with(ask_command(os.path.join(tmp, "none")), "cannot start", "No such file")


main()
