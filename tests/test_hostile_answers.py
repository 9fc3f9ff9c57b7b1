"""Search for answers that are neither rejected with a reason nor rendered unchanged."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from answers import Answers
from conftest import ROOT, run
from test_render import JINJA, JINJA_LOOKALIKES, files, lint

Texts = st.SearchStrategy[str]
Shapes = dict[str, Any]

OPTIONS: tuple[Answers, ...] = (
    {"database_backend": "postgresql", "license": "MIT", "kubernetes": True},
    {"database_backend": "postgresql", "dependency_tool": "uv", "ci_provider": "gitlab", "include_example": False},
    {"database_backend": "sqlite", "license": "BSD-3-Clause", "ci_provider": "none", "python_version": "3.11"},
)
LOOKALIKES = (
    *("yes", "No", "on", "y", "null", "True", "NaN", "~", ".inf", "1e3", "0x10", "0o7", "1_0", "2001-01-01", "1:30"),
    *("- x", "? x", "[a]", "[[a]]", "{a: b}", ": x", "a: b", "!tag", "&a", "*a", "|", ">-", "%YAML 1.2", "@a", "<<"),
    *("---", "...", "# x", "x # y", "a = 1", "a=1", '"a"', "'a'", '"', "'", "\\", "FROM a", "import os", "$(id)"),
)
"""Texts with a special meaning in YAML, TOML, a shell, or another format."""

FRAGMENTS = (
    *LOOKALIKES,
    *(
        '"""',
        "'''",
        "`",
        "\N{RIGHT DOUBLE QUOTATION MARK}",
        '\\"',
        "\\\\",
        "\\n",
        "\\x",
        "\\$",
        "\\u0000",
        "\\N{BULLET}",
    ),
    *("{{", "}}", "{{ x }}", "{%", "%}", "{% y %}", "{#", "#}", "{% raw %}", "{{ '{{' }}", "{", "}"),
    *(
        "$",
        "$x",
        "${x}",
        "${x:-y}",
        "$$",
        "%",
        "%%",
        "%s",
        "%(x)s",
        "&&",
        "; x",
        "<<EOF",
        "--",
        "/*",
        "*/",
        "<!--",
        "]]>",
    ),
    *(
        " ",
        "  ",
        "\n",
        "\r\n",
        "\n[x]\n",
        "\t",
        "\0",
        "\a",
        "\x1b[1m",
        "\x7f",
        "\x85",
        "\xa0",
        "\xad",
        "\u2028",
        "\ufeff",
    ),
    *("\N{TEAPOT}", "\U0001f469\u200d\U0001f680", "\u202e", "\u200f", "\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d"),
    *("\u670d\u52a1", "\xe9", "e\u0301", "\u0130", "\xdf", "\u2800", "\ud800", "\ufffe", "\U0010ffff"),
)
KEYWORDS = ("class", "match", "async", "None", "type", "asyncio", "json", "imp", "fastapi", "tests", "pip", "config")
POSTGRESQL_WORDS = (
    *("all", "analyze", "array", "column", "check", "current_user", "default", "grant", "group", "order", "primary"),
    *(
        "select",
        "session_user",
        "table",
        "user",
        "verbose",
        "window",
        "pg_temp",
        "pg_1",
        "information_schema",
        "public",
    ),
)
HIDING_MODULES = sorted(
    {
        stem
        for folder in ("scripts", "tests")
        for path in (ROOT / "template" / folder).iterdir()
        for stem in re.findall(r"(\w+)\.py", path.name)
    }
)
"""Modules of scripts and tests. They would hide a package of the same name."""

TAKEN = {*(ROOT / "reserved_names.jinja").read_text("utf-8").split(), *HIDING_MODULES}
QUESTIONS = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))

ANYTHING = st.one_of(
    st.sampled_from(LOOKALIKES + KEYWORDS + POSTGRESQL_WORDS),
    st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join),
    st.text(max_size=20),
    st.integers(40, 3000).map(lambda length: "x" * length),
)


def lines(limit: int) -> Texts:
    """Generate printable lines. Most have characters with a special meaning in some format."""
    printable = [fragment for fragment in FRAGMENTS if fragment.isprintable()]
    characters = st.characters(categories=["L", "M", "N", "P", "S"], include_characters=" ")
    parts = st.one_of(st.sampled_from(printable), st.sampled_from(printable), st.text(characters, max_size=limit))
    joined = st.lists(parts, min_size=3, max_size=30).map(lambda texts: "".join(texts)[:limit].strip())
    return st.one_of(st.sampled_from(LOOKALIKES), joined).filter(bool)


def names(pattern: str, limit: int) -> Texts:
    """Generate names: special words of YAML and SQL, random names, and names of every length."""
    return st.one_of(
        st.sampled_from([word for word in (*LOOKALIKES, *POSTGRESQL_WORDS) if re.fullmatch(pattern, word)]),
        st.from_regex(pattern, fullmatch=True),
        st.integers(1, limit).map(lambda length: "n" * length),
        st.just("n" * limit),
    )


ASKED = {
    "project_name": names(r"[A-Za-z]([A-Za-z0-9 ._-]{0,48}[A-Za-z0-9])?", 50),
    "description": lines(200),
    "author_name": lines(100).map(lambda text: re.sub("[<>,;@]", "", text).strip()).filter(bool),
    "author_email": st.from_regex(
        r"[A-Za-z0-9._%+-]{1,20}@[a-z0-9]{1,9}([.-][a-z0-9]{1,9}){0,2}[.][a-z]{2,8}", fullmatch=True
    ),
}
DERIVED = {
    "package_name": names(r"[a-z]([a-z0-9_]{0,38}[a-z0-9])?", 40).filter(lambda name: name not in TAKEN),
    "schema_namespace": st.just("")
    | names(r"(?!pg_|public$|information_schema$|main$|temp$)[a-z_][a-z0-9_]{0,62}", 63),
}
"""Answers that have a default derived from the project name."""


def near(texts: Texts) -> Texts:
    """Generate valid answers with an invalid character before, after, or between them."""
    unprintable = [fragment for fragment in FRAGMENTS if not fragment.isprintable()]
    odd = st.sampled_from("_-. 1A@") | st.sampled_from(unprintable)
    return st.one_of(
        st.tuples(texts, odd).map("".join),
        st.tuples(odd, texts).map("".join),
        st.tuples(texts, odd, texts).map("".join),
    )


SENSIBLE = {"project_name": "A", "description": "d", "author_name": "a", "author_email": "a@example.com"}
FAST = [Phase.explicit, Phase.generate]
"""Phases without Phase.shrink, which takes minutes."""

HOSTILE = {name: st.one_of(ANYTHING, near(texts)) for name, texts in {**ASKED, **DERIVED}.items()}


class Workshop:
    """Renders a copy of the template without its git history. Copier would clone a git repository for each render."""

    def __init__(self, template: Path, directory: Path) -> None:
        self.directory = directory
        self.template = directory / "template"
        self.known: dict[str, Shapes] = {}
        shutil.copytree(template, self.template, ignore=shutil.ignore_patterns(".git"))

    def render(self, answers: Answers, name: str = "project") -> Path:
        project = self.directory / name
        shutil.rmtree(project, ignore_errors=True)
        copier.run_copy(str(self.template), project, answers, defaults=True, quiet=True)
        return project

    def harmless(self, options: Answers, namespace: str) -> Shapes:
        """Return the shapes of a render with the same options and harmless names."""
        answers = {**options, "package_name": "harmless", "schema_namespace": namespace}
        key = json.dumps(answers)
        if key not in self.known:
            self.known[key] = shapes(self.render(answers, "harmless"), "harmless")
        return self.known[key]


@pytest.fixture(scope="session")
def workshop(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(template, tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize(
    ("examples", "phases"),
    [(20, FAST), pytest.param(200, [*FAST, Phase.shrink], marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_answers_are_rejected_with_a_reason_or_rendered_unchanged(
    workshop: Workshop, examples: int, phases: list[Phase]
) -> None:
    outcomes: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, database=None, phases=phases)
    @given(
        options=st.sampled_from(OPTIONS),
        ordinary=st.fixed_dictionaries(ASKED, optional=DERIVED),
        hostile=st.just({}) | st.one_of([st.fixed_dictionaries({name: texts}) for name, texts in HOSTILE.items()]),
    )
    @example(options=OPTIONS[0], ordinary={**SENSIBLE, "project_name": "yes"}, hostile={})
    @example(options=OPTIONS[1], ordinary={**SENSIBLE, "project_name": "information schema"}, hostile={})
    @example(options=OPTIONS[1], ordinary={**SENSIBLE, "project_name": "a" * 39 + " b"}, hostile={})
    @example(options=OPTIONS[1], ordinary=SENSIBLE, hostile={"package_name": "a_"})
    def search(options: Answers, ordinary: Answers, hostile: Answers) -> None:
        answers = {**options, **ordinary, **hostile}
        try:
            project = workshop.render(answers)
        except ValueError as refused:
            assert_refused(str(refused), ordinary, hostile)
            assert not (workshop.directory / "project").exists()
            outcomes["refused"] += 1
        else:
            assert_arrived(project, answers)
            assert_whole(project, options, workshop)
            lint(project)
            outcomes["accepted"] += 1

    search()
    assert min(outcomes["accepted"], outcomes["refused"]) >= examples // 10, outcomes


@pytest.mark.parametrize("name", HIDING_MODULES)
def test_package_name_cannot_be_that_of_a_script_or_test_module(workshop: Workshop, name: str) -> None:
    with pytest.raises(ValueError, match="would hide"):
        workshop.render({"package_name": name})


def assert_refused(message: str, ordinary: Answers, hostile: Answers) -> None:
    """Check that the message is that of the validator, and that the rejected answer is a hostile one."""
    found = re.fullmatch(r"Validation error for question '(\w+)': (.+)", message)
    assert found, message
    question, reason = found.groups()
    if question in hostile:
        words = max(re.split(r'"[^"]*"|;', reason), key=len).strip()
        assert words
        assert words in QUESTIONS[question]["validator"], message
    else:
        assert question not in ordinary, message
        assert reason.endswith('_service"'), message


def assert_arrived(project: Path, answers: Answers) -> None:
    """Check that each answer is unchanged in the files that contain it."""
    stored = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    asked = answers.keys() - ({"schema_namespace"} if answers["database_backend"] == "sqlite" else set())
    assert {name: stored[name] for name in asked} == {name: answers[name] for name in asked}
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert metadata["description"] == answers["description"]
    assert metadata["authors"] == [{"name": answers["author_name"], "email": answers["author_email"]}]
    assert canonicalize_name(metadata["name"], validate=True) == canonicalize_name(stored["package_name"])
    labels = docker_labels((project / "Dockerfile").read_text("utf-8"))
    assert labels["org.opencontainers.image.title"] == answers["project_name"]
    assert labels["org.opencontainers.image.description"] == answers["description"]
    readme = (project / "README.md").read_text("utf-8")
    assert readme.startswith(f"# {answers['project_name']}\n\n{answers['description']}\n\n")
    assert parse(project / ".env.example")["PROJECT_NAME"] == answers["project_name"]
    if "license" in answers:
        assert f" {answers['author_name']}\n" in (project / "LICENSE").read_text("utf-8")


def assert_whole(project: Path, options: Answers, workshop: Workshop) -> None:
    """Check that files and structure equal those of a harmless render, and that no Jinja is left."""
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    package, texts = answers["package_name"], [answers[name] for name in HOSTILE if name in answers]
    namespace = "namespace" if answers.get("schema_namespace") else ""
    assert shapes(project, package) == workshop.harmless(options, namespace)
    for path in set(files(project)) - {project / ".copier-answers.yml"}:
        assert not JINJA.search(JINJA_LOOKALIKES.sub("", without(texts, path.read_text("utf-8")))), path


def without(texts: list[str], rendered: str) -> str:
    """Return the rendered text without the answers, in plain and in escaped form."""
    literals = {text.replace("\\", "\\\\").replace('"', '\\"') for text in texts}
    forms = {*texts, *literals, *(literal.replace("$", "\\$") for literal in literals)} - {""}
    return re.sub("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), "\0", rendered)


def shapes(project: Path, package: str) -> Shapes:
    """Return the structure of each file: the keys, and the types of the values."""
    return {
        str(path.relative_to(project)).replace(f"src/{package}/", "src/package/", 1): shape(parse(path))
        for path in files(project)
    }


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value).__name__


def parse(path: Path) -> Any:
    """Return the parsed file, or None for a format without a parser."""
    text = path.read_text("utf-8")
    if path.name == "Dockerfile":
        return [keyword for keyword, _ in docker_instructions(text)]
    if path.name == ".env.example" or path.suffix == ".env":
        return dict(line.split("=", 1) for line in shlex.split(text, comments=True))
    if path.suffix == ".sh":
        run("bash", "-n", path, cwd=path.parent)
    reader = READERS.get(path.suffix)
    return reader(text) if reader else None


def read_ini(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {name: dict(section) for name, section in parser.items()}


READERS: dict[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".yml": lambda text: list(yaml.safe_load_all(text)),
    ".yaml": lambda text: list(yaml.safe_load_all(text)),
    ".json": json.loads,
    ".ini": read_ini,
    ".py": lambda text: compile(text, "rendered.py", "exec").co_name,
}


def docker_instructions(text: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile. Docker removes comments before it joins lines."""
    joined = re.sub(r"\\[ \t]*\n", "", re.sub(r"^[ \t]*#.*\n", "", text, flags=re.MULTILINE))
    instructions = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    assert all(keyword.isupper() and rest for keyword, _, rest in instructions), instructions
    return [(keyword, rest) for keyword, _, rest in instructions]


LABEL = re.compile(r'([\w.]+)=(?:"((?:[^"\\$]|\\["\\$])*)"|([^\s"\\]+))(?:\s+|$)')


def docker_labels(text: str) -> dict[str, str]:
    label = " ".join(rest for keyword, rest in docker_instructions(text) if keyword == "LABEL")
    assert LABEL.sub("", label) == "", label
    return {name: re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in LABEL.findall(label)}
