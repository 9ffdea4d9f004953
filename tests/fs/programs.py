#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs at work in a view, as an agent uses them."""
import os

from harness import *
import repos
import tree
import views


def test_git__a_day_of_work(view):
    need_program("git")
    sh("""set -x
    git config user.email a@b.c; git config user.name A
    printf 'one\n' >one; git add one; git commit -qm one
    git checkout -q -b feature; sed -i s/One/Eins/ docs/guide.md; git commit -qam eins
    git mv src lib; git commit -qm moved
    git checkout -q -; sed -i s/Three/Drei/ docs/guide.md; git commit -qam drei
    git merge -q feature -m merged
    grep -q Eins docs/guide.md; grep -q Drei docs/guide.md; test -f lib/main.c; test ! -e src
    git rebase -q HEAD~1 || git rebase --abort
    git stash list; git tag t1; git worktree list; git gc -q; git fsck --strict
    test -z "$(git status --porcelain)"
    """, cwd=view.mnt)
    clone = os.path.join(view.folder, "clone")
    run("git", "clone", "-q", view.mnt, clone)
    equal(tree.differences(tree.picture(clone, links=False), tree.picture(view.mnt, links=False)), [])


def test_compiler__make_j2(view):
    need_program("make", "cc")
    sh("make -j2 && test \"$(./prog)\" = 42 && make -q", cwd=view.mnt)
    sh("sed -i s/42/43/ src/util.c && make -j2 && test \"$(./prog)\" = 43", cwd=view.mnt)
    equal(sh("git status --porcelain", cwd=view.mnt).stdout, " M src/util.c\n")


def test_compiler__this_projects_bottom_layer(view):
    """A larger build: every file of overlay/base, twice, side by side."""
    need_program("cc", "make")
    run("cp", "-r", os.path.join(SOURCE, "overlay/base"), view.path("base"))
    sh("""cd base; for c in *.c; do echo "all: ${c%.c}.o"; done >Makefile
          echo 'CFLAGS = -D_GNU_SOURCE -std=gnu17 -O1 -I.' >>Makefile
          make -s -j2 && ar rc lib.a *.o && nm lib.a >/dev/null && make -s clean 2>/dev/null || test -f lib.a""",
       cwd=view.mnt)


def test_npm__install_of_a_local_package(view):
    need_program("npm", "node")
    pkg = os.path.join(view.folder, "pkg")
    os.makedirs(pkg + "/lib")
    put(pkg + "/package.json", '{"name": "local-pkg", "version": "1.2.3", "main": "lib/i.js",'
                               ' "bin": {"local-bin": "lib/b.js"}}')
    put(pkg + "/lib/i.js", "module.exports = () => 42\n")
    put(pkg + "/lib/b.js", '#!/usr/bin/env node\nconsole.log(require("./i")())\n')
    os.chmod(pkg + "/lib/b.js", 0o755)
    for i in range(200):
        put(f"{pkg}/lib/m{i}.js", f"module.exports = {i}\n")
    cache = {"npm_config_cache": os.path.join(view.folder, "npm-cache"), "npm_config_offline": "true",
             "npm_config_audit": "false", "npm_config_fund": "false", "npm_config_update_notifier": "false"}
    run("npm", "pack", "--silent", "--pack-destination", view.folder, cwd=pkg, env=cache)
    os.mkdir(view.path("app"))
    put(view.path("app/package.json"), '{"name": "app", "version": "1.0.0"}')
    run("npm", "install", "--silent", os.path.join(view.folder, "local-pkg-1.2.3.tgz"),
        cwd=view.path("app"), env=cache)
    equal(run("node", "-e", "console.log(require('local-pkg')())", cwd=view.path("app")).stdout, "42\n")
    equal(run(view.path("app/node_modules/.bin/local-bin")).stdout, "42\n")
    run("npm", "uninstall", "--silent", "local-pkg", cwd=view.path("app"), env=cache)
    assert not os.path.exists(view.path("app/node_modules/local-pkg"))


def test_sqlite3__program(view):
    need_program("sqlite3")
    out = sh("""sqlite3 db 'pragma journal_mode=wal; create table t(a); insert into t select value from
                generate_series(1, 5000); select count(*), sum(a) from t; vacuum; pragma integrity_check;'""",
             cwd=view.mnt).stdout
    equal(out, "wal\n5000|12502500\nok\n")


def test_vim__edits_in_place(view):
    need_program("vim")
    run("vim", "-u", "NONE", "-es", "-c", "%s/world/vim/", "-c", "wq", "README", cwd=view.mnt)
    equal(get(view.path("README")), "hello vim\n")
    run("vim", "-u", "NONE", "-es", "-c", "set backup backupcopy=yes writebackup", "-c", "%s/vim/again/",
        "-c", "wq", "README", cwd=view.mnt)
    equal(get(view.path("README")), "hello again\n")
    assert [n for n in os.listdir(view.mnt) if n.endswith(".swp")] == []


def test_sed_and_perl__in_place(view):
    sh("sed -i 's/hello/bye/' README; sed -i.bak 's/bye/ciao/' README; perl -pi -e 's/ciao/salve/' README",
       cwd=view.mnt)
    equal(get(view.path("README")), "salve world\n")
    equal(get(view.path("README.bak")), "bye world\n")


def test_tar__unpack_pack_compare(view):
    need_program("tar")
    src = os.path.join(view.folder, "src")
    os.mkdir(src)
    sh("""mkdir -p a/b/c; for i in $(seq 300); do echo "file $i" >a/b/f$i; done; ln a/b/f1 a/hard; ln -s b/f2 a/soft
          chmod 600 a/b/f3; chmod 700 a/b/c; truncate -s 1M a/sparse; touch -d 2020-01-01 a/b/f4""", cwd=src)
    run("tar", "-C", src, "-cf", view.folder + "/t.tar", ".")
    os.mkdir(view.path("out"))
    run("tar", "-C", view.path("out"), "-xpf", view.folder + "/t.tar")
    equal(tree.differences(tree.picture(src), tree.picture(view.path("out"))), [])
    equal(os.stat(src + "/a/b/f4").st_mtime, os.stat(view.path("out/a/b/f4")).st_mtime)
    run("tar", "-C", view.path("out"), "-df", view.folder + "/t.tar")
    run("rm", "-rf", view.path("out"))


def test_rsync__there_and_back(view):
    need_program("rsync")
    src, back = os.path.join(SOURCE, "overlay") + "/", os.path.join(view.folder, "back") + "/"
    run("rsync", "-aHX", src, view.path("copy") + "/")
    run("rsync", "-aHX", view.path("copy") + "/", back)
    equal(tree.differences(tree.picture(src), tree.picture(back)), [])
    out = run("rsync", "-aHXn", "--itemize-changes", "--checksum", src, view.path("copy") + "/").stdout
    equal(out, "", "a second run")


def test_find_grep_cp(view):
    equal(sh("grep -rl util --include='*.c' . | sort", cwd=view.mnt).stdout, "./src/main.c\n./src/util.c\n")
    sh("cp -a src copy && diff -r src copy && cp --sparse=always README r2 && cmp README r2 && rm -rf copy", cwd=view.mnt)
    equal(sh("find . -path ./.git -prune -o -type f -print | wc -l", cwd=view.mnt).stdout.strip(), "12")


main()
