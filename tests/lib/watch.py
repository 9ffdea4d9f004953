# SPDX-License-Identifier: Apache-2.0
"""A file watcher as editors and build tools have one: inotify on a folder and, recursively, on all below."""
import os
import select
import struct

import libc

ACCESS, MODIFY, ATTRIB, CLOSE_WRITE, CLOSE_NOWRITE, OPEN = 1, 2, 4, 8, 16, 32
MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = 64, 128, 256, 512, 1024, 2048
IGNORED, ISDIR = 0x8000, 0x40000000
NAMES = {ACCESS: "access", MODIFY: "modify", ATTRIB: "attrib", CLOSE_WRITE: "close-write", CLOSE_NOWRITE: "close",
         OPEN: "open", MOVED_FROM: "moved-from", MOVED_TO: "moved-to", CREATE: "create", DELETE: "delete",
         DELETE_SELF: "delete-self", MOVE_SELF: "move-self", IGNORED: "ignored"}
CHANGES = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF


class Watcher:
    """events() gives (path below the root, name of the event) in their order. New folders are watched as they come."""

    def __init__(self, root, mask=CHANGES):
        self.root, self.mask, self.paths = root, mask, {}
        self.fd = libc.inotify_new()
        self.add("")
        for where, dirs, _ in os.walk(root):
            for d in dirs:
                self.add(os.path.relpath(os.path.join(where, d), root))

    def add(self, path):
        """A file or a folder by itself."""
        wd = libc.inotify_add(self.fd, os.path.join(self.root, path) if path else self.root, self.mask)
        self.paths[wd] = path
        return wd

    def events(self, seconds=0.0):
        found = []
        while select.select([self.fd], [], [], seconds)[0]:
            data, at = os.read(self.fd, 65536), 0
            while at < len(data):
                wd, mask, _, n = struct.unpack_from("iIII", data, at)
                name = data[at + 16:at + 16 + n].split(b"\0")[0].decode(errors="replace")
                at += 16 + n
                path = os.path.join(self.paths.get(wd, "?"), name) if name else self.paths.get(wd, "?")
                if mask & (CREATE | MOVED_TO) and mask & ISDIR:
                    try:
                        self.add(path)
                    except OSError:
                        pass
                found += [(path, text) for bit, text in NAMES.items() if mask & bit]
            seconds = 0
        return found

    def wait_for(self, *wanted, seconds=10):
        """Until all of these came; returns everything that did."""
        found, missing = [], set(wanted)
        while missing:
            new = self.events(seconds)
            if not new:
                raise AssertionError(f"no {sorted(missing)} within {seconds} s; came: {found}")
            found += new
            missing -= set(new)
        return found

    def close(self):
        os.close(self.fd)
