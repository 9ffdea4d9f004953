# SPDX-License-Identifier: Apache-2.0
"""Takes a tree's picture and compares two of them."""
import hashlib
import os
import stat


def picture(top, skip=(b".git", b".agentfs"), times=False, links=True):
    """{relative path: tuple} of everything below top: type, mode, size, link count, content or target,
    user xattrs and, on request, mtime. Names as bytes; skip: names at the top to leave out."""
    top = os.fsencode(top)
    found = {}

    def walk(folder, rel):
        for name in sorted(os.listdir(folder)):
            if not rel and name in skip:
                continue
            path, r = folder + b"/" + name, rel + name
            found[r] = describe(path, times, links)
            if stat.S_ISDIR(os.lstat(path).st_mode):
                walk(path, r + b"/")
    walk(top, b"")
    return found


def describe(path, times=False, links=True):
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    what = [oct(st.st_mode)]
    if stat.S_ISREG(kind):
        with open(path, "rb") as f:
            what += [st.st_size, hashlib.sha256(f.read()).hexdigest()[:16]]
    elif stat.S_ISLNK(kind):
        what += [st.st_size, os.readlink(path)]
    if links and not stat.S_ISDIR(kind):
        what.append(f"nlink {st.st_nlink}")
    if times:
        what.append(f"mtime {st.st_mtime_ns}")
    if not stat.S_ISLNK(kind):
        try:
            attrs = [(n, os.getxattr(path, n)) for n in sorted(os.listxattr(path)) if n.startswith("user.")]
        except OSError:
            attrs = []
        if attrs:
            what.append(attrs)
    return tuple(what)


def differences(a, b, limit=10):
    """Sentences about how b differs from a; an empty list means: not at all."""
    said = []
    for name in sorted(set(a) | set(b)):
        if a.get(name) != b.get(name):
            said.append(f"{name!r}: {a.get(name, 'missing')} / {b.get(name, 'missing')}")
    return said[:limit] + ([f"… and {len(said) - limit} more"] if len(said) > limit else [])
