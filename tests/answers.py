"""Answers to the questions of copier.yml, for renders in tests.

The values of choices and yes/no questions come from there.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

Answers = dict[str, Any]
Answer = tuple[str, Any]
"""The name of a question, and a value."""

Pair = tuple[Answer, Answer]

TEXTS: dict[str, tuple[str, ...]] = {"schema_namespace": ("orders", "")}
"""Answers to text questions that change more than the text: without a namespace, other lines are rendered."""

CODE = ("database_backend", "schema_namespace", "auth", "include_example")
"""Questions that change the Python code of the service. The rendered suite runs with each pair of these answers."""

COMBINED = (*CODE, "dependency_tool", "ci_provider")
"""Questions whose answers are rendered in every combination. The matrix has other answers at least in every pair."""

LABELS: dict[Answer, str] = {
    ("database_backend", "postgresql"): "",
    ("schema_namespace", "orders"): "namespaced",
    ("schema_namespace", ""): "plain",
    ("auth", "none"): "",
    ("include_example", True): "example",
    ("include_example", False): "bare",
}
"""Names of answers in the names of combinations. The default is the value, or the name of a yes/no question."""


@cache
def questions() -> dict[str, dict[str, Any]]:
    """Return the questions that Copier asks."""
    path = Path(__file__).resolve().parents[1] / "copier.yml"
    return {
        name: question
        for name, question in yaml.safe_load(path.read_text("utf-8")).items()
        if not name.startswith("_") and question.get("when", question.get("ask")) is not False
    }


def text_questions() -> list[str]:
    return [name for name, question in questions().items() if question["type"] != "bool" and "choices" not in question]


@cache
def values() -> dict[str, tuple[Any, ...]]:
    """Return the answers to each question with choices and each yes/no question, and those of TEXTS."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, question in questions().items():
        if question["type"] == "bool":
            found[name] = (True, False)
        elif choices := question.get("choices"):
            found[name] = tuple(choices.values() if isinstance(choices, dict) else choices)
        elif name in TEXTS:
            found[name] = TEXTS[name]
    return found


def is_asked(name: str, answers: Answers) -> bool:
    """Return the condition of a question, which may read the answers before it."""
    condition = str(questions()[name].get("when", True))
    return bool(jinja2.Template(condition, undefined=jinja2.StrictUndefined).render(answers) == "True")


def pairs() -> set[Pair]:
    """Return each pair of answers to two questions that Copier asks in one run."""
    conditions = " ".join(str(question.get("when", "")) for question in questions().values())
    controlling = {name: options for name, options in values().items() if re.search(rf"\b{name}\b", conditions)}
    found: set[Pair] = set()
    for first, second in itertools.combinations(sorted(values()), 2):
        options = controlling | {first: values()[first], second: values()[second]}
        for chosen in itertools.product(*options.values()):
            answers = dict(zip(options, chosen, strict=True))
            if is_asked(first, answers) and is_asked(second, answers):
                found.add(((first, answers[first]), (second, answers[second])))
    return found


def pairs_of(answers: Answers) -> Iterator[Pair]:
    """Return the pairs of answers in one combination."""
    return itertools.combinations(sorted((name, answers[name]) for name in answers.keys() & values().keys()), 2)


def product(*names: str) -> dict[str, Answers]:
    """Return every combination of the answers to these questions, without questions that Copier does not ask."""
    found: dict[str, Answers] = {}
    for chosen in itertools.product(*(values()[name] for name in names)):
        answers = dict(zip(names, chosen, strict=True))
        answers = {name: value for name, value in answers.items() if is_asked(name, answers)}
        found["-".join(filter(None, map(label, answers.items())))] = answers
    return found


def label(answer: Answer) -> str:
    name, value = answer
    return LABELS.get(answer, {True: name, False: f"no-{name}"}.get(value, str(value)))


CORNERS = product(*CODE)
"""Answers that change the Python code of the service."""


@cache
def matrix() -> dict[str, Answers]:
    """Return every combination of the questions in COMBINED.

    Each other question gets the value with the most pairs that no combination has before. Among equal values, it gets
    the least used one.
    """
    missing = pairs()
    used: Counter[Answer] = Counter()
    combinations = product(*COMBINED)
    others = [name for name in values() if name not in COMBINED]
    for answers in combinations.values():
        for name in others:
            if is_asked(name, answers):
                answers[name] = max(
                    values()[name],
                    key=lambda value: (
                        len(missing.intersection(pairs_of({**answers, name: value}))),
                        -used[name, value],
                    ),
                )
                used[name, answers[name]] += 1
        missing.difference_update(pairs_of(answers))
    return combinations


def covering() -> dict[str, Answers]:
    """Return few combinations that together have each pair of answers. Licenses and Python versions do not count."""
    return cover_pairs(matrix(), ignore={"license", "python_version"})


def suites() -> dict[str, Answers]:
    """Return few combinations of CORNERS and database servers, to run the rendered suite with.

    They have each pair of answers that change Python code. Other answers do not change it.
    """
    runs = {
        f"{corner}-on-{server}": {**answers, "server": server}
        for corner, answers in CORNERS.items()
        for server in ("postgresql", "sqlite")
        if server == "sqlite" or answers["database_backend"] == "postgresql"
    }
    return cover_pairs(runs)


def cover_pairs(combinations: dict[str, Answers], ignore: Set[str] = frozenset()) -> dict[str, Answers]:
    """Return few combinations. Each pair of values that occurs in any combination occurs in one of these."""
    pairs = {
        name: {pair for pair in itertools.combinations(sorted(answers.items()), 2) if not ignore & dict(pair).keys()}
        for name, answers in combinations.items()
    }
    missing = set().union(*pairs.values())
    chosen = {}
    while missing:
        name = max(pairs, key=lambda name: len(pairs[name] & missing))
        chosen[name] = combinations[name]
        missing -= pairs[name]
    return chosen


LONGEST: Answers = {
    "project_name": "Z" + "y" * 49,
    "package_name": "z" * 40,
    "schema_namespace": "n" * 63,
    "description": "d" * 200,
    "author_name": "a" * 100,
}
SHORTEST: Answers = {
    "project_name": "A",
    "package_name": "a",
    "schema_namespace": "a",
    "description": "d",
    "author_name": "a",
}
HOSTILE: Answers = {
    "description": """Tom's "best" \\ {{ x }} {% y %} ${z} %(q)s #1 `r` é → 服务 🫖""",
    "author_name": """O'Neil "Ace" \\ {{ x }} ${y} é 服务""",
    "author_email": "a.b+c_d%e-f@mail.sub-domain.example.com",
    "schema_namespace": "select",
}
NAMES: dict[str, Answers] = {"longest": LONGEST, "shortest": SHORTEST, "hostile": HOSTILE}
