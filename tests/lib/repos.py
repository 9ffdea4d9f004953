# SPDX-License-Identifier: Apache-2.0
"""Git repositories for tests: small ones by hand, large ones through git fast-import."""
import os
import random
import subprocess

from harness import as_user, run

IDENTITY = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
            "GIT_AUTHOR_DATE": "2024-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2024-01-02T03:04:05Z"}

SMALL = {
    "README": "hello world\n",
    "Makefile": "all: prog\n\nprog: src/main.o src/util.o\n\t$(CC) -o $@ $^\n\nclean:\n\trm -f prog src/*.o\n",
    "src/main.c": '#include <stdio.h>\n#include "util.h"\n\nint main(void)\n{\n\tprintf("%d\\n", util());\n\treturn 0;\n}\n',
    "src/util.c": '#include "util.h"\n\nint util(void)\n{\n\treturn 42;\n}\n',
    "src/util.h": "int util(void);\n",
    "docs/guide.md": "# Guide\n\nOne.\nTwo.\nThree.\n",
    "docs/deep/er/still/file.txt": "deep\n",
    "SPRINT.md": "the plan\n",
    "empty": "",
    ".gitignore": "*.o\n/prog\n/build/\n",
}


def git(repo, *args, uid=0, check=True, input=None):
    return run("git", "-C", repo, *args, uid=uid, check=check, input=input, env=IDENTITY).stdout.strip()


def make(path, files=None, uid=0, branch="main"):
    """A repository with one commit: files (name → text or bytes), two more of odd kind. Returns path."""
    os.makedirs(path, exist_ok=True)
    if uid:
        os.chown(path, uid, uid)
    run("git", "init", "-q", "-b", branch, path, uid=uid)
    git(path, "config", "user.name", "Ada", uid=uid)
    git(path, "config", "user.email", "ada@example.org", uid=uid)
    git(path, "config", "gc.auto", "0", uid=uid)
    write_files(path, SMALL if files is None else files, uid)
    if files is None:
        write_files(path, {"tools/run.sh": "#!/bin/sh\necho run\n"}, uid)
        os.chmod(os.path.join(path, "tools/run.sh"), 0o755)
        os.symlink("README", os.path.join(path, "link"))
        if uid:
            os.lchown(os.path.join(path, "link"), uid, uid)
    git(path, "add", "-A", uid=uid)
    git(path, "commit", "-q", "--allow-empty", "-m", "first", uid=uid)
    return path


def write_files(path, files, uid=0):
    for name, data in files.items():
        where = os.path.join(path, name)
        folder = os.path.dirname(where)
        new = []
        while not os.path.isdir(folder):
            new.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(new):
            os.mkdir(folder)
            if uid:
                os.chown(folder, uid, uid)
        with open(where, "wb") as f:
            f.write(data.encode() if isinstance(data, str) else data)
        if uid:
            os.chown(where, uid, uid)


def commit(path, files, message="more", uid=0):
    write_files(path, files, uid)
    git(path, "add", "-A", uid=uid)
    git(path, "commit", "-q", "-m", message, uid=uid)
    return git(path, "rev-parse", "HEAD", uid=uid)


def generate(path, files, seed=1, uid=0):
    """A repository of `files` files with sizes like source code (median about 4 KiB, a long tail),
    about 12 to a folder, text that compresses as code does. No checkout: it is bare."""
    rng = random.Random(seed)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz_", k=rng.randrange(2, 12))) for _ in range(2000)]
    marks = [b"(", b") {\n\t", b";\n", b" = ", b", ", b" ", b" ", b"->", b"\n}\n\n", b"\t\t/* ", b" */\n"]

    def text(size):
        parts, n = [], 0
        while n < size:
            p = words[int(len(words) * rng.random() ** 3)] + marks[rng.randrange(len(marks))]
            parts.append(p)
            n += len(p)
        return b"".join(parts)[:size]

    run("git", "init", "-q", "--bare", "-b", "main", path, uid=uid)
    pool = text(4 << 20)
    child = subprocess.Popen(["git", "-C", path, "fast-import", "--quiet"], stdin=subprocess.PIPE,
                             **as_user(uid))
    out = child.stdin
    out.write(b"commit refs/heads/main\ncommitter Ada <ada@example.org> 1704164645 +0000\ndata 5\nfirst\n")
    for i in range(files):
        size = min(int(rng.lognormvariate(8.3, 1.3)), 1 << 20)
        start = rng.randrange(len(pool) - size) if size < len(pool) else 0
        head = b"/* file %d */\n" % i
        a, b = i // 144, i // 12 % 12
        out.write(b"M 100644 inline d%d/s%d/f%d.c\ndata %d\n" % (a, b, i, size + len(head)))
        out.write(head)
        out.write(pool[start:start + size])
        out.write(b"\n")
    out.write(b"done\n")
    out.close()
    if child.wait():
        raise AssertionError("git fast-import failed")
    return path
