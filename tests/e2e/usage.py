#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/USAGE.md: its commands are run in their order, and what it shows is what comes out.

Ids, times and process numbers differ from run to run and are not compared. Started by hand with
AGENTFS_USAGE_WRITE=1 and PYTHONPATH=tests/lib it writes the file's output anew: do that after a change of what a
command prints, and read the difference.
"""
import os
import re

from harness import *
import daemon

FILE = os.path.join(SOURCE, "docs/USAGE.md")
BLOCK = re.compile(r"(^```console\n)(.*?)(^```)", re.M | re.S)
MARK = "----usage----"


def commands(block):
    """[(command, what the file shows for it)]"""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def same(text):
    """What must be equal from run to run."""
    for pattern, by in ((r"\b[0-9a-f]{7,40}\b", "ID"), (r"\b(now|\d+ (s|min|h|d) ago)(?=\s|$)", "AGO"),
                        (r"\w{3} \d\d \d\d:\d\d:\d\d\.\d{3}", "TIME"), (r"\[\d+\]", "[PID]"), (r"\bline \d+: ", ""),
                        (r"\d+ B\b|[\d.]+ KiB", "BYTES"), (r"(?m)^user .*", "USER"), (r"uid \d+", "UID"),
                        (r"[ \t]+", " ")):
        text = re.sub(pattern, by, text)
    return [line.rstrip() for line in text.strip().splitlines()]


def play(system, all_commands):
    """Runs them in one shell; their output, with the paths of the file."""
    lines = ["cd " + system.repo, "exec 2>&1"]
    for command, _ in all_commands:
        lines += [f"echo {MARK}", command.replace("/srv/project", system.repo).replace("/agents/", system.mounts + "/")]
    env = {"PATH": os.path.join(BUILD, "tools") + ":" + os.environ["PATH"], "AGENTFS_SOCKET": system.socket,
           "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    out = run("bash", "-c", "\n".join(lines), cwd=system.repo, check=False, env=env).stdout
    out = out.replace(system.mounts, "/agents").replace(system.repo, "/srv/project")
    return [part.strip("\n") for part in out.split(MARK + "\n")[1:]]


def test_usage__shows_what_comes_out(tmp):
    if not ROOT:
        raise Skip("SKIP-KERNEL: the page shows what root sees: others are refused by mode bits, at open", kernel=True)
    text = get(FILE)
    all_commands = [c for m in BLOCK.finditer(text) for c in commands(m.group(2))]
    assert len(all_commands) >= 20, "docs/USAGE.md has fewer commands than it should"
    system = daemon.System(tmp).start()
    try:
        shown = play(system, all_commands)
    finally:
        system.stop()
    equal(len(shown), len(all_commands), "commands that ran")
    if os.environ.get("AGENTFS_USAGE_WRITE"):
        new = iter(shown)
        write = lambda m: m.group(1) + "".join(f"$ {c}\n{o}\n" if o else f"$ {c}\n" for (c, _), o in
                                               ((c, next(new)) for c in commands(m.group(2)))) + m.group(3)
        put(FILE, BLOCK.sub(write, text))
        return
    for (command, want), got in zip(all_commands, shown):
        equal(same(got), same("\n".join(want)), f"the output of '{command}' (docs/USAGE.md)")


def test_usage__knows_every_command(tmp):
    text = get(FILE)
    names = re.findall(r"^## ([a-z]+(?: [a-z]+)?)$", get(os.path.join(SOURCE, "docs/COMMANDS.md")), re.M)
    assert len(names) > 20, names
    for word in names:
        assert f"agentfsctl {word}" in text, f"docs/USAGE.md does not show '{word}'"


main()
