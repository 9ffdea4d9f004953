# SPDX-License-Identifier: Apache-2.0
"""A person at the keyboard: an ordinary user without --socket, whose daemon agentfsctl starts by itself.

fuse_for_everybody() puts this process, and all that it starts, into a mount namespace of its own, in which
/dev/fuse is a node that everybody may open. The machine's own /dev/fuse is not touched.
"""
import ctypes
import json
import os
import stat

from harness import *
import repos

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x00020000, 4096, 16384, 1 << 18
NAMELESS_UID = 61234  # in no passwd file


def _libc(name, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{args}: {os.strerror(ctypes.get_errno())}")


def _mount(source, target, kind, flags):
    _libc("mount", source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), None)


def fuse_for_everybody():
    """May be called again; lasts as long as the process."""
    if stat.S_IMODE(os.stat("/dev/fuse").st_mode) & 0o006 == 0o006:
        return
    need_root()
    _libc("unshare", CLONE_NEWNS)
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    folder = os.path.join(new_tmp(), "dev")
    os.mkdir(folder)
    _mount("tmpfs", folder, "tmpfs", 0)
    node = os.path.join(folder, "fuse")
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(10, 229))
    os.chmod(node, 0o666)
    _mount(node, "/dev/fuse", None, MS_BIND)
    _libc("umount2", folder.encode(), 2)


class Person:
    """uid with a home, a runtime folder and a git identity; nothing of agentfs runs yet."""

    def __init__(self, folder, uid=OTHER_UID, home="home", runtime="run"):
        fuse_for_everybody()
        self.uid = uid if ROOT else 0
        self.me = uid if ROOT else os.getuid()
        self.folder = folder
        self.home, self.runtime = os.path.join(folder, home), runtime and os.path.join(folder, runtime)
        for d in filter(None, (self.home, self.runtime)):
            os.makedirs(d, 0o700, exist_ok=True)
            if ROOT:
                os.chown(d, self.me, self.me)
        self.env = {"HOME": self.home, "XDG_RUNTIME_DIR": self.runtime or "", "XDG_CONFIG_HOME": "",
                    "XDG_STATE_HOME": "", "XDG_CACHE_HOME": "", "GIT_CONFIG_GLOBAL": self.home + "/.gitconfig",
                    "PATH": os.path.dirname(program("agentfsctl")) + ":" + os.environ["PATH"]}
        self.sh("git config --global user.name Ada; git config --global user.email ada@example.org")
        self.repo = None

    def run(self, *command, cwd=None, env=None, **kw):
        return run(*command, cwd=cwd or self.home, uid=self.uid, env={**self.env, **(env or {})}, **kw)

    def sh(self, script, cwd=None, **kw):
        return self.run("bash", "-euo", "pipefail", "-c", script, cwd=cwd, **kw)

    def ctl(self, *args, cwd=None, **kw):
        return self.run(program("agentfsctl"), *args, cwd=cwd or self.repo, **kw)

    def json(self, *args, **kw):
        return json.loads(self.ctl("--json", *args, **kw).stdout)

    def make_repo(self, name="project", files=None):
        self.repo = repos.make(os.path.join(self.home, name), files, uid=self.uid)
        return self.repo

    def create(self, agent, *args, **kw):
        return self.ctl("create", agent, *args, **kw).stdout.strip()

    def view(self, agent):
        return self.json("show", agent)["view"]

    def status(self):
        return self.json("daemon", "status")

    def server_pid(self, agent):
        want = os.path.join(self.status()["state_dir"], "views", agent)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as f:
                    words = f.read().split("\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == "agentfs" and want in words:
                return int(pid)
        raise AssertionError(f"nobody serves the view of '{agent}'")

    def mounts(self):
        with open("/proc/self/mountinfo") as f:
            points = [line.split()[4].encode().decode("unicode_escape").encode("latin-1").decode()
                      for line in f]
        return [p for p in points if p.startswith(self.folder + "/")]

    def leave(self):
        """Ends the daemon where one runs; nothing may stay mounted."""
        if self.ctl("daemon", "status", check=False, cwd=self.folder).returncode == 0:
            self.ctl("daemon", "stop", cwd=self.folder)
        equal(self.mounts(), [], "mounts that are left")


def at_home(test, **kw):
    """A test of a Person with a repository; what goes wrong in leaving fails it, too."""
    def case(tmp):
        person = Person(tmp, **kw)
        person.make_repo()
        try:
            test(person)
        finally:
            person.leave()
    case.__name__ = test.__name__
    return case
