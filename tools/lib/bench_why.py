# SPDX-License-Identifier: Apache-2.0
"""What a row that misses its promise spends its time on, and what would reach it. Found with perf, perf sched and
strace on the machine that docs/FIGURES.md names; a row that is met is left out of what tools/bench writes."""

WHY = {
    "write-1m": """\
One WRITE request, no other. Half of the time passes in the caller, in the kernel: 256 single pages are taken and filled (FUSE
gives its files no large folios; ext4 does all of it in less). The other half in the server: `read` of the request 190 µs,
of which 75 µs pin the 256 pages of our buffer one by one; `pwrite` into the data segment 205 µs, of which 35 µs make the
buffer heads of new pages; the digest 40 µs; the record 5 µs. Memory already at hand, it comes to 3.5 to 3.8 times. Tried, and not
faster: `splice` from the request's pages into the segment (the copy then waits for the caller's cache
instead), the same by way of a small buffer, a buffer of huge pages, requests of 512 KiB, hashing before writing.
ext4 and fuse-overlayfs overwrite the file's own pages, pass after pass; a view keeps up to 256 MiB of what was overwritten, so its
segments take new memory, and where a hypervisor has taken free memory back each MiB of it costs 0.7 ms and more.
What would reach it: large folios in FUSE, or writing back later (`FUSE_WRITEBACK_CACHE`, as fuse-overlayfs does), which would give up
that each write is judged and journaled with its process before it is answered.""",
    "read-200m": """\
No request reaches the server. The kernel (6.18) keeps a FUSE file in single pages scattered in memory, ext4's in large
folios: of a view's read 71 % is the copy and 19 % finding the next pages, of ext4's 92 % and 0.4 %, and the copy itself is faster from
one piece. fuse-overlayfs, with the same kernel, takes as long. What would reach it: large folios in FUSE.""",
    "grep-warm": """\
open, fstat, read and close are answered by the kernel. What is left are 322 LSEEK: grep asks for holes in files that are larger than its
buffer, and each, a millisecond after the last, wakes a server that sleeps (30 to 50 µs: 3 to 4 %); and the copy out of single pages (see the
sequential read). What would reach it: large folios in FUSE. Answering LSEEK with ENOSYS would end these requests, for good and
for all files: every sparse file would then look full to cp, tar and rsync.""",
    "delete": """\
Two round trips a file, and there is no way around either: UNLINK, and before it GETATTR of the folder, since the kernel forgets a folder's
attributes, permissions included, at each change in it and asks again for the next permission check. (FORGET needs no
answer.) A round trip takes 7 to 10 µs (25 to 35 where the caller's
processor has fallen asleep meanwhile, see 4 KiB), of which the server's own code is less than a quarter: the rest is two switches between processes and
the kernel's part; ext4 takes 11 µs for all. What would reach it: a kernel that keeps a folder's permissions when its times change, or
takes attributes with the reply to UNLINK.""",
    "write-4k": """\
One round trip a write, and where it is measured decides: 7 to 9 µs where writer and server share a processor, 25 to 35 µs where the writer's own
falls asleep until the answer comes and has to be woken (perf sched; in nested virtualization most of all). The server's part is less than 2 µs.
On the machine of FIGURES-EPYC.md it is 19 µs and 7.07 times; here the server of before fs/waiting.c takes the same (35.0 and 35.1 µs in turn).
What would reach it: processors that wake up sooner, or a kernel that keeps the two on one.""",
    "make-build": """\
1.07 times on the machine of FIGURES-EPYC.md. Round trips for each output file, each several times as dear here (see 4 KiB), while both processors
compile; not profiled on this machine.""",
    "make-nothing": """\
1.02 times on the machine of FIGURES-EPYC.md; a millisecond of 23, not profiled on this machine.""",
    "materialize-100": """\
A fixed part: to find that there is nothing to commit takes 27 ms here with 800 files changed since the base, 4 of them until the worker
runs (libgit2 and the libraries that it brings). What would reach it: a worker that is started ahead, and finding what changed since the last
commit without going through all that changed since the base.""",
    "materialize-1000": """\
A quarter of the time passes before there is anything to hash (the worker starts, reads the view's journal, finds what changed), half
while all processors deflate and hash, a quarter in writing the pack, its sum, trees and the view's index; the waits for the disk are 2 ms.
Of the processors' time two fifths are deflate, at its fastest level, a fifth is SHA-1 with its search for collisions, as git's own, a
fifth the kernel. What would reach it: more processors (two do it here), a worker that is there already, or storing small files
undeflated, which makes packs several times as large.""",
    "fair-first": """\
Beside a grep whose files are in memory it is 1.1 times (the row before). This one reads from the disk: the reader and its server are busy in turn,
the processors are never all busy (a third of their time is idle), and never idle for long. What a small operation waits for, by perf sched: two fifths
of what is added are processors that wake up (the kernel puts whoever is woken on one that idles; in a virtual machine that takes 40 to 60 µs each time;
alone, caller and server stay on one processor and nobody is woken from sleep), two fifths are the turns of the other server, up to 100 µs each, a tenth
those of grep. The ratio is as large as it is since the operation alone became faster (fs/waiting.c): beside the reader it takes what it took.
Tried: the reader's server at nice 10 in its session's group (/proc/PID/autogroup) 0.75 to 1.0 of the time in five runs, for a tenth of the weight against
whoever computes; turns of 100 ms for it: 0.9 to 1.1. What would reach it: a kernel that wakes the caller of FUSE where its
server runs, processors that wake up in 5 µs as those of a machine of its own do, or one processor more.""",
    "status-first": """\
The prepared index says what is tracked and that nothing is untracked, so no folder is opened and no file looked at (git 2.39; where
it does not believe that, it reads every folder once). What remains is loading git and a 4 MiB index from the disk, the question to the view,
and writing the index anew.""",
}


def section(rows):
    """Markdown about the rows that are not met; "" where all are."""
    missed = [r for r, judged in rows.items() if judged["verdict"] == "**not met**"]
    if not missed:
        return ""
    out = ["", "## What is not met, and why", ""]
    for r in missed:
        out += [f"**{rows[r]['text']}** ({', '.join(rows[r]['against'])}). {WHY.get(r, 'Not looked into yet.')}", ""]
    return "\n".join(out)
