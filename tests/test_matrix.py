"""Check that tests build every answer to the questions of copier.yml, and that each answer changes the render."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest
import yaml

from answers import (
    CODE,
    NAMES,
    TEXTS,
    Answer,
    Pair,
    covering,
    is_asked,
    matrix,
    pairs,
    pairs_of,
    questions,
    suites,
    text_questions,
    values,
)
from conftest import ROOT, Render
from test_questions import read_questions
from test_render import MENTION_OTHERS, TRACES, files
from test_updates import CHANGES

BUILT = {"renders": matrix(), "updates": covering(), "suites": suites()}
"""The answers that tests build: rendered and linted, updated from each release, and run with their own suite."""

GAPS: dict[str, dict[str, str]] = {
    "renders": {},
    "updates": {
        "license": "It changes three files. test_project_with_a_changed_answer_equals_a_new_render changes it.",
        "python_version": "It changes two lines. test_project_with_a_changed_answer_equals_a_new_render changes it.",
    },
    "suites": dict.fromkeys(
        values().keys() - CODE,
        "It changes no code of the service: test_only_questions_of_the_suites_change_python_code.",
    ),
}
"""Questions with pairs of answers that are not built, and why."""

NOTHING: dict[Answer, str] = {
    ("auth", "none"): "A gateway authenticates, so the service has no code for it.",
    ("ci_provider", "none"): "The project has no files for CI.",
    **{(name, False): "The answer no adds nothing." for name, options in values().items() if False in options},
}
"""Answers that add nothing which a pattern could find, and why."""

CHANGED_PYTHON = {
    "dependency_tool": {"scripts/update_requirements.py"},  # tests/test_update_requirements.py runs it with each tool.
}
"""Python files that a question changes, although the suites do not run with each answer."""


def gaps(built: Iterable[dict[str, Any]]) -> set[Pair]:
    """Return the pairs of answers that occur in no combination."""
    return pairs() - {pair for answers in built for pair in pairs_of(answers)}


@pytest.mark.parametrize("use", BUILT)
def test_every_pair_of_answers_is_built(use: str) -> None:
    missing = [pair for pair in gaps(BUILT[use].values()) if not GAPS[use].keys() & dict(pair).keys()]
    assert not missing, (
        f"No combination of the {use} has {sorted(missing, key=str)}. Add a question to CODE or COMBINED in "
        "tests/answers.py, or add it to GAPS with the reason."
    )


@pytest.mark.parametrize("use", BUILT)
def test_accepted_gaps_exist(use: str) -> None:
    real = {name for pair in gaps(BUILT[use].values()) for name, _ in pair}
    assert GAPS[use].keys() <= real, f"Remove {GAPS[use].keys() - real} from GAPS: all pairs of the {use} are built."


def variant(render: Render, answer: Answer) -> Path:
    """Render the default answers, except for one."""
    name, value = answer
    return render(**{} if value == questions()[name]["default"] else {name: value})


def contents(project: Path) -> dict[str, bytes]:
    """Return the files, except for the stored answers."""
    found = {str(path.relative_to(project)): path.read_bytes() for path in files(project)}
    del found[".copier-answers.yml"]
    return found


@pytest.mark.parametrize("name", values())
def test_each_answer_changes_the_render(render: Render, name: str) -> None:
    rendered = {value: contents(variant(render, (name, value))) for value in values()[name]}
    for first, second in combinations(rendered, 2):
        assert rendered[first] != rendered[second], f"{name}={first!r} and {name}={second!r} render the same files."


@pytest.mark.parametrize("name", text_questions())
def test_text_answers_occur_in_the_render(render: Render, name: str) -> None:
    given = [answers for answers in NAMES.values() if name in answers]
    assert given, f"Add an answer to {name} to NAMES in tests/answers.py."
    assert any(answers[name] in text_of(render(**answers)) for answers in given), (
        f"The answer to {name} does not occur in a render."
    )


def text_of(project: Path) -> str:
    """Return the names and texts of the files that `check` reads."""
    read = (path for path in files(project) if path.name not in MENTION_OTHERS)
    return "\n".join(f"{path.relative_to(project)}\n{path.read_text('utf-8')}" for path in read)


@pytest.mark.parametrize("name", values())
def test_each_answer_leaves_traces_that_the_checks_find(render: Render, name: str) -> None:
    rendered = {value: text_of(variant(render, (name, value))) for value in values()[name]}
    for wanted, other in permutations(rendered, 2):
        pattern = TRACES.get((name, wanted))
        if (name, other) not in NOTHING:
            assert pattern, f"Add a pattern for ({name!r}, {wanted!r}) to TRACES in tests/test_render.py."
            assert pattern.search(rendered[other]), (
                f"The pattern for ({name!r}, {wanted!r}) in TRACES finds nothing in a render with {other!r}. "
                "Extend it, or add the answer to NOTHING with the reason."
            )
        else:
            assert not (pattern and pattern.search(rendered[other])), f"Remove ({name!r}, {other!r}) from NOTHING."


def test_patterns_and_exceptions_belong_to_answers() -> None:
    answers = {(name, value) for name, options in values().items() for value in options}
    assert TRACES.keys() <= answers
    assert NOTHING.keys() <= answers
    assert {*CODE, *CHANGED_PYTHON} <= questions().keys()


@pytest.mark.parametrize("name", [name for name in values() if name not in CODE])
def test_only_questions_of_the_suites_change_python_code(render: Render, name: str) -> None:
    rendered = [contents(variant(render, (name, value))) for value in values()[name]]
    python = {path for found in rendered for path in found if path.endswith(".py")}
    changed = {path for path in python if len({found.get(path) for found in rendered}) > 1}
    assert changed == CHANGED_PYTHON.get(name, set()), (
        f"{name} changes {sorted(changed)}. Add it to CODE in tests/answers.py, so that suites run with its answers."
    )


def test_each_question_is_changed_by_an_update() -> None:
    changed = {name for _, after in CHANGES.values() for name in after}
    missing = values().keys() - TEXTS.keys() - changed
    assert not missing, f"Add a change of {missing} to CHANGES in tests/test_updates.py."


def test_questions_that_copier_does_not_ask_have_no_pairs() -> None:
    assert is_asked("kubernetes", {"database_backend": "postgresql"})
    assert not is_asked("kubernetes", {"database_backend": "sqlite"})
    assert not [
        pair for pair in pairs() if dict(pair).items() >= {"database_backend": "sqlite", "kubernetes": True}.items()
    ]


def test_computed_values_are_read() -> None:
    """A computed value that nothing reads is misspelled, or is left from a removed choice."""
    computed = [name for name, question in read_questions().items() if question.get("when") is False]
    configuration = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    sources = [*files(ROOT / "template"), *ROOT.glob("*.jinja")]
    text = str({name: value for name, value in configuration.items() if name.startswith("_")})
    text += "".join(f"{path}\n{path.read_text('utf-8')}" for path in sources)
    # Every Jinja expression, also in the names of files.
    read = set(re.findall(r"\w+", " ".join(re.findall(r"\{[{%].*?[}%]\}", text))))
    assert len(computed) > 5
    assert set(computed) <= read, f"Nothing reads {set(computed) - read}."
