#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""merge resolve: a conflict into a view, for its agent or for a merger, and the result back; merge html: the page."""
import html.parser
import os
import re

from harness import *
from merging import LINES


def conflict(system, name="list.txt"):
    """Merge 2 conflicts: a1 and b1 changed line 7 of `name`, and b1 made another file. Returns b1's view."""
    put(os.path.join(system.repo, name), LINES)
    system.git("add", "-A")
    system.git("commit", "-qm", "a file to merge")
    first, second = system.create("a1"), system.create("b1")
    put(os.path.join(first, name), LINES.replace("line 7", "OURS"))
    put(os.path.join(second, name), LINES.replace("line 7", "THEIRS"))
    put(os.path.join(second, "other.txt"), "of b1\n")
    system.ctl("merge", "a1")
    equal(system.json("merge", "b1", check=False)["merges"][0]["state"], "conflict")
    return second


def commit(view, message="resolved"):
    git = lambda *args: run("git", "-C", view, "-c", "user.name=Mona", "-c", "user.email=mona@example.org", *args)
    git("add", "-A")
    git("commit", "-qm", message)


def test_resolve__in_the_sources_own_view(system):
    view = conflict(system)
    text = system.ctl("merge", "resolve", "2").stdout
    assert f"{view}/list.txt: content" in text and "merge resolve 2 --done" in text, text
    marked = get(os.path.join(view, "list.txt"))
    assert re.search(r"<<<<<<< view\nTHEIRS\n\|\|\|\|\|\|\| base before\nline 7\n=======\nOURS\n>>>>>>> new base\n", marked), marked
    system.refused("Conflict", "merge", "resolve", "2", "--done", says=("'list.txt'", "line 7"))
    put(os.path.join(view, "list.txt"), LINES.replace("line 7", "OURS and THEIRS"))
    done = system.ctl("merge", "resolve", "2", "--done", check=False)
    equal(done.returncode, 1, "its git is still in the merge")
    equal(system.git("log", "--format=%s", "-1", "main").startswith("b1"), False)
    commit(view)
    text = system.ctl("merge", "resolve", "2", "--done").stdout
    assert "1 resolved conflict remembered" in text, text
    equal(get(os.path.join(system.repo, "list.txt")), LINES.replace("line 7", "OURS and THEIRS"))
    equal(get(os.path.join(system.repo, "other.txt")), "of b1\n")
    said = system.json("merge", "explain", "2")["hunks"][0]["said"]
    equal([(s["name"], s["text"]) for s in said if s["who"] == "person"], [("Mona", "OURS and THEIRS\n")])


def test_resolve__by_a_merger_that_may_write_what_conflicts_only(system):
    view = conflict(system, name="a [odd] *name.txt")
    system.ctl("merge", "resolve", "2", "--agent", "mona", "--style", "merge")
    mine = system.path("mona")
    equal((system.view("mona")["role"], system.view("mona")["task"]), ("merger", "merge-2"))
    marked = get(os.path.join(mine, "a [odd] *name.txt"))
    assert "<<<<<<< " in marked and "|||||||" not in marked, marked
    equal(get(os.path.join(mine, "other.txt")), "of b1\n")
    try:
        put(os.path.join(mine, "README"), "not handed to it\n")
        raise AssertionError("a merger wrote what does not conflict")
    except PermissionError:
        pass
    put(os.path.join(mine, "a [odd] *name.txt"), LINES.replace("line 7", "BOTH"))
    commit(mine)
    text = system.ctl("merge", "resolve", "2", "--done").stdout
    assert text.startswith("mona -> main: merged") and "1 resolved conflict remembered" in text, text
    equal(get(os.path.join(system.repo, "a [odd] *name.txt")), LINES.replace("line 7", "BOTH"))
    equal(get(os.path.join(system.repo, "other.txt")), "of b1\n")
    equal(system.git("branch", "--no-merged", "main"), "", "it is b1's commit that was merged")
    equal(get(os.path.join(view, "a [odd] *name.txt")), LINES.replace("line 7", "THEIRS"), "b1's view is as it was")


def test_resolve__bad_input_is_one_sentence(system):
    conflict(system)
    system.refused("Invalid", "merge", "resolve", "1", says="has no conflict to resolve")
    system.refused("NotFound", "merge", "resolve", "9", says="there is no merge 9")
    equal(system.ctl("merge", "resolve", "2", "--style", "x", check=False).returncode, 2)
    system.refused("Invalid", "merge", "resolve", "2", "--agent", "nobody", "--done", says="in no view")
    system.ctl("destroy", "b1", "--force")
    system.refused("Invalid", "merge", "resolve", "2", says="no view shows")


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.ids, self.open = [], [], set(), []
        self.feed(text)
        equal(self.open, [], "every element is closed")

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.links += [v for k, v in attrs.items() if k in ("href", "src")]
        self.ids.add(attrs.get("id"))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        equal(self.open.pop(), tag, "elements are nested")


def test_html__one_page_with_everything_escaped(system):
    evil = '<script>alert("1")</script> & \x1b[31m \u202e\n'
    name = "<b>&\"'.txt"
    put(os.path.join(system.repo, name), LINES)
    put(os.path.join(system.repo, "setup.toml"), 'version = "1.2.3"\n')
    put(os.path.join(system.repo, "pic"), b"\0 1")
    put(os.path.join(system.repo, "who.txt"), "written by \u00e4, all of it\n")
    system.git("add", "-A")
    system.git("commit", "-qm", "files")
    first, second = system.create("a1"), system.create("b1")
    put(os.path.join(first, name), LINES.replace("line 7\n", evil))
    put(os.path.join(second, name), LINES.replace("line 7\n", "\tTHEIRS\n"))
    put(os.path.join(first, "setup.toml"), 'version = "1.2.4"\n')
    put(os.path.join(second, "setup.toml"), 'version = "1.3.0"\n')
    put(os.path.join(first, "who.txt"), "written by \u00f6, all of it\n")
    put(os.path.join(second, "who.txt"), "written by \u00fc, all of it\n")
    put(os.path.join(first, "pic"), b"\0 2")
    put(os.path.join(second, "pic"), b"\0 3")
    system.ctl("merge", "a1")
    system.ctl("merge", "b1", check=False)
    file = os.path.join(system.folder, "page.html")
    system.ctl("merge", "html", file, "2")
    text = get(file)
    page = Page(text)
    equal(page.tags.count("script"), 1, "what a file holds is no element")
    equal(page.tags.count("b") > 0 and "&lt;b&gt;&amp;&quot;&#39;.txt" in text, True)
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; \\x1b[31m \\u{202e}" in text, text
    assert "\x1b" not in text and "\u202e" not in text
    for letter in "\u00f6\u00fc":
        assert f"written by <mark>{letter}</mark>, all of it" in text, "what differs from the base is marked, by character"
    assert "To do: git add the version that is to stay." in text, text
    assert "\tTHEIRS" in text and "Left as a conflict" in text
    for link in page.links:
        assert link.startswith("#") and link[1:] in page.ids, link
    for word in ("http:", "https:", "url(", "@import"):
        assert word not in text, word
    system.ctl("merge", "html", "newest.html")
    equal(get(os.path.join(system.repo, "newest.html")), text)


def test_html__refusals(system):
    equal(system.ctl("merge", "html", "x.html", "y", check=False).returncode, 2)
    system.refused("NotFound", "merge", "html", "x.html", "7", says="there is no merge 7")
    system.refused("Invalid", "merge", "html", "/nowhere/x.html", says="/nowhere/x.html")
    system.ctl("merge", "html", "x.html")
    assert "No merge was tried yet" in get(os.path.join(system.repo, "x.html"))


main()
