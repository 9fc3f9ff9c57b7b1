"""Cost of rendering, compared with the peer's generator and an empty template."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from harness import Cost, run
from report import Table
from subjects import IDENTITY, ROOT, Workshop

SECTION = "render"
COPIER = (Path(sys.executable).with_name("copier"),)
MATRIX = """
import sys, warnings
from pathlib import Path
from copier import run_copy
sys.path.insert(0, sys.argv[1])
from answers import matrix
for name, answers in matrix().items():
    own = answers if sys.argv[4] == "own" else {}
    run_copy(sys.argv[2], Path(sys.argv[3], name), data=own, vcs_ref="HEAD", defaults=True, quiet=True)
"""


def measure(workshop: Workshop, table: Table, rounds: int, matrix_rounds: int) -> None:
    """Seconds of `copier copy`, of an update from the newest release, and of all combinations of the answers."""
    empty = make_empty_template(workshop.directory / "empty-template")
    released, empty_project = make_released_project(workshop), make_empty_project(workshop, empty)
    targets = workshop.directory / "renders"
    targets.mkdir(exist_ok=True)
    commands: dict[tuple[str, str], Callable[[], Cost]] = {
        ("copy", "ours"): lambda: copy(workshop.template, targets / "project"),
        ("copy", "peer"): workshop.render_peer,
        ("copy", "empty"): lambda: copy(empty, targets / "project"),
        ("update", "ours"): lambda: update(released, targets / "project"),
        ("update", "empty"): lambda: update(empty_project, targets / "project"),
    }
    matrices: dict[tuple[str, str], Callable[[], Cost]] = {
        ("whole answer matrix", "ours"): lambda: render_matrix(workshop.template, targets, "own"),
        ("whole answer matrix", "empty"): lambda: render_matrix(empty, targets, "none"),
    }
    rendered = {("copy", "ours"): targets / "project", ("copy", "peer"): workshop.directory / "peer" / "peer_service"}
    for works, times in ((commands, rounds), (matrices, matrix_rounds)):
        for _ in range(times):
            for (name, subject), work in works.items():
                shutil.rmtree(targets)
                targets.mkdir()
                cost = work()
                table.row(SECTION, f"{name}, wall", "s").add(subject, cost.wall)
                table.row(SECTION, f"{name}, CPU", "s").add(subject, cost.cpu)
                if (name, subject) in rendered:
                    files = count_files(rendered[name, subject])
                    table.row(SECTION, f"{name}, CPU a file", "ms").add(subject, cost.cpu / files * 1000)
                    table.row(SECTION, f"{name}, files", "", "more").add(subject, files)


def count_files(project: Path) -> int:
    return sum(path.is_file() for path in project.rglob("*") if not {".git", "__pycache__"} & {*path.parts})


def copy(template: Path, target: Path) -> Cost:
    return run([*COPIER, "copy", "--quiet", "--defaults", "--vcs-ref", "HEAD", template, target], template, **IDENTITY)


def update(project: Path, target: Path) -> Cost:
    """Return the cost of an update. The time for the copy of the project does not count."""
    shutil.copytree(project, target)
    return run([*COPIER, "update", "--quiet", "--defaults", "--vcs-ref", "HEAD"], target, **IDENTITY)


def render_matrix(template: Path, targets: Path, answers: str) -> Cost:
    """All in one process, as the tests do it."""
    command = (sys.executable, "-c", MATRIX, ROOT / "tests", template, targets, answers)
    return run(command, template, **IDENTITY)


def make_empty_template(directory: Path) -> Path:
    """Return a template that renders only its answers file."""
    if not directory.exists():
        (directory / "template").mkdir(parents=True)
        (directory / "copier.yml").write_text("_subdirectory: template\nname:\n  type: str\n  default: empty\n")
        answers = directory / "template" / "{{ _copier_conf.answers_file }}.jinja"
        answers.write_text("{{ _copier_answers|to_nice_yaml -}}\n")
        commit(directory)
    return directory


def make_empty_project(workshop: Workshop, template: Path) -> Path:
    """A project of the empty template, committed."""
    project = workshop.directory / "empty"
    if not project.exists():
        copy(template, project)
        commit(project)
    return project


def make_released_project(workshop: Workshop) -> Path:
    """A project of the newest release, committed."""
    project = workshop.directory / "released"
    if not project.exists():
        releases = (ROOT / "releases.txt").read_text("utf-8").splitlines()
        workshop.render(project.name, version=f"v{releases[-1].split()[0]}")
        commit(project)
    return project


def commit(directory: Path) -> None:
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "Start")):
        run(["git", *arguments], directory, **IDENTITY)
