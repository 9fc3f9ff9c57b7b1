"""Update the projects of the recorded owners to the working tree, and run their suites."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from copier.errors import UnsafeTemplateError
from filelock import FileLock

from conftest import Environment, EnvironmentOf, Render, in_fast_part, run
from owners import OWNERS, Owner, build_owner, follow_the_changelog, recorded, resolve
from updates import LOCKS, RENAMED, update

Build = Callable[[str], Path]
Lock = Callable[[Path], None]
FAST = ("customers-and-orders", "fork-of-an-organization", "own-middleware")


@pytest.fixture
def build(template: Path, tmp_path: Path) -> Build:
    """Return a function that creates the repository of an owner."""
    return lambda name: build_owner(name, tmp_path / name, template)


def update_owner(owner: Owner, repository: Path, *, trust: bool = True) -> set[str]:
    """Update all services of a repository, and return the files with conflicts."""
    found = set()
    for folder in owner.folders:
        conflicts = update(repository / folder, trust=trust, **owner.change)
        found |= {(Path(folder) / name).as_posix() for name in conflicts}
    return found


def added_lines(repository: Path) -> set[str]:
    """Return the lines that the owner added. Entries in `__init__.py` are left out, because updates rewrite them."""
    diff = run("git", "diff", "--unified=0", "HEAD~1", "HEAD", "--", ".", ":!*/__init__.py", cwd=repository).stdout
    return {normalize(line[1:]) for line in diff.splitlines() if re.match(r"\+(?!\+\+ )", line)}


def lines_in(repository: Path) -> set[str]:
    """Return the lines of all files that git does not ignore."""
    names = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=repository).stdout.split(
        "\0"
    )
    paths = {repository / name for name in names if name}
    return {normalize(line) for path in paths if path.is_file() for line in path.read_text("utf-8").splitlines()}


def normalize(line: str) -> str:
    """Return a line as it is after the update, without spaces at both ends. Imports become empty."""
    if re.match(r"\s*((from \S+ )?import |\w+,$)", line):
        return ""
    return re.sub(rf"\b({'|'.join(RENAMED)})\b", lambda found: RENAMED[found[0]], line).strip()


@pytest.mark.parametrize("name", in_fast_part(OWNERS, *FAST))
def test_update_of_an_owner_conflicts_where_recorded_and_loses_no_line(name: str, build: Build) -> None:
    owner = OWNERS[name]
    repository = build(name)
    lines = added_lines(repository)
    trust = needs_trust(owner, repository)
    assert update_owner(owner, repository, trust=trust) == owner.conflicts.keys()
    assert lines - lines_in(repository) == set()
    row = recorded()[name]
    assert row["trust"] == shown(trust)


def shown(trust: bool) -> str:
    return "yes" if trust else "no"


def needs_trust(owner: Owner, repository: Path) -> bool:
    """Return whether Copier refuses the update without `--trust`. The repository does not change."""
    project = repository / owner.folders[0]
    try:
        update(project, trust=False, **owner.change)
    except UnsafeTemplateError:
        return True
    run("git", "reset", "--quiet", "--hard", cwd=repository)
    run("git", "clean", "--quiet", "--force", "-d", cwd=repository)
    return False


def test_scoreboard_has_a_current_row_for_each_owner() -> None:
    rows = recorded()
    assert rows.keys() == OWNERS.keys(), "Run `make scoreboard`."
    for name, owner in OWNERS.items():
        # `make scoreboard` also runs the suites before the updates. They pass as long as the record is the same.
        assert rows[name]["record"] == owner.digest(), f"{name} has changed. Run `make scoreboard`."
        assert rows[name]["conflicts"] == owner.shown_conflicts
        assert rows[name]["suite"] == "passes"


@pytest.fixture
def lock(shared: Path, environment: EnvironmentOf) -> Lock:
    """Return a function that refreshes the lockfiles. Projects with the same dependencies share the result."""

    def refresh(project: Path) -> None:
        texts = [(project / name).read_bytes() for name in ("pyproject.toml", *sorted(LOCKS))]
        directory = shared / f"locks-{hashlib.sha256(b''.join(texts)).hexdigest()[:12]}"
        with FileLock(f"{directory}.lock"):
            if not directory.exists():
                environment(project).script(project, "scripts/update_requirements.py", "--no-upgrade")
                directory.mkdir()
                for name in LOCKS:
                    shutil.copy(project / name, directory)
        shutil.copytree(directory, project, dirs_exist_ok=True)

    return refresh


@pytest.mark.slow
@pytest.mark.parametrize("name", OWNERS)
def test_suite_of_an_owner_passes_after_the_update(
    name: str,
    build: Build,
    lock: Lock,
    environment: EnvironmentOf,
    render: Render,
    shared: Path,
    request: pytest.FixtureRequest,
    add_row: Callable[[str, str, str], None],
) -> None:
    owner = OWNERS[name]
    url = "sqlite://" if owner.database == "sqlite" else request.getfixturevalue("postgres")
    variables = {"TEST_DATABASE_URL": url, "MYPY_CACHE_DIR": str(shared / f"mypy-{os.getpid()}")}
    repository = build(name)
    result = {"owner": name, "trust": shown(needs_trust(owner, repository)), "before": "not run", "after": "fails"}
    try:
        projects = [repository / folder for folder in owner.folders]
        if os.environ.get("SCOREBOARD"):
            result["before"] = "fails"
            for project in projects:
                known = [f"--deselect={test}" for test in owner.known_before]
                run_suite(project, environment_of(owner, project, environment, render), *known, **variables)
            result["before"] = "passes"
            run("git", "clean", "--quiet", "--force", "-dx", cwd=repository)
        update_owner(owner, repository)
        resolve(owner, repository)
        for project in projects:
            if (project / "requirements.txt").exists():
                lock(project)

        def python(project: Path) -> Environment:
            return environment_of(owner, project, environment, render)

        follow_the_changelog(owner, repository, python)
        for project in projects:
            for command in ("ruff check --fix", "ruff format"):  # `make format`, as the changelog says
                python(project).run(project, *command.split())
            run_suite(project, python(project), **variables)
        result["after"] = "passes"
    except AssertionError:
        record(result, add_row)
        raise
    record(result, add_row)


def record(result: dict[str, str], add_row: Callable[[str, str, str], None]) -> None:
    """Write the result for `make scoreboard`, and add it to the table at the end of the run."""
    name = result["owner"]
    add_row(OWNERS[name].version, name, f"changes kept, suite {result['after']}")
    if directory := os.environ.get("SCOREBOARD"):
        Path(directory, f"{name}.json").write_text(json.dumps(result))


def environment_of(owner: Owner, project: Path, environment: EnvironmentOf, render: Render) -> Environment:
    """Return an environment with the packages of a project. Projects with uv use those of a render with pip-tools."""
    if (project / "requirements-dev.txt").exists():
        return environment(project)
    return environment(render(auth=owner.answers.get("auth", "none")))


def run_suite(project: Path, python: Environment, *options: str, **variables: str) -> None:
    """Run the lint, the types and the tests of a project.

    Args:
        options: further options of pytest.
    """
    for check in ("ruff check", "ruff format --check", "mypy"):
        python.run(project, *check.split(), **variables)
    python.run(project, "pytest", "-q", "-p", "no:cacheprovider", *options, **variables)
