# SPDX-License-Identifier: Apache-2.0
"""Files on main, agents that change them, and merges that are asked for."""
import json
import os

from harness import equal, put

LINES = "".join(f"line {i}\n" for i in range(1, 21))
VERSIONS = 'name = "x"\nversion = "1.2.3"\nend\n'


def _put_all(folder, files):
    for name, text in files.items():
        put(os.path.join(folder, name.replace("__", ".")), text)


def start(system, **files):
    """Commits them on main; a__c is a.c."""
    _put_all(system.repo, files)
    system.git("add", "-A")
    system.git("commit", "-qm", "files to merge")


def changed(system, agent, **files):
    """An agent's view in which they are changed. Returns its path."""
    view = system.create(agent)
    _put_all(view, files)
    return view


def merged(system, agent, *more, status=0):
    """What a merge of the agent says."""
    done = system.ctl("--json", "merge", agent, *more, check=False)
    equal(done.returncode, status, done.stdout + done.stderr)
    return json.loads(done.stdout)["merges"][0]
