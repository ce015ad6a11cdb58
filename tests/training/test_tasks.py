"""The exercises: seeded, split without leaks, graded, and right by a second opinion that shares no code with them."""

import datetime
import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.library_desk import exercise, tasks, vocabulary
from training.library_desk.exercise import Exercise

SEEDS = st.integers(0, 2**32)
TOKENIZER = vocabulary.build()


def test_the_same_seed_gives_the_same_exercises() -> None:
    assert tasks.sample(7, 50) == tasks.sample(7, 50)
    assert tasks.sample(7, 50) != tasks.sample(8, 50)


def test_traffic_is_easy_by_the_stated_share() -> None:
    counts = Counter(one.difficulty for one in tasks.sample(1, 2000))
    assert 0.77 < counts["easy"] / 2000 < 0.83


def test_every_family_and_difficulty_appears() -> None:
    drawn = {(one.family, one.difficulty) for one in tasks.sample(2, 600, easy_share=0.5)}
    assert drawn == set(tasks.cells())


@given(SEEDS, SEEDS)
@settings(max_examples=20, deadline=None)
def test_no_heldout_question_can_appear_in_training_whatever_the_seeds(one: int, other: int) -> None:
    heldout = {exercise.question for exercise in tasks.sample(one, 60)}
    trained = {exercise.question for exercise in tasks.sample(other, 60, split="train")}
    assert not heldout & trained
    assert {exercise.split_of(question) for question in heldout} == {"heldout"}


def test_a_large_training_sample_holds_no_heldout_question() -> None:
    heldout = {one.question for one in tasks.sample(2026, 1500, easy_share=0.5)}
    trained = {one.question for one in tasks.sample(1, 10_000, easy_share=0.5, split="train")}
    assert not heldout & trained


def test_an_unknown_family_is_answered_with_the_choices() -> None:
    with pytest.raises(Exception, match="sorting"):
        tasks.load("sortin")


@pytest.mark.parametrize("family", tasks.families())
@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_answers_are_right_by_an_independent_solver(family: str, seed: int) -> None:
    rng, task = random.Random(seed), tasks.load(family)
    for scene in (task.easy(rng), task.hard(rng)):
        for index, (_, answer) in enumerate(scene.turns):
            assert SOLVERS[family](scene.standalone(index)) == answer


@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_every_exercise_fits_a_packed_row_and_its_answer_the_token_limit(seed: int) -> None:
    for prompt, answer in vocabulary.encode(TOKENIZER, tasks.sample(seed, 30, easy_share=0.5)):
        assert len(prompt) + len(answer) <= 64
        assert len(answer) < exercise.MAX_ANSWER_TOKENS


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_followups_tell_no_other_splits_answers(seed: int) -> None:
    for one in tasks.sample(seed, 40, split="train"):
        facts = re.split(r"(?<=\.) (?=It|Is|Wh)", one.question)[0]
        assert all(exercise.split_of(f"{facts} {question}") == "train" for question, _ in one.followups)


def test_a_reply_counts_only_when_it_is_exact() -> None:
    one = Exercise("Sort from low to high: 2 1", "1 2", "sorting", "easy")
    assert one.is_answered_by(" 1 2\n")
    assert not one.is_answered_by("1 2 3")


def _solve_state(question: str) -> str:
    if found := re.match(r"Now on \w+ \d the (\w+) is (\w+)\.", question):
        return f"{'yes' if found[2] == 'open' else 'no'}, the {found[1]} is {found[2]}"
    now = int(re.findall(r"It is (\d+)", question)[0])
    hours = re.findall(r"(\w+) (\d+) to (\d+)", question)
    open_now = [room for room, opens, closes in hours if now in range(int(opens), int(closes))]
    return ", ".join(f"{room} {'open' if room in open_now else 'closed'}" for room, _, _ in hours)


def _solve_lookup(question: str) -> str:
    asked = question.rstrip("?").split()[-1]
    if asked in ("first", "last"):
        entry = re.findall(r"\d [A-Z]\w+", question)[0 if asked == "first" else -1].split()
        kind, value = ("title", entry[1]) if "title" in question else ("shelf", entry[0])
        return f"The {asked} {kind} is {value}"
    shelf_of = {title: number for number, title in re.findall(r"(\d) ([A-Z]\w+)[,.]", question)}
    titles = re.findall(r"ha(?:s|ve) (.+)\?", question)[0].split(", ")
    return "See " + ", ".join(f"{title} {shelf_of[title]}" for title in titles)


def _solve_arithmetic(question: str) -> str:
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    if "cents" in question:
        *days, rate = numbers
        way = f"{days[0]} and {days[1]} days are {sum(days)}. " if len(days) > 1 else ""
        return f"{way}The fine is {sum([rate] * sum(days))} cents"
    if "left" in question:
        return f"There are {len(range(numbers[1], numbers[0]))} copies left"
    return f"The rooms have {sum(numbers)} books together"


def _solve_sorting(question: str) -> str:
    order, items = question.split(": ")
    left, done = items.split(), []
    while left:
        first = min(left, key=lambda item: (int(item), "") if item.isdigit() else (0, item))
        done.append(first)
        left.remove(first)
    return " ".join(done[::-1] if "high to low" in order else done)


def _solve_dates(question: str) -> str:
    title = re.findall(r"borrows (\w+) on", question)[0]
    return f"{title} is due on {_due(question)}"


def _due(question: str) -> str:
    days = datetime.timedelta(int(re.findall(r"for (\d+) days", question)[0]))
    if found := re.search(r"on (\d+) (\w+) for", question):
        start = datetime.datetime.strptime(f"{found[0][3:-4]} 2023", "%d %B %Y")
        return (start + days).strftime("%-d %B")
    weekday = re.findall(r"on (\w+day) for", question)[0]
    week = [datetime.date(2023, 1, day) for day in range(1, 8)]
    start_day = next(day for day in week if day.strftime("%A") == weekday)
    return (start_day + days).strftime("%A")


def _solve_strings(question: str) -> str:
    code = re.findall(r"Call number (\w+)\.", question)[0]
    if "first" in question or "last" in question:
        return f"The first letter is {code[:1]}" if "first" in question else f"The last letter is {code[-1:]}"
    if "backwards" in question:
        return "".join(reversed(code))
    struck = question.rstrip(".")[-1]
    return "".join(letter for letter in code if letter != struck)


def _solve_notes(question: str) -> str:
    entries = re.findall(r"[A-Z]\w+ \d", question)
    return ", ".join(entries[::-1] if "from the end" in question else entries)


SOLVERS = {
    "state": _solve_state, "lookup": _solve_lookup, "arithmetic": _solve_arithmetic,
    "sorting": _solve_sorting, "dates": _solve_dates, "strings": _solve_strings, "notes": _solve_notes,
}  # fmt: skip
