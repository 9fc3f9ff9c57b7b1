"""Check terminal output: lists of commands, next steps, and errors about missing programs."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, Render, find_python, run, run_unchecked, skip_outside_ci

TOOLS = ["pip-tools", "uv"]
OLD_PYTHONS = ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10")


def directory_of(render: Render, name: str) -> Path:
    return ROOT if name == "template" else render(dependency_tool=name)


@pytest.mark.parametrize("name", ["template", *TOOLS])
def test_make_lists_each_command_on_one_line(render: Render, name: str) -> None:
    directory = directory_of(render, name)
    makefile = (directory / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    lines = run("make", "--silent", cwd=directory).stdout.splitlines()
    assert [line.split()[0] for line in lines] == re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE)
    assert {line.split()[0] for line in lines} == set(phony[1].split())
    columns = {len(line) - len(re.sub(r"^  \S+ +", "", line)) for line in lines}
    assert len(columns) == 1, "The descriptions do not start in the same column."
    assert max(map(len, lines)) <= 120


def install(
    directory: Path, *variables: str, target: str = ".venv/.installed", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the make target that installs the project. Other targets depend on it."""
    make = shutil.which("make")
    assert make
    return run_unchecked(make, target, *variables, cwd=directory, **environment)


@pytest.fixture(params=["template", "pip-tools"])
def fresh(request: pytest.FixtureRequest, render: Render, tmp_path: Path) -> Path:
    """Return a directory with only the files that this make target needs."""
    source = directory_of(render, request.param)
    for name in ("Makefile", "pyproject.toml", "requirements.txt", "requirements-dev.txt", "requirements-new.txt"):
        if (source / name).exists():
            shutil.copy(source / name, tmp_path)
    return tmp_path


def test_old_python_is_rejected(fresh: Path) -> None:
    pythons = [python for version in OLD_PYTHONS if (python := find_python(version))]
    if not pythons:
        skip_outside_ci("There is no Python before 3.11. Install Python 3.10, on the path or with pyenv.")
    targets = [".venv/.installed", *[".venv/new/.installed"] * (fresh / "requirements-new.txt").exists()]
    for python, target in itertools.product(pythons, targets):
        refused = install(fresh, f"PYTHON={python}", target=target)
        assert refused.returncode != 0
        assert refused.stderr.splitlines()[0] == (
            f"{python} is too old. Install Python 3.11 or newer, or set PYTHON, for example PYTHON=python3.12"
        )
        assert not (fresh / ".venv").exists()


def test_missing_python_is_reported(fresh: Path) -> None:
    refused = install(fresh, "PYTHON=python3.99")
    assert refused.returncode != 0
    assert refused.stdout == (
        "Cannot find python3.99. Install Python 3.11 or newer, or set PYTHON, for example PYTHON=python3.12\n"
    )


def test_missing_uv_and_python_are_reported(project: Render, tmp_path: Path) -> None:
    directory = project(dependency_tool="uv")
    refused = install(directory, PATH=str(tmp_path / "empty"))
    assert refused.returncode != 0
    assert refused.stdout.startswith("Cannot find uv or python3. Install one of them")
    assert not (directory / ".venv").exists()
