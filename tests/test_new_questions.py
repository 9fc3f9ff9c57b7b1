"""Add questions to a copy of this repository, and run the tests that must notice them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT, replace, run, run_unchecked
from documents import Instead, follow

pytestmark = pytest.mark.slow

ROW = "tests/test_render.py::test_combination_renders_clean_files[namespaced-example-pip-tools-github]"
"""The first combination. It has the answer yes to each new yes/no question."""

NOT_ASKED = "# Stored, but not asked."


@pytest.fixture
def scratch(template: Path, tmp_path: Path) -> Path:
    """Return a copy of this repository, which a test may change."""
    run("git", "clone", "--quiet", "--no-tags", str(template), "scratch", cwd=tmp_path)
    return tmp_path / "scratch"


def failures(scratch: Path, selected: str) -> set[str]:
    """Run the tests that new questions concern, and return the names of failed tests."""
    inner = str(scratch.parent / "inner")
    command = (sys.executable, "-m", "pytest", "-q", "-n0", "-m", "not slow", "--basetemp", inner)
    listed = ("tests/test_matrix.py", "tests/test_questions.py", ROW, "-k", f"{selected} or clean_files")
    finished = run_unchecked(*command, *listed, cwd=scratch)
    output = finished.stdout[-5000:] + finished.stderr[-5000:]
    assert " passed" in finished.stdout, output
    assert not re.search(r"^ERROR ", finished.stdout, re.MULTILINE), output
    failed = re.findall(r"^FAILED tests/\w+\.py::(.*)$", finished.stdout, re.MULTILINE)
    return {name.partition(" - ")[0] for name in failed}


def test_faults_of_new_questions_are_noticed(scratch: Path) -> None:
    """A provider that renders nothing, a switch with a formatting bug, and a switch that nothing reads."""
    replace(scratch, "copier.yml", "    GitLab CI: gitlab\n", "    GitLab CI: gitlab\n    CircleCI: circleci\n")
    for switch in ("change_list", "badges"):
        question = f"{switch}:\n  type: bool\n  help: Add it?\n  default: false\n\n"
        replace(scratch, "copier.yml", NOT_ASKED, question + NOT_ASKED)
    file = scratch / "template" / "{% if change_list %}CHANGES.md{% endif %}"
    file.write_text("# Changes\n\n\n\nNone.\n")
    selected = "ci_provider or change_list or badges or pair or update or readme"
    assert failures(scratch, selected) == {
        "test_each_answer_changes_the_render[ci_provider]",
        "test_each_answer_changes_the_render[badges]",
        "test_each_answer_leaves_traces_that_the_checks_find[ci_provider]",
        "test_each_answer_leaves_traces_that_the_checks_find[change_list]",
        "test_each_answer_leaves_traces_that_the_checks_find[badges]",
        "test_combination_renders_clean_files[namespaced-example-pip-tools-github]",
        "test_each_question_is_changed_by_an_update",
        "test_readme_lists_the_questions",
    }


def test_question_of_the_recipe_passes_the_tests(scratch: Path) -> None:
    recipe = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## Add a question\n")[2].partition("\n## ")[0]
    instead = (
        Instead("^make questions$", f"{sys.executable} scripts/questions.py", "make would install the tools again"),
        Instead("^make test .*$", "true", "only the tests that concern the question run, below"),
    )
    follow(recipe, scratch, instead)
    assert failures(scratch, "code_owners or pair or update or readme or help") == set()
    assert "code_owners" in (scratch / "README.md").read_text("utf-8")
