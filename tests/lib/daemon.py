# SPDX-License-Identifier: Apache-2.0
"""A private daemon with its own state, sockets and mounts, and agentfsctl talking to it."""
import json
import os
import signal
import subprocess

from harness import OTHER_UID, ROOT, TMP, as_user, open_to_others, program, run, wait_for
import repos


class System:
    """uid: whose daemon it is (root's where we are root); repo_uid: whose repository."""

    def __init__(self, folder, uid=0, repo_uid=None, files=None, config=None, repo=None):
        self.folder, self.uid = folder, uid
        self.repo_uid = uid if repo_uid is None else repo_uid
        self.state, self.run_dir, self.mounts = (os.path.join(folder, n) for n in ("state", "run", "agents"))
        self.socket = os.path.join(self.run_dir, "agentfsd.sock")
        self.log = os.path.join(folder, "agentfsd.log")
        self.config = os.path.join(folder, "agentfs.yaml") if config is not None else None
        self.process = None
        for d in (self.state, self.run_dir, self.mounts):
            os.makedirs(d, exist_ok=True)
        for d in (TMP, folder):
            open_to_others(d)
        if ROOT and uid:
            for d in (folder, self.state, self.run_dir, self.mounts):
                os.chown(d, uid, uid)
        if config is not None:
            with open(self.config, "w") as f:
                f.write(config)
        self.repo = repo or os.path.join(folder, "repo")
        if not os.path.exists(self.repo):
            repos.make(self.repo, files, uid=self.repo_uid)

    def command(self):
        command = [program("agentfsd"), "--foreground", "--state", self.state, "--run", self.run_dir,
                   "--mounts", self.mounts]
        return command + (["--config", self.config] if self.config else [])

    def start(self, mounted=True):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, "HOME": self.folder}, cwd=self.folder,
                                            **as_user(self.uid))

        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"agentfsd ended with {self.process.returncode}: {self.logged()[-3000:]}")
            return os.path.exists(self.socket) and self.ctl("daemon", "status", check=False).returncode == 0
        wait_for(answers, 60, "the daemon answers")
        if not mounted:
            return self
        wait_for(lambda: all(v["state"] != "stale" and v["path"] in self.mounted() for v in self.views()
                             if v["path"].startswith(self.mounts)), 60, "all views are mounted again")
        return self

    def logged(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def ctl(self, *args, cwd=None, check=True, uid=None, input=None, timeout=120, env=None):
        """agentfsctl as a user (the daemon's own by default)."""
        return run(program("agentfsctl"), "--socket", self.socket, *args, cwd=cwd or self.repo, check=check,
                   uid=self.uid if uid is None else uid, input=input, timeout=timeout, env=env)

    def json(self, *args, **kw):
        out = self.ctl("--json", *args, **kw).stdout
        return json.loads(out) if out.strip() else None

    def refused(self, error, *args, status=1, says=(), **kw):
        """The command must fail so: exit status, error id, words of its sentence. Returns the error."""
        done = self.ctl("--json", *args, check=False, **kw)
        what = " ".join(map(str, args))
        assert done.returncode == status, f"{what}: exit {done.returncode}, want {status}: {done.stdout}{done.stderr}"
        e = error_of(done)
        if error:
            wanted = error if isinstance(error, tuple) else (error,)
            assert e["id"].rpartition(".")[2] in wanted, f"{what}: {e}, want {error}"
        for word in (says,) if isinstance(says, str) else says:
            assert word in e["message"], f"{what}: '{word}' is not in: {e['message']}"
        assert "\n" not in e["message"].strip(), f"{what}: more than one line: {e['message']}"
        return e

    def create(self, agent, *args, **kw):
        self.ctl("create", agent, "--repo", self.repo, *args, **kw)
        return self.path(agent)

    def path(self, agent, *names):
        return os.path.join(self.mounts, agent, *names)

    def view(self, agent):
        found = [v for v in self.views() if v["agent"] == agent]
        return found[0] if found else None

    def views(self):
        return self.json("list", "--all")["views"]

    def git(self, *args, **kw):
        return repos.git(self.repo, *args, uid=self.repo_uid, **kw)

    def records(self, agent, *args):
        return self.json("audit", agent, *args)["records"]

    def mounted(self):
        with open("/proc/self/mountinfo") as f:
            return [line.split()[4] for line in f if line.split()[4].startswith(self.mounts + "/")]

    def server_pid(self, agent):
        """The process that serves a view, by its command line."""
        want = os.path.join(self.state, "views", agent)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as f:
                    words = f.read().split("\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == "agentfs" and want in words:
                return int(pid)
        return None

    def kill(self):
        """kill -9 of the daemon alone: its views serve on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def restart(self):
        self.kill()
        return self.start()

    def stop(self):
        if not self.process:
            self.start()
        self.ctl("daemon", "stop", check=False)
        process, self.process = self.process, None
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the daemon did not end 60 s after it was told to stop")
        assert code == 0, f"agentfsd ended with {code}: {self.logged()[-3000:]}"
        assert not self.mounted(), f"the daemon ended and left mounts: {self.mounted()}"


def error_of(done):
    """The error object of agentfsctl --json, wherever it was printed."""
    for text in (done.stderr, done.stdout):
        for line in [text] + text.splitlines():
            try:
                e = json.loads(line)
            except ValueError:
                continue
            if isinstance(e, dict):
                e = e.get("error", e)
                if isinstance(e, dict) and "id" in e and "message" in e:
                    return e
    raise AssertionError(f"no error object in: {done.stdout}{done.stderr}")


__all__ = ["System", "OTHER_UID"]
