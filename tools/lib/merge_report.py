# SPDX-License-Identifier: Apache-2.0
"""What merge-replay and merge-cases found, as Markdown."""
import os

# The parts of a file that commands of tools/bench write, in this order: name → the marks around it.
SECTIONS = {"merging": ("<!-- merging: written by tools/bench merge-replay --output -->", "<!-- end of merging -->"),
            "cases": ("<!-- cases: written by tools/bench merge-cases --output -->", "<!-- end of cases -->"),
            "time": ("<!-- time of a merge: written by tools/bench merge-time --output -->", "<!-- end of time of a merge -->"),
            "queue": ("<!-- merge queue: written by tools/bench merge-queue --output -->", "<!-- end of merge queue -->")}
TIMES = (("none", "no file changed on both sides"), ("some", "some changed on both sides"),
         ("lines", "some changed on both sides, with conflicts of lines: resolvers and parser are asked"),
         ("git", "renames, several bases and the like: git's own merge decides"))


DID = (("all", "kept everything"), ("words", "everything, within lines"), ("ours", "ours"), ("theirs", "theirs"),
       ("nothing", "neither"), ("some", "some of both"), ("new", "new text"), ("removed", "no file"))


def percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "–"


def table(head, rows, left=1):
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * left + "---:|" * (len(head) - left)]
    return out + ["| " + " | ".join(f"{c:,}" if isinstance(c, int) else str(c) for c in r) + " |" for r in rows]


def repositories(data):
    head = ("repository", "commit", "merges", "conflicted", "files", "resolved", "of files", "right", "of resolved")

    def row(name, commit, c):
        files, done, ok = c.get("files", 0), c.get("resolved", 0), c.get("right", 0)
        return (name, commit, c.get("merges", 0), c.get("conflicted", 0), files, done, percent(done, files), ok,
                percent(ok, done))
    return table(head, [row(c["name"], c["commit"], c) for c in data["repositories"]] +
                 [row("**all**", "", data["total"])], 2)


def median(shares):
    shares = sorted(shares)
    n = len(shares)
    return f"{(shares[n // 2] + shares[(n - 1) // 2]) / 2:.1f} %" if n else "–"


def costs(data):
    """Totals by what a wrong merge costs: of all, without one repository, of the median repository."""
    head = ("a wrong merge costs", "of", "files", "resolved", "of files", "right", "of resolved")
    usual = {r["name"]: r for r in data["repositories"]}
    rows = []
    for cost, by in ((f"{data['cost']}", usual), ("2: a verify command has to pass before it lands", data["verified"])):
        for of, names in [("all", list(by))] + ([(f"all but {data['without']}", [n for n in by if n != data["without"]])]
                                                if data.get("without") in by else []):
            files, done, ok = (sum(by[n].get(k, 0) for n in names) for k in ("files", "resolved", "right"))
            rows.append((cost, of, files, done, percent(done, files), ok, percent(ok, done)))
        each = [by[n] for n in by if by[n].get("files")]
        rows.append((cost, "the median repository", "", "", median([100 * c.get("resolved", 0) / c["files"] for c in each]), "",
                     median([100 * c.get("right", 0) / c["resolved"] for c in each if c.get("resolved")])))
    return table(head, rows, 2)


def resolvers(data):
    head = ("resolver", "answers", "equal", "but for order and space", "contained", "different", "lower bound", "acted",
            "right")
    return table(head, [(n, r["fired"], r.get("equal", 0), r.get("order", 0), r.get("contained", 0), r.get("different", 0),
                         f"{r['lower']:.2f}", r.get("acted", 0), percent(r.get("acted_right", 0), r.get("acted", 0)))
                        for n, r in sorted(data["resolvers"].items(), key=lambda i: -i[1]["fired"])])


def languages(data):
    rows = sorted(data["languages"].items(), key=lambda i: -i[1].get("files", 0))
    return table(("language", "files", "resolved", "of files", "right", "of resolved"),
                 [(n, c["files"], c["resolved"], percent(c["resolved"], c["files"]), c["right"],
                   percent(c["right"], c["resolved"])) for n, c in rows])


def did(data, by):
    """What people did, in files, by repository or language."""
    rows = sorted(data["did"][by].items(), key=lambda i: -sum(i[1].values()))
    total = {k: sum(c.get(k, 0) for _, c in rows) for k, _ in DID}
    return table((by, "files") + tuple(text for _, text in DID),
                 [(n, sum(c.values()), *(c.get(k, 0) for k, _ in DID))
                  for n, c in rows + [("**all**", total)]])


def did_right(data):
    return table(("what people did", "files", "of them with a right answer to every conflict", "resolved right"),
                 [(text, c["files"], c.get("answered", 0), c.get("right", 0))
                  for k, text in DID if (c := data["did_right"].get(k))])


def kinds(data):
    head = ("conflict of kind", "files", "as ours has it", "as theirs has it", "otherwise", "no such file")
    return table(head, [(n, sum(c.values()), c.get("ours", 0), c.get("theirs", 0), c.get("new", 0), c.get("removed", 0))
                        for n, c in sorted(data["kinds"].items(), key=lambda i: -sum(i[1].values()))])


def ceiling(data):
    """What people did with each conflict, which bounds what a rule can ever get right."""
    return ["### What people did", "",
            "Of each file with conflicts of lines, the least that the person kept in one of them. Who drops nothing that a side did can",
            "be right only where the person kept everything: each line (or, within lines, each word) that a side added, and none",
            "that a side deleted. In the other columns a rule would have to know which side's work is to be dropped: the greater of",
            "two versions is such a rule, and a conflict remembered. *Some of both* are lines of the sides, *new text* has lines",
            "of the person's own *instead* of a side's.", ""] + did_right(data) + [""] + did(data, "repository") + [""] + \
        did(data, "language") + ["", "Conflicts of kind, by what stands at the path that git names (of a renamed folder: where the file would",
                                 "go with it):", ""] + kinds(data) + [""]


def times(data):
    return table(("merges of which", "merges", "median ms", "git merge-tree", "ratio (median)"),
                 [(text, data["times"][k]["merges"], f"{data['times'][k]['ms']:.2f}",
                   f"{data['times'][k]['git_ms']:.2f}", f"{data['times'][k]['ratio']:.2f} ×")
                  for k, text in TIMES if k in data["times"]])


def stays(data):
    """Where the rest goes, and what would reach it."""
    did_all = {k: data["did_right"].get(k, {}) for k, _ in DID}
    kept = sum(did_all[k].get("files", 0) for k in ("all", "words"))
    short = kept - sum(did_all[k].get("answered", 0) for k in ("all", "words"))
    gone = {k: data["kinds"].get(k, {}) for k in ("delete/modify", "modify/delete", "rename/delete")}
    folder = data["kinds"].get("folder rename", {})
    out = ["### What stays", ""] + [f"* {why}: {n:,} files" for why, n in sorted(data["left"].items(), key=lambda i: -i[1])]
    out += ["", "What would reach more:", "",
            f"* Of {kept:,} files in which people kept everything, {short:,} have a conflict to which no rule has the right answer. They are two",
            "  changes of one statement, a block that one side moved or re-indented and the other changed, lines that one side put beside",
            "  what the other rewrote. Rules for the last were tried: right in 60 %, so they are not there. Who reads the program",
            "  (tier 3, with a verify command) can answer; a rule on its text cannot.",
            f"* In {did_all['ours'].get('files', 0):,} files the person took ours alone, in {did_all['theirs'].get('files', 0):,} theirs: in most of them a release branch was merged "
            "forward, and",
            "  the other side's change was made anew, or not wanted. Nothing in the three texts says so. What can be known is taken: the",
            "  change is part of the other (`ahead`), the version is greater, the same conflict was resolved before.",
            f"* Files that one side deleted and the other changed: in {sum(c.get('removed', 0) for c in gone.values()):,} of {sum(sum(c.values()) for c in gone.values()):,} "
            "the person let them go. A rule that does so would be",
            "  right, and would drop work without a word; they stay conflicts. (Changed in white space, versions or years alone: 17 files,",
            "  too few for a record.)"]
    if folder:
        out += [f"* A file added to a folder that the other side renamed: {sum(folder.values()):,} files, but in {data['kind_merges'].get('folder rename', 0):,} merges, "
                f"which are what is independent. {folder.get('removed', 0)} files did",
                "  not follow the folder. Too few merges for a record that lets a rule act."]
    return out


def differences(data):
    """Every resolution that was not the person's, those of one file alike in one row."""
    alike = {}
    for d in data["differences"]:
        key = (d["repository"], d["path"], d["resolver"], d["why"])
        alike.setdefault(key, []).append(d["commit"][:12])
    if not alike:
        return []
    rows = [(r, f"`{path}`", ", ".join(dict.fromkeys(commits)), by, why)
            for (r, path, by, why), commits in sorted(alike.items())]
    return ["", "### Where the person kept something else", "",
            "Every resolution that was counted as wrong. `--differences FILE` writes their texts side by side.", "",
            *table(("repository", "file", "merge", "resolver", "instead"), rows, 5)]


def section(data):
    t, clean, k = data["total"], data["clean"], data["cost"]
    broken = sum(data["broken"].values())
    both = clean.get("same", 0) + clean.get("differ", 0)
    out = ["## Merging", "",
           "Historic merges of two parents made again, as the product makes them, beside `git merge-tree --write-tree`; several merge",
           f"bases included. A wrong merge costs {k} conflicts: a resolver acts alone where the lower bound of its record beats {k / (k + 1):.2f}",
           "(where it costs 2: 0.67), and that record is from the *other* repositories and from older merges of the same one.",
           "A file is resolved when all its conflicts are, and right when all of them are what the person kept, but for order and white",
           "space, or are contained in it (docs/MERGING.md).",
           "Files that conflict by kind (deleted and changed, renamed twice, …) count as conflicted files. The rules were written with",
           "conflicts of these histories at hand: what judges a history knows nothing of it, who wrote the rules did.", ""]
    out += costs(data) + ["", f"By repository, where it costs {k}:", ""]
    out += repositories(data) + ["", f"Conflicts of lines: {t.get('conflicts', 0):,}.", "", "### By resolver", "",
                                 "Answers are counted by conflict, whether they acted or not.", ""]
    out += resolvers(data) + ["", "### By language", ""] + languages(data)
    out += [""] + ceiling(data)
    out += stays(data)
    out += differences(data)
    out += ["", "### Clean merges", "",
            f"Clean for both: {both:,}; the same tree in {clean.get('same', 0):,}. Clean only here (one way of comparing lines, or a resolver): "
            f"{clean.get('only ours', 0):,}; only in git's: {clean.get('only git' + chr(39) + 's', 0):,}. Merges that could not be made again: "
            f"{sum(data['errors'].values()):,}{' (' + ', '.join(f'{e}: {n}' for e, n in data['errors'].items()) + ')' if data['errors'] else ''}."]
    notes = {}
    for d in data["clean_reasons"]:
        for w in d["why"]:
            key = w.split(": ", 1)[-1]
            notes[key] = notes.get(key, 0) + 1
    out += ["", "Reasons of those that differ:", ""] if notes else []
    out += [f"* {n:,} × {w}" for w, n in sorted(notes.items(), key=lambda i: -i[1])[:12]]
    out += ["", "### Invariants and time", "",
            f"Broken invariants over all resolved files: **{broken}**" +
            (f" ({', '.join(f'{n} {c}' for n, c in data['broken'].items())})." if broken else "."),
            f"Files whose answers were not believed since they broke one: {sum(data['refused'].values())}" +
            (f" ({', '.join(f'{n} {c}' for n, c in data['refused'].items())})." if data["refused"] else "."), "",
            "Times with the merge base known and the result in memory, `git merge-tree` in turn before and behind it (it looks for the base).",
            "What `merge-time` and `merge-queue` measure stands below.", ""]
    return "\n".join(out + times(data)) + "\n"


def kept_sections(path):
    """What put_section() wrote into the file, with its marks; "" where there is none."""
    try:
        with open(path) as f:
            old = f.read()
    except FileNotFoundError:
        return ""
    return "\n".join(text for text in map(lambda which: cut(old, which)[1], SECTIONS) if text)


def cut(text, which):
    """(before, the section with its marks or "", behind)"""
    begin, end = SECTIONS[which]
    if begin not in text or end not in text:
        return text, "", ""
    before, rest = text.split(begin, 1)
    inside, behind = rest.split(end, 1)
    return before, begin + inside + end + "\n", behind.lstrip("\n")


def put_section(path, text, which="merging"):
    """Replaces the section in the file, or puts it behind those that come before it; the sections stand at the end."""
    old = ""
    if os.path.exists(path):
        with open(path) as f:
            old = f.read()
    sections = {which: "{}\n{}{}\n".format(SECTIONS[which][0], text, SECTIONS[which][1])}
    for one in SECTIONS:
        before, had, behind = cut(old, one)
        old = before + behind
        sections.setdefault(one, had)
    parts = [old.rstrip("\n") + "\n"] if old.strip() else []
    with open(path, "w") as f:
        f.write("\n".join(parts + [sections[one] for one in SECTIONS if sections[one]]))
