#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""agentfs-merge on three files, and as git's merge driver."""
import os

from harness import *

BASE = 'name = "x"\nversion = "1.2.3"\nmiddle\nmore\nwho\nend\n'


def agentfs_merge(tmp, *args, base=BASE, ours=BASE, theirs=BASE, status=0, name="setup.toml"):
    for n, text in (("base", base), ("ours", ours), ("theirs", theirs)):
        put(os.path.join(tmp, n), text)
    done = run(program("agentfs-merge"), *args, "base", "ours", "theirs", name, cwd=tmp, check=False)
    equal(done.returncode, status, done.stdout + done.stderr)
    return done, get(os.path.join(tmp, "ours"))


def test_driver__resolves_what_a_rule_may(tmp):
    ours, theirs = BASE.replace("1.2.3", "1.2.4"), BASE.replace("1.2.3", "1.10.0").replace("end", "END")
    done, merged = agentfs_merge(tmp, ours=ours, theirs=theirs)
    equal(merged, BASE.replace("1.2.3", "1.10.0").replace("end", "END"))
    assert "setup.toml:2: " in done.stderr and "resolver version: right in" in done.stderr, done.stderr
    equal(agentfs_merge(tmp, "-q", ours=ours, theirs=theirs)[0].stderr, "")


def test_driver__the_rest_gets_markers_as_gits(tmp):
    ours, theirs = BASE.replace("who", "ours"), BASE.replace("who", "theirs")
    for style in ("merge", "diff3"):
        for name, text in (("b", BASE), ("o", ours), ("t", theirs)):
            put(os.path.join(tmp, name), text)
        git = run("git", "merge-file", "-p", *(["--diff3"] if style == "diff3" else []), "-L", "ours", "-L", "base",
                  "-L", "theirs", "o", "b", "t", cwd=tmp, check=False)
        equal(agentfs_merge(tmp, "--style", style, ours=ours, theirs=theirs, status=1)[1], git.stdout)
    text = agentfs_merge(tmp, "--marker-size", "9", ours=ours, theirs=theirs, status=1)[1]
    assert "<<<<<<<<< ours\n" in text and ">>>>>>>>> theirs\n" in text, text


def test_driver__print_leaves_the_file(tmp):
    ours = BASE.replace("1.2.3", "1.2.4")
    done, left = agentfs_merge(tmp, "--print", ours=ours, theirs=BASE.replace("end", "END"))
    equal((done.stdout, left), (ours.replace("end", "END"), ours))


def test_driver__the_cost_of_a_wrong_merge_decides(tmp):
    ours, theirs = BASE.replace("middle", "MIDDLE"), BASE.replace("more", "MORE")
    done, _ = agentfs_merge(tmp, ours=ours, theirs=theirs, status=1, name="a.c")
    assert "perhaps: " in done.stderr and "resolver adjacent" in done.stderr, done.stderr
    _, merged = agentfs_merge(tmp, "--cost-of-wrong", "2", ours=ours, theirs=theirs, name="a.c")
    equal(merged, BASE.replace("middle", "MIDDLE").replace("more", "MORE"))


def test_driver__line_ends_mode_and_missing_end_stay(tmp):
    crlf = BASE.replace("\n", "\r\n")
    put(os.path.join(tmp, "ours"), "")
    for n, text in (("base", crlf), ("ours", crlf.replace("who", "o")), ("theirs", crlf.replace("who", "t")[:-2])):
        with open(os.path.join(tmp, n), "w", newline="") as f:
            f.write(text)
    os.chmod(os.path.join(tmp, "ours"), 0o755)
    done = run(program("agentfs-merge"), "base", "ours", "theirs", cwd=tmp, check=False)
    equal(done.returncode, 1)
    data = get(os.path.join(tmp, "ours"), "rb")
    equal(data.count(b"\n"), data.count(b"\r\n"))
    equal(os.stat(os.path.join(tmp, "ours")).st_mode & 0o777, 0o755)


def test_driver__bad_input_is_one_sentence_and_changes_nothing(tmp):
    put(os.path.join(tmp, "b"), "x\0y")
    put(os.path.join(tmp, "o"), "x\0z")
    for args, status, words in (((), 2, "BASE, OURS and THEIRS are needed"), (("a", "b", "c", "d", "e"), 2, "needed"),
                                (("--style", "x", "b", "o", "b"), 2, "zdiff3, not 'x'"),
                                (("--marker-size", "0", "b", "o", "b"), 2, "from 1 to 1000, not '0'"),
                                (("nowhere", "o", "b"), 129, "cannot read 'nowhere': No such file"),
                                (("b", "o", "b", "pic.png"), 1, "'pic.png' is not text")):
        done = run(program("agentfs-merge"), *args, cwd=tmp, check=False)
        equal(done.returncode, status, done.stderr)
        assert words in done.stderr and done.stderr.count("\n") == 1, done.stderr
    equal(get(os.path.join(tmp, "o")), "x\0z")
    for option in ("--help", "--version"):
        assert "agentfs-merge" in run(program("agentfs-merge"), option).stdout


def test_driver__in_git_merge(tmp):
    sh(f"""git init -qb main r && cd r && git config user.name n && git config user.email e@x
       git config merge.agentfs.driver '{program("agentfs-merge")} --marker-size %L %O %A %B %P'
       echo '* merge=agentfs' >.gitattributes
       printf '%s' '{BASE}' >setup.toml; cp setup.toml other.toml; git add -A; git commit -qm base
       git checkout -qb side; sed -i s/1.2.3/1.3.0/ setup.toml; git commit -qam side
       git checkout -q main; sed -i s/1.2.3/1.2.4/ setup.toml; git commit -qam main
       git merge -q side -m merged""", cwd=tmp)
    repo = os.path.join(tmp, "r")
    equal(get(os.path.join(repo, "setup.toml")), BASE.replace("1.2.3", "1.3.0"))
    sh("""git checkout -qb two; sed -i s/who/theirs/ other.toml; git commit -qam two
       git checkout -q main; sed -i s/who/ours/ other.toml; git commit -qam ours""", cwd=repo)
    equal(run("git", "merge", "-q", "two", cwd=repo, check=False).returncode, 1)
    assert "<<<<<<< ours\nours\n=======\ntheirs\n>>>>>>> theirs\n" in get(os.path.join(repo, "other.toml"))
    equal(run("git", "status", "--porcelain", cwd=repo).stdout, "UU other.toml\n")


def conflicted(tmp, files):
    """A repository in the middle of a merge: name → (base, ours, theirs)."""
    import repos
    repo = repos.make(os.path.join(tmp, "repo"), {n: v[0] for n, v in files.items() if v[0] is not None} or {"x": ""})
    git = lambda *args, check=True: run("git", "-C", repo, *args, env=repos.IDENTITY, check=check)
    git("checkout", "-qb", "theirs")
    repos.commit(repo, {n: v[2] for n, v in files.items()})
    git("checkout", "-q", "main")
    repos.commit(repo, {n: v[1] for n, v in files.items()})
    git("config", "mergetool.agentfs.cmd",
        program("agentfs-merge") + ' --output "$MERGED" "$BASE" "$LOCAL" "$REMOTE" "$MERGED"')
    git("config", "mergetool.agentfs.trustExitCode", "true")
    git("config", "mergetool.keepBackup", "false")
    equal(git("merge", "theirs", check=False).returncode, 1)
    return repo, git


def test_mergetool__resolves_what_a_rule_may(tmp):
    repo, git = conflicted(tmp, {"setup.toml": (BASE, BASE.replace("1.2.3", "1.2.4"), BASE.replace("1.2.3", "1.10.0")),
                                 "other.txt": (BASE, BASE.replace("who", "ours"), BASE.replace("who", "theirs"))})
    done = git("mergetool", "--no-prompt", "-t", "agentfs", "setup.toml")
    assert "resolver version: right in" in done.stderr + done.stdout, done
    equal(get(os.path.join(repo, "setup.toml")), BASE.replace("1.2.3", "1.10.0"))
    equal(git("diff", "--name-only", "--diff-filter=U").stdout, "other.txt\n")
    done = git("mergetool", "--no-prompt", "-t", "agentfs", "other.txt", check=False)
    assert done.returncode != 0, done
    equal(git("diff", "--name-only", "--diff-filter=U").stdout, "other.txt\n", "a conflict that is left stays one")
    assert "<<<<<<<" in get(os.path.join(repo, "other.txt"))


def test_mergetool__a_file_that_both_added(tmp):
    repo, git = conflicted(tmp, {"new.txt": (None, "ours\n", "theirs\n")})
    done = git("mergetool", "--no-prompt", "-t", "agentfs", check=False)
    assert done.returncode != 0 and "new.txt:1: conflict" in done.stderr + done.stdout, done
    equal(git("diff", "--name-only", "--diff-filter=U").stdout, "new.txt\n")


def test_mergetool__output_leaves_ours_and_zdiff3_shows_the_base(tmp):
    ours, theirs = BASE.replace("who", "same\nours"), BASE.replace("who", "same\ntheirs")
    put(os.path.join(tmp, "out"), "before")
    _, left = agentfs_merge(tmp, "--output", "out", "--style", "zdiff3", ours=ours, theirs=theirs, status=1, name="a.c")
    equal(left, ours)
    assert "same\n<<<<<<< ours\nours\n||||||| base\nwho\n=======\ntheirs\n>>>>>>> theirs\n" in get(os.path.join(tmp, "out"))
    agentfs_merge(tmp, "--output", "none/out", ours=ours, theirs=theirs, status=129)


main()
