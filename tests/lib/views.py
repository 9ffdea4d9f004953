# SPDX-License-Identifier: Apache-2.0
"""A view served by agentfs alone, without a daemon: what tests of the file system itself use."""
import os
import secrets
import select
import signal
import subprocess
import time

from harness import ROOT, program, run
import repos


def policy(role="builder", write=("*",), scratch="beside", iron=(), hide=(), scope=(), redirect=()):
    lines = ["agentfs-policy 1", f"role {role}", f"scratch {scratch}"]
    for kind, patterns in (("iron", iron), ("hide", hide), ("write", write), ("scope", scope),
                           ("redirect", redirect)):
        lines += [f"{kind} {p}" for p in patterns]
    return "\n".join(lines) + "\n"


def escape(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n")


class View:
    """start() mounts, stop() unmounts and demands a clean end, kill() is kill -9 plus the dead mount's
    removal; after it start() recovers the same view."""

    def __init__(self, folder, repo=None, policy_text=None, agent="a1", uid=None, gid=None):
        self.folder, self.agent = folder, agent
        self.uid = os.getuid() if uid is None else uid
        self.gid = (os.getgid() if uid is None else uid) if gid is None else gid
        self.state = os.path.join(folder, "state")
        self.dir = os.path.join(self.state, "views", agent)
        self.mnt = os.path.join(folder, "mnt-" + agent)
        self.sock = os.path.join(folder, agent + ".sock")
        self.log = os.path.join(folder, agent + ".log")
        self.repo = repo or os.path.join(folder, "repo")
        self.server = None
        self.environment = {}
        if not os.path.exists(self.repo):
            repos.make(self.repo)
        self._prepare(policy_text or policy())

    def path(self, *names):
        return os.path.join(self.mnt, *names)

    def _prepare(self, policy_text):
        images = os.path.join(self.state, "images")
        for d in (images, os.path.join(self.state, "content"), self.dir, self.mnt):
            os.makedirs(d, exist_ok=True)
        gitdir = os.path.join(self.repo, repos.git(self.repo, "rev-parse", "--git-common-dir"))
        commit = repos.git(self.repo, "rev-parse", "HEAD")
        tree = repos.git(self.repo, "rev-parse", "HEAD^{tree}")
        image, index = tree + ".img", f"{tree}.{self.uid}.{self.gid}.idx"
        if not os.path.exists(os.path.join(images, image)):
            run(program("mkimage"), gitdir + "/objects", tree, os.path.join(images, image),
                os.path.join(images, index), self.uid, self.gid)
        branch = f"agents/{self.agent}/work"
        seeds = [("HEAD", f"ref: refs/heads/{branch}\n"),
                 ("config", "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
                            f"[user]\n\tname = {self.agent}\n\temail = {self.agent}@agentfs.invalid\n"),
                 ("description", "a view\n"),
                 (f"refs/heads/{branch}", commit + "\n"),
                 ("objects/info/alternates", gitdir + "/objects\n")]
        folders = ["refs", "refs/heads", "refs/heads/agents", f"refs/heads/agents/{self.agent}",
                   "refs/tags", "objects", "objects/info", "objects/pack", "info"]
        text = "version 1\nview-id " + secrets.token_hex(16) + "\n"
        for key, value in (("agent", self.agent), ("task", "work"), ("role", "builder"),
                           ("department", ""), ("branch", branch), ("target", "main"),
                           ("repository", gitdir), ("objects", gitdir + "/objects"),
                           ("base-commit", commit), ("tree", tree), ("image", image), ("index", index),
                           ("mount", self.mnt)):
            text += f"{key} {escape(value)}\n"
        text += f"uid {self.uid}\ngid {self.gid}\ncreated {time.time_ns()}\n"
        text += f"policy {len(policy_text.encode())}\n{policy_text}\n"
        for name in folders:
            text += f"seed 40755 {name} 0\n\n"
        for name, data in seeds:
            text += f"seed 100644 {name} {len(data.encode())}\n{data}\n"
        with open(os.path.join(self.dir, "view.conf"), "w") as f:
            f.write(text + "end\n")

    def start(self, timeout=60):
        read, write = os.pipe()
        os.set_inheritable(write, True)
        command = [program("agentfs"), "--view", self.dir, "--state", self.state, "--socket", self.sock,
                   "--ready-fd", str(write), "--log", self.log]
        with open(os.path.join(self.folder, self.agent + "-stderr.log"), "ab") as errors:
            self.server = subprocess.Popen(command, pass_fds=(write,), stdin=subprocess.DEVNULL,
                                           stdout=errors, stderr=errors,
                                           env={**os.environ, **self.environment})
        os.close(write)
        ready, _, _ = select.select([read], [], [], timeout)
        said = os.read(read, 4096) if ready else b""
        os.close(read)
        if said != b"1":
            self.server.kill()
            self.server.wait()
            self.server = None
            self._umount()
            raise AssertionError(f"agentfs did not get ready: {said.decode()}\n{self.logged()[-2000:]}")
        assert os.path.ismount(self.mnt), "ready, but not mounted"
        return self

    def logged(self):
        text = ""
        for name in (self.log, os.path.join(self.folder, self.agent + "-stderr.log")):
            if os.path.exists(name):
                with open(name, errors="replace") as f:
                    text += f.read()
        return text

    def stop(self, timeout=60):
        if not self.server:
            return
        server, self.server = self.server, None
        server.send_signal(signal.SIGTERM)
        try:
            code = server.wait(timeout)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            self._umount()
            raise AssertionError(f"agentfs did not end {timeout} s after SIGTERM")
        mounted = os.path.ismount(self.mnt)
        self._umount()
        assert not mounted, "agentfs ended and left its mount"
        assert code == 0, f"agentfs ended with {code}: {self.logged()[-3000:]}"

    def kill(self):
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()
        self.server = None
        self._umount()

    def _umount(self):
        def mounted():
            with open("/proc/self/mountinfo") as f:
                return any(line.split()[4] == self.mnt for line in f)
        while mounted():
            if ROOT:
                run("umount", "-l", self.mnt, check=False)
            else:
                run("fusermount3", "-uz", self.mnt, check=False)

    def restart(self):
        self.stop()
        return self.start()

    def denied(self):
        """The text of the view's own list of refusals."""
        with open(self.path(".agentfs/control/denied")) as f:
            return f.read()
