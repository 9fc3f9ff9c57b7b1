"""Phrases that are hard to read, and British spelling: the rules of scripts/words.toml, and codespell."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from answers import covering
from conftest import ROOT, Render, run
from test_render import files

sys.path.insert(0, str(ROOT / "scripts"))

import words

LONG = "A " * 25 + "sentence."
SHORT = "A " * 24 + "`sentence with code`."


def test_this_repository_is_free_of_hard_phrases() -> None:
    run(sys.executable, "scripts/words.py", "--brief", cwd=ROOT)


def test_renders_are_free_of_hard_phrases(render: Render) -> None:
    messages = {
        f"{path.relative_to(project)}:{line}: {phrase!r}. Instead: {remedy}"
        for project in [render(**answers) for answers in covering().values()]
        for path in files(project)
        for line, phrase, remedy in words.check(path.name, path.read_text("utf-8"))[0]
    }
    assert not messages, "\n".join(sorted(messages))


@pytest.mark.parametrize("rule", words.rules(), ids=lambda rule: f"{rule.kind} {rule.bad[0]}")
def test_rule_finds_its_bad_texts_only(rule: words.Rule) -> None:
    name, form = ("a.md", "# {}\n") if rule.kind == "heading" else ("a.py", '"""{}"""\n')
    for text in rule.bad:
        assert rule.use in [remedy for _, _, remedy in words.check(name, form.format(text))[0]], text
    for text in rule.good:
        assert words.check(name, form.format(text))[0] == [], text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", "# A\n\nThe tool needs\nit not.\n"),
        ("a.md", "# A\n\n## What is where\n"),
        ("a.md", "```console\n$ make\n# make needs it not\n```\n"),
        ("a.py", 'def f():\n    """Do it.\n    It needs it not.\n    """\n'),
        ("a.py", 'a = 1\n\n"""What it does."""\n'),
        ("a.py", "a = 1\n\n# The tool needs\n# it not.\n"),
        ("a.py", 'a = 1\n\nprint(f"{a} needs " "it not")\n'),
        ("Makefile", "a:\n\t@true\n\t@echo 'make needs it not'\n"),
        ("Dockerfile", "FROM a\n\n# The image needs\n# it not.\n"),
        ("copier.yml", "a:\n  type: str\n  help: Who needs it not?\n"),
    ],
)
def test_phrase_is_found_in_line_3(name: str, text: str) -> None:
    assert [line for line, *_ in words.check(name, text)[0]] == [3]


@pytest.mark.parametrize(
    ("name", "form"), [("a.md", "# A\n\n- {}\n"), ("a.py", 'a = 1\n\n"""{}"""\n'), ("a.yml", "a: 1\n\n# {}\n")]
)
def test_sentence_of_26_words_is_found_in_line_3(name: str, form: str) -> None:
    assert [line for line, *_ in words.check(name, form.format(LONG))[1]] == [3]


def test_sentence_of_25_words_is_not_long() -> None:
    assert words.check("a.md", f"{SHORT} {SHORT}\n\n- {SHORT}\n")[1] == []


def test_british_spelling_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("The licence was cancelled.\n")
    with pytest.raises(AssertionError, match=r"licence ==> license\n.*cancelled ==> canceled"):
        run(Path(sys.executable).with_name("codespell"), "--toml", ROOT / "pyproject.toml", "a.md", cwd=tmp_path)
