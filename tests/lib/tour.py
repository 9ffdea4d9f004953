# SPDX-License-Identifier: Apache-2.0
"""Pages of docs/ whose commands are run in their order: what they show is what comes out.

Ids, times, process numbers, counts of records and the like differ from run to run and are not compared. With
AGENTFS_USAGE_WRITE=1 (and PYTHONPATH=tests/lib, where a test is started by hand) the page's output is written anew: do
that after a change of what a command prints, and read the difference.
"""
import os
import re

from harness import BUILD, SOURCE, equal, get, put, run

BLOCK = re.compile(r"(^```console\n)(.*?)(^```)", re.M | re.S)
MARK = "----tour----"
VARIES = ((r"\b[0-9a-f]{7,40}\b", "ID"), (r"\b(now|\d+ (s|min|h|d) ago)(?=\s|$)", "AGO"),
          (r"\w{3} \d\d \d\d:\d\d:\d\d\.\d{3}", "TIME"), (r"\[\d+\]", "[PID]"), (r"\bline \d+: ", ""),
          (r"\d+ B\b|[\d.]+ KiB", "BYTES"), (r"(?m)^user .*", "USER"), (r"uid \d+", "UID"),
          (r"right in \d+ of \d+", "RECORD"), (r"\d+\.\d s\b", "SECONDS"), (r"\b\d+ ms\b", "MS"), (r"\b\d+ tokens\b", "TOKENS"), (r"[ \t]+", " "))


def page(name):
    return os.path.join(SOURCE, "docs", name)


def blocks(text, language):
    """The page's other blocks: configuration, scripts."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def commands(block):
    """[(command, what the page shows for it)]"""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def same(text):
    """What must be equal from run to run."""
    for pattern, by in VARIES:
        text = re.sub(pattern, by, text)
    return [line.rstrip() for line in text.strip().splitlines()]


def play(system, all_commands, paths):
    """Runs them in one shell; their output, with the paths of the page."""
    lines = ["cd " + system.repo, "exec 2>&1"]
    for command, _ in all_commands:
        for shown, real in paths.items():
            command = command.replace(shown, real)
        lines += [f"echo {MARK}", command]
    env = {"PATH": os.path.join(BUILD, "tools") + ":" + os.environ["PATH"], "AGENTFS_SOCKET": system.socket,
           "TZ": "UTC", "LC_ALL": "C.UTF-8"}
    out = run("bash", "-c", "\n".join(lines), cwd=system.repo, check=False, env=env).stdout
    for shown, real in paths.items():
        out = out.replace(real, shown)
    return [part.strip("\n") for part in out.split(MARK + "\n")[1:]]


def walk(name, system, least, paths={}):
    """Starts the system, runs the commands of docs/NAME (at least so many), compares, stops it. paths: what stands for
    what, besides the repository's and the views'."""
    paths = {"/srv/project": system.repo, "/agents": system.mounts, **paths}
    text = get(page(name))
    all_commands = [c for m in BLOCK.finditer(text) for c in commands(m.group(2))]
    assert len(all_commands) >= least, f"docs/{name} has fewer commands than it should"
    system.start()
    try:
        shown = play(system, all_commands, paths)
    finally:
        system.stop()
    equal(len(shown), len(all_commands), "commands that ran")
    if os.environ.get("AGENTFS_USAGE_WRITE"):
        write_anew(page(name), text, iter(shown))
        return
    for (command, want), got in zip(all_commands, shown):
        equal(same(got), same("\n".join(want)), f"the output of '{command}' (docs/{name})")


def write_anew(path, text, shown):
    def block(m):
        outputs = ((c, next(shown)) for c, _ in commands(m.group(2)))
        return m.group(1) + "".join(f"$ {c}\n{o}\n" if o else f"$ {c}\n" for c, o in outputs) + m.group(3)
    put(path, BLOCK.sub(block, text))
