#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The sandbox that the daemon runs commands in, as its users see it."""
from harness import *


def sandbox_check(system):
    return [c for c in system.json("doctor", check=False)["checks"] if c["name"] == "sandbox"]


def test_doctor__says_whether_commands_can_be_run(system):
    checks = sandbox_check(system)
    equal([c["state"] for c in checks], ["ok"], str(checks))


main()
