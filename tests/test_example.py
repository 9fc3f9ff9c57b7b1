"""Render and update the example projects over two releases, as the workflow example.yml does."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from copier import run_copy

from conftest import ROOT, EnvironmentOf, Render, git_init, replace, run, run_unchecked
from documents import install
from updates import contents

sys.path.insert(0, str(ROOT / "scripts"))

from example import ExampleError, advance

OLD, NEW = "999.0.0", "1000.0.0"


@pytest.fixture
def releases(template: Path, tmp_path: Path) -> Path:
    """Return a template with two releases. The second one changes a comment in alembic.ini."""
    clone = tmp_path / "template"
    run("git", "clone", "--quiet", str(template), str(clone), cwd=tmp_path)
    replace(clone, "template/alembic.ini", "[alembic]\n", "[alembic]\n# Newer.\n")
    tag(clone)
    return clone


def tag(clone: Path) -> None:
    run("git", "commit", "--quiet", "--all", "--message", "Next", cwd=clone)
    run("git", "tag", "--force", f"v{NEW}", cwd=clone)


def subjects(directory: Path) -> list[str]:
    """Return the subjects of all commits, oldest first, with their tags."""
    return run(
        "git", "log", "--reverse", "--format=%s%d", "--decorate-refs=refs/tags", cwd=directory
    ).stdout.splitlines()


def test_each_release_is_a_commit_of_the_rendered_example(releases: Path, tmp_path: Path) -> None:
    directory = tmp_path / "example"
    for version in (OLD, f"v{NEW}"):  # The tag of a workflow has a v.
        advance("render", directory, version, str(releases))
    assert subjects(directory) == [f"Render {OLD} (tag: v{OLD})", f"Render {NEW} (tag: v{NEW})"]
    changed = run("git", "diff", "--name-only", "HEAD~1", cwd=directory).stdout.split()
    assert changed == [".copier-answers.yml", "alembic.ini"]
    run_copy(str(releases), tmp_path / "fresh", vcs_ref=f"v{NEW}", defaults=True, quiet=True)
    assert contents(directory) == contents(tmp_path / "fresh")
    answers = yaml.safe_load((directory / ".copier-answers.yml").read_text("utf-8"))
    assert answers["_src_path"] == str(releases)


def test_updated_example_keeps_the_changes_of_its_owner(releases: Path, tmp_path: Path) -> None:
    directory = tmp_path / "example"
    advance("update", directory, OLD, str(releases))
    mine = contents(directory)
    advance("update", directory, NEW, str(releases))
    assert subjects(directory) == [
        f"Render {OLD}",
        f"Add orders, and change files of the template (tag: v{OLD})",
        f"Update to {NEW} (tag: v{NEW})",
    ]
    assert contents(directory) == {
        **mine,
        "alembic.ini": mine["alembic.ini"].replace("[alembic]\n", "[alembic]\n# Newer.\n"),
    }
    assert "class Order(" in mine["src/my_service/models/order.py"]
    # A second run of the workflow changes nothing.
    assert "already has version" in advance("update", directory, NEW, str(releases))
    with pytest.raises(ExampleError, match="Choose a later version"):
        advance("update", directory, OLD, str(releases))
    assert len(subjects(directory)) == 3


def test_conflict_leaves_the_example_as_it_was(releases: Path, tmp_path: Path) -> None:
    directory = tmp_path / "example"
    advance("update", directory, OLD, str(releases))
    replace(releases, "template/Dockerfile.jinja", "EXPOSE 8000\n", "EXPOSE 8000\nSTOPSIGNAL SIGQUIT\n")
    tag(releases)
    with pytest.raises(
        ExampleError, match=rf"^The update to {NEW} has conflicts in: Dockerfile\. Nothing was committed\.$"
    ):
        advance("update", directory, NEW, str(releases))
    assert len(subjects(directory)) == 2
    assert run("git", "status", "--porcelain", cwd=directory).stdout == ""


@pytest.mark.parametrize(
    ("action", "version", "message"),
    [("render", "next", "next is not a version"), ("update", "998.0.0", "998.0.0")],
)
def test_wrong_version_is_one_line(releases: Path, tmp_path: Path, action: str, version: str, message: str) -> None:
    script = ROOT / "scripts" / "example.py"
    refused = run_unchecked(sys.executable, script, action, "example", version, "--template", releases, cwd=tmp_path)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_directory_with_other_files_is_refused(releases: Path, tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / "mine").touch()
    with pytest.raises(ExampleError, match="no git repository"):
        advance("render", tmp_path / "example", OLD, str(releases))
    git_init(tmp_path / "example")
    (tmp_path / "example" / "draft").touch()
    with pytest.raises(ExampleError, match="uncommitted changes"):
        advance("render", tmp_path / "example", OLD, str(releases))


def test_workflow_runs_the_tested_command() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "example.yml").read_text("utf-8"))
    job = workflow["jobs"]["example"]
    assert {each["action"] for each in job["strategy"]["matrix"]["include"]} == {"render", "update"}
    (step,) = [step for step in job["steps"] if step.get("run", "").startswith("make example ")]
    values = {"ACTION": "update", "VERSION": f"v{NEW}", "TEMPLATE": "https://example.com/template"}
    assert step["env"].keys() == values.keys()
    command = re.sub(r'"\$(\w+)"', lambda found: values[found[1]], step["run"])
    printed = run(*shlex.split(command), "--dry-run", "--assume-old=.venv/.installed", cwd=ROOT).stdout
    expected = f'"update" "../example" "v{NEW}" --template "https://example.com/template" --check'
    assert printed.splitlines()[-1] == f".venv/bin/python scripts/example.py {expected}"


@pytest.mark.slow
def test_updated_example_passes_its_own_checks(
    releases: Path, render: Render, environment: EnvironmentOf, tmp_path: Path
) -> None:
    directory = tmp_path / "example"
    advance("update", directory, OLD, str(releases))
    install(directory, environment(render()))
    advance("update", directory, NEW, str(releases), check=True)
    assert "tests/test_orders.py" in run("git", "ls-files", cwd=directory).stdout
    # A release that fails the checks is not committed.
    replace(
        releases, "template/src/{{ package_name }}/api/paging.py", "def build_page(", "missing()\n\n\ndef build_page("
    )
    run("git", "commit", "--quiet", "--all", "--message", "Break", cwd=releases)
    run("git", "tag", "v1001.0.0", cwd=releases)
    with pytest.raises(ExampleError, match="`make lint typecheck test` failed"):
        advance("update", directory, "1001.0.0", str(releases), check=True)
    assert subjects(directory)[-1] == f"Update to {NEW} (tag: v{NEW})"
    assert run("git", "status", "--porcelain", cwd=directory).stdout == ""
