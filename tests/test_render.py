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

from answers import LICENSES, NAMES, PYTHON_VERSIONS, Answers, matrix
from conftest import ROOT, Render, run

TRACES = {
    "sqlite": re.compile(r"postgres|asyncpg|psycopg|pgbouncer|schema_namespace: .|\bJSONB\b", re.IGNORECASE),
    "plain": re.compile(r"schema_namespace(?!: ''|`)|[Ss]chema namespace|CreateSchema"),
    "namespaced": re.compile(r"Ignore tables without a model"),
    "bare": re.compile(r"items?\.py|\bItem\b|/items\b|Teapot|Remove the example"),
    "without users": re.compile(
        r"argon2|pyjwt|\bjwt\b|UserSession|/auth\b|create_user|REFRESH_TOKEN|rate_limit|valkey", re.IGNORECASE
    ),
    "pip-tools": re.compile(r"\buv (sync|lock|run)|uv\.lock|dependency-groups"),
    "uv": re.compile(r"pip-tools|pip-compile|piptools|requirements-dev|flit-core>=4\",$"),
    "github": re.compile(r"gitlab", re.IGNORECASE),
    "gitlab": re.compile(r"github(?!\.com)", re.IGNORECASE),
    "none": re.compile(r"gitlab|github(?!\.com)", re.IGNORECASE),
}
"""Patterns that must not occur in a render with this option."""

JINJA = re.compile(r"\{\{|\{%|\{#")
PYTHON_FENCE = re.compile(r"^```python\n.*?^```\n\n?", re.MULTILINE | re.DOTALL)
JINJA_LOOKALIKES = re.compile(r"\$\{\{.*?\}\}|\{\{ x \}\}|\{% y %\}")


def files(project: Path) -> Iterator[Path]:
    return (
        path
        for path in sorted(project.rglob("*"))
        if path.is_file() and not {".git", "__pycache__"} & set(path.relative_to(project).parts)
    )


def check(project: Path, options: list[str]) -> list[str]:
    """Return a message for each error in a render."""
    wrong = []
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
        # These files must name options that were not chosen.
        if path.name not in (".copier-answers.yml", "LICENSE", "change-the-database.md"):
            wrong += [
                f"{name}: has {found[0]!r}, which must not occur with the option {option!r}"
                for option in options
                if (found := TRACES[option].search(name + "\n" + text))
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


@pytest.mark.parametrize(("name", "answers"), matrix().items(), ids=matrix())
def test_combination_renders_clean_files(render: Render, name: str, answers: Answers) -> None:
    project = render(**answers)
    options = [name.partition("-")[0], answers["dependency_tool"], answers["ci_provider"]]
    options += ["bare"] * (not answers["include_example"]) + ["without users"] * (answers["auth"] == "none")
    assert check(project, options) == []
    lint(project)


@pytest.mark.parametrize("name", NAMES)
def test_unusual_names_render_clean_files(render: Render, name: str) -> None:
    project = render(**NAMES[name])
    assert check(project, []) == []
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
    assert len(check(broken, ["sqlite", "bare"])) == 6
    (broken / "src" / "my_service" / "bad.py").write_text("import os\n")
    with pytest.raises(AssertionError, match="F401"):
        lint(broken)


@pytest.mark.parametrize("question", ["license", "python_version"])
def test_license_and_python_version_change_few_files(render: Render, question: str) -> None:
    values = {"license": LICENSES, "python_version": PYTHON_VERSIONS}[question]
    contents = [
        {str(path.relative_to(project)): path.read_bytes() for path in files(project)}
        for project in (render(**{question: value}) for value in values)
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
