"""Projects of every released version, as they were made and as their owners changed them, brought to the present."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import run_copy, run_update
from copier.errors import DirtyLocalWarning, UnsafeTemplateError

from answers import Answers, covering
from conftest import (
    ROOT,
    Environment,
    EnvironmentOf,
    Render,
    commit_all,
    created_database,
    git_init,
    query,
    releases,
    run,
    run_unchecked,
)

LOCKS = {"requirements.txt", "requirements-dev.txt"}
"""The owner's once they are there."""

MADE = {".git", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
"""Not rendered but made by using the project."""

MARKERS = re.compile(r"^<<<<<<< before updating$.*?^>>>>>>> after updating$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def old(template: Path, tmp_path: Path) -> Callable[..., Path]:
    """A project as a released version made it."""

    def make(version: str, name: str = "project", **answers: Any) -> Path:
        directory = tmp_path / name
        run_copy(str(template), directory, data=answers, vcs_ref=f"v{version}", defaults=True, quiet=True)
        git_init(directory)
        return directory

    return make


def update(project: Path, **changes: Any) -> dict[str, str]:
    """Commit, update to the newest version, and return the conflicts by file."""
    commit_all(project, "Changes", "--allow-empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DirtyLocalWarning)
        run_update(str(project), data=changes, defaults=True, overwrite=True, quiet=True)
    assert not list(project.rglob("*.rej"))
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=project).stdout.split("\0")
    texts = {name: (project / name).read_text("utf-8") for name in names if name and (project / name).is_file()}
    return {name: found[0] for name, text in texts.items() if (found := MARKERS.search(text))}


def contents(project: Path) -> dict[str, str]:
    """What the template decides about, by file."""
    paths = (path for path in project.rglob("*") if path.is_file() and not MADE & set(path.parts))
    found = {str(path.relative_to(project)): path.read_text("utf-8") for path in paths if ".db" not in path.name}
    found[".copier-answers.yml"] = re.sub(r"^_commit: .*\n", "", found[".copier-answers.yml"], flags=re.MULTILINE)
    return {name: text for name, text in found.items() if name not in LOCKS}


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str, str, str], None]:
    """Adds a cell to the table at the end of the run."""

    def tell(version: str, answers: str, outcome: str) -> None:
        record_property("update", f"{version}|{answers}|{outcome}")

    return tell


@pytest.mark.parametrize("name", COVERING := covering())
@pytest.mark.parametrize("version", releases())
def test_an_untouched_project_becomes_what_would_be_rendered_now(
    old: Callable[..., Path], render: Render, told: Callable[..., None], version: str, name: str
) -> None:
    project = old(version, **COVERING[name])
    locks = {name: (project / name).read_bytes() for name in LOCKS if (project / name).exists()}
    assert update(project) == {}
    # What the old version did not ask has its default.
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    fresh = render(**{key: value for key, value in answers.items() if not key.startswith("_")})
    assert contents(project) == contents(fresh)
    assert locks == {name: (project / name).read_bytes() for name in locks}
    told(version, name, "converges")


# ------------------------------------------------------------------------------- what owners change

Edit = Callable[[Path], None]


def replace(project: Path, name: str, old: str, new: str) -> None:
    path = project / name
    text = path.read_text("utf-8")
    assert old in text, f"{name} has no {old!r}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def append(project: Path, name: str, text: str) -> None:
    with (project / name).open("a", encoding="utf-8") as file:
        file.write(text)


ORDER = '''"""Orders, for one."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base


class Order(Base):
    number: Mapped[str] = mapped_column(String(20))
'''
ORDERS = '''"""Where orders are."""

from fastapi import APIRouter

router = APIRouter(prefix="/orders", tags=["orders"])


@router.get("")
async def list_orders() -> list[str]:
    return []
'''


def add_a_model_and_its_migration(project: Path, python: Environment) -> None:
    (project / "src/my_service/models/order.py").write_text(ORDER)
    init = project / "src/my_service/models/__init__.py"
    text = init.read_text("utf-8")
    text = text.replace("__all__ = [", '__all__ = ["Order", ').replace(
        "from .base import Base\n", "from .base import Base\nfrom .order import Order\n"
    )
    init.write_text(text, "utf-8")
    database = f"sqlite:///{project}/owner.db"
    python.run(project, "ruff", "check", "--select", "I,RUF022", "--fix", "--quiet")
    python.run(project, "ruff", "format", "--quiet")
    python.run(project, "alembic", "upgrade", "head", DATABASE_URL=database)
    python.run(project, "alembic", "revision", "--autogenerate", "-m", "add order", DATABASE_URL=database)
    assert len(list((project / "alembic/versions").glob("*add_order.py"))) == 1


def add_a_route(project: Path) -> None:
    (project / "src/my_service/api/orders.py").write_text(ORDERS)
    init = project / "src/my_service/api/__init__.py"
    text = init.read_text("utf-8")
    init.write_text(re.sub(r"^from \. import (.*)$", r"from . import \1, orders", text, flags=re.MULTILINE), "utf-8")
    text = init.read_text("utf-8")
    init.write_text(re.sub(r"(routers.*=.*)\]$", r"\1, orders.router]", text, flags=re.MULTILINE), "utf-8")


def add_a_setting(project: Path) -> None:
    replace(project, "src/my_service/config.py", "    # Security\n", '    greeting: str = "Hello"\n\n    # Security\n')
    replace(project, ".env.example", "\n# Make one with", "GREETING=Hello\n\n# Make one with")


def change_what_surrounds_the_code(project: Path) -> None:
    replace(project, "README.md", "## Start\n", "Ask the orders team.\n\n## Start\n")
    append(project, "README.md", "\n## On call\n\nSee the wiki.\n")
    replace(project, "Dockerfile", "EXPOSE 8000\n", "EXPOSE 8000\nSTOPSIGNAL SIGINT\n")
    replace(project, "pyproject.toml", "dependencies = [\n", 'dependencies = [\n    "typing-extensions>=4",\n')
    append(project, ".gitignore", "/notes/\n")
    (project / ".env").write_text("GREETING=Moin\n")


def refresh_locks(project: Path, python: Environment) -> None:
    """As the message after an update says."""
    python.script(project, "scripts/update_requirements.py", "--no-upgrade")


def rename_a_test(project: Path) -> None:
    (project / "tests/unit").mkdir()
    run("git", "mv", "tests/test_cache.py", "tests/unit/test_cache.py", cwd=project)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["postgresql", "sqlite"])
@pytest.mark.parametrize("version", releases())
def test_what_the_owner_changed_is_kept_and_works(
    old: Callable[..., Path],
    environment: EnvironmentOf,
    told: Callable[..., None],
    version: str,
    name: str,
) -> None:
    project = old(version, database_backend=name)
    python = environment(project)
    add_a_model_and_its_migration(project, python)
    add_a_route(project)
    add_a_setting(project)
    change_what_surrounds_the_code(project)
    rename_a_test(project)
    commit_all(project, "What owners change")
    edited = run("git", "diff", "--unified=0", "HEAD~1", cwd=project).stdout
    lines = {line[1:] for line in edited.splitlines() if re.match(r"\+[^+]", line) and line.strip("+ ")}

    assert update(project) == {}
    assert (project / ".env").read_text() == "GREETING=Moin\n"
    assert not (project / "tests/test_cache.py").exists()
    kept = set("\n".join(contents(project).values()).splitlines())
    assert lines - kept == set()
    refresh_locks(project, python)
    python = environment(project)
    python.run(project, "pytest", "-q", "-p", "no:cacheprovider")
    python.run(project, "mypy")
    told(version, name, "edits survive, suite green")


@pytest.mark.slow
@pytest.mark.parametrize("version", releases())
def test_a_deleted_example_stays_away(
    old: Callable[..., Path],
    render: Render,
    environment: EnvironmentOf,
    told: Callable[..., None],
    version: str,
) -> None:
    project = old(version)
    python = environment(project)
    remove_the_example(project, render(include_example=False))
    assert update(project) == {}
    refresh_locks(project, python)
    assert not list(project.glob("**/item*.py"))
    environment(project).run(project, "pytest", "-q", "-p", "no:cacheprovider")
    told(version, "example deleted", "edits survive, suite green")


def remove_the_example(project: Path, bare: Path) -> None:
    """As the README says."""
    readme = (project / "README.md").read_text("utf-8")
    command = re.search(r"^1\. `(rm .*)`$", readme, re.MULTILINE)
    assert command
    run("bash", "-c", command[1], cwd=project)
    for name in ("models/__init__.py", "api/__init__.py", "development_data.py"):
        shutil.copy2(bare / "src" / "my_service" / name, project / "src" / "my_service" / name)
    for path in (project / "alembic" / "versions").glob("*create_item.py"):
        path.unlink()
    (project / "alembic/versions/.gitkeep").touch()


def test_released_migrations_never_change(template: Path, render: Render, old: Callable[..., Path]) -> None:
    """A database that has them would not get the change."""
    for version in releases():
        for path in old(version, name=version).glob("alembic/versions/*.py"):
            assert path.read_text("utf-8") == (render() / path.relative_to(path.parents[2])).read_text("utf-8")


# ------------------------------------------------------------------------ what the next release changes

RENAMED = ("src/my_service/utils/cache.py", "src/my_service/utils/ttl_cache.py")
MIGRATION = """
_migrations:
  - version: v1000.0.0
    command: ["{{ _copier_python }}", "{{ _copier_conf.src_path }}/hooks/rename.py", "%s", "%s"]
    when: "{{ _stage == 'before' }}"
"""


@pytest.fixture
def next_release(template: Path, tmp_path: Path) -> Path:
    """A clone of the template, of which what is changed in it becomes v1000.0.0 by `release`."""
    clone = tmp_path / "next"
    run("git", "clone", "--quiet", str(template), str(clone), cwd=tmp_path)
    return clone


def release(clone: Path) -> None:
    run("git", "commit", "--quiet", "--all", "--message", "Next", cwd=clone)
    run("git", "tag", "v1000.0.0", cwd=clone)


def copy_of(clone: Path, directory: Path) -> Path:
    run_copy(str(clone), directory, vcs_ref="v999.0.0", defaults=True, quiet=True)
    git_init(directory)
    return directory


@pytest.mark.parametrize("with_migration", [True, False])
def test_an_edit_survives_a_rename_that_has_its_migration(
    next_release: Path, tmp_path: Path, with_migration: bool
) -> None:
    """And is lost without it, which is what makes the migration necessary."""
    before, after = (f"template/{path.replace('my_service', '{{ package_name }}')}" for path in RENAMED)
    run("git", "mv", before, after, cwd=next_release)
    if with_migration:
        append(next_release, "copier.yml", MIGRATION % RENAMED)
    release(next_release)
    project = copy_of(next_release, tmp_path / "project")
    append(project, RENAMED[0], "\nEDITED = True\n")
    run("git", "commit", "--quiet", "--all", "--message", "Edit", cwd=project)
    if with_migration:
        with pytest.raises(UnsafeTemplateError):
            run_update(str(project), defaults=True, overwrite=True, quiet=True)
    run_update(str(project), defaults=True, overwrite=True, quiet=True, unsafe=with_migration)
    assert not (project / RENAMED[0]).exists()
    assert ("EDITED = True" in (project / RENAMED[1]).read_text("utf-8")) is with_migration


def test_a_conflict_is_where_both_changed_the_same_lines(next_release: Path, tmp_path: Path) -> None:
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


def test_the_hook_leaves_what_the_owner_decided(tmp_path: Path) -> None:
    hook = ROOT / "hooks" / "rename.py"
    (tmp_path / "new").write_text("theirs")
    assert run_unchecked(sys.executable, hook, "gone", "new", cwd=tmp_path).returncode == 0
    (tmp_path / "old").write_text("also theirs")
    refused = run_unchecked(sys.executable, hook, "old", "new", cwd=tmp_path)
    assert refused.returncode == 1
    assert "there already" in refused.stderr
    assert ((tmp_path / "old").read_text(), (tmp_path / "new").read_text()) == ("also theirs", "theirs")


# ------------------------------------------------------------------------------------ changed answers

MIGRATIONS = (
    "alembic/versions/20260101_0000_create_item.py",
    "alembic/versions/20260101_0001_create_users.py",
)
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
    "another Python and licence": ({}, {"python_version": "3.14", "license": "MIT"}),
    "another name": ({}, {"project_name": "Orders", "description": "Keeps them"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_can_be_changed(render: Render, project: Render, told: Callable[..., None], change: str) -> None:
    before, after = CHANGES[change]
    directory = project(**before)
    append(directory, "README.md", "\n## On call\n\nSee the wiki.\n")
    assert update(directory, **after) == {}
    answers = yaml.safe_load((directory / ".copier-answers.yml").read_text("utf-8"))
    fresh = contents(render(**{key: value for key, value in answers.items() if not key.startswith("_")}))
    fresh["README.md"] += "\n## On call\n\nSee the wiki.\n"
    found = contents(directory)
    # Databases have them, the owner's build on them: they come with a new project alone.
    for migration in MIGRATIONS:
        assert found.pop(migration, None) == contents(render(**before)).get(migration)
        fresh.pop(migration, None)
    assert found == fresh
    if answers["dependency_tool"] == "pip-tools":
        assert {path.name for path in directory.iterdir()} >= LOCKS
    told("present", change, "converges")


OURS = """# import my_service
import my_service.health, os
from my_service.health import (
    EDITED,
)

NAMES = ["my_service.health", "my_service.id", "my_service"]
"""
RELATIVE = "from . import my_service\n"


def test_a_package_can_be_renamed(project: Render, render: Render, told: Callable[..., None]) -> None:
    directory = project()
    append(directory, "src/my_service/health.py", "\nEDITED = True\n")
    (directory / "tests/test_ours.py").write_text(OURS)
    (directory / "src/my_service/api/relative.py").write_text(RELATIVE)
    run("git", "add", "--all", cwd=directory)
    dirty = rename_package(directory, "orders")
    assert dirty.returncode == 1
    assert "commit them first" in dirty.stderr
    run("git", "commit", "--quiet", "--message", "Edit", cwd=directory)
    with pytest.raises(ValueError, match="make rename-package"):
        update(directory, package_name="orders")
    assert run("git", "status", "--porcelain", cwd=directory).stdout == ""
    refused = rename_package(directory, "import")
    assert refused.returncode == 1
    assert "keyword" in refused.stderr
    renamed = rename_package(directory, "orders")
    assert renamed.returncode == 0, renamed.stderr
    found = contents(directory)
    expected = contents(render(package_name="orders", schema_namespace="my_service"))
    expected["src/orders/health.py"] += "\nEDITED = True\n"
    expected["src/orders/api/relative.py"] = RELATIVE
    expected["tests/test_ours.py"] = (
        OURS.replace("import my_service.", "import orders.")
        .replace("from my_service", "from orders")
        .replace('"my_service.health"', '"orders.health"')
    )
    assert found == expected
    assert update(directory) == {}
    assert contents(directory).keys() == expected.keys()
    told("present", "another package name", "converges, edits survive")


def rename_package(project: Path, name: str) -> subprocess.CompletedProcess[str]:
    return run_unchecked(sys.executable, ROOT / "scripts" / "rename_package.py", project, name, cwd=ROOT)


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
"""Which later migrations add in a batch."""


@pytest.mark.slow
@pytest.mark.parametrize("change", SCHEMAS)
def test_the_tables_move_with_their_schema(
    project: Render,
    environment: EnvironmentOf,
    postgres: str,
    told: Callable[..., None],
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
        move = "scripts/move_schema.py"
        for _ in range(2):
            python.script(directory, move, "files", former or "public")
        for expected in ("moved alembic_version, item, line, order", "nothing of the service"):
            moved = python.script(directory, move, "database", former or "public", **variables)
            assert expected in moved.stdout
        for arguments in (["current", "--check-heads"], ["upgrade", "head"], ["check"]):
            python.run(directory, "alembic", *arguments, **variables)
        assert query(url, f'SELECT count(*) FROM "{schema or "public"}".item') == [(2,)]
        schemas = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'orders'"
        assert query(url, schemas) == [(0,)]
    python.run(directory, "pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL=postgres)
    python.run(directory, "ruff", "check")
    python.run(directory, "ruff", "format", "--check")
    told("present", f"schema {change}", "data kept, suite green")


@pytest.mark.slow
def test_the_schema_mover_says_what_is_wrong(project: Render, environment: EnvironmentOf, postgres: str) -> None:
    directory = project(schema_namespace="orders")
    python = environment(directory)
    with created_database(postgres) as url:
        variables = python.variables(directory, DATABASE_URL=url)
        move = (python.python, "scripts/move_schema.py", "database")
        mistyped = run_unchecked(*move, "oders", cwd=directory, **variables)
        assert (mistyped.returncode, "is FORMER right?" in mistyped.stderr) == (1, True)
        query(url, "CREATE SCHEMA former")
        query(url, "CREATE TABLE former.item ()")
        python.run(directory, "alembic", "upgrade", "head", DATABASE_URL=url)
        taken = run_unchecked(*move, "former", cwd=directory, **variables)
        assert (taken.returncode, "orders has item already" in taken.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["no example", "the example", "users", "no users"])
def test_a_database_outlives_tables_of_the_template(
    project: Render,
    render: Render,
    environment: EnvironmentOf,
    postgres: str,
    told: Callable[..., None],
    change: str,
) -> None:
    """That are taken away, or added, where the owner has migrations already."""
    before, after = CHANGES[change]
    directory = project(**before)
    # The locks are the owner's to make anew: this environment is one of both.
    python = environment(render(auth="jwt"))
    with created_database(postgres) as url:
        add_a_model_and_its_migration(directory, python)
        python.run(directory, "alembic", "upgrade", "head", DATABASE_URL=url)
        conflicts = update(directory, **after)
        assert conflicts.keys() <= {"src/my_service/models/__init__.py"}  # where the model was added
        for name in conflicts:
            resolve(directory / name)
        python.run(directory, "alembic", "revision", "--autogenerate", "-m", change, DATABASE_URL=url)
        for arguments in (["upgrade", "head"], ["check"]):
            python.run(directory, "alembic", *arguments, DATABASE_URL=url)
    python.run(directory, "pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL=postgres)
    told("present", change, "data kept, suite green")


def resolve(path: Path) -> None:
    """Take what the template has now, and the owner's model."""
    text = MARKERS.sub(lambda found: found[0].split("=======\n")[1].rsplit("\n", 1)[0], path.read_text("utf-8"))
    if "from .order" not in text:
        text = text.replace("from .base import Base\n", "from .base import Base\nfrom .order import Order\n")
    path.write_text(
        re.sub(
            r"__all__ = \[.*",
            lambda line: line[0].replace("]", ', "Order"]').replace('"Order", "Order"', '"Order"'),
            text,
        )
    )


@pytest.mark.slow
def test_a_project_moves_from_sqlite_to_postgresql_with_its_data(
    project: Render, environment: EnvironmentOf, postgres: str, told: Callable[..., None]
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
        python.script(directory, "scripts/move_schema.py", "files", "public")
        python.run(directory, "alembic", "upgrade", "head", DATABASE_URL=url)
        python.script(directory, "scripts/copy_data.py", sqlite, url)
        assert query(url, "SELECT count(*) FROM orders.item") == [(2,)]
    python.run(directory, "pytest", "-q", "-p", "no:cacheprovider", TEST_DATABASE_URL=postgres)
    told("present", "SQLite to PostgreSQL", "data kept, suite green")


# ------------------------------------------------------------------------------- before one updates


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["pip-tools", "uv"])
def test_what_an_update_would_change_is_shown(old: Callable[..., Path], tool: str) -> None:
    project = old(list(releases())[-1], dependency_tool=tool)
    update(project)  # to the release that has the target
    commit_all(project, "Update")
    assert "diff --git" not in run("make", "update-check", cwd=project).stdout
    answers = (project / ".copier-answers.yml").read_text("utf-8")
    older = re.sub(r"_commit: .*", f"_commit: v{list(releases())[-1]}", answers)
    (project / ".copier-answers.yml").write_text(older)
    run("git", "commit", "--quiet", "--all", "--message", "As it was", cwd=project)
    before = contents(project)
    shown = run("make", "update-check", cwd=project).stdout
    assert "v999.0.0" in shown or "999.0.0" in shown
    assert "diff --git" in shown
    assert contents(project) == before


def test_a_release_is_checked(template: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run("git", "clone", "--quiet", str(template), str(clone), cwd=tmp_path)
    release = (sys.executable, "scripts/release.py")
    for version, reason in [("0.0.1", "released already"), ("2", "of the form"), ("x", "no version")]:
        refused = run_unchecked(*release, version, cwd=clone)
        assert refused.returncode == 1
        assert reason in refused.stderr
    assert "CHANGELOG.md has no section 998.0.0" in run_unchecked(*release, "998.0.0", cwd=clone).stderr
    replace(clone, "CHANGELOG.md", "## Unreleased", "## 998.0.0 (2027-01-01)")
    assert "not committed" in run_unchecked(*release, "998.0.0", cwd=clone).stderr
    run("git", "commit", "--quiet", "--all", "--message", "Release", cwd=clone)
    run(*release, "998.0.0", cwd=clone)
    head = run("git", "rev-parse", "HEAD", cwd=clone).stdout.strip()
    assert (clone / "releases.txt").read_text().splitlines()[-1] == f"998.0.0 {head}"
