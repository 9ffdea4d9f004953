#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files, histories and trees that a merge does not like: what merges is byte for byte what git makes of it, what does not
is one clear sentence, and no line of either side is lost."""
import contextlib
import json
import os
import subprocess
import time

from harness import *
import daemon
import repos

BIG = 10 << 20
LINES = [b"line %d\n" % i for i in range(40)]
BOM = "\ufeff"
PRINTED_MAX = 30000


def text(*edits, lines=LINES):
    """The lines, some of them replaced."""
    out = list(lines)
    for at, line in edits:
        out[at] = line
    return b"".join(out)


def branches(system, name, base, ours, theirs):
    """topic with theirs, main with ours; each is bytes, or None: the file is not there. Returns what was committed."""
    def commit(data, message):
        path = os.path.join(os.fsencode(system.repo), os.fsencode(name))
        if data is None:
            os.path.lexists(path) and os.unlink(path)
        else:
            with open(path, "wb") as f:
                f.write(data)
        system.git("add", "-A")
        system.git("commit", "-q", "--allow-empty", "-m", message)
    system.git("checkout", "-q", "main")
    commit(base, "base")
    system.git("checkout", "-q", "-B", "topic")
    commit(theirs, "theirs")
    system.git("checkout", "-q", "main")
    commit(ours, "ours")


def merge(system, state, source="topic", again=True):
    """The answer. A conflict moves nothing, its sentences are one line each, and what is printed has an end."""
    before, tip = system.git("rev-parse", "main"), system.git("rev-parse", source)
    want = repos.git(system.repo, "merge-tree", "--write-tree", "--allow-unrelated-histories", "main", source,
                     check=False).split("\n")
    begun = time.monotonic()
    done = system.ctl("--json", "merge", source, "--into", "main", check=False)
    assert time.monotonic() - begun < 60, "it takes too long"
    equal(done.returncode, 0 if state == "merged" else 1, done.stdout[:2000] + done.stderr[:2000])
    said = json.loads(done.stdout)["merges"][0]
    equal(said["state"], state, str(said)[:2000])
    equal(system.git("status", "--porcelain"), "")
    equal(system.git("rev-parse", source), tip)
    if state == "merged":
        if said["tier"] == "clean-merge":
            equal(system.git("rev-parse", "main^{tree}"), want[0])
        return said
    equal(system.git("rev-parse", "main"), before)
    ways = [("merge", "explain", str(said["merge"]))] + [("merge", source, "--into", "main", "--dry-run")] * again
    for out in (system.ctl(*way, check=False).stdout for way in ways):
        assert len(out) < PRINTED_MAX, len(out)
        assert all(c in "\n\t" or c.isprintable() for c in out), repr(out[:2000])
        assert max(map(len, out.split("\n"))) < 1000, "a line without end"
    for c in said["conflicts"]:
        assert c["reason"] and "\n" not in c["reason"].replace(c["path"], ""), c
    return said


def one(system, name, base, ours, theirs, state="merged", kind="content", says=None, again=True):
    branches(system, name, base, ours, theirs)
    said = merge(system, state, again=again)
    if state == "conflict":
        c = said["conflicts"][0]
        equal((c["path"], c["kind"]), (name, kind), str(c)[:500])
        if says:
            assert says in c["reason"], c["reason"]
    return said


def content(system, name, rev="main"):
    return run("git", "-C", system.repo, "cat-file", "blob", f"{rev}:{name}", text=False).stdout


# ---- size ----

def test_big__ten_megabytes(system):
    lines = [b"%07d %s\n" % (i, b"x" * 90) for i in range(BIG // 99)]
    one(system, "big", text(lines=lines), text((5, b"ours\n"), lines=lines), text((-5, b"theirs\n"), lines=lines))
    equal(content(system, "big"), text((5, b"ours\n"), (-5, b"theirs\n"), lines=lines))
    one(system, "big", text(lines=lines), text((5, b"ours\n"), lines=lines), text((5, b"theirs\n"), lines=lines), "conflict",
        again=False)


def test_big__one_line_of_a_megabyte(system):
    code = b"".join(b"function f%d(){return %d}" % (i, i) for i in range(40000))
    for name in ("app.min.js", "app.js") + ("data.json",) * LONG:
        one(system, name, code, code.replace(b"f77(", b"ours(") + b"\n", code.replace(b"f99(", b"theirs(") + b"\n", "conflict",
            again=False)


def test_big__ten_thousand_conflicts(system):
    base, ours, theirs = ([b"%s %d\n" % (who, i) if i % 2 else b"same %d\n" % i for i in range(20000)]
                          for who in (b"base", b"ours", b"theirs"))
    one(system, "many.c", b"".join(base), b"".join(ours), b"".join(theirs), "conflict", again=False)


# ---- bytes ----

def test_bytes__no_final_newline(system):
    base = text()[:-1]
    one(system, "end", base, base + b"\n", text((3, b"theirs\n"))[:-1])
    equal(content(system, "end"), text((3, b"theirs\n")))
    one(system, "end", base, text((3, b"ours\n"))[:-1], text((9, b"theirs\n"))[:-1])
    equal(content(system, "end"), text((3, b"ours\n"), (9, b"theirs\n"))[:-1])
    one(system, "end", base, base + b" ours", base + b" theirs", "conflict")


def test_bytes__crlf_and_mixed_ends(system):
    crlf = [line[:-1] + b"\r\n" for line in LINES]
    mixed = [line if i % 3 else crlf[i] for i, line in enumerate(LINES)]
    for lines, end in ((crlf, b"\r\n"), (mixed, b"\n")):
        one(system, "eol", text(lines=lines), text((3, b"ours" + end), lines=lines), text((9, b"theirs" + end), lines=lines))
        equal(content(system, "eol"), text((3, b"ours" + end), (9, b"theirs" + end), lines=lines))
    one(system, "eol", text(), text(lines=crlf), text((9, b"theirs\n")), "conflict")
    one(system, "eol", text(lines=crlf), text((3, b"version = 1.2.3\r\n"), lines=crlf),
        text((3, b"version = 1.2.3\n"), lines=crlf), "conflict")
    one(system, "eol", b"\r".join(LINES), b"\r".join(LINES) + b"ours\r", b"\r".join(LINES) + b"theirs\r", "conflict")


def test_bytes__no_utf8(system):
    bad = [line[:-1] + b" \xff\xfe\xc3( \xed\xa0\x80\n" for line in LINES]
    one(system, "latin", text(lines=bad), text((3, b"\xe9 ours\n"), lines=bad), text((9, b"\xe8 theirs\n"), lines=bad))
    equal(content(system, "latin"), text((3, b"\xe9 ours\n"), (9, b"\xe8 theirs\n"), lines=bad))
    one(system, "latin", text(lines=bad), text((3, b"\xe9 ours\n"), lines=bad), text((3, b"\xe8 \x1b[31mtheirs\n"), lines=bad),
        "conflict")


def test_bytes__utf16_and_nul_are_not_text(system):
    for encoding in ("utf-16-le", "utf-16-be"):
        base, ours, theirs = ((BOM + word * 50).encode(encoding) for word in ("base\n", "ours\n", "theirs\n"))
        one(system, "wide.txt", base, ours, theirs, "conflict", "binary", "is not text and was changed on both sides")
    one(system, "nul", text(), text((3, b"o\0urs\n")), text((9, b"theirs\n")), "conflict", "binary")


def test_bytes__a_nul_far_behind_is_as_git_has_it(system):
    far = LINES * 40
    one(system, "far", text(lines=far), text((-2, b"o\0urs\n"), lines=far), text((9, b"theirs\n"), lines=far))
    equal(content(system, "far"), text((-2, b"o\0urs\n"), (9, b"theirs\n"), lines=far))
    one(system, "far", text(lines=far), text((-2, b"o\0urs\n"), lines=far), text((-2, b"the\0irs\n"), lines=far), "conflict")


def test_bytes__markers_that_are_the_files_own(system):
    doc = text((5, b"<<<<<<< HEAD\n"), (7, b"=======\n"), (9, b">>>>>>> topic\n"))
    one(system, "markers.md", doc, doc.replace(b"line 2\n", b"ours\n"), doc.replace(b"line 30\n", b"theirs\n"))
    one(system, "markers.md", doc, doc.replace(b"line 8\n", b"ours\n"), doc.replace(b"line 8\n", b"theirs\n"), "conflict")


# ---- names ----

def test_names__odd_ones_are_told_in_one_line(system):
    for name in ("a\nb", "quo'te\"", " lead", "-x", "\u202eevil", "tab\t", "uml\u00e4ut"):
        one(system, name, b"base\n", b"ours\n", b"theirs\n", "conflict")
    branches(system, b"bad\xff", b"base\n", b"ours\n", b"theirs\n")
    merge(system, "conflict")


# ---- histories and trees ----

def test_history__unrelated_is_one_sentence(system):
    system.git("checkout", "-q", "--orphan", "alien")
    system.git("commit", "-q", "--allow-empty", "-m", "alien")
    system.git("checkout", "-q", "-f", "main")
    tip = system.git("rev-parse", "main")
    system.refused("Invalid", "merge", "alien", "--into", "main", says="no common history")
    equal(system.git("rev-parse", "main"), tip)


def test_history__criss_cross_that_conflicts_in_its_bases(system):
    """Both bases have a line that the other has not, each side its own merge of them."""
    git = system.git
    repos.commit(system.repo, {"f": text()})
    git("checkout", "-q", "-b", "topic")
    repos.commit(system.repo, {"f": text((3, b"topic\n"))})
    git("checkout", "-q", "main")
    repos.commit(system.repo, {"f": text((3, b"main\n"))})
    main, topic = git("rev-parse", "main"), git("rev-parse", "topic")
    for branch, other, line in (("main", topic, b"main's of both\n"), ("topic", main, b"topic's of both\n")):
        git("checkout", "-q", branch)
        git("merge", "-q", "--no-commit", other, check=False)
        repos.commit(system.repo, {"f": text((3, line))}, "crossed")
    equal(len(git("merge-base", "--all", "main", "topic").split()), 2)
    git("checkout", "-q", "main")
    said = merge(system, "conflict")
    equal([c["kind"] for c in said["conflicts"]], ["content"])


def test_target__that_never_holds_still_ends_the_merge_and_loses_nothing(tmp):
    """While each candidate is verified, somebody commits. (A candidate whose files are those of the last one would land at once.)"""
    script = """old=$(git rev-parse main); blob=$(echo $1 | git hash-object -w --stdin)
        tree=$( (git ls-tree main | grep -v '\tclock$'; printf '100644 blob %s\tclock\n' $blob) | git mktree)
        git update-ref refs/heads/main $(git commit-tree -p $old -m "person $1" $tree) $old"""
    s = daemon.System(tmp, config='verify: {main: {command: "sleep 1", timeout: 60}}\n').start()
    try:
        s.git("checkout", "-q", "-b", "topic")
        repos.commit(s.repo, {"theirs": "theirs\n"})
        s.git("checkout", "-q", "main")
        asked = subprocess.Popen([program("agentfsctl"), "--socket", s.socket, "--json", "merge", "topic", "--into", "main"],
                                 cwd=s.repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        made = 0
        while asked.poll() is None and made < 400:
            made += 1
            run("bash", "-euc", script, "person", str(made), cwd=s.repo)
            with contextlib.suppress(subprocess.TimeoutExpired):
                asked.wait(0.1)
        e = daemon.error_of(subprocess.CompletedProcess([], asked.returncode, *asked.communicate()))
        equal((asked.returncode, e["id"].rpartition(".")[2]), (1, "Busy"), str(e))
        assert "the branch 'main' was moved by somebody else meanwhile, 5 times: try again" in e["message"], e
        equal(s.git("rev-list", "--count", "main"), str(made + 1), "each of the person's commits is there, and nothing else")
        equal(json.loads(s.ctl("--json", "merge", "topic", "--into", "main").stdout)["merges"][0]["state"], "merged")
    finally:
        s.stop()


def test_tree__a_symlink_becomes_a_folder(system):
    git, repo = system.git, system.repo
    os.symlink("docs", repo + "/way")
    os.symlink("docs", repo + "/other")
    git("add", "-A")
    git("commit", "-qm", "links")
    git("checkout", "-q", "-b", "topic")
    for name in ("way", "other"):
        os.unlink(f"{repo}/{name}")
        repos.write_files(repo, {f"{name}/x": "in the folder\n"})
    git("add", "-A")
    git("commit", "-qm", "folders")
    git("checkout", "-q", "-f", "main")
    repos.commit(repo, {"README": "ours\n"})
    before = git("ls-tree", "-r", "main:docs")
    equal(merge(system, "merged")["tier"], "clean-merge")
    equal((os.path.islink(repo + "/way"), get(repo + "/way/x")), (False, "in the folder\n"))
    equal(git("ls-tree", "-r", "main:docs"), before, "nothing was written through the link")
    # And where the other side has pointed the link elsewhere.
    git("reset", "-q", "--hard", "main~1")
    os.unlink(repo + "/way")
    os.symlink("src", repo + "/way")
    git("commit", "-qam", "elsewhere")
    said = merge(system, "conflict")
    equal([(c["path"], c["kind"]) for c in said["conflicts"]], [("way", "file/folder")])
    assert "is a file in the target and a folder in the source" in said["conflicts"][0]["reason"], said


def test_tree__submodules(system):
    git = system.git

    def at(branch, commit):
        git("checkout", "-q", branch)
        git("update-index", "--add", "--cacheinfo", f"160000,{commit * 40},sub")
        git("commit", "-qm", f"sub at {commit}")
    at("main", "1")
    git("branch", "topic")
    git("branch", "same")
    at("topic", "2")
    git("checkout", "-q", "main")
    repos.commit(system.repo, {"README": "ours\n"})
    merge(system, "merged")
    equal(git("ls-tree", "main", "sub").split()[2], "2" * 40)
    at("main", "3")
    at("topic", "4")
    git("checkout", "-q", "main")
    said = merge(system, "conflict")
    equal((said["conflicts"][0]["kind"], said["conflicts"][0]["reason"]),
          ("submodule", "the submodule 'sub' is at 3333333333 in the target and at 4444444444 in the source"))


main()
