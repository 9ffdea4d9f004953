#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The merge queue: order, batches, what waits for what, approval, mail, and a person's hand in it."""
import json
import os
import time

from harness import *
import daemon
import repos


def agents(system, *names, **scripts):
    for n in names:
        put(os.path.join(system.create(n), f"by-{n}"), f"{n}\n")


def queue(system):
    return system.json("queue", "list")["requests"]


def ask(system, *words):
    return system.json("merge", *words, "--no-wait")["requests"]


def has(system, *names):
    have = system.git("ls-tree", "--name-only", "main").split("\n")
    return [n for n in names if f"by-{n}" in have]


def test_queue__paused_requests_wait_and_outlive_a_restart(system):
    s = system
    agents(s, "a1", "b1")
    s.ctl("queue", "pause", "--repo", s.repo)
    first, = ask(s, "a1")
    second, = ask(s, "b1")
    waiting = queue(s)
    equal([(r["request"], r["state"], r["waits"]) for r in waiting],
          [(first, "pending", "the queue is paused"), (second, "pending", "the queue is paused")])
    shown = s.ctl("queue", "list").stdout
    assert "Paused" not in shown or "resume" in shown
    s.restart()
    equal([r["request"] for r in queue(s)], [first, second])
    s.ctl("queue", "reorder", str(second))
    equal([r["request"] for r in queue(s)], [second, first])
    s.ctl("queue", "cancel", str(second))
    equal([r["request"] for r in queue(s)], [first])
    s.refused("NotFound", "queue", "cancel", "77", says="77")
    s.ctl("queue", "resume", "--repo", s.repo)
    s.ctl("wait", str(first), "--for", "merged", "--timeout", "60")
    equal(has(s, "a1", "b1"), ["a1"])
    events = [x["event"] for x in s.json("queue", "show", str(first))["steps"]]
    equal(events, ["asked", "reorder", "start", "held", "verified", "land", "landed", "told"])
    equal(s.json("queue", "show", str(second))["request"]["state"], "failed")
    s.refused("Conflict", "wait", str(second), "--for", "merged", says="ended as failed")
    s.refused("Invalid", "wait", str(second), "--for", "live", says="no state of a merge")


def test_queue__all_merges_every_view_and_says_which_did_not(system):
    s = system
    agents(s, "a1", "b1", "c1")
    put(s.path("a1", "README"), "a\n")
    put(s.path("b1", "README"), "b\n")
    done = s.ctl("--json", "merge", "--all", check=False)
    equal(done.returncode, 1, done.stderr)
    merges = {m["source"]: m["state"] for m in json.loads(done.stdout)["merges"]}
    equal(sorted(merges.values()), ["conflict", "merged", "merged"])
    equal(len(has(s, "a1", "b1", "c1")), 2)
    equal(s.git("status", "--porcelain"), "")
    wait_for(lambda: s.git("for-each-ref", "refs/agentfs/merge") == "", 20, "nothing is kept")
    parents = s.git("log", "--first-parent", "--format=%s", "main").split("\n")
    assert len(parents) >= 2, parents


def test_queue__a_batch_lands_together_or_not_at_all(system):
    s = system
    agents(s, "a1", "b1", "c1")
    tip = s.git("rev-parse", "main")
    put(s.path("a1", "README"), "a\n")
    put(s.path("b1", "README"), "b\n")
    done = s.ctl("--json", "merge", "c1", "a1", "b1", "--batch", check=False)
    equal(done.returncode, 1)
    equal(s.git("rev-parse", "main"), tip)
    said = json.loads(done.stdout)
    equal([m["source"] for m in said["merges"] if m["state"] == "conflict"], ["b1"])
    equal(sorted(f["source"] for f in said["failed"]), ["a1", "c1"])
    wait_for(lambda: s.git("for-each-ref", "refs/agentfs/merge") == "", 20, "nothing is kept")
    done = s.ctl("--json", "merge", "a1", "nobody-there", "--batch", check=False)
    equal((done.returncode, [f["source"] for f in json.loads(done.stdout)["failed"]]), (1, ["a1", "nobody-there"]))
    equal(s.git("rev-parse", "main"), tip)
    s.ctl("merge", "c1", "a1", "--batch")
    equal(has(s, "a1", "b1", "c1"), ["a1", "c1"])


def test_queue__what_is_named_after_a_failure_is_not_tried(system):
    s = system
    agents(s, "a1", "b1", "c1")
    put(s.path("a1", "README"), "a\n")
    put(s.path("b1", "README"), "b\n")
    done = s.ctl("--json", "merge", "a1", "b1", "c1", check=False)
    equal([m["state"] for m in json.loads(done.stdout)["merges"]], ["merged", "conflict"])
    wait_for(lambda: not queue(s), 20, "the queue is empty")
    equal(has(s, "a1", "b1", "c1"), ["a1"])
    last = s.json("queue", "show", "3")["request"]
    assert last["state"] == "failed" and "'b1' before it" in last["error"], last


def test_queue__mail_asks_for_a_merge_and_is_answered(system):
    s = system
    agents(s, "a1", "b1")
    put(s.path("a1", "README"), "a\n")
    put(s.path("b1", "README"), "b\n")
    for a in ("a1", "b1"):
        n = s.json("mail", "send", "merge_ready", json.dumps(
            {"branch": f"agents/{a}/work", "taskId": "work", "agentName": a, "filesModified": ["README"]}))["request"]
        wait_for(lambda: s.json("queue", "show", str(n))["request"]["state"] in ("merged", "conflict"), 30, "it is over")
    wait_for(lambda: not queue(s), 20, "all are told")
    of_merges = lambda *args: [m for m in s.json("mail", "list", *args)["mails"] if m["type"] != "overlap"]  # the radar's
    mails = of_merges()
    equal([(m["type"], m["from"], m["to"]) for m in mails],
          [("merge_failed", "merger", "b1"), ("merge_ready", "b1", "merger"), ("merged", "merger", "a1"),
           ("merge_ready", "a1", "merger")])
    equal(mails[2]["payload"], {"branch": "agents/a1/work", "taskId": "work", "tier": "clean-merge"})
    equal(sorted(mails[0]["payload"]), ["branch", "conflictFiles", "errorMessage", "taskId"])
    equal(mails[0]["payload"]["conflictFiles"], ["README"])
    equal(len(of_merges("b1")), 2)
    s.refused("Invalid", "mail", "send", "merge_ready", "{}", says="branch")
    s.refused("Unsupported", "mail", "send", "gossip", "{}", says="gossip")
    s.refused("Stale", "mail", "send", "merge_ready",
              '{"branch": "elsewhere", "agentName": "a1", "taskId": "x", "filesModified": []}', says="elsewhere")


def test_queue__tasks_wait_for_tasks(system):
    s = system
    put(os.path.join(s.create("a1", "--task", "schema"), "by-a1"), "a\n")
    put(os.path.join(s.create("b1", "--task", "api", "--after", "schema"), "by-b1"), "b\n")
    n, = ask(s, "b1")
    equal(queue(s)[0]["waits"], "task 'schema' is not merged yet")
    s.restart()
    equal(queue(s)[0]["waits"], "task 'schema' is not merged yet")
    equal(has(s, "a1", "b1"), [])
    s.ctl("merge", "a1")
    s.ctl("wait", str(n), "--for", "merged", "--timeout", "60")
    equal(has(s, "a1", "b1"), ["a1", "b1"])
    s.refused("Invalid", "create", "c1", "--repo", s.repo, "--task", "x", "--after", "x", says="itself")


def test_queue__a_series_goes_in_the_order_in_which_it_was_made(system):
    s = system
    for a in ("a1", "b1", "c1"):
        put(os.path.join(s.create(a, "--task", f"t-{a}", "--serial", "db"), f"by-{a}"), "x\n")
    third, = ask(s, "c1")
    second, = ask(s, "b1")
    assert "'a1' is before it in the series 'db'" in [r["waits"] for r in queue(s)]
    equal(has(s, "a1", "b1", "c1"), [])
    s.ctl("merge", "a1")
    for n in (second, third):
        s.ctl("wait", str(n), "--for", "merged", "--timeout", "60")
    subjects = [x.split()[1] for x in s.git("log", "--first-parent", "--merges", "--format=%s", "main").split("\n") if x]
    equal([x.split("/")[1] for x in subjects], ["c1", "b1"])


def test_queue__what_was_approved_is_what_lands(tmp):
    s = daemon.System(tmp, config="merge: {approval: true}\n").start()
    agents(s, "a1", "b1")
    n, = ask(s, "a1")
    s.ctl("wait", str(n), "--for", "ready", "--timeout", "60")
    r = s.json("queue", "show", str(n))["request"]
    equal((r["waits"], has(s, "a1")), ("its approval", []))
    s.refused("Stale", "queue", "approve", str(n), "--tree", "0" * 40, says="look at it again")
    s.restart()
    equal(s.json("queue", "show", str(n))["request"]["tree"], r["tree"])
    s.ctl("queue", "approve", str(n), "--tree", r["tree"])
    s.ctl("wait", str(n), "--for", "merged", "--timeout", "60")
    equal(s.git("rev-parse", "main^{tree}"), r["tree"])
    n, = ask(s, "b1")
    s.ctl("wait", str(n), "--for", "ready", "--timeout", "60")
    repos.commit(s.repo, {"elsewhere": "x\n"})
    s.ctl("queue", "approve", str(n))
    wait_for(lambda: [x["event"] for x in s.json("queue", "show", str(n))["steps"]].count("verified") == 2, 60,
             "it is asked again: something else would land")
    equal(s.json("queue", "show", str(n))["request"]["state"], "ready")
    s.ctl("queue", "approve", str(n))
    s.ctl("wait", str(n), "--for", "merged", "--timeout", "60")
    equal(has(s, "a1", "b1"), ["a1", "b1"])
    s.stop()


def test_queue__what_breaks_the_verification_is_found_and_stays_out(tmp):
    s = daemon.System(tmp, config='verify: {main: {command: "! test -e by-bad", timeout: 60}}\n').start()
    agents(s, "a1", "b1", "c1", "bad")
    s.ctl("queue", "pause")
    numbers = {a: ask(s, a)[0] for a in ("a1", "bad", "b1", "c1")}
    s.ctl("queue", "resume")
    for a, n in numbers.items():
        s.ctl("wait", str(n), "--for", "conflict" if a == "bad" else "merged", "--timeout", "100")
    equal(has(s, "a1", "b1", "c1", "bad"), ["a1", "b1", "c1"])
    equal(s.git("log", "--oneline", "main", "--", "by-bad"), "", "no commit of the target ever had it")
    shown = s.json("queue", "show", str(numbers["bad"]))
    assert "verify command" in shown["result"]["conflicts"][0]["reason"], shown
    shown = s.json("queue", "show", str(numbers["a1"]))
    assert shown["result"]["notes"][-1].startswith("verified by '! test -e by-bad' in "), shown["result"]["notes"]
    events = [x["event"] for x in shown["steps"]]
    assert "later" in events, events  # it went with the bad one first
    s.stop()


def versions(tmp, names, command):
    """A request whose files each conflict in a version, which a rule resolves to the greater; the command verifies."""
    s = daemon.System(tmp, files={**{n: 'version = "1.2.3"\n' for n in names}, "README": "hello\n"},
                      config=f"verify: {{main: {{command: {json.dumps(command)}, timeout: 60}}}}\n"
                             "merge: {cost-of-wrong: 5}\n").start()
    view = s.create("a1")
    for n in names:
        put(os.path.join(view, n), 'version = "1.3.0"\n')
    repos.commit(s.repo, {n: 'version = "1.2.4"\n' for n in names})
    n, = ask(s, "a1")
    s.ctl("wait", str(n), "--for", "conflict", "--timeout", "100")
    shown = s.json("queue", "show", str(n))
    steps = [x["event"] if x["event"] != "bisect" else x["text"] for x in shown["steps"]]
    return s, shown["result"], steps


def test_queue__a_rule_that_breaks_the_verification_is_left_out(tmp):
    s, result, steps = versions(tmp, ["v.toml"], "! grep -n 1.3.0 v.toml")
    equal(steps[:8], ["asked", "start", "held", "with 0 of 1 resolved files it passes", "broken", "start", "conflicts", "told"])
    equal(result["conflicts"][0]["path"], "v.toml")
    equal(result["notes"], ["what version had resolved was left out: with what it made of 'v.toml' the verify command fails: "
                            '1:version = "1.3.0"'])
    equal(s.git("show", "main:v.toml"), 'version = "1.2.4"')
    s.stop()


def test_queue__the_file_that_breaks_the_verification_is_looked_for_by_halves(tmp):
    names = [f"v{i}.toml" for i in range(6)]
    s, result, steps = versions(tmp, names, "! grep -n 1.3.0 v4.toml")
    tried = [x for x in steps if "resolved files it" in x]
    # None, then halves of what is left: 1 + log2(6), rounded up.
    equal(tried, [f"with {n} of 6 resolved files it {how}" for n, how in
                  ((0, "passes"), (3, "passes"), (4, "passes"), (5, "fails"))])
    equal([c["path"] for c in result["conflicts"]], ["v4.toml"])
    assert "what it made of 'v4.toml'" in result["notes"][0], result["notes"]
    equal(s.git("show", "main:v4.toml"), 'version = "1.2.4"')
    equal(s.git("for-each-ref", "refs/agentfs/merge"), "", "what was tried is not kept")
    s.stop()


def test_queue__where_the_merge_itself_breaks_the_verification_no_rule_is_left_out(tmp):
    s, result, steps = versions(tmp, ["v.toml", "w.toml"], "echo it is README; ! grep -q hello README")
    equal(steps[2:], ["held", "with 0 of 2 resolved files it fails", "broken", "told"])
    equal([(c["path"], c["kind"]) for c in result["conflicts"]], [(".", "verify")])
    assert "it is README" in result["conflicts"][0]["reason"], result["conflicts"]
    assert any("it is the merge that breaks it" in n for n in result["notes"]), result["notes"]
    s.stop()


def test_queue__another_users_requests_are_not_shown(tmp):
    need_root()
    with fuse_for_all():
        s = daemon.System(tmp).start()
        agents(s, "a1")
        s.ctl("queue", "pause")
        n, = ask(s, "a1")
        os.chmod(s.socket, 0o666)
        equal(s.json("queue", "list", uid=OTHER_UID)["requests"], [])
        done = s.ctl("--json", "queue", "cancel", str(n), uid=OTHER_UID, check=False)
        equal(done.returncode, 1)
        equal(s.json("mail", "list", uid=OTHER_UID)["mails"], [])
        s.ctl("queue", "resume")
        s.ctl("wait", str(n), "--for", "merged", "--timeout", "60")
        s.stop()


main()
