"""Update projects of every release to the working tree, with and without changes of the owner."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import VcsRef, run_copy, run_recopy, run_update

from answers import Answers, covering
from conftest import (
    ROOT,
    Environment,
    EnvironmentOf,
    Render,
    commit_all,
    created_database,
    git_init,
    in_fast_part,
    query,
    releases,
    replace,
    run,
    run_unchecked,
)
from imports import Imports, absolute, from_imports, module_of, package_of
from owners import build_owner
from updates import LOCKS, MARKERS, TABLES, answers_of, assert_up_to_date, contents, update

MIGRATIONS = (
    "alembic/versions/20260101_0000_create_item.py",
    "alembic/versions/20260101_0001_create_users.py",
)

COVERING = covering()


@pytest.fixture
def old(template: Path, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that creates a committed project of a release."""

    def make(version: str, name: str = "project", **answers: Any) -> Path:
        directory = tmp_path / name
        run_copy(str(template), directory, data=answers, vcs_ref=f"v{version}", defaults=True, quiet=True)
        git_init(directory)
        return directory

    return make


@pytest.mark.parametrize(
    "name",
    in_fast_part(COVERING, next(iter(COVERING)), next(name for name in COVERING if name.startswith("sqlite-jwt"))),
)
@pytest.mark.parametrize("version", releases())
def test_updated_project_equals_a_new_render(
    old: Callable[..., Path], render: Render, add_row: Callable[..., None], version: str, name: str
) -> None:
    project = old(version, **COVERING[name])
    locks = {name: (project / name).read_bytes() for name in LOCKS if (project / name).exists()}
    migrations = {name: text for name, text in contents(project).items() if name in MIGRATIONS}
    assert update(project, trust=True) == {}
    # New questions have their default.
    fresh = render(**answers_of(project))
    # A database that has applied a migration does not get later changes to it.
    assert contents(project) == contents(fresh) | migrations
    assert locks == {name: (project / name).read_bytes() for name in locks}
    assert_up_to_date(project)
    add_row(version, name, "equals a new render")


# ----------------------------------------------------------------------------- changes of the owner

Edit = Callable[[Path], None]


def append(project: Path, name: str, text: str) -> None:
    with (project / name).open("a", encoding="utf-8") as file:
        file.write(text)


ORDER = '''"""Model of an order."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base


class Order(Base):
    number: Mapped[str] = mapped_column(String(20))
'''


def add_a_model_and_its_migration(project: Path, python: Environment) -> None:
    (project / "src/my_service/models/order.py").write_text(ORDER)
    init = project / "src/my_service/models/__init__.py"
    text = init.read_text("utf-8")
    text = text.replace("__all__ = [", '__all__ = ["Order", ')
    init.write_text(re.sub(r"(from \.base import .*\n)", r"\1from .order import Order\n", text), "utf-8")
    database = f"sqlite:///{project}/owner.db"
    python.run(project, "ruff", "check", "--select", "I,RUF022", "--fix", "--quiet")
    python.run(project, "ruff", "format", "--quiet")
    python.run(project, "alembic", "upgrade", "head", DATABASE_URL=database)
    python.run(project, "alembic", "revision", "--autogenerate", "-m", "add order", DATABASE_URL=database)
    assert len(list((project / "alembic/versions").glob("*add_order.py"))) == 1


def refresh_locks(project: Path, python: Environment) -> None:
    """Run the command that the message after an update names."""
    python.script(project, "scripts/update_requirements.py", "--no-upgrade")


@pytest.mark.slow
def test_changes_of_a_script_move_with_its_code(old: Callable[..., Path], render: Render) -> None:
    project = old("0.2.0")
    line = "    database = Database(settings)\n"
    replace(project, "scripts/init_db.py", line, f"{line}    await prepare(database)\n")
    module = "src/my_service/commands/db.py"
    assert update(project, trust=True).keys() <= {module}
    assert "    await prepare(database)\n" in (project / module).read_text("utf-8")
    script = "scripts/init_db.py"
    assert (project / script).read_text("utf-8") == (render() / script).read_text("utf-8")


@pytest.mark.parametrize("auth", ["none", "jwt"])
def test_update_moves_the_listed_route_modules_of_the_owner(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], auth: str
) -> None:
    name = {"none": "resource-of-the-document", "jwt": "resource-of-the-document-with-users"}[auth]
    project = build_owner(name, tmp_path / "project", template)
    assert update(project, trust=True, quiet=False) == {}
    api = project / "src/my_service/api"
    served = (api / "routes/__init__.py").read_text("utf-8")
    # Modules without an entry cannot be in api/routes.
    assert {path.stem for path in api.glob("*.py")} & {"orders", "secrets", "terms"} == {"secrets"}
    assert {path.stem for path in api.glob("routes/*.py")} & {"orders", "secrets", "terms"} == {"orders", "terms"}
    assert "from .. import secrets\n" in served
    assert "orders" not in served
    assert "terms" not in served
    public = [path.name for path in api.glob("routes/*.py") if "\nPUBLIC = True\n" in path.read_text("utf-8")]
    assert sorted(public) == (["auth.py", "terms.py"] if auth == "jwt" else [])
    messages = capfd.readouterr().err
    assert "src/my_service/api/orders.py moved to src/my_service/api/routes/orders.py" in messages
    assert "src/my_service/repositories/item.py is no longer in the template" in messages
    assert 'make revision m="add item version"' in messages


def test_routes_that_cannot_be_merged_are_a_conflict(template: Path, tmp_path: Path) -> None:
    """The service must not start without the owner's check of all requests."""
    project = build_owner("resource-of-the-document-with-users", tmp_path / "project", template)
    replace(project, "src/my_service/api/__init__.py", "[requires()]", '[requires("member")]')
    conflicts = update(project, trust=True)
    assert conflicts.keys() == {"src/my_service/api/routes/__init__.py"}
    assert 'requires("member")' in conflicts["src/my_service/api/routes/__init__.py"]


@pytest.mark.slow
@pytest.mark.parametrize("version", releases())
def test_update_does_not_restore_a_deleted_example(
    old: Callable[..., Path], environment: EnvironmentOf, add_row: Callable[..., None], version: str
) -> None:
    project = old(version)
    run_update(project, data={"include_example": False}, vcs_ref=VcsRef.CURRENT, defaults=True, overwrite=True)
    next(project.glob("alembic/versions/*create_item.py")).unlink()  # No database has the table of the example yet.
    (project / "alembic/versions/.gitkeep").touch()
    assert update(project, trust=True) == {}
    python = environment(project)
    refresh_locks(project, python)
    assert not list(project.glob("**/item*.py"))
    environment(project).run(project, "pytest", "-q", "-p", "no:cacheprovider")
    add_row(version, "example deleted", "changes kept, suite passes")


# -------------------------------------------------------------- moves and changes of a next release

MIGRATION = """_migrations:
  - version: v1000.0.0
    command:
      - "{{ _copier_python }}"
      - "{{ _copier_conf.src_path }}/hooks/rename.py"
      - moves_1000.yml
      - "{{ _copier_conf.answers_file }}"
    when: "{{ _stage == 'after' }}"
"""
MOVES = """
files:
  src/PACKAGE/errors.py: src/PACKAGE/failures.py
  src/PACKAGE/logs.py: src/PACKAGE/log_setup.py
  src/PACKAGE/schemas/health.py: src/PACKAGE/schemas/probe.py
  src/PACKAGE/schemas/problem.py: src/PACKAGE/schemas/problem_document.py
  src/PACKAGE/migrations.py: src/PACKAGE/caching.py
  src/PACKAGE/utils/cache.py: src/PACKAGE/caching.py
names:
  PACKAGE.utils.cache.TTLCache: PACKAGE.caching.ExpiringCache
"""


@pytest.fixture
def next_release(template: Path, tmp_path: Path) -> Path:
    """Return a clone of the template. A test changes it, and `release` tags it as v1000.0.0."""
    clone = tmp_path / "next"
    run("git", "clone", "--quiet", str(template), str(clone), cwd=tmp_path)
    return clone


def release(clone: Path) -> None:
    run("git", "commit", "--quiet", "--all", "--message", "Next", cwd=clone)
    run("git", "tag", "v1000.0.0", cwd=clone)


def copy_of(clone: Path, directory: Path, **answers: Any) -> Path:
    run_copy(str(clone), directory, data=answers, vcs_ref="v999.0.0", defaults=True, quiet=True)
    git_init(directory)
    return directory


def move_modules(clone: Path) -> None:
    """Move the modules of MOVES in the template."""
    package = clone / "template/src/{{ package_name }}"
    for former, path in yaml.safe_load(MOVES)["files"].items():
        source, target = (package / name.removeprefix("src/PACKAGE/") for name in (former, path))
        with target.open("a", encoding="utf-8") as file:
            file.write(source.read_text("utf-8"))
        source.unlink()
    for path in package.rglob("*.py*"):
        text = path.read_text("utf-8").replace("TTLCache", "ExpiringCache")
        for former, new in (("utils.cache", "caching"), ("errors", "failures"), ("logs", "log_setup")):
            text = re.sub(rf"^(\s*from \.+){former} import", rf"\1{new} import", text, flags=re.MULTILINE)
        path.write_text(text, "utf-8")


def test_edit_of_moved_file_is_lost_without_migration(next_release: Path, tmp_path: Path) -> None:
    """Without a migration in copier.yml, Copier deletes the edited file at its former path."""
    move_modules(next_release)
    run("git", "add", "--all", cwd=next_release)
    release(next_release)
    project = copy_of(next_release, tmp_path / "project")
    append(project, "src/my_service/utils/cache.py", "\nEDITED = True\n")
    assert update(project) == {}
    assert "EDITED" not in "".join(contents(project).values())


def test_changes_of_the_owner_survive_moves_with_migration(next_release: Path, tmp_path: Path) -> None:
    move_modules(next_release)
    replace(next_release, "copier.yml", "_migrations:\n", MIGRATION)
    (next_release / "hooks/moves_1000.yml").write_text(MOVES)
    run("git", "rm", "--quiet", "template/.editorconfig", cwd=next_release)
    replace(next_release, "template/src/{{ package_name }}/log_setup.py", '"[redacted]"', '"[removed]"')
    run("git", "add", "--all", cwd=next_release)
    release(next_release)

    project = copy_of(next_release, tmp_path / "project")
    package = project / "src/my_service"
    append(project, ".editorconfig", "# ours\n")
    append(project, "src/my_service/utils/cache.py", "\n\nOURS = TTLCache\n")
    replace(project, "src/my_service/migrations.py", '"""', '"""Ours: ')
    replace(project, "src/my_service/logs.py", '"[redacted]"', '"[ours]"')
    (package / "schemas/problem.py").unlink()
    append(project, "src/my_service/schemas/health.py", "\nEDITED = True\n")
    (package / "schemas/probe.py").write_text("OURS = True\n")
    (package / "api/ours.py").write_text("from ..utils.cache import TTLCache\n\nCACHE = TTLCache(ttl=1)\n")
    (project / "tests/test_ours.py").write_text('PATCHED = "my_service.utils.cache.TTLCache"\n')
    (project / "tests/broken.py").write_text("from my_service.errors import (\n")
    commit_all(project, "Ours")
    copier = (Path(sys.executable).with_name("copier"), "update", "--defaults")
    assert "--trust" in run_unchecked(*copier, cwd=project).stderr
    messages = run(*copier, "--trust", cwd=project).stderr

    # Files without changes of the owner equal those of a new render.
    fresh = tmp_path / "fresh"
    run_copy(str(next_release), fresh, vcs_ref="v1000.0.0", defaults=True, quiet=True)
    for name in ("failures.py", "api/dependencies.py", "main.py"):
        assert (package / name).read_bytes() == (fresh / "src/my_service" / name).read_bytes()
    # Changes of the owner move with the file and use the new names.
    edited = (package / "caching.py").read_text("utf-8")
    expected = (fresh / "src/my_service/caching.py").read_text("utf-8").replace('"""', '"""Ours: ', 1)
    assert edited == f"{expected}\n\nOURS = ExpiringCache\n"
    # There is a conflict where both sides changed the same line. `git diff --check` reports it.
    conflict = MARKERS.search((package / "log_setup.py").read_text("utf-8"))
    assert conflict
    assert [line for line in conflict[0].splitlines() if "REDACTED" in line] == [
        'REDACTED = "[ours]"',
        'REDACTED = "[removed]"',
    ]
    assert "log_setup.py" in run_unchecked("git", "diff", "--check", cwd=project).stdout
    # A file that the owner deleted is not restored. A file of the owner at the new path is not changed.
    assert not (package / "schemas/problem_document.py").exists()
    assert "OURS = True" in (package / "schemas/probe.py").read_text("utf-8")
    assert "git show HEAD:./src/my_service/schemas/health.py" in messages
    # A file that was removed from the template stays if the owner changed it.
    assert (project / ".editorconfig").read_text("utf-8").endswith("# ours\n")
    assert ".editorconfig is no longer in the template" in messages
    # The former paths do not exist.
    assert not any(
        (project / path.replace("PACKAGE", "my_service")).exists() for path in yaml.safe_load(MOVES)["files"]
    )
    # Modules of the owner import from the new paths. The update reports other uses of a former path.
    ours = "from ..caching import ExpiringCache\n\nCACHE = ExpiringCache(ttl=1)\n"
    assert (package / "api/ours.py").read_text("utf-8") == ours
    assert 'tests/test_ours.py:1:PATCHED = "my_service.utils.cache.TTLCache"' in messages
    assert "Cannot parse tests/broken.py" in messages


@pytest.mark.parametrize("version", releases())
def test_imported_names_still_exist_or_are_in_the_changelog(
    old: Callable[..., Path], render: Render, version: str
) -> None:
    before, after = python_files(old(version, auth="jwt")), python_files(render(auth="jwt"))
    moved = {name: target for table in TABLES for name, target in table["names"].items()}
    for table in TABLES:
        moved |= {module_of(path): module_of(target) for path, target in table["files"].items() if path not in after}
    imports = Imports(moved, {module_of(path) for path in before})
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8").partition(f"## {version} ")[0]
    lost = set()
    for path, source in before.items():
        for node in from_imports(source):
            module = absolute(node, package_of(path))
            for alias in node.names if module in imports.modules else []:
                home, name = imports.find(module, alias.name)
                if not has_name(after, home, name) and f"`{alias.name}`" not in changelog:
                    lost.add(f"{module}.{alias.name}")
    assert lost == set()


def python_files(project: Path) -> dict[str, bytes]:
    paths = (path for path in project.rglob("*.py") if "versions" not in path.parts)
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in paths}


def has_name(files: dict[str, bytes], module: str, name: str) -> bool:
    modules = {module_of(path): source for path, source in files.items()}
    if f"{module}.{name}" in modules:
        return True
    found = set()
    for node in ast.parse(modules.get(module, b"")).body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        else:
            found |= {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
    return name in found


def test_update_conflicts_only_where_both_sides_changed_a_line(next_release: Path, tmp_path: Path) -> None:
    for name, old, new in (
        ("Dockerfile.jinja", "EXPOSE 8000", "EXPOSE 8000/tcp"),
        ("alembic.ini", "[alembic]", "[alembic]\n"),
    ):
        replace(next_release, f"template/{name}", old, new)
    release(next_release)
    project = copy_of(next_release, tmp_path / "project")
    replace(project, "Dockerfile", "EXPOSE 8000", "EXPOSE 9000")
    replace(project, "docker-compose.yml", "127.0.0.1:${PORT:-8000}:", "0.0.0.0:${PORT:-8000}:")
    conflicts = update(project)
    assert conflicts.keys() == {"Dockerfile"}
    assert conflicts["Dockerfile"].splitlines()[1:-1] == ["EXPOSE 9000", "=======", "EXPOSE 8000/tcp"]
    assert "leftover conflict marker" in run_unchecked("git", "diff", "--check", cwd=project).stdout
    assert "0.0.0.0:${PORT:-8000}:" in (project / "docker-compose.yml").read_text("utf-8")


# ------------------------------------------------------------------------- resources in two branches

RESOURCE = {
    "src/my_service/models/order.py": '''"""Model of an order."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base


class Order(Base):
    number: Mapped[str] = mapped_column(String(20), unique=True)
''',
    "src/my_service/schemas/order.py": '''"""Schemas of orders."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints

from .base import RequestModel


class OrderCreate(RequestModel):
    number: Annotated[str, StringConstraints(min_length=1, max_length=20)]


class OrderRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    number: str
''',
    "src/my_service/api/routes/orders.py": '''"""Routes of orders."""

from typing import Annotated

from fastapi import APIRouter, Depends

from ...models.order import Order
from ...problems import problem_responses
from ...repositories import Repository
from ...schemas.order import OrderCreate, OrderRead
from ..dependencies import repository

router = APIRouter(prefix="/orders", tags=["orders"])

OrdersDep = Annotated[Repository[Order], Depends(repository(Order))]


@router.post("", status_code=201, response_model=OrderRead, responses=problem_responses(409))
async def create_order(data: OrderCreate, orders: OrdersDep) -> Order:
    """Create an order."""
    return await orders.add(Order(number=data.number))
''',
    "tests/test_orders.py": '''"""Tests of orders."""

from httpx2 import AsyncClient


async def test_order_is_created_once(client: AsyncClient) -> None:
    for status in (201, 409):
        assert (await client.post("/api/v1/orders", json={"number": "1"})).status_code == status
''',
    "alembic/versions/0000_order.py": '''"""Add orders."""

import sqlalchemy as sa
from alembic import op

revision: str = "order"
down_revision: str | None = "5d1c0b9e7a42"


def upgrade() -> None:
    op.create_table(
        "order",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp(), nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order")),
        sa.UniqueConstraint("number", name=op.f("uq_order_number")),
        schema="my_service",
    )


def downgrade() -> None:
    op.drop_table("order", schema="my_service")
''',
}


def add_resource(project: Path, name: str) -> None:
    """Add a resource as docs/add-a-resource.md does: in new files only."""
    for path, text in RESOURCE.items():
        target = project / path.replace("order", name)
        target.write_text(text.replace("order", name).replace("Order", name.capitalize()), "utf-8")
    commit_all(project, f"Add {name}")


@pytest.fixture
def merged_branches(next_release: Path, tmp_path: Path) -> Path:
    """Return a project with two merged branches that each add a resource. One of them updates the template first."""
    project = copy_of(next_release, tmp_path / "project")
    run("git", "switch", "--quiet", "--create", "theirs", cwd=project)
    add_resource(project, "customer")
    run("git", "switch", "--quiet", "-", cwd=project)
    for name in ("models", "api/routes"):
        path = next_release / "template/src/{{ package_name }}" / name / "__init__.py.jinja"
        path.write_text(path.read_text("utf-8").replace("from pkgutil", "import json\nfrom pkgutil"), "utf-8")
    release(next_release)
    assert update(project) == {}
    commit_all(project, "Update")
    add_resource(project, "order")
    run("git", "merge", "--quiet", "--no-edit", "theirs", cwd=project)
    return project


def test_branches_with_new_resources_merge_without_a_conflict(merged_branches: Path) -> None:
    assert run("git", "status", "--porcelain", cwd=merged_branches).stdout == ""
    for name in ("order", "customer"):
        assert all((merged_branches / path.replace("order", name)).exists() for path in RESOURCE)


@pytest.mark.slow
def test_merged_branches_serve_both_resources(merged_branches: Path, environment: EnvironmentOf) -> None:
    python = environment(merged_branches)
    python.run(merged_branches, "alembic", "merge", "heads", "-m", "merge")
    python.run(merged_branches, "pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL="sqlite://")


# ---------------------------------------------------------------------------------- changed answers

CHANGES: dict[str, tuple[Answers, Answers]] = {
    "another CI": ({}, {"ci_provider": "gitlab"}),
    "no CI": ({}, {"ci_provider": "none"}),
    "uv": ({}, {"dependency_tool": "uv"}),
    "pip-tools": ({"dependency_tool": "uv"}, {"dependency_tool": "pip-tools"}),
    "Kubernetes": ({}, {"kubernetes": True}),
    "no Kubernetes": ({"kubernetes": True}, {"kubernetes": False}),
    "no example": ({}, {"include_example": False}),
    "the example": ({"include_example": False}, {"include_example": True}),
    "users": ({}, {"auth": "jwt"}),
    "no users": ({"auth": "jwt"}, {"auth": "none"}),
    "PostgreSQL": ({"database_backend": "sqlite"}, {"database_backend": "postgresql"}),
    "SQLite": ({}, {"database_backend": "sqlite"}),
    "another Python and license": ({}, {"python_version": "3.14", "license": "MIT"}),
    "another name": ({}, {"project_name": "Orders", "description": "Keeps them"}),
}


@pytest.mark.parametrize("change", in_fast_part(CHANGES, "no example", "users", "PostgreSQL"))
def test_project_with_a_changed_answer_equals_a_new_render(
    render: Render,
    project: Render,
    add_row: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    before, after = CHANGES[change]
    directory = project(**before)
    append(directory, "README.md", "\n## On call\n\nSee the wiki.\n")
    capsys.readouterr()
    assert update(directory, quiet=False, **after) == {}
    assert_message_names_what_exists(directory, capsys.readouterr().err)
    answers = answers_of(directory)
    fresh = contents(render(**answers))
    fresh["README.md"] += "\n## On call\n\nSee the wiki.\n"
    found = contents(directory)
    # Migrations are rendered only into a new project: databases and later migrations depend on them.
    for migration in MIGRATIONS:
        assert found.pop(migration, None) == contents(render(**before)).get(migration)
        fresh.pop(migration, None)
    assert found == fresh
    if answers["dependency_tool"] == "pip-tools":
        assert {path.name for path in directory.iterdir()} >= LOCKS
    add_row("present", change, "equals a new render")


def assert_message_names_what_exists(project: Path, message: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (project / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z-]+)", message))
    assert "lock" in named
    assert named <= set(targets)
    package = (project / "src/my_service/__main__.py").read_text("utf-8")
    assert all(f"def {command}(" in package for command in re.findall(r"-m my_service (\w+)", message))
    assert all((project / path).exists() for path in re.findall(r"\b(?:docs|scripts|src)/[\w./-]*\w", message))


def test_message_after_update_fits_the_project(project: Render, capsys: pytest.CaptureFixture[str]) -> None:
    directory = project(dependency_tool="uv")
    capsys.readouterr()
    assert update(directory, quiet=False, description="Keeps orders") == {}
    message = capsys.readouterr().err
    assert "The project has no uv.lock." in message
    assert " routes" not in message  # The project has no authentication.
    assert "--skip-answered" not in message
    (directory / "uv.lock").touch()
    assert update(directory, quiet=False, dependency_tool="pip-tools") == {}
    message = capsys.readouterr().err
    assert "git rm uv.lock && make lock args=--no-upgrade" in message
    assert "The update does not change the lockfiles." not in message


def test_interactive_update_recommends_skip_answered(project: Render) -> None:
    copier = (Path(sys.executable).with_name("copier"), "update", "--vcs-ref", ":current:")
    asked = run_unchecked(*copier, cwd=project())
    assert asked.returncode != 0  # No terminal can answer.
    assert "add --skip-answered" in asked.stderr


def test_update_can_write_files_of_conflicts(project: Render) -> None:
    directory = project()
    replace(directory, "README.md", "An asynchronous web service", "Our service")
    commit_all(directory, "Describe")
    copier = (Path(sys.executable).with_name("copier"), "update", "--skip-answered", "--vcs-ref", ":current:")
    message = run(*copier, "--conflict", "rej", "--data", "description=Keeps orders", cwd=directory).stderr
    assert "--skip-answered" not in message
    command = re.search(r"Look for conflicts: (.*)", message)
    assert command
    assert run("sh", "-c", command[1], cwd=directory).stdout == "./README.md.rej\n"
    assert "+Our service\n" in (directory / "README.md.rej").read_text("utf-8")


USERS = '''"""Add users."""

revision: str = "users"
down_revision: str | None = None
'''


@pytest.mark.parametrize("before", [{"include_example": False}, {"auth": "jwt"}])
def test_recopy_adds_no_migration(project: Render, before: Answers) -> None:
    """A released migration beside the owner's would be a second head."""
    directory = project()
    versions = directory / "alembic/versions"
    update(directory, **before)
    (versions / "20260101_0000_create_item.py").unlink()
    (versions / "0000_users.py").write_text(USERS)
    data = {"include_example": True, "auth": "jwt"}
    run_recopy(str(directory), data=data, defaults=True, overwrite=True, quiet=True)
    assert {path.name: path.read_text("utf-8") for path in versions.glob("*.py")} == {"0000_users.py": USERS}


SERVED = "routers: list[APIRouter] = [module.router for module in _modules"


@pytest.mark.slow
def test_message_names_the_command_that_lists_open_routes(
    project: Render, render: Render, environment: EnvironmentOf, capsys: pytest.CaptureFixture[str]
) -> None:
    """An owner that resolves a conflict with the former line leaves all routes open."""
    directory = project()
    routes = "src/my_service/api/routes/__init__.py"
    replace(directory, routes, SERVED, f"{SERVED} if module")
    capsys.readouterr()
    conflicts = update(directory, quiet=False, auth="jwt")
    assert conflicts.keys() == {routes}
    command = re.search(r"no authentication: (.*)", capsys.readouterr().err)
    assert command
    (directory / ".venv").symlink_to(environment(render(auth="jwt")).bin.parent)
    for side, is_open in ((0, True), (1, False)):
        text = (directory / routes).read_text("utf-8")
        kept = conflicts[routes].split("\n", 1)[1].rsplit("\n", 1)[0].split("=======\n")[side]
        (directory / routes).write_text(text.replace(conflicts[routes], kept), "utf-8")
        listed = run("sh", "-c", command[1], cwd=directory, PYTHONPATH="src").stdout
        assert "POST    /api/v1/auth/token" in listed
        assert ("GET     /api/v1/items " in listed) == is_open
        (directory / routes).write_text(text, "utf-8")


OURS = """# import my_service
import my_service.health, os
from my_service.health import (
    EDITED,
)

NAMES = ["my_service.health", "my_service.id", "my_service"]
print(my_service.health.EDITED, [my_service for my_service in NAMES])


def shadowed(my_service):
    return my_service.health


def text():
    from my_service import health as my_service

    return lambda: (my_service, "ü", f"{os}")
"""
ALIASED = """\
from \\
    my_service import health as my_service
import os; import my_service.logs as logs, my_service.\\
    errors as my_service_errors

print(my_service, my_service_errors)
"""
RELATIVE = "from . import my_service\n"
LATIN = '# coding: latin-1\r\nimport my_service\r\nNAME = "ü", my_service.health\r\n'
FORMER_NAMES = """\
  deploy.sh:2: python -m my_service serve
  docs/ours.md:1: Run `my_service.health`.
  src/orders/api/relative.py:1: from . import my_service
"""


def test_package_can_be_renamed(project: Render, render: Render, standfast: Path, add_row: Callable[..., None]) -> None:
    directory = project()
    append(directory, "src/my_service/health.py", "\nEDITED = True\n")
    line = "from my_service.main import create_app\n"
    replace(directory, "tests/conftest.py", line, line.replace("\n", "  # ours\n"))
    (directory / "tests/test_ours.py").write_text(OURS, "utf-8")
    (directory / "tests/aliased.py").write_text(ALIASED, "utf-8")
    (directory / "tests/latin.py").write_bytes(LATIN.encode("latin-1"))
    (directory / "src/my_service/api/relative.py").write_text(RELATIVE)
    (directory / "deploy.sh").write_text("set -e\npython -m my_service serve\n")
    (directory / "docs/ours.md").write_text("Run `my_service.health`.\n")
    (directory / "tests/python_2.py").write_text("print 1\n")  # It does not contain the name, so it is not parsed.
    run("git", "add", "--all", cwd=directory)
    dirty = run_unchecked(standfast, "rename-package", "orders", cwd=directory)
    assert dirty.returncode == 1
    assert "Commit them first" in dirty.stderr
    run("git", "commit", "--quiet", "--message", "Edit", cwd=directory)
    with pytest.raises(ValueError, match="standfast rename-package orders"):
        update(directory, package_name="orders")
    assert run("git", "status", "--porcelain", cwd=directory).stdout == ""
    refused = run_unchecked(standfast, "rename-package", "import", cwd=directory)
    assert refused.returncode == 1
    assert "keyword" in refused.stderr
    messages = run(standfast, "rename-package", "orders", cwd=directory).stdout
    assert FORMER_NAMES in messages
    assert "alembic" not in messages  # The schema keeps its name.
    latin = directory / "tests/latin.py"
    assert latin.read_bytes().decode("latin-1") == LATIN.replace("my_service", "orders")
    latin.unlink()
    found = contents(directory)
    expected = contents(render(package_name="orders", schema_namespace="my_service"))
    expected["src/orders/health.py"] += "\nEDITED = True\n"
    expected["src/orders/api/relative.py"] = RELATIVE
    expected["deploy.sh"] = "set -e\npython -m my_service serve\n"
    expected["tests/python_2.py"] = "print 1\n"
    expected["docs/ours.md"] = "Run `my_service.health`.\n"
    line = "from orders.main import create_app\n"
    expected["tests/conftest.py"] = expected["tests/conftest.py"].replace(line, line.replace("\n", "  # ours\n"))
    expected["tests/aliased.py"] = (
        ALIASED.replace("    my_service import", "    orders import")
        .replace("my_service.logs", "orders.logs")
        .replace("my_service.\\", "orders.\\")
    )
    expected["tests/test_ours.py"] = (
        OURS.replace("import my_service.", "import orders.")
        .replace("from my_service", "from orders")
        .replace('"my_service.health"', '"orders.health"')
        .replace("print(my_service.", "print(orders.")
    )
    assert found == expected
    assert update(directory) == {}
    assert contents(directory).keys() == expected.keys()
    add_row("present", "another package name", "equals a new render, changes kept")


SCHEMAS = {"renamed": ("orders", "shop"), "dropped": ("orders", ""), "added": ("", "shop")}
LINE = '''"""Lines of orders."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base
from .order import Order


class Line(Base):
    order_id: Mapped[UUID] = mapped_column(ForeignKey(Order.id), index=True)
    amount: Mapped[int]
'''
PARENT = "    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey(Order.id))\n"
"""A column that a later migration adds with batch_alter_table."""


@pytest.mark.slow
@pytest.mark.parametrize("change", SCHEMAS)
def test_tables_can_move_to_another_schema(
    project: Render,
    environment: EnvironmentOf,
    standfast: Path,
    postgres: str,
    add_row: Callable[..., None],
    change: str,
) -> None:
    former, schema = SCHEMAS[change]
    directory = project(schema_namespace=former)
    python = environment(directory)
    add_a_model_and_its_migration(directory, python)
    (directory / "src/my_service/models/line.py").write_text(LINE)
    replace(directory, "src/my_service/models/__init__.py", "from .order", "from .line import Line\nfrom .order")
    replace(directory, "src/my_service/models/__init__.py", "__all__ = [", '__all__ = ["Line", ')
    python.run(directory, "ruff", "check", "--select", "I,RUF022", "--fix", "--quiet")
    with created_database(postgres) as url:
        variables = {"DATABASE_URL": url}
        python.run(directory, "alembic", "upgrade", "head", **variables)
        python.run(directory, "alembic", "revision", "--autogenerate", "-m", "add line", **variables)
        python.run(directory, "alembic", "upgrade", "head", **variables)
        append(directory, "src/my_service/models/line.py", PARENT)
        python.run(directory, "alembic", "revision", "--autogenerate", "-m", "add parent", **variables)
        python.run(directory, "alembic", "upgrade", "head", **variables)
        python.script(directory, "scripts/init_db.py", "--seed", **variables)
        commit_all(directory, "Orders and their lines")

        assert update(directory, schema_namespace=schema) == {}
        move, where = (standfast, "move-schema"), (former or "public", "--python", python.python)
        for _ in range(2):
            run(*move, "files", *where, cwd=directory)
        for expected in ("moved alembic_version, item, line, order", "has no tables of the service"):
            moved = run(*move, "database", *where, cwd=directory, **variables)
            assert expected in moved.stdout
        for arguments in (["current", "--check-heads"], ["upgrade", "head"], ["check"]):
            python.run(directory, "alembic", *arguments, **variables)
        assert query(url, f'SELECT count(*) FROM "{schema or "public"}".item') == [(2,)]
        schemas = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'orders'"
        assert query(url, schemas) == [(0,)]
    python.run(directory, "pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL=postgres)
    python.run(directory, "ruff", "check")
    python.run(directory, "ruff", "format", "--check")
    add_row("present", f"schema {change}", "data kept, suite passes")


@pytest.mark.slow
@pytest.mark.parametrize("change", ["no example", "the example", "users", "no users"])
def test_database_can_be_migrated_after_template_tables_change(
    project: Render,
    render: Render,
    environment: EnvironmentOf,
    postgres: str,
    add_row: Callable[..., None],
    change: str,
) -> None:
    """The owner already has a migration of another table."""
    before, after = CHANGES[change]
    directory = project(**before)
    # This environment has the packages of both answers, because the update does not change lockfiles.
    python = environment(render(auth="jwt"))
    with created_database(postgres) as url:
        add_a_model_and_its_migration(directory, python)
        python.run(directory, "alembic", "upgrade", "head", DATABASE_URL=url)
        conflicts = update(directory, **after)
        assert conflicts.keys() <= {"src/my_service/models/__init__.py"}  # The owner added a model to this file.
        for name in conflicts:
            resolve(directory / name)
        python.run(directory, "alembic", "revision", "--autogenerate", "-m", change, DATABASE_URL=url)
        for arguments in (["upgrade", "head"], ["check"]):
            python.run(directory, "alembic", *arguments, DATABASE_URL=url)
    python.run(directory, "pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL=postgres)
    add_row("present", change, "data kept, suite passes")


def resolve(path: Path) -> None:
    """Resolve the conflict: take the lines of the template, and add the model of the owner."""
    text = MARKERS.sub(lambda found: found[0].split("=======\n")[1].rsplit("\n", 1)[0], path.read_text("utf-8"))
    if "from .order" not in text:
        text = re.sub(r"(from \.base import .*\n)", r"\1from .order import Order\n", text)
    path.write_text(
        re.sub(
            r"__all__ = \[.*",
            lambda line: line[0].replace("]", ', "Order"]').replace('"Order", "Order"', '"Order"'),
            text,
        )
    )


@pytest.mark.slow
def test_sqlite_project_can_move_to_postgresql_with_its_data(
    project: Render, environment: EnvironmentOf, standfast: Path, postgres: str, add_row: Callable[..., None]
) -> None:
    directory = project(database_backend="sqlite")
    python = environment(directory)
    add_a_model_and_its_migration(directory, python)
    sqlite = f"sqlite:///{directory}/service.db"
    python.script(directory, "scripts/init_db.py", "--seed", DATABASE_URL=sqlite)
    commit_all(directory, "Orders")
    assert update(directory, database_backend="postgresql", schema_namespace="orders") == {}
    refresh_locks(directory, python)
    python = environment(directory)
    with created_database(postgres) as url:
        with_python = ("--python", python.python)
        run(standfast, "move-schema", "files", "public", *with_python, cwd=directory)
        python.run(directory, "alembic", "upgrade", "head", DATABASE_URL=url)
        run(standfast, "copy-data", sqlite, url, *with_python, cwd=directory)
        assert query(url, "SELECT count(*) FROM orders.item") == [(2,)]
    python.run(directory, "pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL=postgres)
    add_row("present", "SQLite to PostgreSQL", "data kept, suite passes")


# --------------------------------------------------------------------------------- check for updates


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["pip-tools", "uv"])
def test_make_targets_show_and_apply_an_update(next_release: Path, tmp_path: Path, tool: str) -> None:
    project = copy_of(next_release, tmp_path / "project", dependency_tool=tool)
    if tool == "uv":
        run("make", "lock", cwd=project)
        commit_all(project, "Lock")
    assert "There is nothing to update." in run("make", "update-check", cwd=project).stdout
    replace(next_release, "template/alembic.ini", "[alembic]\n", "[alembic]\n# Newer.\n")
    release(next_release)
    before = contents(project)
    shown = run("make", "update-check", "args=--diff", cwd=project).stdout
    assert "to v1000.0.0:" in shown
    assert "+# Newer." in shown
    assert contents(project) == before
    assert "git branch -D template-update-1000.0.0" in run("make", "update", cwd=project).stdout
    assert "# Newer." in (project / "alembic.ini").read_text("utf-8")
