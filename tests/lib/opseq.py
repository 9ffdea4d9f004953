# SPDX-License-Identifier: Apache-2.0
"""Random sequences of file system operations, run on a view and on plain ext4 side by side.

A sequence is a function of its seed alone, so a failure is repeated by its seed, and shortened by
running prefixes: what is reported is the shortest prefix whose two trees or results differ.
Compared after each operation: result or errno; at the end (and every 50 operations): the trees.
"""
import errno
import os
import random
import stat

import libc
import tree

NAMES = [b"a", b"b", b"c", b"d", b"\xff\xfe odd", b"n" * 255]


def operations(seed, count, existing):
    """Yields (name, arguments). `existing`: paths of the starting tree to begin with."""
    rng = random.Random(seed)
    folders = [b""] + [p for p, d in existing if d]
    files = [p for p, d in existing if not d]

    def folder():
        return rng.choice(folders)

    def fresh():
        f = folder()
        return (f + b"/" if f else b"") + rng.choice(NAMES)

    def any_path():
        pool = files[-40:] + folders[1:][-20:]
        return rng.choice(pool) if pool and rng.random() < 0.75 else fresh()

    def a_file():
        return rng.choice(files[-40:] + files[:10]) if files and rng.random() < 0.85 else fresh()

    def data():
        n = rng.choice([0, 1, 7, 100, 4095, 4096, 4097, 20000, 70000])
        return rng.randbytes(n)

    def offset():
        return rng.choice([0, 0, 1, 100, 4096, 5000, 65536, 131072, 300000])

    kinds = [("create", 10), ("write", 14), ("append", 5), ("truncate", 7), ("rename", 10), ("rename2", 6),
             ("link", 5), ("symlink", 3), ("unlink", 7), ("mkdir", 7), ("rmdir", 4), ("chmod", 4),
             ("utimens", 3), ("setxattr", 3), ("removexattr", 1), ("listxattr", 1), ("fallocate", 6),
             ("copy", 4), ("seek", 3), ("read", 6), ("readdir", 3), ("stat", 4), ("otrunc", 3),
             ("replace", 4), ("mkfifo", 1), ("held", 3)]
    names, weights = zip(*kinds)
    for _ in range(count):
        kind = rng.choices(names, weights)[0]
        if kind in ("create", "mkfifo"):
            p = fresh()
            files.append(p)
            yield kind, (p, data(), rng.choice([0o644, 0o755, 0o600, 0o444]))
        elif kind == "mkdir":
            p = fresh()
            folders.append(p)
            yield kind, (p,)
        elif kind in ("write", "otrunc", "append", "replace"):
            yield kind, (a_file(), offset(), data())
        elif kind == "truncate":
            yield kind, (a_file(), rng.choice([0, 1, 10, 4096, 5000, 100000]))
        elif kind in ("rename", "rename2"):
            a, b = any_path(), any_path() if rng.random() < 0.5 else fresh()
            (folders if a in folders else files).append(b)
            yield kind, (a, b, rng.choice([libc.RENAME_NOREPLACE, libc.RENAME_EXCHANGE]))
        elif kind == "link":
            b = fresh()
            yield kind, (a_file(), b)
            files.append(b)
        elif kind == "symlink":
            b = fresh()
            # None leads out of the tree: outside, the two sides are different file systems.
            yield kind, (rng.choice([b"README", b"nowhere", b"x" * 200, b"."]), b)
            files.append(b)
        elif kind in ("unlink", "rmdir", "stat"):
            yield kind, (any_path(),)
        elif kind == "readdir":
            yield kind, (folder(),)
        elif kind == "chmod":
            yield kind, (any_path(), rng.choice([0o644, 0o755, 0o600, 0o700, 0o4755, 0o1777]))
        elif kind == "utimens":
            yield kind, (any_path(), rng.randrange(1 << 30) * 10**9 + rng.randrange(10**9))
        elif kind in ("setxattr", "removexattr", "listxattr"):
            yield kind, (any_path(), rng.choice(["user.a", "user.b", "user." + "k" * 50]),
                         rng.randbytes(rng.choice([0, 1, 100, 1000])), rng.choice([0, 0, os.XATTR_CREATE, os.XATTR_REPLACE]))
        elif kind == "fallocate":
            mode = rng.choice([0, libc.FALLOC_KEEP_SIZE, libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE,
                               libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE, libc.FALLOC_ZERO_RANGE])
            yield kind, (a_file(), mode, offset(), rng.choice([1, 4096, 5000, 65536]))
        elif kind == "copy":
            yield kind, (a_file(), offset(), a_file(), offset(), rng.choice([1, 4096, 70000]))
        elif kind == "seek":
            yield kind, (a_file(), offset())
        elif kind == "read":
            yield kind, (a_file(), offset(), rng.choice([1, 4096, 100000]))
        elif kind == "held":
            yield kind, (a_file(), data())


def _open(path, flags, mode=0o644):
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)


def _with(path, flags, function, mode=0o644):
    fd = _open(path, flags, mode)
    try:
        return function(fd)
    finally:
        os.close(fd)


class Target:
    """Runs operations below `top`; the result is a value to compare, or an errno's name."""

    def __init__(self, top):
        self.top = os.fsencode(top)

    def at(self, p):
        return self.top + b"/" + p if p else self.top

    def do(self, kind, args):
        try:
            return getattr(self, "op_" + kind)(*args)
        except OSError as e:
            return errno.errorcode.get(e.errno, e.errno)

    def op_create(self, p, data, mode):
        return _with(self.at(p), os.O_CREAT | os.O_EXCL | os.O_WRONLY, lambda f: os.write(f, data), mode)

    def op_mkfifo(self, p, data, mode):
        os.mkfifo(self.at(p), mode)

    def op_write(self, p, off, data):
        return _with(self.at(p), os.O_WRONLY, lambda f: os.pwrite(f, data, off))

    def op_append(self, p, off, data):
        return _with(self.at(p), os.O_WRONLY | os.O_APPEND, lambda f: os.write(f, data))

    def op_otrunc(self, p, off, data):
        return _with(self.at(p), os.O_WRONLY | os.O_TRUNC | os.O_CREAT, lambda f: os.write(f, data))

    def op_replace(self, p, off, data):
        """As an editor saves: a new file beside, then renamed over the old one."""
        new = self.at(p)[:200] + b".new"
        _with(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, lambda f: os.write(f, data))
        try:
            os.rename(new, self.at(p))
        except OSError:
            os.unlink(new)
            raise

    def op_truncate(self, p, size):
        return _with(self.at(p), os.O_WRONLY, lambda f: os.ftruncate(f, size))

    def op_rename(self, a, b, flags):
        os.rename(self.at(a), self.at(b))

    def op_rename2(self, a, b, flags):
        libc.rename2(self.at(a), self.at(b), flags)

    def op_link(self, a, b):
        os.link(self.at(a), self.at(b), follow_symlinks=False)

    def op_symlink(self, target, p):
        os.symlink(target, self.at(p))

    def op_unlink(self, p):
        os.unlink(self.at(p))

    def op_mkdir(self, p):
        os.mkdir(self.at(p))

    def op_rmdir(self, p):
        os.rmdir(self.at(p))

    def op_chmod(self, p, mode):
        st = os.lstat(self.at(p))
        if st.st_mode & 0o170000 == 0o120000:
            return "symlink"
        if os.getuid() and stat.S_ISDIR(st.st_mode):
            mode |= 0o700  # or nobody could look what is in it
        os.chmod(self.at(p), mode)

    def op_utimens(self, p, ns):
        os.utime(self.at(p), ns=(ns, ns), follow_symlinks=False)
        return os.lstat(self.at(p)).st_mtime_ns

    def op_setxattr(self, p, name, value, flags):
        os.setxattr(self.at(p), name, value, flags, follow_symlinks=False)
        return os.getxattr(self.at(p), name, follow_symlinks=False)

    def op_removexattr(self, p, name, value, flags):
        os.removexattr(self.at(p), name, follow_symlinks=False)

    def op_listxattr(self, p, name, value, flags):
        return sorted(n for n in os.listxattr(self.at(p), follow_symlinks=False) if n.startswith("user."))

    def op_fallocate(self, p, mode, off, length):
        return _with(self.at(p), os.O_RDWR, lambda f: libc.fallocate(f, mode, off, length))

    def op_copy(self, a, off_a, b, off_b, length):
        def inner(src):
            return _with(self.at(b), os.O_RDWR, lambda dst: os.copy_file_range(src, dst, length, off_a, off_b))
        if a == b:
            return "same file"
        return _with(self.at(a), os.O_RDONLY, inner)

    def op_seek(self, p, off):
        """Granularity may differ: data may be reported where zeroes are, never a hole where data is."""
        def inner(fd):
            size = os.fstat(fd).st_size
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return "no regular file"
            if off >= size:
                return _errno_of(lambda: os.lseek(fd, off, os.SEEK_DATA))
            hole = os.lseek(fd, off, os.SEEK_HOLE)
            try:
                start = os.lseek(fd, off, os.SEEK_DATA)
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
                start = size
            assert off <= start <= size and off <= hole <= size, (off, start, hole, size)
            skipped = os.pread(fd, start - off, off)
            assert not skipped.strip(b"\0"), f"SEEK_DATA from {off} to {start} skipped data"
            if start == off and hole < size:
                after = os.lseek(fd, hole, os.SEEK_HOLE)
                assert after == hole, "SEEK_HOLE gave no hole"
            return "sound"
        return _with(self.at(p), os.O_RDONLY, inner)

    def op_read(self, p, off, n):
        return _with(self.at(p), os.O_RDONLY, lambda f: os.pread(f, n, off))

    def op_readdir(self, p):
        skip = (b".git", b".agentfs") if not p else ()
        return sorted(n for n in os.listdir(self.at(p)) if n not in skip)

    def op_stat(self, p):
        return tree.describe(self.at(p))

    def op_held(self, p, data):
        """Unlinked while open: still readable and writable, gone by name."""
        def inner(fd):
            before = os.fstat(fd).st_nlink
            os.unlink(self.at(p))
            os.pwrite(fd, data, 10)
            return before, os.fstat(fd).st_nlink, os.fstat(fd).st_size, os.pread(fd, 1 << 20, 0)
        return _with(self.at(p), os.O_RDWR, inner)


def _errno_of(function):
    try:
        return function()
    except OSError as e:
        return errno.errorcode[e.errno]


def start_tree(top):
    """Paths of the tree under top, as (path, is a folder); .git left out."""
    top = os.fsencode(top)
    found = []
    for where, dirs, names in os.walk(top):
        dirs[:] = sorted(d for d in dirs if d not in (b".git", b".agentfs"))
        rel = os.path.relpath(where, top)
        rel = b"" if rel == b"." else rel + b"/"
        found += [(rel + d, True) for d in dirs] + [(rel + n, False) for n in sorted(names)]
    return found


def compare(seed, count, plain, view, every=50, between=None):
    """Runs one sequence on both. Returns None, or (how many operations, what differs).
    between(i): called after each operation, for restarts and kills; it may remount the view."""
    a, b = Target(plain), Target(view)
    existing = start_tree(plain)
    for i, (kind, args) in enumerate(operations(seed, count, existing)):
        ra, rb = a.do(kind, args), b.do(kind, args)
        if ra != rb:
            return i + 1, f"{kind}{args!r}"[:400] + f": plain {ra!r}, view {rb!r}"[:600]
        if between:
            between(i)
        if (i + 1) % every == 0 or i + 1 == count:
            said = tree.differences(tree.picture(plain), tree.picture(view))
            if said:
                return i + 1, "trees (plain / view): " + "; ".join(said)
    return None
