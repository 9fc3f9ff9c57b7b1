"""Check the CI of this repository: its workflows and `.ci/run`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

from conftest import ROOT, run

BIN = Path(sys.executable).parent
CI = (ROOT / ".ci" / "run").read_text("utf-8")
PARTS = dict(re.findall(r"^    (\w+)\) slow (.*) ;;$", CI, re.MULTILINE))


def test_linters_accept_workflows_and_scripts() -> None:
    run(BIN / "actionlint", *ROOT.glob(".github/workflows/*.yml"), cwd=ROOT)
    run(BIN / "zizmor", "--offline", "--min-severity=medium", ".github", cwd=ROOT)
    run(BIN / "shellcheck", *(ROOT / ".ci").iterdir(), cwd=ROOT)


def test_each_file_with_slow_tests_is_in_one_part() -> None:
    slow = {path.stem.removeprefix("test_") for path in ROOT.glob("tests/test_*.py") if is_slow(path)}
    in_parts = sorted(name for names in PARTS.values() for name in names.split())
    assert in_parts == sorted(slow)


def is_slow(path: Path) -> bool:
    return path != Path(__file__) and bool(re.search(r"mark\.slow|in_fast_part\(", path.read_text("utf-8")))


def test_workflow_runs_every_part() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["part"] == ["lint", "fast", *PARTS]
