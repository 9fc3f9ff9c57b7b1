"""Check the questions of copier.yml: validators, defaults, and the commands that ask them."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from copier import run_copy

from conftest import ROOT, EnvironmentOf, Render, run, run_unchecked

sys.path.insert(0, str(ROOT / "scripts"))

import questions
from reserved_names import OUTPUT, text

COPIER = Path(sys.executable).with_name("copier")

REFUSED = [
    ("project_name", "", "letter"),
    ("project_name", "1st", "letter"),
    ("project_name", "Tom's", "only A-Z"),
    ("project_name", "Bestellübersicht", "only A-Z"),
    ("project_name", "a\nb", "only A-Z"),
    ("project_name", "Ends badly-", "End with"),
    ("project_name", "x" * 51, "at most 50"),
    ("package_name", "", "only a-z"),
    ("package_name", "my-service", "only a-z"),
    ("package_name", "MyService", "only a-z"),
    ("package_name", "1st", "only a-z"),
    ("package_name", "_private", "only a-z"),
    ("package_name", "dienst_ü", "only a-z"),
    ("package_name", "line\n", "only a-z"),
    ("package_name", "x" * 41, "at most 40"),
    ("package_name", "class", "keyword"),
    ("package_name", "match", "keyword"),
    ("package_name", "asyncio", "standard library"),
    ("package_name", "imp", "standard library"),
    ("package_name", "fastapi", "hide a package"),
    ("package_name", "tests", "hide a package"),
    ("description", "", "few words"),
    ("description", "   ", "few words"),
    ("description", " padded", "whitespace"),
    ("description", "x" * 201, "at most 200"),
    ("description", "two\nlines", "one line"),
    ("description", "bell\x07", "one line"),
    ("description", "right\u202eto left", "one line"),
    ("author_name", "", "Write a name"),
    ("author_name", "Me <me@example.com>", "next question"),
    ("author_name", "x" * 101, "at most 100"),
    ("author_email", "", "one e-mail address"),
    ("author_email", "me", "one e-mail address"),
    ("author_email", "me@localhost", "one e-mail address"),
    ("author_email", 'me"@example.com', "one e-mail address"),
    ("author_email", "me@example.com\n", "one e-mail address"),
    ("schema_namespace", "Orders", "only a-z"),
    ("schema_namespace", "my-orders", "only a-z"),
    ("schema_namespace", 'x"; DROP', "only a-z"),
    ("schema_namespace", "x" * 64, "at most 63"),
    ("schema_namespace", "pg_orders", "reserves"),
    ("schema_namespace", "public", "is reserved"),
    ("schema_namespace", "information_schema", "is reserved"),
]


@pytest.mark.parametrize(("question", "answer", "reason"), REFUSED)
def test_invalid_answer_is_rejected_with_a_reason(render: Render, question: str, answer: str, reason: str) -> None:
    with pytest.raises(ValueError, match=question) as refused:
        render(**{question: answer})
    assert reason in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "question", ["license", "database_backend", "dependency_tool", "python_version", "ci_provider"]
)
def test_answer_that_is_not_a_choice_is_rejected(render: Render, question: str) -> None:
    with pytest.raises(ValueError, match=question):
        render(**{question: "not a choice"})


@pytest.mark.parametrize(
    ("project_name", "package", "slug"),
    [("Order Service", "order_service", "order-service"), ("A.b-C  d_E 2", "a_b_c_d_e_2", "a-b-c-d-e-2")],
)
def test_package_and_schema_are_named_after_the_project(
    render: Render, project_name: str, package: str, slug: str
) -> None:
    project = render(project_name=project_name)
    assert (project / "src" / package / "main.py").is_file()
    assert f'name = "{slug}"' in (project / "pyproject.toml").read_text()
    assert f"schema_namespace: {package}" in (project / ".copier-answers.yml").read_text()


@pytest.mark.parametrize("package", ["pg_tool", "public", "main", "temp"])
def test_default_schema_is_valid_for_names_that_postgresql_reserves(render: Render, package: str) -> None:
    assert "schema_namespace:" in (render(package_name=package) / ".copier-answers.yml").read_text()


def test_every_question_has_help_and_a_default() -> None:
    questions = {
        name: question
        for name, question in read_questions().items()
        if question.get("when", question.get("ask")) is not False
    }
    for name, question in questions.items():
        assert question["help"].strip(), f"{name} has no help."
        assert "default" in question, f"{name} has no default."
        assert question["type"] in ("str", "bool"), f"{name} has another type."
        assert "choices" in question or "validator" in question or question["type"] == "bool", (
            f"{name} has no validator."
        )


def test_derived_conditions_cannot_be_set() -> None:
    """Each validator allows only the derived value, with the default answers."""
    derived = read_questions()
    conditions = [
        name for name, question in derived.items() if question.get("when") is False and question["type"] == "bool"
    ]
    assert len(conditions) > 5
    answers = questions.defaults(ROOT)
    for name in conditions:
        validator = jinja2.Template(derived[name]["validator"])
        messages = {value: validator.render({**answers, name: value}) for value in (True, False)}
        assert messages[answers[name]] == ""
        assert re.fullmatch(r"This value is derived\. Set (\w+) instead", messages[not answers[name]])


def test_derived_condition_in_the_data_is_refused(template: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Set auth instead"):
        run_copy(str(template), tmp_path, data={"jwt": True}, vcs_ref="HEAD", defaults=True, quiet=True, pretend=True)


def read_questions() -> dict[str, dict[str, Any]]:
    configuration = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    return {name: value for name, value in configuration.items() if not name.startswith("_")}


def test_help_fits_in_a_terminal_of_80_columns() -> None:
    """Copier shows the help in one line, after three columns. The terminal cuts the rest."""
    too_long = [name for name, question in read_questions().items() if len(question.get("help", "")) > 77]
    assert not too_long, f"The help of these questions is too long: {too_long}"


def test_template_has_no_tasks_or_jinja_extensions() -> None:
    configuration = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
    assert not configuration.keys() & {"_tasks", "_jinja_extensions"}


def test_reserved_names_include_keywords_and_importable_modules(environment: EnvironmentOf, render: Render) -> None:
    reserved = set(text().split())
    assert set(OUTPUT.read_text("utf-8").split()) >= {name for name in sys.stdlib_module_names if name[0] != "_"}
    assert reserved >= {name for name in keyword.kwlist if name.islower()}
    listed = environment(render()).run(
        render(),
        "timeit",
        "-n1",
        "-r1",
        "import importlib.metadata as m; print('names:', *m.packages_distributions())",
    )
    modules = next(line for line in listed.stdout.splitlines() if line.startswith("names:")).split()[1:]
    importable = {name for name in modules if name.isidentifier() and name.islower() and not name.startswith("_")}
    assert importable <= reserved, f"These package names are not reserved: {importable - reserved}"


def test_readme_lists_the_questions(tmp_path: Path) -> None:
    readme = questions.README.read_text("utf-8")
    assert readme == questions.replaced(readme, questions.table()), "README.md is out of date. Run `make questions`."
    for path in (ROOT / "copier.yml", *ROOT.glob("*.jinja")):
        shutil.copy(path, tmp_path)
    copied = tmp_path / "copier.yml"
    copied.write_text(copied.read_text("utf-8").replace("default: github", "default: gitlab"))
    assert "GitLab CI | Service for continuous integration" in questions.table(tmp_path)


ORGANIZATIONS = (ROOT / "docs" / "organizations.md").read_text("utf-8")


def test_copier_settings_give_default_answers(template: Path, tmp_path: Path) -> None:
    """The settings are the example in docs/organizations.md. Copier rejects an invalid default like an answer."""
    settings = tmp_path / "settings.yml"
    settings.write_text(organization := re.findall(r"```yaml\n(.*?)```", ORGANIZATIONS, re.S)[0])
    copy = (COPIER, "copy", "--defaults", "--quiet", "--vcs-ref", "HEAD", template)
    run(*copy, tmp_path / "service", cwd=tmp_path, COPIER_SETTINGS_PATH=str(settings))
    answers = yaml.safe_load((tmp_path / "service" / ".copier-answers.yml").read_text("utf-8"))
    wanted = yaml.safe_load(organization)["defaults"]
    assert len(wanted) > 2
    assert {name: answers[name] for name in wanted} == wanted
    settings.write_text("defaults: {author_email: nobody}\n")
    refused = run_unchecked(*copy, tmp_path / "other", cwd=tmp_path, COPIER_SETTINGS_PATH=str(settings))
    assert refused.returncode != 0
    assert "one e-mail address" in refused.stderr


def test_copier_copy_works_without_trust(template: Path, tmp_path: Path) -> None:
    run(COPIER, "copy", "--defaults", "--quiet", "--vcs-ref", "HEAD", template, tmp_path / "service", cwd=tmp_path)
    assert (tmp_path / "service" / "src" / "my_service" / "main.py").is_file()


def test_kubernetes_files_are_rendered_only_for_postgresql(render: Render) -> None:
    """SQLite is a file on one node. Copier does not ask the question and ignores an answer."""
    project = render(database_backend="sqlite", kubernetes=True)
    assert not (project / "deploy").exists()
    assert "ubernetes:" not in (project / ".copier-answers.yml").read_text("utf-8")
    assert (render(kubernetes=True) / "deploy" / "kubernetes" / "base" / "deployment.yaml").is_file()
