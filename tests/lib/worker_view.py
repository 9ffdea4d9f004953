# SPDX-License-Identifier: Apache-2.0
"""A repository, agentfs-worker as a process, and views served by agentfs, all below one temporary
folder that goes at the end."""
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time

GIT_ENV = dict(os.environ, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null",
               GIT_AUTHOR_NAME="u", GIT_AUTHOR_EMAIL="u@example.org",
               GIT_COMMITTER_NAME="u", GIT_COMMITTER_EMAIL="u@example.org")
SUPPRESSIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan.supp")
POLICY = "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\nwrite !SPRINT.md\n"


class Failed(Exception):
    def __init__(self, error):
        super().__init__(error["id"] + ": " + error["message"])
        self.id, self.message, self.error = error["id"], error["message"], error


def run(*argv, cwd=None, env=None, check=True, **kw):
    p = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, errors="surrogateescape", **kw)
    if check and p.returncode:
        raise AssertionError(f"{argv}: {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


class World:
    """worker, agentfs: the programs. owner: uid (and gid) of repositories, where we are root."""

    def __init__(self, worker, agentfs, owner=None):
        self.worker, self.agentfs = worker, agentfs
        self.dir = tempfile.mkdtemp(prefix="agentfs-test-")
        os.chmod(self.dir, 0o755)
        with open(os.path.join(self.dir, "gitconfig"), "w") as f:
            f.write("[safe]\n\tdirectory = *\n")
        GIT_ENV["GIT_CONFIG_GLOBAL"] = f.name
        self.state = os.path.join(self.dir, "state")
        os.makedirs(os.path.join(self.state, "views"))
        self.owner = os.geteuid() if owner is None else owner
        self.views = []

    def close(self):
        for v in list(self.views):
            v.stop()
        shutil.rmtree(self.dir)

    def git(self, repo, *args, check=True, env=None):
        return run("git", "-c", "safe.directory=*", "-C", repo, *args, env=dict(GIT_ENV, **(env or {})),
                   check=check)

    def give(self, repo):
        if os.geteuid() == 0:
            run("chown", "-R", f"{self.owner}:{self.owner}", repo)

    def repository(self, name="repo", files=None):
        repo = os.path.join(self.dir, name)
        run("git", "init", "-q", "-b", "main", repo, env=GIT_ENV)
        for path, text in (files or {"README.md": "one\n", "src/a.c": "int a;\n", "src/b.c": "int b;\n",
                                     "SPRINT.md": "plan\n", ".gitignore": "*.o\nlogs/\n"}).items():
            full = os.path.join(repo, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as f:
                f.write(text if isinstance(text, bytes) else text.encode())
        self.git(repo, "add", "-A")
        self.git(repo, "commit", "-q", "-m", "first")
        self.give(repo)
        return repo

    def ask(self, op, **request):
        request = dict({"op": op, "state": self.state, "peer_uid": self.owner, "peer_gid": self.owner,
                        "user_name": "Una User", "user_email": "una@example.org"}, **request)
        # libgit2's regular expressions leak where they do not match (a repository with extensions)
        env = dict(os.environ, LSAN_OPTIONS="print_suppressions=0:suppressions=" + SUPPRESSIONS)
        p = subprocess.run([self.worker], input=json.dumps(request), capture_output=True, text=True, env=env)
        assert p.returncode == 0, f"{op}: exit {p.returncode}\n{p.stderr}"
        assert not p.stderr, p.stderr
        last = json.loads(p.stdout.splitlines()[-1])
        if "error" in last:
            raise Failed(last["error"])
        return last["ok"]

    def create(self, repo, agent="b1", task="work", **more):
        request = dict(repo=repo, agent=agent, task=task, view_id=secrets.token_hex(16),
                       branch=f"agents/{agent}/{task}", uid=self.owner, gid=self.owner)
        request.update(more)
        return request, self.ask("create", **request)

    def view(self, repo, policy=POLICY, **more):
        request, made = self.create(repo, **more)
        v = View(self, repo, request, made, policy)
        v.start()
        self.views.append(v)
        return v


def escape(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n")


class View:
    def __init__(self, world, repo, request, made, policy):
        self.world, self.repo, self.request, self.made = world, repo, request, made
        self.agent = request["agent"]
        self.dir = os.path.join(world.state, "views", self.agent)
        self.sock = os.path.join(world.dir, self.agent + ".sock")
        self.path = os.path.join(world.dir, "mnt-" + self.agent)
        self.server = None
        os.makedirs(self.dir)
        os.makedirs(self.path)
        self.write_conf(policy)

    def write_conf(self, policy):
        m, r = self.made, self.request
        keys = {"version": 1, "view-id": r["view_id"], "uid": r["uid"], "gid": r["gid"],
                "created": time.time_ns(), "agent": self.agent, "task": r["task"], "role": "builder",
                "department": "", "branch": m["branch"], "target": m["target"],
                "repository": m["repository"], "objects": m["objects"], "base-commit": m["base_commit"],
                "tree": m["tree"], "image": m["image"], "index": m["index"], "mount": self.path}
        out = b"".join(f"{k} {escape(str(v))}\n".encode() for k, v in keys.items())
        out += f"policy {len(policy.encode())}\n{policy}\n".encode()
        for s in m["seeds"]:
            data = s["data"].encode()
            out += f"seed {s['mode']:o} {escape(s['path'])} {len(data)}\n".encode() + data + b"\n"
        with open(os.path.join(self.dir, "view.conf"), "wb") as f:
            f.write(out + b"end\n")

    def start(self):
        ready, tell = os.pipe()
        self.log = open(os.path.join(self.world.dir, self.agent + ".log"), "ab")
        self.server = subprocess.Popen(
            [self.world.agentfs, "--view", self.dir, "--state", self.world.state, "--socket", self.sock,
             "--ready-fd", str(tell)], pass_fds=[tell], stderr=self.log)
        os.close(tell)
        said = os.read(ready, 4096).decode()
        os.close(ready)
        assert said.strip() == "1", said + open(self.log.name).read()

    def stop(self):
        if self.server:
            subprocess.run(["umount", "-l", self.path] if os.geteuid() == 0 else
                           ["fusermount3", "-uz", self.path], capture_output=True)
            self.server.terminate()
            try:
                self.server.wait(20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            self.log.close()
            self.server = None
        if self in self.world.views:
            self.world.views.remove(self)

    def file(self, path):
        return os.path.join(self.path, path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.file(path)), exist_ok=True)
        with open(self.file(path), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    def git(self, *args, check=True):
        """The agent's own git, with the view's configuration alone."""
        env = {k: v for k, v in GIT_ENV.items() if not k.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))}
        return run("git", "-c", "safe.directory=*", "-C", self.path, *args, env=env, check=check)

    def ask(self, op, **more):
        request = dict(repo=self.repo, view_dir=self.dir)
        if self.server:
            request["sock"] = self.sock
        request.update(more)
        return self.world.ask(op, **request)

    def materialize(self, **more):
        return self.ask("materialize", **more)

    def shared(self, *args, check=True):
        return self.world.git(self.repo, *args, check=check)
