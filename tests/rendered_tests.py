"""Add the tests of `rendered/` to a render.

They test code that owners do not change: pool, telemetry, commands, limits. They import the
package of a default render. The tests in `all` run in every render, the other folders in renders with one option.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("rendered")


def add_rendered_tests(project: Path, answers: dict[str, Any]) -> None:
    """Copy the tests for these answers into `tests/rendered/` of a project."""
    conditions = {
        "all": True,
        "postgresql": answers.get("database_backend", "postgresql") == "postgresql",
        "example": answers.get("include_example", True),
        "jwt": answers.get("auth", "none") == "jwt",
    }
    for name, applies in conditions.items():
        if applies:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(SOURCE / name, project / "tests" / "rendered", ignore=ignored, dirs_exist_ok=True)
