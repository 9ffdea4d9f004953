# SPDX-License-Identifier: Apache-2.0
"""agentfsd with real views: test_daemon.py AGENTFSD SOURCE [VIEWS]

Everything lives in a temporary folder; at the end no process, mount or file of it is left.
"""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

AGENTFSD, SOURCE = (os.path.abspath(a) for a in sys.argv[1:3])
VIEWS = int(sys.argv[3]) if len(sys.argv) > 3 else 24


class Fault(Exception):
    """An error the daemon answered: id and parameters."""

    def __init__(self, error, parameters):
        super().__init__(error + ": " + json.dumps(parameters))
        self.error, self.parameters = error, parameters


def skip(why):
    print(why)
    sys.exit(77)


def wait_for(what, condition, seconds=20):
    """Polls a condition; false at the end fails the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timeout: " + what
        time.sleep(0.02)


def mounts_below(folder):
    """Mount points below a folder, from mountinfo."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return [l.split()[4] for l in f if l.split()[4].startswith(folder + "/")]


def servers_of(folder):
    """Pids of the views' servers that work for a STATE folder."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                args = f.read().split(b"\0")
        except OSError:
            continue
        if b"--view" in args and os.fsencode(folder) in args:
            found[os.path.basename(args[args.index(b"--view") + 1]).decode()] = int(pid)
    return found


class Daemon:
    """A private daemon and its folders."""

    def __init__(self):
        self.tmp = tempfile.mkdtemp(prefix="agentfs-d.")
        self.state, self.run, self.mounts, self.repo = (
            os.path.join(self.tmp, n) for n in ("state", "run", "mounts", "repo"))
        self.sock = os.path.join(self.run, "agentfsd.sock")
        self.pid = 0
        self.git("init", "-q", "-b", "main", self.repo, where=self.tmp)
        os.makedirs(os.path.join(self.repo, "src"))
        for n in range(20):
            with open(os.path.join(self.repo, "src", "f%d.c" % n), "w", encoding="utf-8") as f:
                f.write("int f%d;\n" % n)
        self.git("add", ".")
        self.git("commit", "-qm", "one")

    def git(self, *args, where=None):
        env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="t",
                   GIT_AUTHOR_EMAIL="t@example.invalid", GIT_COMMITTER_NAME="t",
                   GIT_COMMITTER_EMAIL="t@example.invalid")
        return subprocess.run(["git", "-C", where or self.repo] + list(args), env=env, check=True,
                              text=True, stdout=subprocess.PIPE).stdout

    def args(self):
        return [AGENTFSD, "--state", self.state, "--run", self.run, "--mounts", self.mounts]

    def start(self):
        r = subprocess.run(self.args(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           check=False, timeout=120)
        assert r.returncode == 0, r.stderr
        self.pid = self.call("Status")["pid"]

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(120)
        s.connect(self.sock)
        return s

    def call(self, method, **parameters):
        with self.connect() as s:
            return ask(s, method, parameters)

    def state_of(self, agent):
        return self.call("Show", agent=agent)["view"]["state"]

    def kill(self, sig=signal.SIGKILL):
        os.kill(self.pid, sig)
        wait_for("the daemon's end", lambda: not alive(self.pid))

    def end(self):
        try:
            self.call("Stop")
            wait_for("the daemon's end", lambda: not alive(self.pid))
        except (OSError, Fault):
            pass
        for pid in servers_of(self.state).values():
            os.kill(pid, signal.SIGKILL)
        for m in mounts_below(self.tmp):
            subprocess.run(["umount", "-l", m] if os.geteuid() == 0 else
                           ["fusermount3", "-u", "-z", m], check=False)
        shutil.rmtree(self.tmp)


def alive(pid):
    """Is it there, and more than a zombie?"""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def receive(s, rest):
    """The next message; rest is a bytearray that keeps what came after it."""
    while b"\0" not in rest:
        more = s.recv(1 << 16)
        if not more:
            raise ConnectionResetError("closed")
        rest += more
    text, _, tail = bytes(rest).partition(b"\0")
    rest[:] = tail
    return json.loads(text)


def ask(s, method, parameters=None, **flags):
    name = method if "." in method else "org.agentfs." + method
    s.sendall(json.dumps(dict({"method": name, "parameters": parameters or {}}, **flags)).encode() +
              b"\0")
    reply = receive(s, bytearray())
    if "error" in reply:
        raise Fault(reply["error"], reply["parameters"])
    return reply["parameters"]


def refused(error, function, *args, **kwargs):
    """The sentence of the error that must come."""
    try:
        function(*args, **kwargs)
    except Fault as f:
        assert f.error.endswith("." + error), f
        return f.parameters.get("message", "")
    raise AssertionError("not refused: %s" % (kwargs,))


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def test_speaks_varlink(d):
    with d.connect() as s:
        info = ask(s, "org.varlink.service.GetInfo")
        assert "org.agentfs" in info["interfaces"]
        text = ask(s, "org.varlink.service.GetInterfaceDescription", {"interface": "org.agentfs"})
        assert text["description"] == read(SOURCE, "daemon/proto/agentfs.varlink")
        refused("MethodNotFound", ask, s, "Nothing")
        refused("InterfaceNotFound", ask, s, "org.example.Do")
        refused("ExpectedMore", ask, s, "Events")
        # every method of the interface is there: none says MethodNotFound
        for name in re.findall(r"^method (\w+)\(", text["description"], re.M):
            try:
                ask(s, name, {"no such parameter": 1})
            except Fault as f:
                assert f.error == "org.varlink.service.InvalidParameter", (name, f)
    refused("InvalidParameter", d.call, "Create", agent="x")
    refused("InvalidParameter", d.call, "Create", agent=1, repository="/")
    refused("InvalidParameter", d.call, "List", repo="/")


def test_hostile_peers_cost_only_themselves(d):
    for junk in (b"nonsense\0", b"{}\0", b"[" * 100000 + b"\0", b"\xff\0", b"x" * (2 << 20)):
        with d.connect() as s:
            try:
                s.sendall(junk)
                assert s.recv(100) == b""
            except OSError:
                pass
    with d.connect() as s:  # two calls at once, answered in order
        call = b'{"method":"org.agentfs.Status"}\0{"method":"org.varlink.service.GetInfo"}\0'
        for n in range(len(call)):
            s.send(call[n:n + 1])
        rest = bytearray()
        assert "pid" in receive(s, rest)["parameters"]
        assert "vendor" in receive(s, rest)["parameters"]
    assert d.call("Status")["pid"] == d.pid


def test_bad_input_is_one_sentence(d):
    for id_, words, args in (
            ("Invalid", "destroy", {"agent": "destroy"}),
            ("Invalid", "", {"agent": "../x"}),
            ("Invalid", "absolute", {"agent": "x", "repository": "rel"}),
            ("NotFound", "/nonexistent", {"agent": "x", "repository": "/nonexistent"}),
            ("NotFound", "king", {"agent": "x", "role": "king"}),
            ("NotFound", "nope", {"agent": "x", "base": "nope"}),
            ("NotFound", "nobody-here", {"agent": "x", "user": "nobody-here"}
             if os.geteuid() == 0 else {"agent": "x", "base": "nobody-here"}),
            ("Invalid", "not empty", {"agent": "x", "mount": d.repo + "/../state"}),
            ("Invalid", "ignore", {"agent": "x", "mount": d.repo + "/inside"}),
            ("Invalid", "base", {"agent": "x", "mount": d.repo + "/src/f0.c/y"}),
            ("Invalid", "absolute", {"agent": "x", "mount": "rel"})):
        said = refused(id_, d.call, "Create", **dict({"repository": d.repo}, **args))
        assert words in said and "\n" not in said, (args, said)
    assert not mounts_below(d.tmp) and not d.call("List")["views"]
    assert d.git("for-each-ref", "refs/agentfs", "refs/heads/agents") == ""
    assert os.listdir(os.path.join(d.state, "views")) == []
    refused("NotFound", d.call, "Show", agent="x")


def test_creates_in_parallel(d):
    with concurrent.futures.ThreadPoolExecutor(VIEWS) as pool:
        made = list(pool.map(lambda n: d.call("Create", agent="p%d" % n, repository=d.repo),
                             range(VIEWS)))
    assert all(m["created"] and m["view"]["state"] == "live" for m in made)
    views = d.call("List")["views"]
    assert len(views) == VIEWS and len({v["id"] for v in views}) == VIEWS
    for v in views:
        assert read(v["path"], "src/f3.c") == "int f3;\n"
    again = d.call("Create", agent="p0", repository=d.repo)
    assert not again["created"]
    assert not d.call("Create", agent="p0", repository=d.repo + "/src")["created"]
    refused("NameTaken", d.call, "Create", agent="p0", repository=d.repo, task="other")
    assert d.call("Which", path=views[0]["path"] + "/src")["view"]["agent"] == views[0]["agent"]


def test_policy_is_told(d):
    assert not d.call("PolicyCheck", agent="p0", op="write", path="SPRINT.md")["decision"]["allowed"]
    assert d.call("PolicyCheck", agent="p0", op="create", path="src/n")["decision"]["allowed"]
    refused("Invalid", d.call, "PolicyCheck", agent="p0", op="fly", path="x")
    refused("Invalid", d.call, "PolicyCheck", agent="p0", op="write", path="../../x")
    why = d.call("Why", agent="p0", path="SPRINT.md")
    assert [x["op"] for x in why["decisions"]] == ["write", "create", "unlink"] and why["decisions"][0]["remedy"]
    assert [x["allowed"] for x in why["decisions"]] == [False] * 3 and why["role"] == "builder"
    brief = d.call("Brief", agent="p0")["text"]
    assert d.mounts in brief and "agents/p0/work" in brief and ".agentfs/control" in brief
    names = {c["name"] for c in d.call("Doctor")["checks"]}
    assert {"kernel", "fuse", "git", "space", "identity"} <= names
    ctl = open(os.path.join(SOURCE, "docs/COMMANDS.md")).read()
    for check in d.call("Doctor")["checks"]:
        for word in re.findall(r"agentfsctl (\w+)", check.get("remedy") or ""):
            assert f"agentfsctl {word}" in ctl, check


def test_second_daemon_is_refused(d):
    r = subprocess.run(d.args(), text=True, stderr=subprocess.PIPE, check=False, timeout=60)
    assert r.returncode == 1 and "another daemon uses" in r.stderr, r.stderr
    assert d.call("Status")["pid"] == d.pid


def test_views_survive_the_daemon(d):
    before = servers_of(d.state)
    assert len(before) == VIEWS
    for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        d.kill(sig)
        path = os.path.join(d.mounts, "p1", "src", "while-away")
        with open(path, "a", encoding="utf-8") as f:
            f.write("x")
        d.start()
        wait_for("adoption", lambda: all(v["state"] == "live" for v in d.call("List")["views"]))
        assert servers_of(d.state) == before
    assert read(d.mounts, "p1", "src", "while-away") == "xxx"


def test_a_dead_server_is_replaced(d):
    with open(os.path.join(d.mounts, "p2", "src", "kept"), "w", encoding="utf-8") as f:
        f.write("kept")
    for _ in range(3):
        old = servers_of(d.state)["p2"]
        os.kill(old, signal.SIGKILL)
        wait_for("another server", lambda: servers_of(d.state).get("p2", old) != old)
        d.call("Wait", target="p2", state="live", timeout=20)
        assert read(d.mounts, "p2", "src", "kept") == "kept"
    # also when nobody watched
    d.kill()
    os.kill(servers_of(d.state)["p2"], signal.SIGKILL)
    d.start()
    d.call("Wait", target="p2", state="live", timeout=20)
    assert read(d.mounts, "p2", "src", "kept") == "kept"


def test_a_half_made_view_is_undone(d):
    """kill -9 at some instants of a creation: afterwards the agent is there wholly or not at all."""
    for n in range(6):
        agent = "half%d" % n
        with d.connect() as s:
            s.sendall(json.dumps({"method": "org.agentfs.Create", "parameters": {
                "agent": agent, "repository": d.repo}}).encode() + b"\0")
            time.sleep(0.02 * n)  # the instant is the point; any will do
            d.kill()
        d.start()
        if any(v["agent"] == agent and v["state"] == "creating" for v in d.call("List")["views"]):
            d.call("Wait", target=agent, state="closed", timeout=30)
        there = [v for v in d.call("List")["views"] if v["agent"] == agent]
        if there:
            d.call("Wait", target=agent, state="live", timeout=30)
        else:
            made = d.call("Create", agent=agent, repository=d.repo)
            assert made["created"] and made["view"]["state"] == "live"
        assert read(d.mounts, agent, "src/f1.c") == "int f1;\n"


def test_others_are_denied(d):
    """The system daemon lets a user see only his own; a socket he may not open is closed to him."""
    if os.geteuid() != 0:
        return
    for p in (d.tmp, d.run):
        os.chmod(p, 0o755)
    os.chmod(d.sock, 0o666)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(12345)
            os.setuid(12345)
            assert d.call("List")["views"] == []
            for method in ("Show", "Materialize", "Destroy", "Brief"):
                refused("Denied", d.call, method, agent="p1")
            refused("Denied", d.call, "Stop")
            refused("Denied", d.call, "Create", agent="q", repository=d.repo,
                    mount=d.tmp + "/elsewhere")
            refused("Denied", d.call, "Create", agent="q", repository=d.repo)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    os.chmod(d.sock, 0o600)


def test_control_calls_are_journaled(d):
    data = b"".join(open(os.path.join(d.state, "control-journal", n), "rb").read()
                    for n in os.listdir(os.path.join(d.state, "control-journal")))
    assert data.count(b'"agent":"p3"') >= 1 and b"Create" in data


def test_a_view_is_closed_and_still_audited(d):
    path = d.call("Create", agent="gone", repository=d.repo)["view"]["path"]
    with open(os.path.join(path, "src", "new.c"), "w", encoding="utf-8") as held:
        held.write("int n;\n")
        held.flush()
        assert "in use" in refused("Busy", d.call, "Destroy", agent="gone")
        assert d.state_of("gone") == "live"
    try:
        with open(os.path.join(path, "SPRINT.md"), "w", encoding="utf-8"):
            raise AssertionError("a denied path was written")
    except PermissionError:
        pass
    denied = d.call("Why", agent="gone", path="SPRINT.md")["denials"]
    assert denied and denied[0]["path"] == "SPRINT.md"
    made = d.call("Materialize", agent="gone")
    assert [c["path"] for c in made["changes"]] == ["src/new.c"]
    assert d.git("show", made["branch"] + ":src/new.c") == "int n;\n"
    moved = d.call("Next", agent="gone", task="more")["view"]
    assert moved["branch"] == "agents/gone/more" and moved["task"] == "more"
    assert d.git("branch", "--show-current", where=path) == "agents/gone/more\n"
    with open(os.path.join(path, "src", "lost.c"), "w", encoding="utf-8") as f:
        f.write("unmerged\n")
    ended = d.call("Rollback", agent="gone", force=True)
    refs = d.git("for-each-ref", "--format=%(refname)", "refs/agentfs/preserved/gone").split()
    kept = [r for r in refs if "src/lost.c" in d.git("ls-tree", "-r", "--name-only", r).split()]
    assert kept and d.git("show", kept[0] + ":src/lost.c") == "unmerged\n", (refs, ended)
    assert not os.path.exists(path) and path not in mounts_below(d.tmp)
    assert "agents/gone/more" not in d.git("branch", "--list")
    refused("NotFound", d.call, "Show", agent="gone")
    records = d.call("Audit", agents=["gone"], op=["write"])["records"]
    assert {"src/new.c", "src/lost.c"} <= {r.get("path") for r in records}
    assert d.call("Create", agent="gone", repository=d.repo, task="again")["created"]
    d.call("Destroy", agent="gone")


def test_who_waits_for_the_end_of_a_view_hears_of_it(d):
    """The wait begins while the view lives: only the news of its end can answer it."""
    d.call("Create", agent="ending", repository=d.repo)
    with d.connect() as s, d.connect() as other:
        s.sendall(json.dumps({"method": "org.agentfs.Wait", "parameters": {
            "target": "ending", "state": "closed", "timeout": 60}}).encode() + b"\0")
        ask(other, "Status")  # the daemon has read both: what waits is waiting
        d.call("Destroy", agent="ending")
        s.settimeout(20)
        assert "error" not in receive(s, bytearray())


def test_events_tell_what_happens(d):
    with d.connect() as s:
        s.sendall(b'{"method":"org.agentfs.Events","more":true}\0')
        ask_until = time.monotonic() + 30
        d.call("Create", agent="seen", repository=d.repo)
        d.call("Destroy", agent="seen")
        types, rest = [], bytearray()
        while "closed" not in types:
            assert time.monotonic() < ask_until, types
            event = receive(s, rest)["parameters"]["event"]
            if event["agent"] == "seen":
                types.append(event["type"])
        assert "created" in types


def test_stop_unmounts_and_start_brings_back(d):
    d.call("Stop")
    wait_for("the daemon's end", lambda: not alive(d.pid))
    assert not mounts_below(d.tmp)
    wait_for("the servers' end", lambda: not servers_of(d.state))
    assert os.path.exists(d.sock)  # a dead socket file, which the next replaces
    d.start()
    wait_for("all live", lambda: all(v["state"] == "live" for v in d.call("List")["views"]), 60)
    assert read(d.mounts, "p2", "src", "kept") == "kept"


def main():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        skip("/dev/fuse cannot be opened")
    if os.geteuid() != 0 and not shutil.which("fusermount3"):
        skip("fusermount3 is missing")
    d = Daemon()
    failed = True
    try:
        d.start()
        for name, test in list(globals().items()):
            if name.startswith("test_"):
                began = time.monotonic()
                test(d)
                print("ok %s (%.1f s)" % (name, time.monotonic() - began), flush=True)
        failed = False
    finally:
        if failed:
            sys.stdout.write(read(d.state, "agentfsd.log")[-6000:])
        log = read(d.state, "agentfsd.log")
        d.end()
    bad = [l for l in log.splitlines() if " error: " in l or "ERROR:" in l or "runtime error" in l]
    assert not bad, bad


main()
