#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/USAGE.md: its commands are run in their order, and what it shows is what comes out (lib/tour.py)."""
import re

from harness import *
import daemon
import tour


def test_usage__shows_what_comes_out(tmp):
    if not ROOT:
        raise Skip("SKIP-KERNEL: the page shows what root sees: others are refused by mode bits, at open", kernel=True)
    tour.walk("USAGE.md", daemon.System(tmp), 20)


def test_usage__knows_every_command(tmp):
    text = get(tour.page("USAGE.md"))
    names = re.findall(r"^## ([a-z]+(?: [a-z]+)?)$", get(tour.page("COMMANDS.md")), re.M)
    assert len(names) > 20, names
    for word in names:
        assert f"agentfsctl {word}" in text, f"docs/USAGE.md does not show '{word}'"


main()
