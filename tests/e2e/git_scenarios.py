#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Everyday git, command by command, in a view and in a plain clone: the same output, exit status, files, index,
refs, reflog and status after each; and the shared repository is not touched."""
import hashlib
import os
import re

from harness import *
import repos
import tree

ENV = {**repos.IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_EDITOR": "true",
       "GIT_PAGER": "cat", "GIT_MERGE_AUTOEDIT": "no", "LC_ALL": "C.UTF-8", "COLUMNS": "80", "GIT_TERMINAL_PROMPT": "0"}

LINES = "".join(f"line {n}\n" for n in range(1, 41))

# name → script; each is run by bash in the top folder. A script fails where git fails, and may: status is compared.
STEPS = """
status              git status
status short        git status -sb --ignored
log                 git log --stat -3
log graph           git log --graph --oneline --all --decorate
log -S              git log -S'line 7' --oneline -- text.txt
log -G -p           git log -G'seven' -p --oneline
log -L              git log -L5,9:text.txt --oneline
log follow          git log --follow --format='%h %an %s' moved.txt
shortlog            git shortlog -sn HEAD
show                git show --format=fuller HEAD~1
show tree           git show HEAD:src
blame               git blame text.txt
blame porcelain     git blame -L1,5 --line-porcelain text.txt
describe            git describe --tags --long
name-rev            git name-rev HEAD~2
rev-list            git rev-list --count --all
rev-parse           git rev-parse --show-cdup --abbrev-ref HEAD @{u} --is-inside-work-tree
cat-file            git cat-file -p HEAD^{tree}
ls-tree             git ls-tree -r -l HEAD
ls-files            git ls-files
ls-files -s         git ls-files -s --eol
ls-files others     echo x >untracked; git ls-files -o --exclude-standard; git ls-files -d -m -k
check-ignore        git check-ignore -v a.o build/x src/main.c
check-attr          git check-attr -a text.txt
grep                git grep -n 'line 1' -- '*.txt'
grep tree           git grep -c line HEAD~3 -- text.txt
edit, diff          sed -i 's/line 7/seven/' text.txt; git diff
diff stat           chmod +x src/util.c; git diff --stat -M
diff words          git diff --word-diff text.txt
diff branches       git diff --stat -M HEAD..origin/topic; git diff --stat -M origin/main...origin/topic
diff check          printf 'trail  \\n' >>text.txt; git diff --check
add                 git add text.txt; git status -s
diff cached         git diff --cached --numstat
reset path          git reset text.txt
add -p              printf 'y\\nn\\n' | git add -p text.txt
status after -p     git status -v
commit              git commit -m 'seven'
commit -a           git commit -am 'util is executable'
amend               echo amended >>README; git commit -a --amend -m 'util, amended'
amend author        git commit --amend --no-edit --author 'Bob <bob@example.org>'
mv                  git mv README READ.me; git status -s; git commit -m 'rename' | sed '/agents/d'
mv folder           git mv src source; git status -s
diff -M             git diff --cached -M --summary
reset hard          git reset --hard
rm                  git rm docs/guide.md; git status -s
restore staged      git restore --staged docs/guide.md; git status -s
restore             git restore docs/guide.md; git status -s
restore source      git restore --source=HEAD~3 -- text.txt; git diff --shortstat
checkout path       git checkout -- text.txt
rm cached           git rm --cached docs/guide.md; git status -s; git add docs/guide.md
reset soft          git reset --soft HEAD~1; git status -s
reset mixed         git reset --mixed; git status -s
commit again        git add -A; git commit -m 'rename again'
reset keep          git reset --keep HEAD~1; git log --oneline -2
reset merge         git reset --merge ORIG_HEAD; git log --oneline -2
reset error         git reset --hard nowhere
reflog              git reflog -4 --format='%h %gs'
revert              git revert --no-edit HEAD; git log --oneline -2
revert conflict     sed -i 's/^seven.*/7/' text.txt; git commit -qam 7; git revert --no-edit $(git log -1 --format=%h --grep='^seven$'); git status; git revert --abort; git reset -q --hard HEAD~1
stash               echo stashed >>text.txt; echo new >new.txt; git stash push -u -m st
stash list          git stash list; git stash show -p --include-untracked stash@{0}
stash pop           git stash pop
stash keep index    git add text.txt; git stash --keep-index; git status -s
stash drop          git stash drop; git status -s; git reset -q --hard; rm -f new.txt
stash conflict      sed -i 's/line 20/mine/' text.txt; git stash; sed -i 's/line 20/other/' text.txt; git commit -qam other; git stash pop
stash conflict end  git status; git checkout --theirs text.txt; git add text.txt; git reset -q --hard; git stash drop
stash branch        echo b >>text.txt; git stash -q; git stash branch fromstash; git checkout -q -f -; git branch -D fromstash
switch -c           git switch -c feature; echo f >feature.txt; git add .; git commit -m feature
switch back         git switch -; ls
switch detach       git switch --detach HEAD~1; git switch -
checkout -b track   git checkout -b topic origin/topic; git branch -vv
checkout dirty      echo dirt >>text.txt; git checkout agents/a1/work; git checkout -f agents/a1/work
switch guess        git switch side; git switch agents/a1/work
branch              git branch -a; git branch --contains HEAD~3; git branch -m feature feat; git branch --merged
merge ff            git merge feat
merge no-ff         git switch -qc two HEAD~1; echo 2 >two.txt; git add .; git commit -qm two; git switch -q -; git merge --no-ff --no-edit two
merge conflict      git merge topic
merge status        git status; git diff; git ls-files -u
mergetool files     git show :1:text.txt | head -3; git show :2:text.txt | head -3; git show :3:text.txt | head -3
merge abort         git merge --abort; git status -s
merge ours          git merge -X ours --no-edit topic
merge undo          git reset --hard HEAD~1
merge squash        git merge --squash side; git status -s; git reset -q --hard
merge resolve       git merge topic; sed -i '/^[<=>]\\{7\\}/d' text.txt; git add text.txt; git commit --no-edit; git log --graph --oneline -5
merge-base          git merge-base HEAD origin/side
cherry              git cherry -v origin/main
cherry-pick         git switch -qc pick HEAD~2; git cherry-pick origin/side
pick conflict       git cherry-pick topic; git status; git cherry-pick --abort
pick resolve        git cherry-pick topic; git checkout --theirs text.txt; git add .; git cherry-pick --continue
pick -n             git cherry-pick -n origin/main; git status -s; git reset -q --hard
rebase              git rebase origin/side; git log --oneline -4
rebase -i squash    GIT_SEQUENCE_EDITOR="sed -i '2s/pick/squash/'" git rebase -i HEAD~2; git log --format=%B -1
rebase -i reword    GIT_EDITOR="sed -i '1s/^/Re: /'" GIT_SEQUENCE_EDITOR="sed -i '1s/pick/reword/'" git rebase -i HEAD~1; git log --format=%s -1
rebase -i drop      GIT_SEQUENCE_EDITOR="sed -i '1d'" git rebase -i HEAD~2; git log --oneline -3
rebase -i edit      GIT_SEQUENCE_EDITOR="sed -i '1s/pick/edit/'" git rebase -i HEAD~1; git status; echo e >>two.txt; git add two.txt; git commit -q --amend --no-edit; git rebase --continue
rebase -i exec      git rebase -x 'test -f text.txt' HEAD~2
rebase conflict     git switch -qc clash origin/main; sed -i 's/line 20/clash/' text.txt; git commit -qam clash; echo c >c.txt; git add .; git commit -qm c; git rebase topic
rebase status       git status; git diff; cat .git/rebase-merge/git-rebase-todo
rebase skip         git rebase --skip; git log --oneline -3
rebase abort        git reset -q --hard ORIG_HEAD; git rebase topic; git rebase --abort; git status -sb
rebase resolve      git rebase topic; sed -i '/^[<=>]\\{7\\}/d' text.txt; git add .; git rebase --continue; git log --oneline -3
rebase onto         git rebase --onto origin/main HEAD~1; git log --oneline -3
autosquash          echo more >>c.txt; git commit -qa --fixup HEAD; GIT_SEQUENCE_EDITOR=true git rebase -i --autosquash HEAD~2; git log --oneline -3
back to work        git switch agents/a1/work
tag                 git tag t1; git tag -a t2 -m 'second tag'; git tag -n; git show t2 --stat
tag delete          git tag -d t1; git describe
notes               git notes add -m 'a note' HEAD; git log -1 --show-notes; git notes list; git notes remove HEAD
archive             git archive --prefix=x/ HEAD | tar tv | awk '{print $1,$3,$NF}'; git archive --format=tar HEAD | sha1sum
bundle              git bundle create -q b.bundle HEAD main 2>&1; git bundle create -q b.bundle HEAD~3..HEAD; git bundle verify -q b.bundle; git bundle list-heads b.bundle; rm b.bundle
bundle clone        git bundle create -q b.bundle HEAD --branches; git clone -q b.bundle out 2>&1; git -C out log --oneline -2; rm -rf out b.bundle
format-patch        git format-patch origin/topic..clash --no-signature -o p; cat p/*
am                  git switch -qc mail origin/side; git am p/*; git log --oneline -3; git am --abort; git status -sb
am conflict         git reset -q --hard origin/side; echo x >text.txt; git commit -qam x; git am -3 p/*; git status; git am --skip; git am --abort; git log --oneline -1
am resolve          git am -3 p/*; echo y >text.txt; git add text.txt; git am --continue; git log --oneline -3; git am --quit; git reset -q --hard
apply               git switch -qf agents/a1/work; git diff HEAD~1 >d; git apply -R --stat d; git apply -R --check d; git apply -R d; git status -s; git checkout -q -f .; git clean -qfd
apply 3way          sed -i 's/line 30/thirty/' text.txt; git diff >d; git checkout -q .; git apply --3way d; git status -s; git reset -q --hard; rm -f d
clean -n            echo o >x.o; mkdir -p build/deep; echo o >build/deep/f; mkdir empty; git clean -n; git clean -nd; git clean -ndX; git clean -nxd
clean -xfd          git clean -xfd; ls -A | grep -v -e .git -e .agentfs
bisect              git bisect start HEAD origin/main~2; git bisect bad; git bisect good; git bisect log; git bisect reset
bisect run          git bisect start HEAD origin/main~3; git bisect run sh -c '! grep -q seven text.txt'; git bisect reset
worktree add        git worktree add wt/one side; git worktree add -b wt2 wt/two; git worktree list; git -C wt/one log --oneline -1
worktree use        echo w >wt/one/w.txt; git -C wt/one status -s; git -C wt/one add -A; git -C wt/one commit -m w; git status -s
worktree remove     git worktree remove wt/one; git worktree remove --force wt/two; git worktree prune -v; git worktree list; git branch -D wt2; ls wt
sparse-checkout     git sparse-checkout set --cone docs; ls; git status; git sparse-checkout list
sparse work         echo s >>docs/guide.md; git commit -qam sparse; git ls-files -t; git diff --stat HEAD~1; git merge-base HEAD side
sparse add          git sparse-checkout add src; ls; git sparse-checkout reapply; git switch side; git switch agents/a1/work
sparse non-cone     git sparse-checkout set --no-cone '/*' '!/docs/'; ls; cat .git/info/sparse-checkout
sparse disable      git sparse-checkout disable; ls; git status -sb
update-index        git update-index --assume-unchanged text.txt; echo z >>text.txt; git status -s; git update-index --no-assume-unchanged text.txt; git checkout text.txt
update-index chmod  git update-index --chmod=+x text.txt; git status -s; git reset -q --hard
skip-worktree       git update-index --skip-worktree text.txt; git ls-files -v text.txt; git update-index --no-skip-worktree text.txt
split index         git update-index --split-index; echo i >i.txt; git add i.txt; git status -s; git update-index --no-split-index; git reset -q --hard
read-tree           git read-tree -m -u HEAD~1; git status -s; git reset -q --hard
write-tree          echo t >t.txt; git add t.txt; git write-tree; git reset -q --hard
commit-tree         git update-ref refs/heads/plumbed $(git commit-tree -p HEAD -m plumbed HEAD~2^{tree}); git log --oneline -2 plumbed; git branch -D plumbed
hash-object         echo h | git hash-object -w --stdin
symbolic-ref        git symbolic-ref HEAD; git symbolic-ref refs/heads/sym refs/heads/main; git branch; git symbolic-ref -d refs/heads/sym
eol                 printf 'a\\r\\nb\\r\\n' >crlf.bat; git add crlf.bat; git ls-files --eol crlf.bat; git commit -m crlf; rm crlf.bat; git checkout crlf.bat; od -c crlf.bat
ident               echo '/* $Id$ */' >id.c; git add id.c; git commit -qm id; rm id.c; git checkout id.c; cat id.c; git status -s
rerere              git config rerere.enabled true; git merge -q side; git status -s; git merge --abort; git config --unset rerere.enabled
config              git config alias.st 'status -sb'; git st; git config --get-regexp alias; git config --remove-section alias
submodule           git submodule status; git submodule foreach true
range-diff          git range-diff origin/main~2..origin/main origin/main~2..HEAD | head -5
fetch               git fetch; git fetch --all --prune; git branch -r
pull                git pull --no-rebase; git log --oneline -1
pull rebase         git switch -qc pulled origin/main~1; git branch -q -u origin/main; echo p >p.txt; git add .; git commit -qm p; git pull --rebase; git log --oneline -3; git switch agents/a1/work
remote              git remote; git remote show -n origin | grep -v -e URL -e agents/; git remote rename origin up; git branch -r; git remote rename up origin
switch orphan       git switch --orphan bare; git status -s; echo o >o.txt; git add o.txt; git commit -m orphan; git switch -f agents/a1/work
replace             git replace HEAD~1 HEAD~2; git log --oneline -2; git replace -d $(git rev-parse HEAD~1 2>/dev/null) ; git replace -l
reflog expire       git reflog expire --expire=now refs/heads/feat; git reflog show feat
pack-refs           git pack-refs --all; git for-each-ref --format='%(refname)' refs/heads
fsck                git fsck --full --strict --no-dangling
prune               git prune -n | wc -l; git prune; git status -s
repack              git repack -adq; git status -s; git log --oneline -1
gc                  git gc --quiet --prune=now; git count-objects | cut -d' ' -f1; git fsck --no-dangling
maintenance         git maintenance run --task=commit-graph --quiet; git log --oneline -2
last status         git status
""".strip("\n").split("\n")


FAIL = ("diff check", "reset error")  # but for conflicts


def repository(path):
    """A history with two branches that clash with main, tags, attributes, and one more author."""
    repos.make(path, {"README": "hello world\n", "text.txt": LINES, "src/main.c": "int main(void) { return 0; }\n",
                      "src/util.c": "int util;\n", "docs/guide.md": "# Guide\n\nOne.\nTwo.\n", "old.txt": LINES[:80],
                      ".gitignore": "*.o\n/build/\n",
                      ".gitattributes": "*.bat text eol=crlf\nid.c ident\n*.bin -text\n", "data.bin": b"\0\1\2" * 50})
    repos.git(path, "mv", "old.txt", "moved.txt")
    repos.git(path, "commit", "-qm", "move")
    repos.commit(path, {"text.txt": LINES.replace("line 7", "line 7 of 40")}, "text: seven of forty")
    repos.git(path, "tag", "-a", "-m", "one", "v1.0")
    for branch, files in (("topic", {"text.txt": LINES.replace("line 3\n", "topic 3\n")}),
                          ("side", {"side.txt": "side\n", "docs/side.md": "s\n"})):
        repos.git(path, "switch", "-qc", branch)
        repos.commit(path, files, f"{branch}: work")
        repos.git(path, "switch", "-q", "main")
    repos.commit(path, {"text.txt": LINES.replace("line 3\n", "main 3\n").replace("line 7\n", "line 7 of 40\n")}, "text: three")
    repos.commit(path, {"src/main.c": "int main(void) { return 1; }\n"}, "main: one")
    return path


class Place:
    """Where the steps are run."""

    def __init__(self, top, name):
        self.top, self.name, self.old = top, name, 0

    def run(self, script, step):
        when = f"2024-02-03T04:{step // 60:02}:{step % 60:02}Z"
        done = run("bash", "-c", "exec 2>&1; " + script, cwd=self.top, check=False,
                   env={**ENV, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when})
        return done.returncode, self.plain(done.stdout)

    def plain(self, text):
        text = text.replace(self.top + "/.agentfs/control/origin", "ORIGIN").replace(self.top, "TOP")
        text = text.replace(os.path.dirname(self.top) + "/repo", "ORIGIN")
        return text

    def git(self, *args):
        return run("git", *args, cwd=self.top, check=False, env=ENV).stdout

    def log(self):
        path = os.path.join(self.top, ".git/logs/HEAD")
        lines = get(path).splitlines() if os.path.exists(path) else []
        return [re.sub(r"\S+ \S+ .*?\t", "", l, 1) for l in lines]

    def state(self):
        return {"status": self.plain(self.git("status", "--porcelain=v2", "--branch", "-uall", "--ignored")),
                "index": self.git("ls-files", "-s", "-t"), "stash": self.git("stash", "list"),
                "refs": self.git("for-each-ref", "--format=%(refname) %(objectname) %(symref) %(upstream)"),
                "HEAD": get(os.path.join(self.top, ".git/HEAD")), "reflog": self.log()[self.old:],
                "files": {k: v for k, v in tree.picture(self.top).items() if not k.endswith(b"/.git")}}


def compare(view, clone, what):
    a, b = view.state(), clone.state()
    if a["files"] != b["files"]:
        raise AssertionError(f"{what}: files: {tree.differences(b.pop('files'), a.pop('files'))}")
    for key in a:
        if a[key] != b[key]:
            raise AssertionError(f"{what}: {key} in the view:\n{a[key]}\nin a clone:\n{b[key]}")


def picture(top):
    """Every file of a folder: mode, owner, time, content. Of an object not the time: where git would write one that
    is there, it renews its time instead, so that no gc takes it."""
    found = {}
    for folder, dirs, names in os.walk(top):
        for n in names + dirs:
            path = os.path.join(folder, n)
            st = os.lstat(path)
            what = b""
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as f:
                    what = f.read()
            time = None if "/.git/objects/" in path and n in names else st.st_mtime_ns
            found[path[len(top):]] = (st.st_mode, st.st_uid, st.st_gid, time, hashlib.sha1(what).hexdigest())
    return found


def untouched(repo, before):
    equal(tree.differences(before, picture(repo)), [], "what changed in the shared repository")


def begin(system):
    s = system
    run("rm", "-rf", s.repo)
    repository(s.repo)
    top = s.create("a1")
    clone = os.path.join(s.folder, "clone")
    run("git", "clone", "-q", s.repo, clone)
    run("git", "-C", clone, "switch", "-qc", "agents/a1/work", "--track", "origin/main")
    run("git", "-C", clone, "branch", "-D", "-q", "main")
    run("git", "-C", clone, "config", "push.default", "current")
    view, plain = Place(top, "view"), Place(clone, "clone")
    view.old, plain.old = len(view.log()), len(plain.log())
    return view, plain


def test_git__everyday_commands_are_as_in_a_clone(system):
    view, clone = begin(system)
    before = picture(system.repo)
    compare(view, clone, "at first")
    kinds = set()
    for n, line in enumerate(STEPS):
        name, _, script = line.partition("  ")
        script = script.strip()
        kinds |= set(re.findall(r"\bgit (?:-C \S+ )?([a-z-]+)", script))
        got, want = view.run(script, n), clone.run(script, n)
        if os.environ.get("AGENTFS_SHOW"):
            print(f"## {name} [{got[0]}]: {script}\n{got[1]}")
        if got != want:
            raise AssertionError(f"{name}: {script}\nin the view ({got[0]}):\n{got[1]}\nin a clone ({want[0]}):\n{want[1]}")
        if got[0] and "conflict" not in name and name not in FAIL:
            raise AssertionError(f"{name}: {script}: exit {got[0]}\n{got[1]}")
        compare(view, clone, f"after {name}: {script}")
    print(f"# {len(STEPS)} steps, {len(kinds)} git commands")
    assert len(kinds) >= 40, sorted(kinds)
    untouched(system.repo, before)
    system.ctl("materialize", "a1")
    equal(system.git("rev-parse", "agents/a1/work"), view.git("rev-parse", "HEAD").strip(), "what materialize brought")
    equal(system.git("fsck", "--strict", "--no-dangling"), "")


main()
