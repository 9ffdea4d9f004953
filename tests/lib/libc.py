# SPDX-License-Identifier: Apache-2.0
"""System calls that Python's os module lacks. Each raises OSError with the call's errno."""
import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_COLLAPSE, FALLOC_ZERO_RANGE = 1, 2, 8, 16


def _check(r, path=None):
    if r < 0:
        e = ctypes.get_errno()
        raise OSError(e, os.strerror(e), path)
    return r


def rename2(old, new, flags):
    _check(_libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags), old)


def fallocate(fd, mode, offset, length):
    _check(_libc.fallocate(fd, mode, ctypes.c_longlong(offset), ctypes.c_longlong(length)))


def syncfs(fd):
    _check(_libc.syncfs(fd))


def mknod(path, mode, device=0):
    os.mknod(path, mode, device)


def inotify_new():
    return _check(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def inotify_add(fd, path, mask):
    return _check(_libc.inotify_add_watch(fd, os.fsencode(path), mask), path)


def inotify(path, mask):
    fd = inotify_new()
    inotify_add(fd, path, mask)
    return fd
