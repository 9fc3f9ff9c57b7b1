"""Random changes of models: each gets a migration that runs on both databases, with rows in the tables."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from conftest import EnvironmentOf, Render, run

pytestmark = pytest.mark.slow

SEARCH = Path(__file__).parent / "rendered" / "search" / "test_migration_search.py"


def test_random_changes_of_models_migrate(project: Render, environment: EnvironmentOf, postgres: str) -> None:
    service = project(include_example=False)
    python = environment(service)
    uv = Path(sys.executable).with_name("uv")
    run(uv, "pip", "install", "--quiet", "--python", python.python, f"hypothesis=={version('hypothesis')}", cwd=service)
    shutil.copy(SEARCH, service / "tests" / "test_search.py")
    paths = ":".join(str(service / folder) for folder in ("src", "tests"))
    python.run(service, "pytest", "-q", "tests/test_search.py", TEST_DATABASE_URL=postgres, PYTHONPATH=paths)
