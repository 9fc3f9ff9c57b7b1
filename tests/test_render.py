"""Check the rendered files of every combination of answers."""

from __future__ import annotations

import configparser
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
import yaml

from answers import NAMES, Answer, Answers, matrix, values
from conftest import ROOT, Render, run

TRACES: dict[Answer, re.Pattern[str]] = {
    ("database_backend", "sqlite"): re.compile(
        r"postgres|asyncpg|psycopg|pgbouncer|schema_namespace: .|\bJSONB\b|\bdeploy/", re.IGNORECASE
    ),
    ("database_backend", "postgresql"): re.compile(r"json_types|change-the-database"),
    ("schema_namespace", ""): re.compile(r"schema_namespace(?!: ''|`)|[Ss]chema namespace|CreateSchema"),
    ("schema_namespace", "orders"): re.compile(r"Ignore tables without a model"),
    ("include_example", False): re.compile(r"items?\.py|\bItem\b|/items\b|Teapot|Remove the example"),
    ("auth", "none"): re.compile(
        r"argon2|pyjwt|\bjwt\b|UserSession|/auth\b|create_user|REFRESH_TOKEN|rate_limit|valkey", re.IGNORECASE
    ),
    ("dependency_tool", "pip-tools"): re.compile(r"\buv (sync|lock|run)|uv\.lock|dependency-groups"),
    ("dependency_tool", "uv"): re.compile(r"pip-tools|pip-compile|piptools|requirements-dev|flit-core>=4\",$"),
    ("ci_provider", "github"): re.compile(r"gitlab", re.IGNORECASE),
    ("ci_provider", "gitlab"): re.compile(r"github(?!\.com)", re.IGNORECASE),
    ("ci_provider", "none"): re.compile(r"gitlab|github(?!\.com)", re.IGNORECASE),
    ("kubernetes", False): re.compile(r"kustomiz|on-kubernetes|deploy/kubernetes", re.IGNORECASE),
    ("license", "Proprietary"): re.compile(r"^license = ", re.MULTILINE),
}
"""Patterns that must not occur in a render with this answer, but occur with other answers to the question."""

TRACES |= {
    ("license", name): re.compile(rf'^license = "(?!{name}")|Private :: Do Not Upload', re.MULTILINE)
    for name in values()["license"]
    if name != "Proprietary"
}
TRACES |= {
    ("python_version", version): re.compile(rf"^(ARG PYTHON_VERSION=|FROM python:)(?!{version}|\$)", re.MULTILINE)
    for version in values()["python_version"]
}

MENTION_OTHERS = {".copier-answers.yml", "LICENSE", "change-the-database.md"}
"""Files that must name options that were not chosen."""

JINJA = re.compile(r"\{\{|\{%|\{#")
PYTHON_FENCE = re.compile(r"^```python\n.*?^```\n\n?", re.MULTILINE | re.DOTALL)
JINJA_LOOKALIKES = re.compile(r"\$\{\{.*?\}\}|\{\{ x \}\}|\{% y %\}")


def files(project: Path) -> Iterator[Path]:
    return (
        path
        for path in sorted(project.rglob("*"))
        if path.is_file() and not {".git", "__pycache__"} & set(path.relative_to(project).parts)
    )


def check(project: Path, answers: Answers) -> list[str]:
    """Return a message for each error in a render."""
    wrong = []
    unwanted = {answer: TRACES[answer] for answer in answers.items() if answer in TRACES}
    for path in files(project):
        name = str(path.relative_to(project))
        text = path.read_text("utf-8")
        if JINJA.search(name) or name.endswith(".jinja") or JINJA.search(JINJA_LOOKALIKES.sub("", text)):
            wrong.append(f"{name}: has Jinja code")
        if text and (not text.endswith("\n") or text.endswith("\n\n") or text.startswith("\n")):
            wrong.append(f"{name}: starts or ends with an empty line, or has no line feed at its end")
        if re.search(r"[ \t]+$", text, re.MULTILINE):
            wrong.append(f"{name}: has whitespace at the end of a line")
        # Python code in a document may have two empty lines.
        prose = PYTHON_FENCE.sub("", text)
        if path.suffix not in (".py", ".mako") and "\n\n\n" in prose and path.name != "LICENSE":
            wrong.append(f"{name}: has two empty lines")
        if re.search(r"\n\n[ \t]", text) and path.name in ("Makefile", ".env.example"):
            wrong.append(f"{name}: has an empty line before an indented line")
        if path.name not in MENTION_OTHERS:
            wrong += [
                f"{name}: has {found[0]!r}, which must not occur with {question}={value!r}"
                for (question, value), pattern in unwanted.items()
                if (found := pattern.search(name + "\n" + text))
            ]
        parse(path, text)
    return wrong


def parse(path: Path, text: str) -> None:
    if path.suffix == ".py":
        compile(text, path, "exec")
    elif path.suffix == ".toml":
        tomllib.loads(text)
    elif path.suffix in (".yml", ".yaml"):
        yaml.safe_load(text)
    elif path.suffix == ".json":
        json.loads(text)
    elif path.suffix == ".ini":
        configparser.ConfigParser(interpolation=None).read_string(text)


@pytest.mark.parametrize("answers", matrix().values(), ids=matrix())
def test_combination_renders_clean_files(render: Render, answers: Answers) -> None:
    project = render(**answers)
    assert check(project, answers) == []
    lint(project)


@pytest.mark.parametrize("name", NAMES)
def test_unusual_names_render_clean_files(render: Render, name: str) -> None:
    project = render(**NAMES[name])
    assert check(project, {}) == []
    lint(project)
    metadata = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    assert metadata["description"] == NAMES[name]["description"]
    assert metadata["authors"][0]["name"] == NAMES[name]["author_name"]


def lint(project: Path) -> None:
    """Check that Ruff, with the settings of the project, reports and reformats nothing."""
    ruff = Path(sys.executable).with_name("ruff")
    run(ruff, "check", "--no-cache", "--quiet", cwd=project)
    run(ruff, "format", "--no-cache", "--quiet", "--diff", cwd=project)


def test_checks_find_errors(render: Render, project: Render) -> None:
    broken = project(database_backend="sqlite", include_example=False)
    (broken / "README.md").write_text("{{ left }}\n\n\nitems.py on PostgreSQL \n\n")
    assert len(check(broken, {"database_backend": "sqlite", "include_example": False})) == 6
    (broken / "src" / "my_service" / "bad.py").write_text("import os\n")
    with pytest.raises(AssertionError, match="F401"):
        lint(broken)


@pytest.mark.parametrize("question", ["license", "python_version"])
def test_license_and_python_version_change_few_files(render: Render, question: str) -> None:
    contents = [
        {str(path.relative_to(project)): path.read_bytes() for path in files(project)}
        for project in (render(**{question: value}) for value in values()[question])
    ]
    differing = {name for name in set().union(*contents) if len({content.get(name) for content in contents}) > 1}
    expected = {
        "license": {"Dockerfile", "LICENSE", "pyproject.toml"},
        "python_version": {"Dockerfile", ".devcontainer/Dockerfile"},
    }
    assert differing - {".copier-answers.yml"} == expected[question]


def test_most_python_files_are_not_jinja_templates(render: Render) -> None:
    """Fewer than one third of the rendered Python files come from Jinja templates."""
    project = render()
    names = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    names["_copier_conf"] = {"answers_file": ".copier-answers.yml"}
    for name, question in yaml.safe_load((ROOT / "copier.yml").read_text("utf-8")).items():
        if name[0] != "_" and question["type"] == "bool" and question.get("when") is False:
            names[name] = jinja2.Environment().compile_expression(question["default"][3:-3])(names)
    sources = [path for path in files(ROOT / "template") if (project / source_name(path, names)).is_file()]
    assert len(sources) == sum(1 for _ in files(project))
    python = [path for path in sources if source_name(path, names).endswith(".py")]
    from_jinja = [path for path in python if path.suffix == ".jinja"]
    assert len(from_jinja) < len(python) / 3, f"Too many: {sorted(map(str, from_jinja))}"


def source_name(path: Path, names: Answers) -> str:
    relative = str(path.relative_to(ROOT / "template")).removesuffix(".jinja")
    return str(jinja2.Template(relative).render(names))
