"""Run `standfast update`: its groups, its errors, and updates beside an owner and a bot that change the same files."""

from __future__ import annotations

import json
import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from copier import run_copy
from packaging.version import Version

from conftest import ROOT, Render, commit_all, git_init, releases, replace, run, run_unchecked
from moves import tables_since
from standfast.cli import main
from standfast.update import TrustRequiredError, UpdateError, apply_update, preview_update, report

NEXT = "v1000.0.0"
"""The tag of the next release. The template's working tree is v999.0.0."""


@pytest.fixture
def clone(template: Path, tmp_path: Path) -> Path:
    """Return a clone of the template. A test changes it, and `release` tags it."""
    directory = tmp_path / "template"
    run("git", "clone", "--quiet", str(template), str(directory), cwd=tmp_path)
    return directory


def release(clone: Path) -> None:
    commit_all(clone, "Next", "--allow-empty")
    run("git", "tag", NEXT, cwd=clone)


def copy(source: Path, directory: Path, version: str = "999.0.0", **answers: Any) -> Path:
    run_copy(str(source), directory, data=answers, vcs_ref=f"v{version}", defaults=True, quiet=True)
    return directory


def change(project: Path, name: str, old: str, new: str) -> None:
    """Replace all matches of a pattern. There must be one."""
    text = (project / name).read_text("utf-8")
    changed, count = re.subn(old, new, text, flags=re.MULTILINE)
    assert count, f"{name} does not match {old!r}."
    (project / name).write_text(changed, "utf-8")


def status(project: Path) -> str:
    return run("git", "status", "--porcelain", cwd=project).stdout


def standfast(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["update", "--project", str(project), *arguments])


# ----------------------------------------------------------------------------------------- results


@pytest.fixture
def monorepo(clone: Path, tmp_path: Path) -> Path:
    """Return a project in a subdirectory of a repository. Its update has every kind of result."""
    root = tmp_path / "monorepo"
    project = copy(clone, root / "services/my orders")
    (root / "README.md").write_text("All services.\n")
    change(project, "alembic.ini", r"\Z", "# ours\n")
    change(project, ".editorconfig", r"\Z", "# ours\n")
    change(project, "Makefile", "^clean: .*", "clean: ## Ours")
    shutil.rmtree(project / ".vscode")
    (project / ".gitignore").write_text((project / ".gitignore").read_text() + "/local.json\n")
    git_init(root)
    (project / "local.json").write_text("ours\n")

    replace(clone, "template/alembic.ini", "[alembic]\n", "[alembic]\n# Newer.\n")
    replace(clone, "template/AGENTS.md", "\n", "\n\nNewer.\n")
    change(clone, "template/Makefile.jinja", "^clean: .*", "clean: ## Theirs")
    (clone / "template/.editorconfig").unlink()
    (clone / "template/docs/websocket.md.jinja").unlink()
    (clone / "template/local.json").write_text("theirs\n")
    (clone / "template/new/directory").mkdir(parents=True)
    (clone / "template/new/directory/file.txt").write_text("theirs\n")
    release(clone)
    return project


def test_preview_groups_the_changes_of_a_project_in_a_subdirectory(monorepo: Path) -> None:
    preview = preview_update(monorepo)
    assert (preview.former_version, preview.new_version) == ("v999.0.0", NEXT)
    assert preview.new == ["new/directory/file.txt"]
    assert preview.updated == ["AGENTS.md"]
    assert preview.merged == ["alembic.ini"]
    assert preview.kept.keys() == {".editorconfig", "local.json"}
    assert (preview.deleted, preview.lost) == (["docs/websocket.md"], [])
    assert preview.conflicts == ["Makefile"]
    shown = standfast(monorepo, "--check", "--diff")
    assert shown.exit_code == 0
    assert shown.output == f"{report(preview)}\n{preview.diff}"
    assert "\n\nConflicts. The file has the lines of both sides\n  Makefile\n" in shown.output
    assert "+# Newer." in preview.diff
    assert status(monorepo) == ""
    assert (monorepo / "local.json").read_text() == "ours\n"


def test_update_works_on_a_branch_and_can_be_undone(monorepo: Path) -> None:
    branch = "template-update-1000.0.0-services-my-orders-2"
    run("git", "branch", branch.removesuffix("-2"), cwd=monorepo)
    updated = standfast(monorepo)
    assert updated.exit_code == 0, updated.output
    assert run("git", "branch", "--show-current", cwd=monorepo).stdout.strip() == branch
    assert "# Newer.\n" in (monorepo / "alembic.ini").read_text()
    assert (monorepo / "alembic.ini").read_text().endswith("# ours\n")
    assert (monorepo / "new/directory/file.txt").read_text() == "theirs\n"
    assert not (monorepo / "docs/websocket.md").exists()
    assert not (monorepo / ".vscode").exists()
    # Files of the owner stay, also if git ignores them.
    assert (monorepo / ".editorconfig").read_text().endswith("# ours\n")
    assert (monorepo / "local.json").read_text() == "ours\n"
    # Git refuses to commit a conflict by accident.
    assert 'UU "services/my orders/Makefile"\n' in status(monorepo)
    undo = re.search(r"^To undo the update: (.*)", updated.output, re.MULTILINE)
    assert undo
    run("bash", "-c", undo[1], cwd=monorepo)
    assert status(monorepo) == ""
    assert "# Newer." not in (monorepo / "alembic.ini").read_text()
    assert not (monorepo / "new").exists()
    assert (monorepo / "local.json").read_text() == "ours\n"
    assert branch not in run("git", "branch", "--all", cwd=monorepo).stdout


def test_file_that_cannot_be_written_leaves_the_project_unchanged(monorepo: Path) -> None:
    (monorepo / "new").write_text("The update needs a directory here, but git ignores this file.\n")
    (monorepo.parents[1] / ".git/info/exclude").write_text("new\n")
    before = run("git", "branch", "--all", cwd=monorepo).stdout
    assert "Cannot write " in (message := refused(monorepo))
    assert "new/directory/file.txt (Not a directory). The project is unchanged." in message
    assert run("git", "branch", "--all", cwd=monorepo).stdout == before
    assert (monorepo / "new").is_file()
    assert "# Newer." not in (monorepo / "alembic.ini").read_text()


def test_deleted_file_with_changes_is_reported_with_the_command_that_restores_it(
    project: Render,
) -> None:
    directory = project(include_example=True)
    name = "src/my_service/services/item.py"
    change(directory, name, r"\Z", "# ours\n")
    commit_all(directory, "Ours")
    updated = standfast(directory, "--to", "current", "-d", "include_example=false")
    assert not (directory / name).exists()
    command = re.search(r"To restore one: (.*)PATH\n  (.*)\n", updated.output)
    assert command
    assert command[2] == name
    run(*command[1].split(), name, cwd=directory)
    assert (directory / name).read_text().endswith("# ours\n")


def test_project_with_the_newest_version_has_nothing_to_update(project: Render) -> None:
    directory = project()
    branch = run("git", "branch", "--show-current", cwd=directory).stdout
    updated = standfast(directory)
    assert updated.output.endswith("v999.0.0 of the template already. There is nothing to update.\n")
    assert run("git", "branch", "--show-current", cwd=directory).stdout == branch


# ------------------------------------------------------------------------------------------ errors


def refused(project: Path, *arguments: str) -> str:
    """Return the error of an update, which has one line and changes nothing."""
    before = status(project) if (project / ".git").exists() else ""
    result = standfast(project, *arguments)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert not (project / ".git").exists() or status(project) == before
    return result.output


def test_errors_name_the_reason_and_the_remedy(project: Render, tmp_path: Path) -> None:
    directory = project()
    assert "no version v7777" in refused(directory, "--to", "v7777")
    assert "Write a few words" in refused(directory, "--to", "current", "-d", "description=")
    assert "has no question flavor. The questions are in" in refused(directory, "-d", "flavor=red", "--to", "current")
    (directory / "Makefile").write_text("all:\n")
    assert "has uncommitted changes. Commit or stash them first" in refused(directory)
    change(directory, ".copier-answers.yml", "^_src_path: .*", "_src_path: https://127.0.0.1:1/x.git")
    commit_all(directory, "Moved")
    assert "Cannot read the template at https://127.0.0.1:1/x.git (" in refused(directory, "--check")
    change(directory, ".copier-answers.yml", "^_src_path: .*\n", "")
    commit_all(directory, "Lost")
    assert "has no _src_path" in refused(directory)
    run("git", "rm", "--quiet", "--cached", ".copier-answers.yml", cwd=directory)
    commit_all(directory, "Ignored", "--allow-empty")
    shutil.rmtree(directory / ".git")
    assert "is not in a git repository, and updates merge with git. Run: git init" in refused(directory)
    git_init(tmp_path / "project")
    run("git", "rm", "--quiet", "--cached", ".copier-answers.yml", cwd=directory)
    run("git", "commit", "--quiet", "--message", "Untracked", cwd=directory)
    assert ".copier-answers.yml is not committed" in refused(directory)


@pytest.mark.parametrize("version", [version for version in releases() if tables_since(ROOT, Version(version))])
def test_update_with_scripts_names_them_and_needs_trust(clone: Path, tmp_path: Path, version: str) -> None:
    project = copy(clone, tmp_path / "project", version)
    git_init(project)
    with pytest.raises(TrustRequiredError) as refused:
        apply_update(project, to="v999.0.0")
    assert refused.value.scripts == ["hooks/rename.py", "hooks/moves_1_0_0.yml"]
    assert f"in {clone} at v999.0.0, then run the command again with --trust." in refused.value.message
    assert status(project) == ""


def test_failed_script_of_the_template_leaves_the_project_unchanged(
    clone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    migration = f"_migrations:\n  - version: {NEXT}\n    command: echo broken >&2 && touch half-written && exit 3\n"
    replace(clone, "copier.yml", "_migrations:\n", migration)
    release(clone)
    project = copy(clone, tmp_path / "project")
    git_init(project)
    with pytest.raises(UpdateError, match=r"exit status 3.*The project is unchanged"):
        apply_update(project, trust=True)
    assert "broken\n" in capfd.readouterr().err
    assert status(project) == ""


CONFLICT = "<<<<<<< before updating\\nours\\n=======\\ntheirs\\n>>>>>>> after updating\\n"


def test_command_that_finds_conflicts_finds_those_in_moved_files(clone: Path, tmp_path: Path) -> None:
    """Scripts of the template write conflicts into new files, which `git diff` shows only if git's index has them."""
    migration = f"_migrations:\n  - version: {NEXT}\n    command: printf '{CONFLICT}' >moved.txt\n"
    replace(clone, "copier.yml", "_migrations:\n", migration)
    release(clone)
    project = copy(clone, tmp_path / "project")
    git_init(project)
    updated = standfast(project, "--trust")
    assert "\nConflicts. The file has the lines of both sides\n  moved.txt\n" in updated.output
    command = re.search(r"This command prints them: (.*)", updated.output)
    assert command
    assert "moved.txt:1: leftover conflict marker" in run_unchecked(*command[1].split(), cwd=project).stdout


# ------------------------------------------------------------------- plain `copier update`, and bots

DEVELOPERS_FILES = [".env", ".envrc", ".idea/misc.xml", ".vscode/settings.json", "docker-compose.override.yml"]


def test_plain_update_keeps_local_files_that_git_ignores(clone: Path, tmp_path: Path) -> None:
    """Copier replaces ignored files that a new version brings."""
    for name in DEVELOPERS_FILES:
        (clone / "template" / name).unlink(missing_ok=True)
    release(clone)
    run("git", "tag", "v998.0.0", cwd=clone)
    project = copy(clone, tmp_path / "project", "998.0.0")
    (project / ".gitignore").write_text("\n".join([".env", ".envrc", ".idea", ".vscode", "*.override.yml"]))
    git_init(project)
    for name in DEVELOPERS_FILES:
        for directory, text in ((project, "ours"), (clone / "template", "theirs")):
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(text)
    run("git", "add", "--all", "--force", cwd=clone)
    run("git", "commit", "--quiet", "--message", "Next", cwd=clone)
    run("git", "tag", "v1001.0.0", cwd=clone)
    run(Path(sys.executable).with_name("copier"), "update", "--defaults", "--quiet", cwd=project)
    assert {(project / name).read_text() for name in DEVELOPERS_FILES} == {"ours"}


PIN = re.compile(
    r"(uses: \S+@|image: [\w./-]+:|FROM [\w./-]+:|--from=\S+:|PYTHON_VERSION=|- [\w-]+:|AUDIT_VERSION := |==|>=)"
    r"(v?[0-9a-f][\w.]*)"
)
"""A version in a file of CI, a container, the Makefile, a lockfile, or pyproject.toml."""


def bump(text: str, suffix: str) -> str:
    return PIN.sub(lambda pin: f"{pin[1]}{pin[2]}{suffix}", text)


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Return whether Renovate leaves a file alone. A pattern is a part of the path, or a glob. {a,b} means a or b."""
    globs = [glob for pattern in patterns for glob in pattern.strip("{}").split(",")]
    return any(pattern in path for pattern in patterns) or any(fnmatch(path, glob) for glob in globs)


@pytest.mark.parametrize("answers", [{"kubernetes": True}, {"ci_provider": "gitlab", "dependency_tool": "uv"}])
def test_bot_and_template_change_versions_without_conflict(
    clone: Path, tmp_path: Path, answers: dict[str, Any]
) -> None:
    project = copy(clone, tmp_path / "project", **answers)
    ignored = json.loads((project / "renovate.json").read_text())["ignorePaths"]
    own = project / "services.yml"
    own.write_text("image: redis:8\n")
    managed = [
        path for path in project.rglob("*") if path.suffix in {".txt", ".yml", ".yaml"} or path.name == "Dockerfile"
    ]
    for path in managed:
        if not is_ignored(str(path.relative_to(project)), ignored):
            path.write_text(bump(path.read_text("utf-8"), ".1"), "utf-8")
    assert own.read_text() == "image: redis:8.1\n"
    assert answers.get("dependency_tool") or "==" in (project / "requirements.txt").read_text()
    git_init(project)
    pins = 0
    for path in (clone / "template").rglob("*"):
        if path.is_file() and "alembic/versions" not in str(path) and "docs" not in path.parts:
            text = path.read_text("utf-8")
            pins += bump(text, ".2") != text
            path.write_text(bump(text, ".2"), "utf-8")
    assert pins > 8
    release(clone)
    preview = preview_update(project)
    assert preview.conflicts == []
    assert "docker-compose.yml" in preview.updated


# -------------------------------------------------------------------- answers beside owner's changes

OWNERS_LINES = {
    ".devcontainer/Dockerfile": [(r"git make", "git make vim")],
    ".env.example": [("^ENVIRONMENT=.*", "ENVIRONMENT=test"), ("^API_PREFIX=.*", "API_PREFIX=/api/v2")],
    ".github/workflows/ci.yml": [(r"branches: \[main\]", "branches: [main, develop]")],
    "Dockerfile": [("^EXPOSE 8000", "EXPOSE 9000"), (r"\Z", "LABEL org.opencontainers.image.vendor=Us\n")],
    "README.md": [("^## Start", "Ask the orders team.\n\n## Start")],
    "deploy/kubernetes/production/kustomization.yaml": [
        ("newName: .*", "newName: registry.example.org/shop"),
        ("newTag: .*", "newTag: 2.0.0"),
        ("^resources:", "resources:\n  - ingress.yaml"),
    ],
    "docker-compose.prod.yml": [("replicas: 2", "replicas: 4")],
    "pyproject.toml": [
        ("^version = .*", 'version = "2.3.4"'),
        ("^requires-python = .*", 'requires-python = ">=3.12"'),
        (r"^dependencies = \[", 'dependencies = [\n    "email-validator>=2",'),
    ],
    "src/my_service/config.py": [
        ("debug: bool = False", "debug: bool = True"),
        ('api_prefix: PathPrefix = "/api/v1"', 'api_prefix: PathPrefix = "/api/v2"'),
    ],
}
"""Lines that owners change or add, by file."""

ANSWERS = {
    "project_name": "Order Desk",
    "description": "Keeps the orders of all shops",
    "author_name": "Orders Team",
    "author_email": "orders@example.com",
    "license": "MIT",
    "python_version": "3.14",
}
"""New answers that do not add or remove code."""


def change_owners_lines(project: Path) -> None:
    for name, lines in OWNERS_LINES.items():
        for old, new in lines:
            change(project, name, old, new)


def test_answers_change_no_line_next_to_lines_of_owners(project: Render) -> None:
    directory = project(kubernetes=True)
    change_owners_lines(directory)
    commit_all(directory, "Ours")
    preview = preview_update(directory, to="current", data=ANSWERS)
    assert preview.conflicts == []
    # The other rendered texts of these answers are in files that owners seldom change.
    assert {*preview.merged, *preview.updated} - OWNERS_LINES.keys() <= {
        "deploy/kubernetes/base/kustomization.yaml",
        "docs/deploy-on-kubernetes.md",
    }
    assert {*OWNERS_LINES} - {*preview.merged} == {".github/workflows/ci.yml"}


@pytest.mark.parametrize("version", releases())
def test_version_and_image_of_the_owner_survive_the_move_of_their_lines(
    clone: Path, tmp_path: Path, version: str
) -> None:
    project = copy(clone, tmp_path / "project", version, kubernetes=True)
    owned = ("pyproject.toml", "deploy/kubernetes/production/kustomization.yaml")
    for name in owned:
        for old, new in OWNERS_LINES[name]:
            change(project, name, old, new)
    git_init(project)
    apply_update(project, to="v999.0.0", data={"description": ANSWERS["description"]}, trust=True)
    pyproject = (project / "pyproject.toml").read_text()
    assert "<<<<<<<" not in pyproject
    assert '\nversion = "2.3.4"\nrequires-python = ">=3.12"\n' in pyproject
    assert f'"{ANSWERS["description"]}"' in pyproject
    images = (project / owned[1]).read_text()
    assert "newName: registry.example.org/shop\n    newTag: 2.0.0\n" in images
    assert "<<<<<<<" not in images
