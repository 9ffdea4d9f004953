#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/MERGING-EXAMPLES.md: its commands are run, with its configuration and resolver, and show what comes out."""
import os

from harness import *
import daemon
import tour

PAGE = "MERGING-EXAMPLES.md"


def test_examples__show_what_comes_out(tmp):
    if not os.path.exists(os.path.join(BUILD, "grammars", ".lock")):
        raise Skip(f"needs the grammars: run tools/grammars {os.path.join(BUILD, 'grammars')}")
    text = get(tour.page(PAGE))
    resolver = os.path.join(tmp, "resolver")
    put(resolver, tour.blocks(text, "sh")[0])
    os.chmod(resolver, 0o755)
    config = tour.blocks(text, "yaml")[0].replace("/srv/resolver", resolver)
    system = daemon.System(tmp, files={"README": "a project\n"}, config=config)
    tour.walk(PAGE, system, 80, {"/srv/agentfs.yaml": system.config})


main()
