"""Render the default answers into an example project, or update an example with an owner's changes: `make example`.

example.py render DIRECTORY VERSION    commit a new render of the version
example.py update DIRECTORY VERSION    commit an update to the version; the first run renders it and adds the changes

Each version is one commit with a tag, so the history shows what changes for owners. Run it for each release, the oldest
first. If a version has a conflict or fails its checks, the directory stays as it was.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import yaml
from copier import run_copy, run_update
from copier.errors import DirtyLocalWarning, UserMessageError
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[1]
IDENTITY = ("-c", "user.name=Standfast", "-c", "user.email=standfast@users.noreply.github.com")
CONFLICT = "^<<<<<<< before updating$"

DOCUMENT = "docs/add-a-resource.md"
"""The document whose files the owner of the example has written. The migration is below."""

MIGRATION = '''"""Add orders."""

import sqlalchemy as sa
from alembic import op

revision: str = "0f4c2d9a71be"
down_revision: str | None = "5d1c0b9e7a42"


def upgrade() -> None:
    op.create_table(
        "order",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("number", sa.String(length=20), nullable=False),
        sa.Column("note", sa.String(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order")),
        sa.UniqueConstraint("number", name=op.f("uq_order_number")),
        schema="my_service",
    )


def downgrade() -> None:
    op.drop_table("order", schema="my_service")
'''
EDITS = {
    "README.md": ("## Start\n", "The shop team maintains this service.\n\n## Start\n"),
    "Dockerfile": ("EXPOSE 8000\n", "EXPOSE 8000\nSTOPSIGNAL SIGINT\n"),
    "pyproject.toml": ('description = "An asynchronous web service"', 'description = "Orders of the shop"'),
}
"""Changes of the owner in files of the template: a text that occurs once, and its replacement."""


class ExampleError(Exception):
    """A problem that the caller can solve. The message is one line."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["render", "update"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("version", help="a released version, such as 1.2.0")
    parser.add_argument("--template", default=str(ROOT), help="the address that the example stores for updates")
    parser.add_argument("--check", action="store_true", help="run the example's linters, type checker and tests")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", DirtyLocalWarning)
    try:
        print(
            advance(arguments.action, arguments.directory, arguments.version, arguments.template, check=arguments.check)
        )
    except (ExampleError, UserMessageError, ValueError) as error:
        sys.exit(str(error))


def advance(action: str, directory: Path, version: str, template: str, *, check: bool = False) -> str:
    """Render or update the example in a directory, and return a message."""
    example = Example(directory, template, check=check)
    try:
        return {"render": example.render, "update": example.update}[action](Version(version))
    except InvalidVersion:
        raise ExampleError(f"{version} is not a version. Write it as 1.2.0.") from None


class Example:
    """A git repository with a rendered project.

    Args:
        directory: the work tree. It may be missing or an empty clone.
        template: the address of the template, which Copier stores in the project.
        check: run the project's own checks before each commit.
    """

    def __init__(self, directory: Path, template: str, *, check: bool) -> None:
        self._directory = directory
        self._template = template
        self._check = check

    def render(self, version: Version) -> str:
        """Replace all files by a new render, and commit. Return a message."""
        return self._advance(version, self._render)

    def update(self, version: Version) -> str:
        """Update the project as its owner does, and commit. Return a message."""
        return self._advance(version, self._merge if self._version() else self._start)

    def _advance(self, version: Version, change: Callable[[Version], None]) -> str:
        self._prepare()
        present = self._version()
        if present is not None and version < present:
            raise ExampleError(f"{self._directory} already has version {present}. Choose a later version.")
        if version == present:
            return f"{self._directory} already has version {version}."
        head = self._git("rev-parse", "--verify", "--quiet", "HEAD", allowed=(0, 1)).strip()
        try:
            change(version)
        except BaseException:
            self._restore(head)
            raise
        self._git("tag", "--force", f"v{version}")
        return f"{self._directory} has version {version}."

    def _render(self, version: Version) -> None:
        self._remove_files()
        run_copy(self._template, self._directory, vcs_ref=f"v{version}", defaults=True, overwrite=True, quiet=True)
        self._commit(f"Render {version}")

    def _start(self, version: Version) -> None:
        """Render the version, and add the owner's changes in a second commit."""
        self._render(version)
        text = (self._directory / DOCUMENT).read_text("utf-8")
        for path, content in re.findall(r"\bIn\s`([^`]+)`:\n\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            (self._directory / path).write_text(content, "utf-8")
        (self._directory / "alembic/versions/20260601_0900_add_order.py").write_text(MIGRATION, "utf-8")
        for name, (before, after) in EDITS.items():
            text = (self._directory / name).read_text("utf-8")
            if text.count(before) != 1:
                raise ExampleError(f"{name} must contain {before!r} once. Change EDITS in scripts/example.py.")
            (self._directory / name).write_text(text.replace(before, after), "utf-8")
        self._commit("Add orders, and change files of the template")

    def _merge(self, version: Version) -> None:
        # Updates across some versions run hooks of the template, which is this repository.
        run_update(
            self._directory,
            vcs_ref=f"v{version}",
            defaults=True,
            skip_answered=True,
            overwrite=True,
            unsafe=True,
            quiet=True,
        )
        self._git("add", "--all")
        found = self._git("grep", "--cached", "--files-with-matches", "-e", CONFLICT, allowed=(0, 1))
        if names := ", ".join(found.splitlines()):
            raise ExampleError(f"The update to {version} has conflicts in: {names}. Nothing was committed.")
        if self._check and self._git("diff", "--cached", "--name-only", "--", "pyproject.toml"):
            self._make("lock", "args=--no-upgrade")
        self._commit(f"Update to {version}")

    def _prepare(self) -> None:
        """Create the repository if necessary. Refuse one with changes, which a reset would lose."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if not (self._directory / ".git").exists():
            if any(self._directory.iterdir()):
                raise ExampleError(f"{self._directory} has files, but is no git repository. Choose another directory.")
            self._git("init", "--quiet", "--initial-branch", "main")
        if self._git("status", "--porcelain"):
            raise ExampleError(f"{self._directory} has uncommitted changes. Commit or remove them.")

    def _version(self) -> Version | None:
        """Return the version of the project, or None if there is no project yet."""
        answers = self._directory / ".copier-answers.yml"
        if not answers.exists():
            return None
        return Version(str(yaml.safe_load(answers.read_text("utf-8"))["_commit"]))

    def _restore(self, head: str) -> None:
        """Return to a commit, or to an empty repository."""
        if head:
            self._git("reset", "--quiet", "--hard", head)
            self._git("clean", "--quiet", "--force", "-d")
        else:
            self._git("update-ref", "-d", "HEAD")
            self._git("rm", "-r", "--quiet", "--cached", "--ignore-unmatch", ".")
            self._remove_files()

    def _remove_files(self) -> None:
        for path in self._directory.iterdir():
            if path.name not in (".git", ".venv"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _make(self, *arguments: str) -> None:
        if subprocess.run(["make", "--silent", *arguments], cwd=self._directory, check=False).returncode:
            raise ExampleError(f"`make {' '.join(arguments)}` failed in {self._directory}. Nothing was committed.")

    def _commit(self, message: str) -> None:
        if self._check:
            self._make("lint", "typecheck", "test")
        self._git("add", "--all")
        self._git(*IDENTITY, "commit", "--quiet", "--allow-empty", "--message", message)

    def _git(self, *arguments: str, allowed: tuple[int, ...] = (0,)) -> str:
        command = ["git", *arguments]
        finished = subprocess.run(command, cwd=self._directory, capture_output=True, text=True, check=False)
        if finished.returncode not in allowed:
            raise ExampleError(f"`git {arguments[0]}` failed in {self._directory}: {' '.join(finished.stderr.split())}")
        return finished.stdout


if __name__ == "__main__":
    main()
