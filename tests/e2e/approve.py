#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verify commands that a repository brings along run only after their text was approved."""
from daemon import System
from harness import *
from verifying import *


def test_approve__a_repositorys_own_command_runs_only_then(tmp):
    own = "verify: {main: {command: \"echo mine; make check\"}}\n"
    s = System(tmp, files={**FILES, ".agentfs.yaml": own}).start()
    try:
        e = s.refused("Denied", "verify", says="is not approved")
        assert "agentfsctl approve" in e["remedy"], e
        seen = s.json("approve", "--dry-run")
        assert seen["text"].endswith("echo mine; make check\n") and not seen["approved"], seen
        s.refused("Denied", "verify")
        assert s.json("approve")["approved"]
        assert verify(s)["ok"]
        commit(s, ".agentfs.yaml", own.replace("mine", "other"))
        s.refused("Denied", "verify", says="is not approved")
        commit(s, ".agentfs.yaml", own + "iron: [\"x\"]\n")
        assert verify(s)["ok"], "the same commands are approved still"
        s.restart()
        assert verify(s)["ok"], "an approval outlives the daemon"
        assert any(r["op"] == "Approve" for r in s.json("audit", "--control")["records"])
    finally:
        s.stop()


def test_approve__nothing_to_approve(system):
    system.refused("NotFound", "approve", status=1, says="names no verify command")


main()
