"""Check the form of the records in docs/decisions/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import ROOT

DIRECTORY = ROOT / "docs" / "decisions"
RECORDS = sorted(path for path in DIRECTORY.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_record_has_one_page_with_context_decision_and_cost(record: Path) -> None:
    text = record.read_text("utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Cost"]
    assert len(text.splitlines()) <= 40


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_files_and_tests_in_records_exist(record: Path) -> None:
    """Paths in `src/` are relative to the package. File names in template/ have Jinja conditions."""
    text = record.read_text("utf-8")
    sources = [path for folder in (".", "template", "tests") for path in (ROOT / folder).rglob("*") if path.is_file()]
    rendered = {re.sub(r"\{%.*?%\}|\.jinja$", "", str(path)) for path in sources if ".venv" not in path.parts}
    for name in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|yml|md|txt|jinja))`", text):
        bare = name.removesuffix(".jinja")
        assert any(path.endswith(f"/{bare}") for path in rendered), f"{name} does not exist."
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+)`", text):
        assert f"def {name}(" in tests, f"{name} does not exist."


def test_readme_lists_the_records() -> None:
    listed = re.findall(r"^- \[(.*)\]\((.*)\)$", (DIRECTORY / "README.md").read_text("utf-8"), re.MULTILINE)
    titles = {record.name: record.read_text("utf-8").partition("\n")[0].removeprefix("# ") for record in RECORDS}
    assert {name: title for title, name in listed} == titles
