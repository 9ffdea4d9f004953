# SPDX-License-Identifier: Apache-2.0
"""A daemon whose repository is verified by a command."""
import json
import os

from daemon import System

MAKEFILE = """
check: target/out
\tgrep -q good a.txt
target/out: a.txt b.txt
\tmkdir -p target; cat $^ >$@; echo built
"""
FILES = {"Makefile": MAKEFILE, "a.txt": "good\n", "b.txt": "b\n", ".gitignore": "target/\n"}


def with_verify(tmp, command, more="", files=FILES, **kw):
    text = f"redirect: [\"target/\"]\nverify:\n  main: {{command: {json.dumps(command)}{more}}}\n"
    return System(tmp, files=files, config=text, **kw).start()


def verify(s, *args, **kw):
    done = s.ctl("--json", "verify", *args, check=False, **kw)
    return json.loads(done.stdout or done.stderr)


def commit(s, name, text, message="change"):
    with open(os.path.join(s.repo, name), "w") as f:
        f.write(text)
    s.git("add", "-A")
    s.git("commit", "-qm", message)
    return s.git("rev-parse", "HEAD").strip()


def scratches(s):
    found = os.path.join(s.mounts, ".verify")
    return os.listdir(found) if os.path.isdir(found) else []
