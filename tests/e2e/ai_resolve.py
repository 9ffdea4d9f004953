#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tier 3: conflicts that no rule resolves are shown to resolvers of the configuration's choice. What they say is
believed only where something confirms it."""
import os

from fake_llm import Model
from harness import *
from resolving import *
import tree


# ---- what is believed ----

def test_ai__is_off_unless_somebody_is_configured(tmp):
    with system_with(tmp, "merge: {reimagine: true}\n") as system:
        said = merge(system, status=1)
        equal((said["state"], said.get("asked"), said.get("cost")), ("conflict", None, None))


def test_ai__an_answer_that_a_rule_confirms_is_taken_and_told(tmp):
    both = LINES.replace("two", "TWO").replace("three", "THREE")
    with Model(lambda call: {"class": "new", "text": "TWO\nTHREE\n", "reason": "each its own line"}) as m, \
            system_with(tmp, config(openai(m)), LINES, LINES.replace("two", "TWO"), LINES.replace("three", "THREE")) as system:
        said = merge(system)
        equal((said["state"], said["tier"]), ("merged", "ai-resolve"))
        answer = said["resolved"][0]["conflicts"][0]
        equal((answer["resolver"], answer["basis"], answer["tier"]), ("ai:gpt", "candidate", "ai-resolve"))
        equal((answer["reason"], answer["cost"]["calls"], answer["cost"]["tokens"]), ("each its own line", 1, 123))
        equal((said["cost"]["calls"], said["asked"][0]["result"]), (1, "new"))
        equal(get(os.path.join(system.repo, "work.c")), both)
        message = system.git("log", "-1", "--format=%B")
        assert "\nTier: ai-resolve\nResolved: work.c (ai:gpt)" in message, message
        # What it was told: both sides, who made them and why, what the rule says.
        told = m.calls[0]["user"]
        for piece in ("commit message\nadd what is extra", "agent: carol", "task: limits", "branch: topic",
                      "right in ", "BEGIN candidate\nTWO\nTHREE\n"):
            assert piece in told, (piece, told)
        shown = system.ctl("merge", "explain", str(said["merge"])).stdout
        for piece in ("ai:gpt: a rule says the same; 1 call", "it says: each its own line", "Resolvers that were asked:",
                      "123 tokens: new"):
            assert piece in shown, (piece, shown)
        assert "ai-resolve" in system.ctl("merge", "history").stdout


def test_ai__two_samples_that_agree_are_taken_and_one_is_not(tmp):
    with Model(lambda call: NEW) as m, system_with(tmp, config(openai(m))) as system:
        said = merge(system)
        answer = said["resolved"][0]["conflicts"][0]
        equal((answer["basis"], answer["confidence"], answer["text"]), ("samples", 0.9, LINE))
        equal([a["sample"] for a in said["asked"]], [1, 2])
        equal(get(os.path.join(system.repo, "work.c")), BOTH)


def test_ai__samples_that_differ_leave_the_conflict(tmp):
    answers = [NEW, {**NEW, "text": "\tint total = extra + count(n, limit);\n"}]
    with Model(lambda call: answers[call["n"] - 1]) as m, system_with(tmp, config(openai(m))) as system:
        before = tree.picture(system.repo)
        said = merge(system, status=1)
        kept_as_it_was(system, before, said)
        why = rejections(said)
        equal(len(why), 2)
        assert all("nothing confirms it" in w for w in why), why
        shown = system.ctl("merge", "explain", str(said["merge"])).stdout
        assert "rejected, by ai:gpt: nothing confirms it" in shown and "extra + count" in shown, shown
        system.ctl("merge", "html", "page.html", str(said["merge"]))
        page = get(os.path.join(system.repo, "page.html"))
        assert "2 answers that were not taken" in page and "</b>, rejected: nothing confirms it" in page, page


def test_ai__two_resolvers_that_agree_confirm_each_other(tmp):
    def answer(call):
        return NEW if call["model"] == "m-2" or call["n"] == 1 else {"class": "none", "reason": "who knows"}
    with Model(answer) as m, system_with(tmp, config(openai(m), openai(m, name="other", model="m-2"))) as system:
        answer = merge(system)["resolved"][0]["conflicts"][0]
        equal((answer["resolver"], answer["basis"], answer["cost"]["calls"]), ("ai:other", "samples", 3))


def test_ai__a_class_of_one_side_needs_no_text(tmp):
    with Model(lambda call: {"class": "ours"}) as m, system_with(tmp, config(openai(m))) as system:
        answer = merge(system)["resolved"][0]["conflicts"][0]
        equal((answer["class"], answer["text"], answer["does"]), ("ours", "\tint total = count(n, limit);\n", "the target's lines"))
        equal(get(os.path.join(system.repo, "work.c")), OURS)


def test_ai__the_text_is_asked_for_only_where_the_class_is_new(tmp):
    def answer(call):
        return {"class": "new"} if "Say which text" in call["system"] else NEW
    with Model(answer) as m, system_with(tmp, config(openai(m))) as system:
        said = merge(system)
        equal([a["ask"] for a in said["asked"]], ["class", "text", "class", "text"])
        equal(said["state"], "merged")


def test_ai__a_whole_file_is_split_back_and_may_change_nothing_else(tmp):
    with Model(lambda call: {"file": BOTH}) as m, system_with(tmp, config(openai(m))) as system:
        equal(merge(system)["resolved"][0]["conflicts"][0]["text"], LINE)
        equal(get(os.path.join(system.repo, "work.c")), BOTH)


def test_ai__the_same_conflict_again_costs_nothing(tmp):
    with Model(lambda call: NEW) as m, system_with(tmp, config(openai(m))) as system:
        equal(merge(system, "--dry-run", "--ask-models")["cost"]["calls"], 2)
        with environment(MY_KEY=KEY):
            system.restart()
        said = merge(system)
        answer = said["resolved"][0]["conflicts"][0]
        equal((len(m.calls), said.get("cost"), answer["replayed"], answer["basis"], answer["text"]),
              (2, None, True, "samples", LINE))
        equal((said["tier"], get(os.path.join(system.repo, "work.c"))), ("ai-resolve", BOTH))
        # Another conflict in the same place is another one.
        system.git("reset", "-q", "--hard", "main~1")
        put(os.path.join(system.repo, "work.c"), OURS.replace("limit", "bound"))
        system.git("commit", "-qam", "another")
        merge(system, status=1)
        assert len(m.calls) > 2


# ---- what is rejected ----

def refused_answers(tmp, *answers, says):
    with Model(lambda call: answers[(call["n"] - 1) % len(answers)]) as m, system_with(tmp, config(openai(m))) as system:
        before = tree.picture(system.repo)
        said = merge(system, status=1)
        kept_as_it_was(system, before, said)
        why = rejections(said)
        for word in says if isinstance(says, tuple) else (says,):
            assert any(word in w for w in why), (word, why)
        equal(len(m.calls), 2, "two tries")
        assert "Your first answer was rejected: " in m.calls[1]["user"]


def test_reject__lies_about_the_class(tmp):
    refused_answers(tmp, {"class": "ours", "text": LINE}, says="it says 'ours', but its text is another")


def test_reject__fences_and_prose(tmp):
    refused_answers(tmp, {"class": "new", "text": f"```c\n{LINE}```\n"},
                    {"class": "new", "text": f"Here is the merged line:\n{LINE}"}, says=("code fence", "prose"))


def test_reject__markers_and_empty_texts(tmp):
    refused_answers(tmp, {"class": "new", "text": f"<<<<<<< ours\n{LINE}>>>>>>> theirs\n"}, {"class": "new", "text": "\n"},
                    says=("conflict marker", "it is empty"))


def test_reject__another_files_text_and_whole_files_that_differ(tmp):
    refused_answers(tmp, {"class": "new", "text": "all: prog\n"}, {"file": BOTH.replace("return", "goto")},
                    says=("it lacks 'limit'", "where there was no conflict"))


def test_reject__dropped_names_and_texts_without_end(tmp):
    refused_answers(tmp, {"class": "new", "text": "\tint total = count(n) + extra;\n"},
                    {"class": "new", "text": LINE + "\tint x;\n" * 900},
                    says=("it lacks 'limit', which the target added", "more than 3 times as long"))


def test_reject__what_parses_worse_than_both_sides_is_not_believed_though_it_was_said_twice(tmp):
    need_grammars()
    broken = "\tint total = count(n, limit) + extra +;\n"
    with Model(lambda call: {**NEW, "text": broken}) as m, system_with(tmp, config(openai(m))) as system:
        before = tree.picture(system.repo)
        said = merge(system, status=1)
        kept_as_it_was(system, before, said)
        why = "breaks the invariant 'parse': it parses worse than both sides"
        equal(rejections(said)[-1], why)
        hunk = said["conflicts"][0]["hunks"][0]
        assert "ai:gpt" not in [a["resolver"] for a in hunk["candidates"]], hunk["candidates"]
        shown = system.ctl("merge", "explain", str(said["merge"])).stdout
        assert f"rejected, by ai:gpt: {why}" in shown and broken.strip() in shown, shown
        # Nor is it kept as an answer: the same conflict again is asked about again.
        asked = len(m.calls)
        merge(system, status=1)
        assert len(m.calls) > asked, "a refused answer was taken from what was said before"


def test_reject__the_second_try_may_be_right(tmp):
    def answer(call):
        return NEW if "Your first answer was rejected: it has a conflict marker" in call["user"] \
            else {**NEW, "text": ">>>>>>> theirs\n" + LINE}
    with Model(answer) as m, system_with(tmp, config(openai(m))) as system:
        said = merge(system)
        equal((said["state"], [a["attempt"] for a in said["asked"]]), ("merged", [1, 2, 1, 2]))
        assert "conflict marker" in said["resolved"][0]["conflicts"][0]["rejected"][0]["why"]


main()
