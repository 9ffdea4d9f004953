#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The README's code blocks, run in their order in a fresh repository with a daemon of its own."""
import os
import re

from harness import *
import repos


def test_readme__blocks_do_what_they_say(tmp):
    text = get(os.path.join(SOURCE, "README.md"))
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) >= 2, "README.md has fewer code blocks than it should"
    repo = repos.make(tmp + "/repo")

    import daemon
    system = daemon.System(tmp, repo=repo).start()
    ended = False
    try:
        env = {"PATH": os.path.join(BUILD, "tools") + ":" + os.environ["PATH"], "AGENTFS_SOCKET": system.socket,
               "PS4": "+ "}
        script = "\n".join(f"cd {repo}\n{block}" for block in blocks)
        done = run("bash", "-exc", script, cwd=repo, check=False, env=env)
        equal(done.returncode, 0, done.stdout + done.stderr)
        ended = True
        equal(repos.git(repo, "status", "--porcelain"), "")
        equal(get(repo + "/greeting.txt"), "hello\n")
        equal(get(repo + "/notes/bob.md"), "bob was here\n")
        equal(system.process.wait(30), 0, "the daemon after the last block")
        system.process = None
        equal(os.listdir(system.mounts), [])
    finally:
        if not ended or system.process:
            system.stop()


def test_readme__links_and_programs_are_there(tmp):
    text = get(os.path.join(SOURCE, "README.md"))
    for link in re.findall(r"\]\(([^)h][^)]*)\)", text):
        assert os.path.exists(os.path.join(SOURCE, link)), f"README.md points to '{link}', which is not there"
    for name in re.findall(r"^    (tools/\w+|\.ci/run)", text, re.M):
        assert os.access(os.path.join(SOURCE, name), os.X_OK), f"'{name}' is no program"
    assert len(text.splitlines()) <= 150


main()
