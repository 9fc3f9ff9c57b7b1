"""Rename the package of a project."""

from __future__ import annotations

import ast
import io
import itertools
import re
import subprocess
import tempfile
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from .git import git
from .project import Project
from .scopes import uses
from .update import render


def rename(project: Project, name: str) -> None:
    """Rename the package of a project that has no uncommitted changes.

    Raises:
        ClickException: the package was not renamed, or it was renamed with conflicts. The message says which.
    """
    directory, former = project.directory, project.package
    if git(directory, "status", "--porcelain"):
        raise click.ClickException(f"{directory.absolute()} has uncommitted changes. Commit them first.")
    if name == former:
        raise click.ClickException(f"The package is already called {name}. Choose another name.")
    if (directory / "src" / name).exists():
        raise click.ClickException(f"src/{name} already exists. Choose another name, or move it away.")
    with tempfile.TemporaryDirectory() as temporary:
        before, after = Path(temporary, "before"), Path(temporary, "after")
        render(project, before)
        render(project, after, package_name=name, rendered_package_name=name)
        renaming = Renaming(former, name, modules(directory / "src", former))
        texts, conflicts = renamed(directory, renaming, before, after)
        git(directory, "mv", f"src/{former}", f"src/{name}")
        for path, text in texts.items():
            (directory / path).write_bytes(text)
        click.echo(f"✅ {former} was renamed to {name}. Read `git diff HEAD`, run `make test`, and commit.")
        if lines := list(mentions(directory, former, after)):
            click.echo(f"👀 These lines still contain {former}. Change the lines that mean the package:")
            click.echo("\n".join(lines))
    if conflicts:
        raise click.ClickException(f"There are conflicts in {', '.join(conflicts)}. Resolve them.")


def modules(source: Path, package: str) -> set[str]:
    """Return the full names of the modules of a package, but not its own name."""
    paths = (path.relative_to(source).with_suffix("") for path in (source / package).rglob("*.py"))
    return {".".join(path.parts) for path in paths}


def renamed(project: Path, renaming: Renaming, before: Path, after: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return the changed files at their new paths, and the paths of files with conflicts. Nothing is written.

    Raises:
        ClickException: a Python file that contains the name of the package cannot be parsed.
    """
    texts, conflicts = {}, []
    for path in git(project, "ls-files", "-z").split("\0")[:-1]:
        if (project / path).is_symlink() or not (project / path).is_file():
            continue
        text = ours = (project / path).read_bytes()
        target = re.sub(rf"^src/{renaming.former}/", f"src/{renaming.name}/", path)
        old, new = before / path, after / target
        try:
            if path.endswith(".py"):
                text = renaming.rewrite(ours)
        except (SyntaxError, ValueError) as error:  # ValueError: null bytes
            raise click.ClickException(
                f"Cannot parse {path} ({error}). Correct it first. Nothing was renamed."
            ) from None
        if old.is_file() and new.is_file():
            base = old.read_bytes()
            # Both sides have the new name, so the owner's change of a line with the name is no conflict.
            base, theirs = renaming.rewrite(base) if path.endswith(".py") else base, new.read_bytes()
            if base != theirs:
                text, conflict = merge(text, base, theirs)
                conflicts += [target] * conflict
        if text != ours:
            texts[target] = text
    return texts, conflicts


def merge(ours: bytes, base: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Return the merged text, and whether it has conflicts."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory, name) for name in ("project", "before", "renamed")]
        for path, text in zip(paths, (ours, base, theirs), strict=True):
            path.write_bytes(text)
        merged = subprocess.run(
            ["git", "merge-file", "-p", *(path.name for path in paths)],
            cwd=directory,
            stdout=subprocess.PIPE,
            check=False,
        )
    if merged.returncode > 127:  # A binary file. A smaller status is the number of conflicts.
        return ours, True
    return merged.stdout, merged.returncode > 0


def mentions(project: Path, former: str, after: Path) -> Iterator[str]:
    """Yield the lines that contain the former name, except lines that a render with the new name also has."""
    command = ("grep", "-I", "--null", "--line-number", "--word-regexp", "--fixed-strings", "-e", former)
    for found in git(project, *command, accepted=(0, 1)).split("\n")[:-1]:
        path, number, line = found.split("\0")
        rendered = after / path
        if not rendered.is_file() or line.rstrip() not in rendered.read_text("utf-8").splitlines():
            yield f"  {path}:{number}: {line.strip()}".encode(errors="replace").decode()


@dataclass(frozen=True)
class Renaming:
    """Renames a package in Python code."""

    former: str
    name: str
    modules: set[str]
    """Full names of the modules of the package, with the former name."""

    def rewrite(self, source: bytes) -> bytes:
        """Return the source of a module with the new name: in imports, their uses, and strings that are module names.

        Raises:
            SyntaxError, ValueError: the source cannot be parsed.
        """
        former, name = self.former.encode(), self.name.encode()
        if former not in source:
            return source
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = source.decode(encoding).encode()
        starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
        for place in sorted({starts[line - 1] + column for line, column in self.places(text.decode())}, reverse=True):
            found = re.compile(rb"(?:from(?:\s|\\\r?\n)+|\w*[\"']+)?(?=%b\b)" % former).match(text, place)
            if found:  # In f-strings, Python 3.11 has other positions.
                text = text[: found.end()] + name + text[found.end() + len(former) :]
        return text.decode().encode(encoding)

    def places(self, source: str) -> Iterator[tuple[int, int]]:
        """Yield the line, and the column in UTF-8, of the nodes that start with the name of the package."""
        tree = ast.parse(source)
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=names):
                    yield from ((alias.lineno, alias.col_offset) for alias in names if self.owns(alias.name))
                case ast.ImportFrom(level=0, module=str(module)) if self.owns(module):
                    yield node.lineno, node.col_offset
                case ast.Constant(value=str(value)) if value in self.modules:
                    yield node.lineno, node.col_offset
        yield from ((node.lineno, node.col_offset) for node in uses(tree, self.former, self.binds_package))

    def binds_package(self, node: ast.AST) -> bool:
        """Return whether a statement binds the name of the package itself."""
        return isinstance(node, ast.Import) and any(
            self.owns(alias.name) and alias.asname is None for alias in node.names
        )

    def owns(self, module: str) -> bool:
        return module.partition(".")[0] == self.former
