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
from copier import VcsRef, run_copy, run_update

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
from documents import create, edit, steps
from imports import Imports, absolute, from_imports, module_of, package_of
from updates import LOCKS, MARKERS, RENAMED, TABLES, contents, update

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


@pytest.fixture
def add_row(record_property: Callable[[str, object], None]) -> Callable[[str, str, str], None]:
    """Return a function that adds a row to the table at the end of the run."""

    def add(version: str, answers: str, outcome: str) -> None:
        record_property("update", f"{version}|{answers}|{outcome}")

    return add


@pytest.mark.parametrize(
    "name", in_fast_part(COVERING, "namespaced-example-pip-tools-github", "sqlite-jwt-bare-uv-github")
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
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text("utf-8"))
    fresh = render(**{key: value for key, value in answers.items() if not key.startswith("_")})
    # A database that has applied a migration does not get later changes to it.
    assert contents(project) == contents(fresh) | migrations
    assert locks == {name: (project / name).read_bytes() for name in locks}
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
ORDERS = '''"""Routes of orders."""

from uuid import UUID

from fastapi import APIRouter

from ..dialects import dialect_for
from ..middleware import RequestContext
from ..repositories.base import Selection
from .dependencies import ContextDep, SettingsDep
from .paging import LARGEST_PAGE, select
from .problems import problem_responses

router = APIRouter(prefix="/orders", tags=["orders"], responses=problem_responses(404))


@router.get("")
async def list_orders(context: ContextDep, settings: SettingsDep) -> list[str]:
    assert isinstance(context, RequestContext)
    selection: Selection = select("id", {"id": UUID}, limit=LARGEST_PAGE, after=None)
    return [type(dialect_for(settings.database_url)).__name__, str(selection.limit)]
'''
ORDERS_TEST = '''"""Tests of the order routes."""

from fastapi import FastAPI
from httpx2 import AsyncClient

from my_service.api.orders import list_orders
from my_service.api.problems import ProblemResponse, install_problem_handlers
from my_service.health import PREFIX
from my_service.models import Order


async def test_orders_are_listed(client: AsyncClient) -> None:
    assert len((await client.get("/api/v1/orders")).json()) == 2
    assert (await client.get(f"{PREFIX}/ready")).status_code == 200


def test_the_module_is_found() -> None:
    install_problem_handlers(FastAPI())
    assert list_orders.__module__ == "my_service.api.orders"
    assert ProblemResponse.media_type == "application/problem+json"
    assert Order.__tablename__ == "order"
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


def add_a_route(project: Path) -> None:
    package = project / "src/my_service"
    (package / "api/orders.py").write_text(ORDERS)
    (project / "tests/test_orders.py").write_text(ORDERS_TEST)
    init = package / "api/__init__.py"
    text = init.read_text("utf-8")
    text = re.sub(r"^from \. import (.*)$", r"from . import \1, orders", text, flags=re.MULTILINE)
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
    """Run the command that the message after an update names."""
    python.script(project, "scripts/update_requirements.py", "--no-upgrade")


def rename_a_test(project: Path) -> None:
    (project / "tests/unit").mkdir()
    run("git", "mv", "tests/test_cache.py", "tests/unit/test_cache.py", cwd=project)


INSERTED = {
    "src/my_service/api/dependencies.py": (
        "SettingsDep = ",
        """async def get_greeting(request: Request) -> str:
    greeting: str = request.app.state.greeting
    return greeting


GreetingDep = Annotated[str, Depends(get_greeting)]
""",
    ),
    "src/my_service/api/health.py": (
        "def _report(",
        """@router.get("/greeting")
async def greeting() -> str:
    return f"Hello from {PREFIX}"


""",
    ),
    "src/my_service/api/items.py": (
        '@router.get("/count")',
        """@router.get("/names")
async def list_names(service: ServiceDep) -> list[str]:
    items = await service.list(select("name", SORTABLE, limit=LARGEST_PAGE, after=None))
    return [item.name for item in items]


""",
    ),
    "src/my_service/api/problems.py": ("    PreconditionFailedError: 412,\n", "    QuotaError: 429,\n"),
    "src/my_service/database.py": (
        "def unreachable(",
        """def is_refused(error: BaseException) -> bool:
    return "refused" in reason_of(error)


""",
    ),
    "src/my_service/dialects/postgresql.py": (
        "def _milliseconds(",
        """def is_remote(settings: Settings) -> bool:
    return settings.database_url.host not in (None, "localhost")


""",
    ),
    "src/my_service/errors.py": (
        "class DatabaseUnavailableError(",
        """class QuotaError(ServiceError):
    pass


""",
    ),
    "src/my_service/main.py": ("    app.state.settings = settings\n", "    app.state.greeting = settings.greeting\n"),
    "src/my_service/models/portable.py": (
        "class UUIDArray(",
        """Document = JSON().with_variant(JSONB(), "postgresql")


""",
    ),
    "src/my_service/services/item.py": (
        "    async def count(",
        """    async def newest(self) -> Sequence[Item]:
        return await self._items.list(Selection(limit=1, descending=True))

""",
    ),
    "tests/conftest.py": (
        "@pytest.fixture\nasync def session(",
        """@pytest.fixture
def dialect(settings: Settings) -> str:
    return type(dialect_for(settings.database_url)).__name__


""",
    ),
    "tests/postgres_server.py": (
        "    @asynccontextmanager\n    async def empty(",
        """    @property
    def server(self) -> URL:
        return self._server

""",
    ),
}
"""Code that the owner adds before a line, by file. Most of these files or their imports moved after 0.2.0."""

OWN_TEST = '''"""Names of items."""

from httpx2 import AsyncClient

ITEMS = "/api/v1/items"


async def test_names_are_sorted(client: AsyncClient, dialect: str) -> None:
    for name in ("b", "a"):
        assert (await client.post(ITEMS, json={"name": f"{name} of {dialect}"})).status_code == 201
    assert (await client.get(f"{ITEMS}/names")).json() == [f"a of {dialect}", f"b of {dialect}"]
'''


def change_what_moved(project: Path) -> None:
    (project / "tests/test_names.py").write_text(OWN_TEST)
    for name, (line, text) in INSERTED.items():
        if (project / name).exists():  # Some files exist only with PostgreSQL.
            replace(project, name, line, text + line)
    replace(
        project, "src/my_service/api/problems.py", "PreconditionFailedError, ", "PreconditionFailedError, QuotaError, "
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["postgresql", "sqlite"])
@pytest.mark.parametrize("version", releases())
def test_update_keeps_the_changes_of_the_owner(
    old: Callable[..., Path],
    environment: EnvironmentOf,
    add_row: Callable[..., None],
    version: str,
    name: str,
) -> None:
    project = old(version, database_backend=name)
    python = environment(project)
    add_a_model_and_its_migration(project, python)
    add_a_route(project)
    add_a_setting(project)
    change_what_moved(project)
    change_what_surrounds_the_code(project)
    rename_a_test(project)
    python.run(project, "ruff", "format", "--quiet")
    commit_all(project, "What owners change")
    # The entries in these modules change. The suite imports the model and requests the route.
    others = [f":!src/my_service/{package}/__init__.py" for package in ("api", "models")]
    edited = run("git", "diff", "--unified=0", "HEAD~1", "--", ".", *others, cwd=project).stdout
    lines = {line[1:] for line in edited.splitlines() if re.match(r"\+[^+]", line) and line.strip("+ ")}

    service = "src/my_service/services/item.py"  # The template moved the method beside the owner's.
    assert update(project, trust=True).keys() == {service}
    resolve_by_taking_both(project / service)
    assert (project / ".env").read_text() == "GREETING=Moin\n"
    assert not (project / "tests/test_cache.py").exists()
    kept = "\n".join(contents(project).values()).splitlines()
    assert {follow(line) for line in lines} - {follow(line) for line in kept} == set()
    change_by_hand(project)
    refresh_locks(project, python)
    python = environment(project)
    add_missing_migration(project, python)
    for check in ("ruff check", "ruff format --check", "mypy", "pytest -q -p no:cacheprovider"):
        python.run(project, *check.split())
    add_row(version, name, "changes kept, suite passes")


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


def resolve_by_taking_both(path: Path) -> None:
    """Keep the added method before the former method, and the lines of the template instead of the former method."""
    text = path.read_text("utf-8")
    conflict = MARKERS.search(text)
    assert conflict
    ours, theirs = conflict[0].split("\n", 1)[1].rsplit("\n", 1)[0].split("=======\n")
    path.write_text(text.replace(conflict[0], ours.partition("    async def count(")[0] + theirs), "utf-8")


def change_by_hand(project: Path) -> None:
    """Change what the changelog and the messages of the update name."""
    replace(project, "tests/unit/test_cache.py", ".forget(", ".invalidate(", count=-1)
    replace(project, "tests/test_orders.py", '"my_service.api.orders"', '"my_service.api.routes.orders"')


def follow(line: str) -> str:
    """Return the expected line after the update. Import lines are not compared, because the suite runs them."""
    if re.match(r"\s*from \S+ import ", line):
        return ""
    return re.sub(rf"\b({'|'.join(RENAMED)})\b", lambda found: RENAMED[found[0]], line)


TERMS = '''"""Routes of the terms."""

from fastapi import APIRouter

router = APIRouter(prefix="/terms", tags=["terms"])


@router.get("")
async def read_terms() -> str:
    return "Be kind"
'''
OPTIONS = {
    "none": """
shop = APIRouter(prefix="/shop")
shop.include_router(secrets.router)
routers.append(shop)
""",
    "jwt": """
signed_in.include_router(secrets.router, prefix="/shop", dependencies=[requires("admin")])
""",
}
"""Entries that are more than the name of a router, by `auth`."""

SERVED_TEST = '''"""Tests of the owner's routes."""

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from my_service.repositories.item import OURS

API = "/api/v1"


async def test_routes_are_as_public_as_before(app: FastAPI, client: AsyncClient) -> None:
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as anyone:
        assert (await anyone.get(f"{API}/terms")).status_code == 200
        assert (await anyone.get(f"{API}/orders")).status_code == ORDERS
    assert (await client.get(f"{API}/shop/secrets")).status_code == SECRETS


def test_routes_are_served_once(app: FastAPI) -> None:
    paths = app.openapi()["paths"]  # It warns about duplicates, and warnings are errors.
    assert len([path for path in paths if path.endswith(("/orders", "/terms", "/secrets"))]) == 3


def test_changed_repository_stays() -> None:
    assert OURS.model.__tablename__ == "item"
'''


def follow_the_former_document(project: Path, monkeypatch: pytest.MonkeyPatch, auth: str) -> None:
    """Add the resource of docs/add-a-resource.md, a module without authentication, and one with other options."""
    monkeypatch.chdir(project)
    for step in steps((project / "docs/add-a-resource.md").read_text("utf-8")):
        if step.path:
            (edit if step.kind == "diff" else create)(Path(step.path), step.text)
    create(Path("src/my_service/api/terms.py"), TERMS)
    create(Path("src/my_service/api/secrets.py"), TERMS.replace("terms", "secrets"))
    listed = "src/my_service/api/__init__.py"
    former = "auth.router" if auth == "jwt" else "items.router"
    replace(project, listed, "orders\n", "orders, secrets, terms\n")
    replace(project, listed, f"[{former}", f"[{former}, terms.router")
    append(project, listed, OPTIONS[auth])
    append(project, "src/my_service/repositories/item.py", "\n\nOURS = SQLAlchemyItemRepository\n")
    statuses = (
        {"ORDERS\n": "401\n", "SECRETS\n": "403\n"} if auth == "jwt" else {"ORDERS\n": "200\n", "SECRETS\n": "200\n"}
    )
    create(Path("tests/test_served.py"), re.sub("ORDERS\n|SECRETS\n", lambda name: statuses[name[0]], SERVED_TEST))


@pytest.mark.parametrize("auth", ["none", "jwt"])
@pytest.mark.parametrize("version", releases())
def test_update_moves_the_listed_route_modules_of_the_owner(
    old: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    version: str,
    auth: str,
) -> None:
    project = old(version, auth=auth)
    follow_the_former_document(project, monkeypatch, auth)
    assert update(project, trust=True) == {}
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


@pytest.mark.parametrize("version", releases())
def test_routes_that_cannot_be_merged_are_a_conflict(
    old: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """The service must not start without the owner's check of all requests."""
    project = old(version, auth="jwt")
    follow_the_former_document(project, monkeypatch, "jwt")
    replace(project, "src/my_service/api/__init__.py", "[requires()]", '[requires("member")]')
    conflicts = update(project, trust=True)
    assert conflicts.keys() == {"src/my_service/api/routes/__init__.py"}
    assert 'requires("member")' in conflicts["src/my_service/api/routes/__init__.py"]


@pytest.mark.slow
@pytest.mark.parametrize("auth", ["none", "jwt"])
@pytest.mark.parametrize("version", releases())
def test_resource_of_the_former_document_works_after_the_update(
    old: Callable[..., Path],
    render: Render,
    environment: EnvironmentOf,
    monkeypatch: pytest.MonkeyPatch,
    add_row: Callable[..., None],
    version: str,
    auth: str,
) -> None:
    project = old(version, auth=auth)
    follow_the_former_document(project, monkeypatch, auth)
    assert update(project, trust=True) == {}
    refresh_locks(project, environment(project))
    python = environment(project)
    add_missing_migration(project, python)
    for check in ("ruff check", "ruff format --check", "mypy", "pytest -q -p no:cacheprovider"):
        python.run(project, *check.split())
    add_row(version, f"a resource, auth {auth}", "changes kept, suite passes")


def add_missing_migration(project: Path, python: Environment) -> None:
    """Run `make revision m="add item version"`, as the changelog instructs."""
    python.script(project, "scripts/make_revision.py", "add item version")
    (path,) = project.glob("alembic/versions/*add_item_version.py")
    assert 'sa.Column("version", sa.Integer(), server_default="1", nullable=False)' in path.read_text("utf-8")


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
    render: Render, project: Render, add_row: Callable[..., None], change: str
) -> None:
    before, after = CHANGES[change]
    directory = project(**before)
    append(directory, "README.md", "\n## On call\n\nSee the wiki.\n")
    assert update(directory, **after) == {}
    answers = yaml.safe_load((directory / ".copier-answers.yml").read_text("utf-8"))
    fresh = contents(render(**{key: value for key, value in answers.items() if not key.startswith("_")}))
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


OURS = """# import my_service
import my_service.health, os
from my_service.health import (
    EDITED,
)

NAMES = ["my_service.health", "my_service.id", "my_service"]
"""
RELATIVE = "from . import my_service\n"


def test_package_can_be_renamed(project: Render, render: Render, standfast: Path, add_row: Callable[..., None]) -> None:
    directory = project()
    append(directory, "src/my_service/health.py", "\nEDITED = True\n")
    (directory / "tests/test_ours.py").write_text(OURS)
    (directory / "src/my_service/api/relative.py").write_text(RELATIVE)
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
    run(standfast, "rename-package", "orders", cwd=directory)
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
def test_update_check_shows_the_changes(next_release: Path, tmp_path: Path, tool: str) -> None:
    project = copy_of(next_release, tmp_path / "project", dependency_tool=tool)
    assert "diff --git" not in run("make", "update-check", cwd=project).stdout
    replace(next_release, "template/alembic.ini", "[alembic]\n", "[alembic]\n# Newer.\n")
    release(next_release)
    before = contents(project)
    shown = run("make", "update-check", cwd=project).stdout
    assert "1000.0.0" in shown
    assert "+# Newer." in shown
    assert contents(project) == before
    # An update that moves files needs `--trust`.
    answers = (project / ".copier-answers.yml").read_text("utf-8")
    older = re.sub(r"_commit: .*", f"_commit: v{next(iter(releases()))}", answers)
    (project / ".copier-answers.yml").write_text(older)
    commit_all(project, "As it was")
    refused = run_unchecked("make", "update-check", cwd=project)
    assert refused.returncode != 0
    assert "copier update --trust" in refused.stdout
