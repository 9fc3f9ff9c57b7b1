"""Projects of every released version, as they were made and as their owners changed them, brought to the present."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import run_copy, run_update
from copier.errors import DirtyLocalWarning

from answers import covering
from conftest import Environment, Render, git_init, releases, run

LOCKS = {"requirements.txt", "requirements-dev.txt"}
"""The owner's once they are there."""

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
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--allow-empty", "--message", "Changes", cwd=project)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DirtyLocalWarning)
        run_update(str(project), data=changes, defaults=True, overwrite=True, quiet=True)
    assert not list(project.rglob("*.rej"))
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=project).stdout.split("\0")
    texts = {name: (project / name).read_text("utf-8") for name in names if name and (project / name).is_file()}
    return {name: found[0] for name, text in texts.items() if (found := MARKERS.search(text))}


def contents(project: Path) -> dict[str, str]:
    """What the template decides about, by file."""
    paths = (path for path in project.rglob("*") if path.is_file())
    found = {str(path.relative_to(project)): path.read_text("utf-8") for path in paths if ".git" not in path.parts}
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


def rename_a_test(project: Path) -> None:
    (project / "tests/unit").mkdir()
    run("git", "mv", "tests/test_cache.py", "tests/unit/test_cache.py", cwd=project)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["postgresql", "sqlite"])
@pytest.mark.parametrize("version", releases())
def test_what_the_owner_changed_is_kept_and_works(
    old: Callable[..., Path],
    environment: Callable[[Path], Environment],
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
    if (project / "requirements.txt").exists():
        append(project, "requirements.txt", "# refreshed by the owner\n")
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "What owners change", cwd=project)
    edited = run("git", "diff", "--unified=0", "HEAD~1", cwd=project).stdout
    lines = {line[1:] for line in edited.splitlines() if re.match(r"\+[^+]", line) and line.strip("+ ")}

    assert update(project) == {}
    assert (project / ".env").read_text() == "GREETING=Moin\n"
    assert not (project / "tests/test_cache.py").exists()
    kept = set("\n".join(contents(project).values()).splitlines())
    kept |= set((project / "requirements.txt").read_text("utf-8").splitlines())
    assert lines - kept == set()
    python = environment(project)
    python.run(project, "pytest", "-q", "-p", "no:cacheprovider")
    python.run(project, "mypy")
    told(version, name, "edits survive, suite green")


@pytest.mark.slow
@pytest.mark.parametrize("version", releases())
def test_a_deleted_example_stays_away(
    old: Callable[..., Path],
    render: Render,
    environment: Callable[[Path], Environment],
    told: Callable[..., None],
    version: str,
) -> None:
    project = old(version)
    remove_the_example(project, render(include_example=False))
    conflicts = update(project)
    assert conflicts == {}
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
