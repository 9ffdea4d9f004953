# SPDX-License-Identifier: Apache-2.0
"""agentfsctl against a server with canned answers: what it asks, prints, and exits with.

Usage: test_ctl.py AGENTFSCTL SOURCE_ROOT [unittest arguments]
"""
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

CTL, SOURCE = os.path.abspath(sys.argv[1]), sys.argv[2]
sys.path.insert(0, os.path.join(SOURCE, "tests/lib"))
from fake_varlink import Server  # noqa: E402

VIEW = {
    "agent": "alice", "id": "00112233445566778899aabbccddeeff", "repository": "/srv/repo",
    "path": "/nowhere/alice", "branch": "agents/alice/work", "target": "main",
    "base": "1a2b3c4d5e6f7081920a1b2c3d4e5f6071829304", "role": "builder", "task": "work", "scope": ["src/**"],
    "user": "joe", "state": "live", "changed": 3, "bytes": 2048, "ahead": 1, "behind": 2, "denied": 4,
    "started": "2026-01-01T00:00:00Z", "last_write": None,
}
RECORD = {
    "seq": 7, "time": "2026-01-02T03:04:05.678901Z", "agent": "alice", "view": VIEW["id"], "type": "op",
    "op": "write", "result": "denied", "errno": "EACCES", "path": "SPRINT.md", "pid": 4711, "uid": 1000,
    "command": "vim", "rule": "builder: !SPRINT.md", "cursor": "c7",
}
CHANGES = [{"path": "src/a.c", "status": "A", "added": 12, "removed": 0},
           {"path": "old.c", "status": "D", "added": 0, "removed": 5}]
MERGED = {"source": "agents/alice/work", "into": "main", "target": "b" * 40, "state": "merged", "tier": "clean-merge",
          "fast_forward": False, "commit": "f" * 40, "tree": "e" * 40, "changes": CHANGES, "conflicts": [],
          "notes": []}
CONFLICT = dict(MERGED, state="conflict", commit=None, changes=[],
                conflicts=[{"path": "src/a.c", "kind": "both modified", "reason": "lines 3-9"}])
MERGE = {"merge": 7, "time": "2026-01-02T03:04:05Z", "repository": "/srv/repo/.git", "source": "alice", "into": "main",
         "state": "merged", "tier": "auto-resolve", "commit": "f" * 40, "paths": ["src/a.c"]}
REQUEST = {"request": 12, "time": "2026-01-02T03:04:05Z", "repository": "/srv/repo/.git", "source": "alice",
           "into": "main", "agent": "alice", "task": "work", "state": "pending", "since": "2026-01-02T03:04:05Z",
           "landing": False, "tries": 0, "paths": 3, "waits": "task 'a' is not merged yet"}
ANSWERS = {
    "Create": {"view": VIEW, "created": True, "notes": ["attributes are shown as stored"]},
    "List": {"views": [VIEW, dict(VIEW, agent="bob", state="stale", path="/nowhere/bob")]},
    "Show": {"view": VIEW, "notes": [], "denials": [RECORD]},
    "Which": ("error", "org.agentfs.NotFound", {"message": "no view contains that folder"}),
    "Diff": {"changes": CHANGES, "patch": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"},
    "Log": {"commits": [{"id": "c" * 40, "author": "alice <a@b>", "time": "2026-01-01T00:00:00Z",
                         "subject": "login", "body": "why\nso", "patch": "+b\n"}]},
    "Materialize": {"commit": "d" * 40, "branch": "agents/alice/work", "commits": 1, "changes": CHANGES,
                    "notes": []},
    "Radar": {"overlaps": [
        {"agents": ["alice", "bob"], "path": "a.c", "kind": k, "tier": t, "clean": 0.9,
         "places": [{"declaration": "int f(void)", "first": {"from": 1, "to": 2}, "second": {"from": 4, "to": 4},
                     "by_rule": True}]}
        for k, t in [("lines", None), ("lines", "auto-resolve"), ("declaration", "clean-merge"), ("deleted", None),
                     ("file", "clean-merge")]]},
    "Sync": {"view": VIEW, "moved": True, "from": "a" * 40, "to": "b" * 40, "head": "c" * 40, "files": 2, "merged": [],
             "merging": False, "conflicts": [], "notes": []},
    "Freeze": {"view": dict(VIEW, state="frozen")},
    "Thaw": {"view": VIEW},
    "Next": {"view": dict(VIEW, task="two", branch="agents/alice/two"), "notes": []},
    "Merge": {"merges": [MERGED]},
    "MergeHistory": {"merges": [MERGE]},
    "QueueList": {"requests": [REQUEST], "paused": True},
    "QueueShow": {"request": REQUEST, "steps": [{"time": "2026-01-02T03:04:05Z", "event": "asked", "state": "pending", "text": "x"}]},
    "QueuePause": {}, "QueueReorder": {"requests": [REQUEST], "paused": False},
    "QueueCancel": {"request": REQUEST}, "QueueApprove": {"request": REQUEST},
    "MailList": {"mails": [{"mail": 3, "time": "2026-01-02T03:04:05Z", "type": "merged", "from": "merger", "to": "alice",
                            "payload": {"branch": "b", "taskId": "t", "tier": "clean-merge"}}]},
    "MailSend": {"request": 12},
    "MergeExplain": lambda params: {"record": MERGE, "result": MERGED, "hunks": []} if params["merge"] == 7 else
                                   {"record": dict(MERGE, state="conflict"), "result": CONFLICT, "hunks": []},
    "MergeUndo": {"source": "alice", "into": "main", "commit": "f" * 40, "changes": CHANGES},
    "MergePredict": {"merges": [dict(MERGED, state="would_merge", past=3, past_merged=2, probability=0.6)], "order": ["alice"]},
    "Learn": {"repository": "/srv/repo/.git", "merges": 12, "conflicted": 3, "conflicts": 9, "answered": 5,
              "records": [{"resolver": "version", "language": "python", "paths": "plain", "fired": 4, "right": 3}],
              "examples": [{"commit": "a" * 40, "path": "setup.py", "resolver": "version", "said": "1.2\n",
                            "kept": "1.3\n", "why": "the person kept theirs"}]},
    "Approve": {"repository": "/srv/repo/.git", "target": "main", "text": "main: (at most 600 seconds, network off)\nmake\n",
                "approved": True},
    "Verify": {"ok": True, "skipped": False, "command": "make", "status": 0, "output": "fine\n", "log": "/s/x.log", "ms": 10},
    "Apply": {"changes": CHANGES, "notes": []},
    "Rollback": {"preserved": ["refs/agentfs/preserved/alice/0011/work"], "notes": []},
    "Destroy": {"preserved": [], "notes": []},
    "Audit": {"records": [RECORD]},
    "PolicyCheck": {"decision": {"allowed": False, "result": "EACCES", "rule": "builder: !SPRINT.md",
                                 "role": "builder", "text": "plans are the lead's", "op": "write",
                                 "remedy": "ask the lead"}},
    "PolicyReload": {"views": 2},
    "Why": {"role": "builder", "scope": [], "decisions": [], "denials": [RECORD], "text": "alice is a builder"},
    "Brief": {"text": "You work in a view."},
    "Doctor": {"checks": [{"name": "fuse", "state": "ok", "text": "/dev/fuse is there", "remedy": None}]},
    "Status": {"version": "0.1.0", "pid": 12, "kind": "user", "state_dir": "/s", "run_dir": "/r", "mounts": "/m",
               "views": 2, "started": "2026-01-01T00:00:00Z"},
    "Stop": {},
    "Events": [{"event": {"time": "2026-01-01T00:00:00Z", "type": "created", "agent": "alice", "text": "hello"}},
               {"event": {"time": "2026-01-01T00:00:01Z", "type": "merged", "agent": "alice", "text": "done"}}],
    "Wait": {"view": VIEW},
}

# Command line → (method, parameters it must ask with). CWD stands for the current folder. Every option
# of the table must occur here: test_table__every_option_reaches_the_daemon looks.
REQUESTS = [
    (["create", "alice"], "Create", {"agent": "alice", "repository": "CWD"}),
    (["create", "alice", "--repo", ".", "--role", "lead", "--task", "t", "--base", "v1", "--scope", "a/**",
      "--scope=b", "--mount", "m", "--user", "joe", "--git", "worktree"], "Create",
     {"agent": "alice", "repository": "CWD", "role": "lead", "task": "t", "base": "v1", "scope": ["a/**", "b"],
      "mount": "CWD/m", "user": "joe", "git": "worktree"}),
    (["list"], "List", {}),
    (["list", "--repo", "."], "List", {"repository": "CWD"}),
    (["list", "--all"], "List", {}),
    (["show", "alice"], "Show", {"agent": "alice"}),
    (["path", "alice"], "Show", {"agent": "alice"}),
    (["next", "alice", "--task", "two", "--scope", "x"], "Next", {"agent": "alice", "task": "two", "scope": ["x"]}),
    (["next", "alice", "--task", "two", "--base", "main"], "Next", {"agent": "alice", "task": "two", "base": "main"}),
    (["radar"], "Radar", {}),
    (["radar", "alice", "--repo", ".", "--files"], "Radar", {"repository": "CWD", "agent": "alice"}),
    (["sync", "alice"], "Sync", {"agent": "alice", "markers": False, "dry_run": False}),
    (["sync", "alice", "--to", "dev", "--markers", "--dry-run"], "Sync",
     {"agent": "alice", "to": "dev", "markers": True, "dry_run": True}),
    (["freeze", "alice"], "Freeze", {"agent": "alice"}),
    (["thaw", "alice"], "Thaw", {"agent": "alice"}),
    (["wait", "alice", "--for", "closed", "--timeout", "5"], "Wait",
     {"target": "alice", "state": "closed", "timeout": 5}),
    (["policy", "reload"], "PolicyReload", {}),
    (["diff", "alice"], "Diff", {"agent": "alice", "patch": True}),
    (["diff", "alice", "--stat", "./src/a.c", "/nowhere/alice/b", "--scratch"], "Diff",
     {"agent": "alice", "patch": False, "paths": ["src/a.c", "b"], "scratch": True}),
    (["diff", "--name-status", "alice"], "Diff", {"agent": "alice", "patch": False}),
    (["log", "alice"], "Log", {"agent": "alice", "patch": False}),
    (["log", "-p", "alice"], "Log", {"agent": "alice", "patch": True}),
    (["log", "--patch", "alice"], "Log", {"agent": "alice", "patch": True}),
    (["materialize", "alice", "-m", "words", "--force"], "Materialize",
     {"agent": "alice", "message": "words", "force": True}),
    (["materialize", "alice", "--message=words"], "Materialize", {"agent": "alice", "message": "words"}),
    (["merge", "alice", "bob", "--into", "main", "--dry-run", "--no-materialize", "--squash", "--destroy"], "Merge",
     {"sources": ["alice", "bob"], "repository": "CWD", "into": "main", "dry_run": True, "no_materialize": True,
      "squash": True, "destroy": True}),
    (["merge", "alice", "--dry-run", "--ask-models"], "Merge",
     {"sources": ["alice"], "repository": "CWD", "dry_run": True, "ask_models": True}),
    (["merge", "--all", "--no-wait"], "Merge", {"sources": [], "repository": "CWD", "all": True, "no_wait": True}),
    (["merge", "alice", "bob", "--batch", "--repo", "/nowhere/repo"], "Merge",
     {"sources": ["alice", "bob"], "repository": "/nowhere/repo", "batch": True}),
    (["wait", "12", "--for", "merged"], "Wait", {"target": "12", "state": "merged"}),
    (["create", "alice", "--after", "a", "--after", "b", "--serial", "db"], "Create",
     {"agent": "alice", "repository": "CWD", "after": ["a", "b"], "serial": "db"}),
    (["queue", "list"], "QueueList", {}),
    (["queue", "list", "--repo", "/nowhere/repo"], "QueueList", {"repository": "/nowhere/repo"}),
    (["queue", "show", "12"], "QueueShow", {"request": 12}),
    (["queue", "pause", "--repo", "/nowhere/repo"], "QueuePause", {"repository": "/nowhere/repo", "resume": False}),
    (["queue", "resume", "--repo", "/nowhere/repo"], "QueuePause", {"repository": "/nowhere/repo", "resume": True}),
    (["queue", "reorder", "12", "--before", "9"], "QueueReorder", {"request": 12, "before": 9}),
    (["queue", "cancel", "12"], "QueueCancel", {"request": 12}),
    (["queue", "approve", "12", "--tree", "abc"], "QueueApprove", {"request": 12, "tree": "abc"}),
    (["mail", "list", "alice", "--last", "5"], "MailList", {"agent": "alice", "last": 5}),
    (["mail", "send", "merge_ready", "{}"], "MailSend", {"type": "merge_ready", "payload": "{}"}),
    (["merge", "learn"], "Learn", {"repository": "CWD"}),
    (["merge", "learn", "--last", "7", "--repo", "/srv/repo"], "Learn", {"repository": "/srv/repo", "last": 7}),
    (["merge", "history"], "MergeHistory", {}),
    (["merge", "history", "src/a.c", "--last", "3", "--repo", "/nowhere/repo"], "MergeHistory",
     {"path": "src/a.c", "last": 3, "repository": "/nowhere/repo"}),
    (["merge", "explain", "7"], "MergeExplain", {"merge": 7}),
    (["merge", "undo", "7"], "MergeUndo", {"merge": 7}),
    (["merge", "predict", "alice", "--into", "main", "--repo", "/srv/repo"], "MergePredict",
     {"sources": ["alice"], "repository": "/srv/repo", "into": "main"}),
    (["merge", "resolve", "8", "--style", "diff3"], "Sync",
     {"agent": "alice", "to": "main", "markers": True, "style": "diff3"}),
    (["merge", "resolve", "8", "--done", "--agent", "alice"], "Merge", {"sources": ["alice"], "into": "main"}),
    (["merge", "html", "page.html", "7"], "MergeExplain", {"merge": 7}),
    (["merge", "html", "page.html", "--repo", "/nowhere/repo"], "MergeHistory", {"repository": "/nowhere/repo"}),
    (["approve"], "Approve", {"repository": "CWD", "target": "main",
                              "text": "main: (at most 600 seconds, network off)\nmake\n"}),
    (["approve", "/srv/repo", "--target", "dev", "--dry-run"], "Approve", {"repository": "/srv/repo", "target": "dev"}),
    (["verify"], "Verify", {"repository": "CWD"}),
    (["verify", "HEAD~1", "--target", "dev", "--repo", "/srv/repo"], "Verify",
     {"repository": "/srv/repo", "target": "dev", "commit": "HEAD~1"}),
    (["apply", "alice"], "Apply", {"agent": "alice", "worktree": "CWD"}),
    (["rollback", "alice", "--force"], "Rollback", {"agent": "alice", "force": True}),
    (["destroy", "alice", "--force"], "Destroy", {"agent": "alice", "force": True}),
    (["audit"], "Audit", {}),
    (["audit", "alice", "bob", "--since", "2026-01-02T03:04:05Z", "--until", "@0", "--path", "*.md", "--op",
      "write,rename", "--result", "denied", "--pid", "5", "--rule", "r", "--control", "--git", "-n5", "-rg", "x|y",
      "-o", "csv"], "Audit",
     {"agents": ["alice", "bob"], "since": "2026-01-02T03:04:05Z", "until": "1970-01-01T00:00:00Z", "path": "*.md",
      "op": ["write", "rename"], "result": "denied", "pid": 5, "rule": "r", "control": True, "git": True, "last": 5,
      "reverse": True, "grep": "x|y"}),
    (["audit", "--lines", "3", "--reverse", "--grep=z", "--output", "json"], "Audit",
     {"last": 3, "reverse": True, "grep": "z"}),
    (["audit", "-f"], "Audit", {"follow": True}),
    (["audit", "--follow"], "Audit", {"follow": True}),
    (["audit", "--cursor-file", "none-yet"], "Audit", {}),
    (["policy", "check", "alice", "write", "SPRINT.md"], "PolicyCheck",
     {"agent": "alice", "op": "write", "path": "SPRINT.md"}),
    (["why", "alice"], "Why", {"agent": "alice"}),
    (["why", "alice", "SPRINT.md"], "Why", {"agent": "alice", "path": "SPRINT.md"}),
    (["brief", "alice"], "Brief", {"agent": "alice"}),
    (["doctor"], "Doctor", {}),
    (["daemon", "status"], "Status", {}),
    (["daemon", "stop", "--keep-views"], "Stop", {"keep_views": True}),
    (["events"], "Events", {}),
    (["events", "-f"], "Events", {}),
    (["events", "--follow"], "Events", {}),
]


def read(name):
    with open(name) as f:
        return f.read()


def generated(kind):
    return subprocess.run([CTL, "--generate", kind], check=True, capture_output=True, text=True).stdout


def table():
    """The command table as docs/COMMANDS.md shows it: {command: {option names}}."""
    commands = {}
    for part in generated("commands").split("\n## ")[1:]:
        name, body = part.split("\n", 1)
        if name not in ("Options of every command", "Environment"):
            commands[name] = set(re.findall(r"^\| `(?:-\w, )?--([a-z-]+)", body, re.M))
    return commands


def command_of(argv):
    two = " ".join(argv[:2])
    return two if two in table() else argv[0]


class Ctl(unittest.TestCase):
    def setUp(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="agentfs-ctl-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.cwd = os.path.join(self.dir, "cwd")
        os.mkdir(self.cwd)
        self.socket = os.path.join(self.dir, "s")
        self.server = Server(self.socket, ANSWERS)
        self.addCleanup(self.server.close)

    def ctl(self, *args, status=0, env=None, cwd=None, socket=True):
        full = {k: v for k, v in os.environ.items() if not k.startswith(("AGENTFS_", "XDG_", "NO_COLOR"))}
        full.update({"HOME": self.dir, "TZ": "UTC", "LC_ALL": "C"}, **(env or {}))
        argv = [CTL] + (["--socket", self.socket] if socket else []) + list(args)
        p = subprocess.run(argv, capture_output=True, cwd=cwd or self.cwd, env=full, timeout=60)
        self.assertEqual(p.returncode, status, f"{args}: {p.stdout!r} {p.stderr!r}")
        for word in (b"Sanitizer", b"runtime error"):
            self.assertNotIn(word, p.stderr, args)
        return p.stdout.decode(), p.stderr.decode()

    def last(self, method):
        return [r for r in self.server.requests if r[0] == method][-1]

    # ---- what is asked

    def test_request__has_what_the_command_line_said(self):
        for argv, method, want in REQUESTS:
            with self.subTest(argv=argv):
                want = json.loads(json.dumps(want).replace("CWD", self.cwd))
                # policy check answers "refused" here, which is exit 1
                self.ctl(*argv, status=1 if method == "PolicyCheck" else 0)
                self.assertEqual(self.last(method)[1], want)

    def test_request__following_commands_ask_for_more(self):
        for argv, more in [(["audit", "-f"], True), (["events", "-f"], True), (["events"], True),
                           (["wait", "alice", "--for", "live"], True), (["list"], False)]:
            self.ctl(*argv)
            self.assertEqual(self.server.requests[-1][2], more, argv)

    def test_table__every_option_reaches_the_daemon(self):
        covered = {}
        letters = {"p": "patch", "m": "message", "f": "follow", "n": "lines", "r": "reverse", "g": "grep", "o": "output"}
        for argv, _, _ in REQUESTS:
            name = command_of(argv)
            for word in argv:
                if word.startswith("--"):
                    covered.setdefault(name, set()).add(word[2:].split("=")[0])
                elif word.startswith("-"):
                    covered.setdefault(name, set()).add(letters[word[1]])
        for name, options in table().items():
            options -= {"watch"} if name == "radar" else set()  # goes on for ever: tests/e2e/radar.py
            self.assertEqual(options - covered.get(name, set()), set(), name)

    def test_table__every_command_is_tried(self):
        tried = {command_of(a) for a, _, _ in REQUESTS}
        self.assertEqual(set(table()) - tried, {"shell", "daemon start"})  # tested below

    def test_agent__left_out_is_the_view_of_the_current_folder(self):
        self.server.answers["Which"] = {"view": dict(VIEW, agent="carol", path=self.cwd)}
        self.server.answers["Show"] = {"view": dict(VIEW, agent="carol", path=self.cwd)}
        os.makedirs(os.path.join(self.cwd, "sub"))
        self.ctl("diff", "--", "x.c", cwd=os.path.join(self.cwd, "sub"))
        self.assertEqual(self.last("Which")[1], {"path": os.path.join(self.cwd, "sub")})
        self.assertEqual(self.last("Diff")[1], {"agent": "carol", "patch": True, "paths": ["sub/x.c"]})
        self.ctl("merge")
        self.assertEqual(self.last("Merge")[1]["sources"], ["carol"])
        self.ctl("policy", "check", "write", "a", status=1)
        self.assertEqual(self.last("PolicyCheck")[1], {"agent": "carol", "op": "write", "path": "a"})

    def test_list__is_of_the_repository_of_the_current_folder(self):
        repo, sub = os.path.join(self.cwd, "repo"), os.path.join(self.cwd, "repo/a/b")
        os.makedirs(sub)
        subprocess.run(["git", "init", "-q", repo], check=True)
        def asked(cwd, *args):
            self.ctl("list", *args, cwd=cwd)
            return self.last("List")[1]
        self.assertEqual(asked(repo), {"repository": repo})
        self.assertEqual(asked(sub), {"repository": repo})
        self.assertEqual(asked(sub, "--all"), {})
        self.assertEqual(asked(os.path.join(repo, ".git/refs")), {"repository": os.path.join(repo, ".git")})
        for where in ("linked", "submodule"):  # absolute and relative, as git writes them
            link, git = os.path.join(self.cwd, where), os.path.join(repo, ".git/x")
            os.makedirs(git, exist_ok=True)
            os.mkdir(link)
            with open(os.path.join(link, ".git"), "w") as f:
                f.write(f"gitdir: {git if where == 'linked' else '../repo/.git/x'}\n")
            self.assertEqual(asked(link), {"repository": git})
        self.server.answers["Which"] = {"view": dict(VIEW, repository="/srv/repo")}
        self.assertEqual(asked(sub), {"repository": "/srv/repo"}, "in a view")
        self.server.answers["List"] = {"views": []}
        self.assertIn("of this repository", self.ctl("list", cwd=repo)[1])

    def test_agent__a_word_that_names_none_is_a_path_in_a_view(self):
        self.server.answers["Which"] = {"view": dict(VIEW, agent="carol", path=self.cwd)}
        self.server.answers["Show"] = lambda params: (
            {"view": dict(VIEW, path=self.cwd), "notes": [], "denials": []} if params["agent"] in ("alice", "carol")
            else ("error", "org.agentfs.NotFound", {"message": "no such agent"}))
        self.ctl("why", "Makefile")
        self.assertEqual(self.last("Why")[1], {"agent": "carol", "path": "Makefile"})
        self.ctl("why", "alice")
        self.assertEqual(self.last("Why")[1], {"agent": "alice"})
        self.server.answers["Which"] = ANSWERS["Which"]
        self.ctl("why", "zoe")
        self.assertEqual(self.last("Why")[1], {"agent": "zoe"})

    def test_agent__left_out_elsewhere_is_a_usage_error(self):
        _, err = self.ctl("log", status=2)
        self.assertIn("no AGENT given", err)
        self.assertIn(self.cwd, err)

    # ---- what is printed

    def test_create__says_path_branch_role_and_next_in_five_lines(self):
        out, err = self.ctl("create", "alice")
        self.assertLessEqual(len(out.splitlines()), 5)
        for word in ["/nowhere/alice", "agents/alice/work", "main", "builder", "src/**", "agentfsctl shell alice"]:
            self.assertIn(word, out)
        self.assertEqual(err, "attributes are shown as stored\n")
        self.assertEqual(self.ctl("create", "alice", "--quiet")[1], "")

    def test_create__again_says_that_it_was_there(self):
        self.server.answers["Create"] = {"view": VIEW, "created": False, "notes": []}
        self.assertIn("already there", self.ctl("create", "alice")[0])
        self.server.answers["Create"]["notes"] = ["it was there already"]
        self.assertEqual(self.ctl("create", "alice")[1], "", "said twice")

    def test_list__is_an_aligned_table(self):
        lines = self.ctl("list")[0].splitlines()
        self.assertEqual(len(lines), 3)
        column = lines[0].index("BRANCH")
        self.assertEqual([line[column:column + 7] for line in lines[1:]], ["agents/"] * 2)
        self.assertIn("+1 -2", lines[1])
        self.assertIn("never", lines[1])

    def test_list__empty_says_so_on_stderr(self):
        self.server.answers["List"] = {"views": []}
        out, err = self.ctl("list")
        self.assertEqual(out, "")
        self.assertIn("agentfsctl create", err)

    def test_path__is_the_path_alone(self):
        self.assertEqual(self.ctl("path", "alice"), ("/nowhere/alice\n", ""))

    def test_show__has_every_field_and_the_denials(self):
        out, _ = self.ctl("show", "alice")
        for word in ["alice", "joe", "src/**", "2.0 KiB", "1 ahead, 2 behind", "refused: write SPRINT.md"]:
            self.assertIn(word, out)

    def test_diff__forms(self):
        self.assertEqual(self.ctl("diff", "alice")[0], ANSWERS["Diff"]["patch"])
        self.assertEqual(self.ctl("diff", "alice", "--name-status")[0], "A\tsrc/a.c\nD\told.c\n")
        stat, _ = self.ctl("diff", "alice", "--stat")
        self.assertIn(" src/a.c | 12 ++++++++++++\n", stat)
        self.assertIn(" 2 files changed, 12 insertions(+), 5 deletions(-)\n", stat)
        self.assertIn("exclude each other", self.ctl("diff", "alice", "--stat", "--name-status", status=2)[1])

    def test_color__always_and_never(self):
        self.assertIn("\033[32m+b\033[0m", self.ctl("diff", "alice", "--color", "always")[0])
        self.assertNotIn("\033", self.ctl("diff", "alice", "--color", "never")[0])
        self.assertNotIn("\033", self.ctl("list")[0])  # no terminal

    def terminal(self, *args, env=None, stderr=False):
        """What a terminal as stdout (or stderr) gets."""
        master, slave = pty.openpty()
        full = dict(os.environ, TERM="xterm", HOME=self.dir, **(env or {}))
        if not (env and "NO_COLOR" in env):
            full.pop("NO_COLOR", None)
        p = subprocess.Popen([CTL, "--socket", self.socket] + list(args), cwd=self.cwd, env=full,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL if stderr else slave,
                             stderr=slave if stderr else subprocess.DEVNULL)
        os.close(slave)
        data = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # EIO: the last writer has gone
                break
            if not piece:
                break
            data += piece
        os.close(master)
        self.assertEqual(p.wait(timeout=60), 0)
        return data.decode()

    def test_terminal__has_colours_unless_told_otherwise(self):
        self.assertIn("\033[1mAGENT", self.terminal("list"))
        for args, env in [(["--color", "never"], {}), ([], {"NO_COLOR": "1"})]:
            self.assertNotIn("\033", self.terminal("list", *args, env=env))

    def test_terminal__long_answers_go_through_the_pager(self):
        for argv in [["diff", "alice"], ["log", "alice"], ["audit"]]:
            self.assertIn("PAGED:", self.terminal(*argv, env={"PAGER": "sed s/^/PAGED:/"}))
            self.assertNotIn("PAGED:", self.terminal(*argv, env={"PAGER": "cat"}))
        self.assertIn("agents/alice", self.terminal("list", env={"PAGER": "false"}))

    def test_terminal__a_patch_cannot_play_with_it(self):
        self.server.answers["Diff"] = {"changes": CHANGES, "patch": "+x\033]0;evil\007\ty\n"}
        self.assertIn("+x\\x1b]0;evil\\x07\ty", self.terminal("diff", "alice", env={"PAGER": "cat"}))
        self.assertEqual(self.ctl("diff", "alice")[0], "+x\033]0;evil\007\ty\n")  # a file gets the patch itself

    def test_terminal__progress_after_a_second(self):
        self.server.answers["List"] = lambda params: time.sleep(1.5) or {"views": [VIEW]}
        text = self.terminal("list", stderr=True)
        self.assertIn("list … 1 s", text)
        self.assertTrue(text.endswith("\r\033[K"))
        self.server.answers["List"] = {"views": [VIEW]}
        self.assertEqual(self.terminal("list", stderr=True), "")

    def test_log__looks_like_git_log(self):
        out, _ = self.ctl("log", "alice", "-p")
        self.assertIn("commit " + "c" * 40 + "\nAuthor: alice <a@b>\n", out)
        self.assertIn("\n    login\n\n    why\n    so\n\n+b\n", out)

    def test_materialize__empty_change_says_so(self):
        self.assertIn("1 commit on agents/alice/work, now at dddddddddddd", self.ctl("materialize", "alice")[0])
        self.server.answers["Materialize"] = dict(ANSWERS["Materialize"], commit=None, commits=0, changes=[])
        self.assertEqual(self.ctl("materialize", "alice")[0], "alice: nothing new for agents/alice/work\n")

    def test_merge__conflict_lists_paths_and_kinds_and_exits_1(self):
        out, _ = self.ctl("merge", "alice")
        self.assertIn("agents/alice/work -> main: merged as ffffffffffff, clean-merge\n  A\tsrc/a.c\n", out)
        self.server.answers["Merge"] = {"merges": [CONFLICT]}
        for more in [[], ["--dry-run"]]:
            out, _ = self.ctl("merge", "alice", *more, status=1)
            self.assertIn("  src/a.c: both modified (lines 3-9)\n", out)
            self.assertIn("Nothing was changed.", out)
        self.server.answers["Merge"] = {"merges": [dict(CONFLICT, merge=8)]}
        self.assertIn("agentfsctl merge resolve 8 ", self.ctl("merge", "alice", status=1)[0])
        self.server.answers["Merge"] = {"merges": [CONFLICT]}
        self.assertEqual(json.loads(self.ctl("merge", "alice", "--json", status=1)[0]), {"merges": [CONFLICT]})

    def test_rollback__prints_what_brings_the_work_back(self):
        out, _ = self.ctl("rollback", "alice")
        self.assertIn("git -C /srv/repo branch alice-restored refs/agentfs/preserved/alice/0011/work\n", out)

        self.server.answers["Rollback"] = {"preserved": ["refs/agentfs/preserved/alice/0011/work"],
                                           "notes": ["kept; bring it back with: git branch x y"]}
        out, err = self.ctl("rollback", "alice")
        self.assertEqual(out.splitlines()[-1], "bring it back:    git branch x y")
        self.assertNotIn("bring it back", err)  # said once

    def test_audit__one_line_a_record(self):
        out, _ = self.ctl("audit")
        self.assertEqual(len(out.splitlines()), 1)
        for word in ["03:04:05.678", "alice", "write", "denied", "EACCES", "SPRINT.md", "4711", "vim", "!SPRINT.md"]:
            self.assertIn(word, out)
        rows = self.ctl("audit", "-o", "csv")[0].split("\r\n")
        self.assertEqual(rows[0].split(",")[:3], ["time", "agent", "type"])
        self.assertIn(",SPRINT.md,", rows[1])

    def test_audit__has_columns_and_denials_stand_out(self):
        ok = dict(RECORD, agent="bob", result="ok", op="rename", to="b", rule="", path="a")
        del ok["errno"]
        self.server.answers["Audit"] = {"records": [RECORD, ok]}
        denied, plain = self.ctl("audit", "--color", "always")[0].splitlines()
        self.assertTrue(denied.startswith("\033[31m") and denied.endswith("\033[0m"), denied)
        self.assertNotIn("\033", plain)
        denied, plain = self.ctl("audit")[0].splitlines()
        self.assertEqual(denied.index("SPRINT.md"), plain.index("a -> b"))
        self.assertTrue(plain.endswith("a -> b  vim[4711]"), plain)
        self.assertTrue(denied.endswith("SPRINT.md  vim[4711]  builder: !SPRINT.md"), denied)

    def test_audit__control_says_what_was_asked_and_what_came_of_it(self):
        call = {"seq": 1, "time": RECORD["time"], "agent": "", "view": "", "type": "control", "op": "Create",
                "result": "ok", "cursor": "c"}
        self.server.answers["Audit"] = {"records": [
            dict(call, pid=7, uid=1000, value='{"agent":"alice"}'), dict(call, seq=2, call=1, value="done"),
            dict(call, seq=3, call=1, result="failed", value="the name is taken")]}
        asked, done, failed = self.ctl("audit", "--control")[0].splitlines()
        for line, words in ((asked, ("uid 1000", "Create", "asked", '{"agent":"alice"}', "pid[7]")),
                            (done, ("Create", "done", "call 1")), (failed, ("failed", "the name is taken"))):
            for word in words:
                self.assertIn(word, line)

    def test_audit__none_match(self):
        self.server.answers["Audit"] = {"records": []}
        self.assertEqual(self.ctl("audit"), ("", "No records match.\n"))

    def test_audit__cursor_file_goes_on_where_it_ended(self):
        name = os.path.join(self.dir, "cursor")
        self.ctl("audit", "--cursor-file", name)
        self.assertEqual(read(name), "c7\n")
        self.ctl("audit", "--cursor-file", name)
        self.assertEqual(self.last("Audit")[1]["cursor"], "c7")
        self.server.answers["Audit"] = {"records": []}
        self.ctl("audit", "--cursor-file", name)
        self.assertEqual(read(name), "c7\n")

    def test_audit__follow_prints_batches_as_they_come(self):
        self.server.answers["Audit"] = [{"records": [RECORD]}, {"records": [dict(RECORD, seq=8, path="b")]}]
        lines = self.ctl("audit", "-f", "--json")[0].splitlines()
        self.assertEqual([json.loads(x)["seq"] for x in lines], [7, 8])
        both = json.loads(self.ctl("audit", "--json")[0])
        self.assertEqual([r["seq"] for r in both["records"]], [7, 8])

    def test_audit__times_people_write(self):
        def since(text):
            self.ctl("audit", "--since", text)
            when = self.last("Audit")[1]["since"]
            return time.mktime(time.strptime(when, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
        now = time.time()
        for text, ago in [("10m", 600), ("2h ago", 7200), ("-3 days", 3 * 86400), ("now", 0), ("1 week", 7 * 86400)]:
            self.assertLess(abs(now - since(text) - ago), 30, text)
        self.assertEqual(since("2026-01-31 12:00"), 1769860800)
        self.assertEqual(since("2026-01-31T13:00:00+01:00"), 1769860800)
        self.assertEqual(since("today") % 86400, 0)
        for text in ["soon", "10", "10 parsecs", "2026-13-01", "12:00x", ""]:
            self.assertIn("--since", self.ctl("audit", "--since", text, status=2)[1])

    def test_policy_check__exits_by_the_verdict(self):
        out, _ = self.ctl("policy", "check", "alice", "write", "SPRINT.md", status=1)
        self.assertEqual(out, "refused: plans are the lead's by rule builder: !SPRINT.md\nwhat to do: ask the lead\n")
        self.server.answers["PolicyCheck"] = {"decision": {"allowed": True, "result": "ok", "rule": "*",
                                                           "role": "builder", "text": ""}}
        self.assertTrue(self.ctl("policy", "check", "alice", "write", "a")[0].startswith("allowed"))

    def test_why__is_one_line_a_verdict(self):
        def decision(op, allowed, rule, remedy=None):
            return {"op": op, "allowed": allowed, "result": "allow" if allowed else "deny", "rule": rule,
                    "role": "builder", "text": f"alice: {op}: {rule}", "remedy": remedy}
        answer = self.server.answers["Why"] = {
            "role": "builder", "scope": [], "denials": [], "text": "alice is a builder",
            "decisions": [decision(op, False, "write !SPRINT.md", "leave it") for op in ("write", "create", "unlink")]}
        self.assertEqual(self.ctl("why", "alice", "SPRINT.md")[0],
                         "refused: write, create, unlink by write !SPRINT.md\nwhat to do: leave it\n")
        answer["decisions"][0] = decision("write", True, "write *")
        answer["decisions"][2] = decision("unlink", False, "iron x", "leave it")
        self.assertEqual(self.ctl("why", "alice", "x")[0],
                         "allowed: write by write *\nrefused: create by write !SPRINT.md\n"
                         "refused: unlink by iron x\nwhat to do: leave it\n")
        answer["decisions"] = []
        self.assertEqual(self.ctl("why", "alice")[0], "alice is a builder\n")

    def test_doctor__a_problem_exits_1(self):
        self.assertEqual(self.ctl("doctor")[0], "ok      fuse: /dev/fuse is there\n")
        self.server.answers["Doctor"] = {"checks": [
            {"name": "kernel", "state": "warning", "text": "old", "remedy": None},
            {"name": "fuse", "state": "problem", "text": "no /dev/fuse", "remedy": "modprobe fuse"}]}
        self.assertIn("modprobe fuse", self.ctl("doctor", status=1)[0])

    def test_events__one_or_all(self):
        self.assertEqual(len(self.ctl("events", "-f")[0].splitlines()), 2)
        self.assertEqual(len(self.ctl("events")[0].splitlines()), 1)
        lines = self.ctl("events", "-f", "--json")[0].splitlines()
        self.assertEqual([json.loads(x)["type"] for x in lines], ["created", "merged"])

    def test_shell__enters_the_view_with_its_environment(self):
        view = dict(VIEW, path=self.cwd)
        self.server.answers["Show"] = {"view": view, "notes": [], "denials": []}
        script = os.path.join(self.dir, "sh")
        with open(script, "w") as f:
            f.write("#!/bin/sh\npwd; env | grep ^AGENTFS_ | sort\n")
        os.chmod(script, 0o755)
        out, _ = self.ctl("shell", "alice", env={"SHELL": script}, cwd="/")
        self.assertEqual(out.splitlines(), [
            self.cwd, "AGENTFS_AGENT=alice", f"AGENTFS_CONTROL={self.cwd}/.agentfs/control", "AGENTFS_ROLE=builder",
            f"AGENTFS_SOCKET={self.socket}", "AGENTFS_TASK=work"])
        self.server.answers["Show"] = ANSWERS["Show"]
        self.assertIn("/nowhere/alice", self.ctl("shell", "alice", status=1)[1])

    def test_names__cannot_play_with_the_terminal(self):
        evil = "a\033[2Jb\nc\u202ed\u009be\rf"
        shown = r"a\x1b[2Jb\nc\u{202e}d\u{9b}e\rf"
        self.server.answers.update({
            "List": {"views": [dict(VIEW, path=evil)]},
            "Show": {"view": dict(VIEW, repository=evil), "notes": [evil], "denials": [dict(RECORD, path=evil)]},
            "Create": {"view": dict(VIEW, path=evil, scope=[evil]), "created": True, "notes": []},
            "Merge": {"merges": [dict(CONFLICT, conflicts=[{"path": evil, "kind": "k", "reason": evil}])]},
            "Audit": {"records": [dict(RECORD, path=evil, command=evil, rule=evil)]},
            "Diff": {"changes": [dict(CHANGES[0], path=evil, **{"from": evil})], "patch": "+" + evil},
            "Rollback": ("error", "org.agentfs.Busy", {"message": evil, "remedy": evil,
                                                       "details": {"paths": [evil]}}),
        })
        for argv, status in [(["list"], 0), (["show", "alice"], 0), (["create", "alice"], 0), (["merge", "alice"], 1),
                             (["audit"], 0), (["audit", "-o", "csv"], 0), (["diff", "alice", "--stat"], 0),
                             (["diff", "alice", "--name-status"], 0), (["rollback", "alice"], 1)]:
            both = "".join(self.ctl(*argv, status=status))
            self.assertIn(shown, both, argv)
            for c in "\033\u202e\u009b":
                self.assertNotIn(c, both, argv)

    def test_names__other_scripts_are_shown_as_they_are(self):
        self.server.answers["List"] = {"views": [dict(VIEW, path="/Übung/日本")]}
        self.assertIn("/Übung/日本", self.ctl("list")[0])

    def test_json__is_the_reply(self):
        for argv, method in [(["list"], "List"), (["show", "alice"], "Show"), (["create", "alice"], "Create"),
                             (["diff", "alice"], "Diff"), (["log", "alice"], "Log"), (["brief", "alice"], "Brief"),
                             (["materialize", "alice"], "Materialize"), (["apply", "alice"], "Apply"),
                             (["destroy", "alice"], "Destroy"), (["why", "alice"], "Why"), (["audit"], "Audit"),
                             (["doctor"], "Doctor"), (["daemon", "status"], "Status"), (["merge", "alice"], "Merge"),
                             (["next", "alice", "--task", "t"], "Next")]:
            for form in [["--json"] + argv, argv + ["--json"]]:
                out, _ = self.ctl(*form)
                self.assertEqual(json.loads(out), ANSWERS[method], form)
                self.assertEqual(len(out.splitlines()), 1)
        self.assertEqual(json.loads(self.ctl("path", "alice", "--json")[0]), {"path": "/nowhere/alice"})

    # ---- what goes wrong

    def test_usage__names_the_wrong_word_and_exits_2(self):
        for argv, words in [
                ([], ["no command"]), (["crate"], ["'crate'", "'create'"]), (["zzzzzzzz"], ["'zzzzzzzz'"]),
                (["policy"], ["check"]), (["daemon", "strat"], ["'strat'", "'start'"]),
                (["create"], ["AGENT is missing"]), (["create", "-x"], ["-x"]),
                (["create", "a", "b"], ["'b'"]), (["create", "../a"], ["'../a'"]), (["create", "a" * 65], ["64"]),
                (["create", "a", "--rol", "x"], ["'--rol'", "'--role'"]), (["create", "a", "--role"], ["--role", "ROLE"]),
                (["create", "a", "--git", "own"], ["'own'", "private|worktree"]),
                (["create", "a", "--role", "x", "--role", "y"], ["twice", "'x'", "'y'"]),
                (["create", "a", "--task="], ["--task"]), (["list", "--json=1"], ["--json", "'1'"]),
                (["list", "extra"], ["'extra'"]), (["audit", "--pid", "x1"], ["--pid", "'x1'"]),
                (["audit", "--result", "bad"], ["'bad'", "ok|denied|failed"]), (["audit", "-f", "-r"], ["exclude"]),
                (["audit", "src/a"], ["'src/a'", "--path"]), (["next", "alice"], ["--task"]),
                (["wait", "alice"], ["--for"]), (["wait", "alice", "--for", "gone"], ["'gone'"]),
                (["policy", "check", "write"], ["PATH is missing"]), (["why", "a", "b", "c"], ["'c'"]),
                (["--color", "pink", "list"], ["'pink'"]), (["audit", "--json", "-o", "csv"], ["exclude"])]:
            with self.subTest(argv=argv):
                _, err = self.ctl(*argv, status=2)
                self.assertTrue(err.startswith("agentfsctl: "), err)
                self.assertEqual(len(err.splitlines()), 2)
                for word in words:
                    self.assertIn(word, err)
        self.assertEqual(self.server.requests, [])

    def test_error__of_the_daemon_in_two_lines(self):
        self.server.answers["Show"] = ("error", "org.agentfs.NotFound", {
            "message": "no agent 'zoe'", "remedy": "See agentfsctl list.", "details": {"agents": ["zora"]}})
        out, err = self.ctl("show", "zoe", status=1)
        self.assertEqual((out, err), ("", "agentfsctl: no agent 'zoe'\n  zora\nSee agentfsctl list.\n"))
        out, _ = self.ctl("show", "zoe", "--json", status=1)
        self.assertEqual(json.loads(out), {"id": "org.agentfs.NotFound", "message": "no agent 'zoe'",
                                           "remedy": "See agentfsctl list.", "details": {"agents": ["zora"]}})

    def test_error__without_remedy_takes_the_tables(self):
        self.server.answers["Show"] = ("error", "org.agentfs.Dirty", {"message": "'a' is modified"})
        self.assertIn("Commit, stash or move", self.ctl("show", "zoe", status=1)[1])

    def test_error__that_says_itself_what_to_do_is_one_line(self):
        for i in ("NotFound", "Invalid", "BranchElsewhere", "Locked", "Denied"):
            self.server.answers["Show"] = ("error", "org.agentfs." + i, {"message": "it is so: do this"})
            self.assertEqual(self.ctl("show", "zoe", status=1)[1], "agentfsctl: it is so: do this\n")
            self.assertTrue(json.loads(self.ctl("--json", "show", "zoe", status=1)[0])["remedy"])

    def test_daemon__away_exits_3(self):
        for argv in [["list"], ["daemon", "status"], ["daemon", "stop"], ["audit"]]:
            out, err = self.ctl("--socket", os.path.join(self.dir, "none"), *argv, status=3, socket=False)
            self.assertIn("none", err)
            self.assertEqual(out, "")
        out, _ = self.ctl("list", "--json", "--socket", os.path.join(self.dir, "none"), status=3, socket=False)
        self.assertEqual(json.loads(out)["id"], "org.agentfs.DaemonAway")

    def test_daemon__socket_from_the_environment(self):
        self.ctl("list", socket=False, env={"AGENTFS_SOCKET": self.socket})
        self.assertEqual(self.server.requests[-1][0], "List")

    def test_daemon__strange_answers_exit_3(self):
        for raw in [b"", b"nonsense\0", b'{"parameters":{"views":[', b"[1]\0", b'{"parameters":5}\0']:
            self.server.answers["List"] = ("raw", raw)
            self.assertEqual(len(self.ctl("list", status=3)[1].splitlines()), 2, raw)
        self.server.answers["List"] = None
        self.assertIn("versions", self.ctl("list", status=3)[1])

    def test_daemon__fields_of_the_wrong_type_do_no_harm(self):
        """A newer or broken daemon: whatever stands in a field, no command crashes."""
        def spoilt(value, wrong):
            if isinstance(value, dict):
                for key in value:
                    yield dict(value, **{key: wrong})
                    for sub in spoilt(value[key], wrong):
                        yield dict(value, **{key: sub})
            elif isinstance(value, list) and value:
                yield [wrong]
                for sub in spoilt(value[0], wrong):
                    yield [sub]
        for argv, method in [(["create", "alice"], "Create"), (["list"], "List"), (["show", "alice"], "Show"),
                             (["diff", "alice"], "Diff"), (["diff", "alice", "--stat"], "Diff"),
                             (["log", "alice", "-p"], "Log"), (["materialize", "alice"], "Materialize"),
                             (["merge", "alice"], "Merge"), (["rollback", "alice"], "Rollback"), (["audit"], "Audit"),
                             (["policy", "check", "alice", "write", "a"], "PolicyCheck"), (["why", "alice"], "Why"),
                             (["doctor"], "Doctor"), (["daemon", "status"], "Status")]:
            good, worse = ANSWERS[method], [{}]
            for i, answer in enumerate(spoilt(good, 0)):
                wrong = [None, 7, "x\033", [], {}, [[1]], 1e300][i % 7]
                worse.append(json.loads(json.dumps(answer)))
                worse += list(spoilt(good, wrong))[i:i + 1]
            for answer in worse:
                if '"patch": "x\\u001b"' in json.dumps(answer):
                    continue  # a patch goes to a file as it is
                self.server.answers[method] = answer
                p = subprocess.run([CTL, "--socket", self.socket] + argv, capture_output=True, cwd=self.cwd, timeout=60)
                self.assertIn(p.returncode, (0, 1, 3), answer)
                for word in (b"Sanitizer", b"runtime error", b"\033"):
                    self.assertNotIn(word, p.stderr + p.stdout, answer)

    def test_daemon__start_says_when_it_runs_already(self):
        out, err = self.ctl("daemon", "start")
        self.assertIn("runs already", err)
        out, err = self.ctl("daemon", "start", "--socket", os.path.join(self.dir, "x"), socket=False, status=1)
        self.assertIn("no daemon answers", err)

    def test_stdout__that_takes_nothing_is_a_failure(self):
        with open("/dev/full", "w") as full:
            p = subprocess.run([CTL, "--socket", self.socket, "list"], stdout=full, stderr=subprocess.PIPE,
                               cwd=self.cwd, timeout=60)
        self.assertEqual(p.returncode, 1)
        self.assertIn(b"standard output", p.stderr)

    def test_words__that_are_no_utf8_are_refused(self):
        p = subprocess.run([CTL, "--socket", self.socket, "audit", "--path", b"\xff\xfe"], capture_output=True,
                           cwd=self.cwd, timeout=60)
        self.assertEqual(p.returncode, 2)
        self.assertIn(b"\\xff", p.stderr)

    # ---- what is generated

    def test_help__of_every_command_has_an_example(self):
        out, _ = self.ctl("--help")
        for name, options in table().items():
            self.assertRegex(out, rf"(?m)^  {name}\b")
            text, err = self.ctl(*name.split(), "--help")
            self.assertIn("\nExample:\n", text)
            self.assertEqual(err, "")
            for o in options:
                self.assertRegex(text, rf"--{o}\b")
        self.assertEqual(self.ctl("--version")[0].split()[0], "agentfsctl")

    def test_docs__are_what_the_tables_say(self):
        for kind, name in [("commands", "COMMANDS.md"), ("errors", "ERRORS.md")]:
            with open(os.path.join(SOURCE, "docs", name)) as f:
                self.assertEqual(f.read(), generated(kind),
                                 f"docs/{name} is old: agentfsctl --generate {kind} > docs/{name}")

    def test_docs__know_every_error_of_the_protocol(self):
        with open(os.path.join(SOURCE, "daemon/proto/agentfs.varlink")) as f:
            ids = re.findall(r"^error (\w+)", f.read(), re.M)
        self.assertGreater(len(ids), 10)
        for i in ids:
            self.assertIn(f"| org.agentfs.{i} |", generated("errors"))

    def test_man__has_every_command_and_no_warning(self):
        page = generated("man")
        for name, options in table().items():
            self.assertIn(f".Ss {name}\n", page)
            for o in options:
                self.assertIn(f"Fl \\-{o}", page)
        if shutil.which("mandoc"):
            p = subprocess.run(["mandoc", "-Tlint", "-W", "warning"], input=page, capture_output=True, text=True)
            self.assertEqual(p.stdout + p.stderr, "")
        if shutil.which("man"):
            name = os.path.join(self.dir, "agentfsctl.1")
            with open(name, "w") as f:
                f.write(page)
            p = subprocess.run(["man", "--warnings", "-l", name], capture_output=True, text=True,
                               env=dict(os.environ, MANPAGER="cat"))
            self.assertEqual(p.stderr, "")

    def bash(self, *words):
        script = os.path.join(self.dir, "complete.bash")
        with open(script, "w") as f:
            f.write(generated("bash"))
        quoted = " ".join(f"'{w}'" for w in (CTL, "--socket", self.socket) + words)
        p = subprocess.run(["bash", "-c", f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) + 2}; "
                            "_agentfsctl; printf '%s\\n' \"${COMPREPLY[@]}\""],
                           capture_output=True, text=True, cwd=self.cwd, timeout=60)
        self.assertEqual(p.stderr, "")
        return set(p.stdout.split())

    def test_completion__bash_completes_commands_options_values_and_agents(self):
        self.assertEqual(self.bash(""), {name.split()[0] for name in table()})
        self.assertEqual(self.bash("mat"), {"materialize"})
        self.assertEqual(self.bash("daemon", ""), {"start", "stop", "status"})
        for name, options in table().items():
            self.assertLessEqual({f"--{o}" for o in options}, self.bash(*name.split(), "--"))
        self.assertEqual(self.bash("show", ""), {"alice", "bob"})
        self.assertEqual(self.bash("show", "b"), {"bob"})
        self.assertEqual(self.bash("policy", "check", "al"), {"alice"})
        self.assertEqual(self.bash("audit", "--result", ""), {"ok", "denied", "failed"})
        self.assertIn("reviewer", self.bash("create", "x", "--role", ""))

    def test_completion__zsh_and_fish_read_the_scripts(self):
        for shell, kind in [("zsh", "zsh"), ("fish", "fish")]:
            text = generated(kind)
            for name, options in table().items():
                for o in options:
                    self.assertRegex(text, rf"(--|-l ){o}\b")
            if shutil.which(shell):
                p = subprocess.run([shell, "-n", "/dev/stdin"], input=text, capture_output=True, text=True)
                self.assertEqual((p.returncode, p.stderr), (0, ""))

    def test_completion__fish_completes(self):
        if not shutil.which("fish"):
            self.skipTest("fish is not installed")
        script = os.path.join(self.dir, "c.fish")
        with open(script, "w") as f:
            f.write(generated("fish"))
        bindir = os.path.dirname(os.path.abspath(CTL))

        def fish(line):
            p = subprocess.run(["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"],
                               capture_output=True, text=True, cwd=self.cwd,
                               env=dict(os.environ, HOME=self.dir, AGENTFS_SOCKET=self.socket,
                                        PATH=bindir + ":" + os.environ["PATH"]))
            self.assertEqual(p.stderr, "")
            return {x.split("\t")[0] for x in p.stdout.splitlines()}
        self.assertEqual(fish("agentfsctl "), {name.split()[0] for name in table()})
        self.assertEqual(fish("agentfsctl daemon "), {"start", "stop", "status"})
        self.assertEqual(fish("agentfsctl show "), {"alice", "bob"})
        self.assertLessEqual({"--stat", "--scratch"}, fish("agentfsctl diff --s"))


FAKE_DAEMON = """#!/usr/bin/python3 -B
import os, sys, time
here = os.path.dirname(os.path.abspath(__file__))
open(os.path.join(here, "starts"), "a").write(" ".join(sys.argv[1:]) + "\\n")
if os.path.exists(os.path.join(here, "broken")):
    print("first line"); sys.exit("agentfs.yaml:3:1: unknown key 'rolls'")
sys.path.insert(0, here)
from fake_varlink import Server
time.sleep(0.3)  # so that the others come while it is not there yet
run = sys.argv[sys.argv.index("--run") + 1]
Server(os.path.join(run, "agentfsd.sock"), {"List": {"views": []}})
open(os.path.join(here, "pid"), "w").write(str(os.getpid()))
time.sleep(60)
"""


class Start(unittest.TestCase):
    """An ordinary user, whose daemon agentfsctl starts. Run by root, the user is nobody."""

    def setUp(self):
        self.dir = os.path.realpath(tempfile.mkdtemp(prefix="agentfs-ctl-"))
        self.addCleanup(shutil.rmtree, self.dir)
        self.run_dir = os.path.join(self.dir, "run")
        os.mkdir(self.run_dir, 0o700)
        shutil.copy(CTL, self.dir)
        shutil.copy(os.path.join(SOURCE, "tests/lib/fake_varlink.py"), self.dir)
        with open(os.path.join(self.dir, "agentfsd"), "w") as f:
            f.write(FAKE_DAEMON)
        os.chmod(os.path.join(self.dir, "agentfsd"), 0o755)
        self.user = {}
        if os.geteuid() == 0:
            self.user = {"user": 65534, "group": 65534, "extra_groups": []}
            for name in (self.dir, self.run_dir):
                os.chown(name, 65534, 65534)
        self.addCleanup(self.end_daemon)

    def end_daemon(self):
        name = os.path.join(self.dir, "pid")
        if os.path.exists(name):
            os.kill(int(read(name)), signal.SIGKILL)

    def popen(self, *args):
        env = {"PATH": os.environ["PATH"], "HOME": self.dir, "XDG_RUNTIME_DIR": self.run_dir,
               "XDG_STATE_HOME": self.dir}
        os.makedirs(os.path.join(self.dir, "agentfs"), exist_ok=True)  # it has run before: no other is asked
        return subprocess.Popen([os.path.join(self.dir, "agentfsctl")] + list(args), env=env, cwd="/", text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self.user)

    def ctl(self, *args):
        p = self.popen(*args)
        out, err = p.communicate(timeout=60)
        return p.returncode, out, err

    def test_start__many_commands_at_once_start_one_daemon(self):
        self.assertFalse(os.path.exists(os.path.join(self.run_dir, "agentfs")))
        commands = [self.popen("list") for _ in range(8)]
        for p in commands:
            out, err = p.communicate(timeout=60)
            self.assertEqual((p.returncode, out), (0, ""), err)
        self.assertEqual(read(os.path.join(self.dir, "starts")), f"--foreground --run {self.run_dir}/agentfs\n")
        self.assertEqual(os.stat(os.path.join(self.run_dir, "agentfs")).st_mode & 0o777, 0o700)

    def test_start__a_daemon_that_ends_is_told_with_its_last_words(self):
        with open(os.path.join(self.dir, "broken"), "w"):
            pass
        code, out, err = self.ctl("list")
        self.assertEqual((code, out), (3, ""))
        self.assertIn("agentfs.yaml:3:1: unknown key 'rolls'", err)
        self.assertNotIn("first line", err)
        self.assertIn(f"{self.run_dir}/agentfs/agentfsd.log", err)

    def test_start__status_and_stop_and_completion_start_none(self):
        for argv, want in [(["daemon", "status"], 3), (["daemon", "stop"], 3), (["--complete", "agents"], 0)]:
            self.assertEqual(self.ctl(*argv)[0], want, argv)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "starts")))

    def test_start__daemon_start_says_where_it_runs(self):
        code, _, err = self.ctl("daemon", "start")
        self.assertEqual(code, 0, err)
        self.assertIn(f"{self.run_dir}/agentfs/agentfsd.sock", err)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=1)
