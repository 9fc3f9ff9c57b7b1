"""Rename the package of a project."""

from __future__ import annotations

import ast
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import click
from copier import run_copy
from copier.errors import CopierError
from plumbum import ProcessExecutionError

from .project import ANSWERS_FILE, Project


def rename(project: Project, name: str) -> None:
    """Rename the package of a project that has no uncommitted changes.

    Raises:
        ClickException: the package was not renamed, or it was renamed with conflicts. The message says which.
    """
    directory, former = project.directory, project.package
    if git(directory, "status", "--porcelain"):
        raise click.ClickException(f"{directory.absolute()} has uncommitted changes. Commit them first.")
    if missing := {"_src_path", "_commit"} - project.answers.keys():
        raise click.ClickException(
            f"{ANSWERS_FILE} has no {min(missing)}, so the project cannot be rendered. Restore it."
        )
    if name == former:
        raise click.ClickException(f"The package is already called {name}. Choose another name.")
    with tempfile.TemporaryDirectory() as temporary:
        before, after = Path(temporary, "before"), Path(temporary, "after")
        try:
            render(before, project.answers)
            render(after, {**project.answers, "package_name": name, "rendered_package_name": name})
        except (CopierError, ValueError) as error:
            raise click.ClickException(str(error)) from None
        except ProcessExecutionError as error:
            reason = error.stderr.strip().splitlines()[-1:] or [f"git exited with {error.retcode}"]
            raise click.ClickException(
                f"Cannot get the template from {project.answers['_src_path']} ({reason[0]}). Check the address "
                f"_src_path in {ANSWERS_FILE}, and the network."
            ) from None
        git(directory, "mv", f"src/{former}", f"src/{name}")
        conflicts = merge(directory, before, after, former, name)
    rewrite_imports(directory, former, name)
    click.echo(f"✅ {former} was renamed to {name}. Read `git diff HEAD`, run `make test`, and commit.")
    if conflicts:
        raise click.ClickException(f"There are conflicts in {', '.join(conflicts)}. Resolve them.")


def render(directory: Path, answers: dict[str, Any]) -> None:
    data = {key: value for key, value in answers.items() if not key.startswith("_")}
    run_copy(answers["_src_path"], directory, data=data, vcs_ref=answers["_commit"], defaults=True, quiet=True)


def merge(project: Path, before: Path, after: Path, former: str, name: str) -> list[str]:
    """Merge the difference of two renders into the project. Return the paths of files with conflicts."""
    conflicts = []
    for old in (path for path in before.rglob("*") if path.is_file()):
        relative = str(old.relative_to(before)).replace(f"src/{former}/", f"src/{name}/")
        ours, new = project / relative, after / relative
        if ours.exists() and old.read_bytes() != new.read_bytes():
            merged = subprocess.run(["git", "merge-file", ours, old, new], capture_output=True, check=False)
            if merged.returncode:
                conflicts.append(relative)
    return conflicts


def rewrite_imports(project: Path, former: str, name: str) -> None:
    """Rename the package in files and lines that only the project has."""
    modules = {
        ".".join(path.relative_to(project / "src").with_suffix("").parts).replace(name, former, 1)
        for path in (project / "src" / name).rglob("*.py")
    }
    for path in git(project, "ls-files", "-z", "*.py").split("\0")[:-1]:
        file = project / path
        lines = file.read_text("utf-8").splitlines(keepends=True)
        for node in ast.walk(ast.parse("".join(lines))):
            if names_package(node, former, modules):
                assert isinstance(node, ast.stmt | ast.expr)
                for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                    lines[number] = rewrite(lines[number], node, former, name)
        file.write_text("".join(lines), "utf-8")


def rewrite(line: str, node: ast.stmt | ast.expr, former: str, name: str) -> str:
    """Return the line with the package renamed: everywhere in an import, once in a string."""
    encoded = line.encode()
    start, end = (0, len(encoded)) if isinstance(node, ast.stmt) else (node.col_offset, node.end_col_offset or 0)
    inside = re.sub(rf"(?<![\w.]){former}(?!\w)", name, encoded[start:end].decode(), count=isinstance(node, ast.expr))
    return encoded[:start].decode() + inside + encoded[end:].decode()


def names_package(node: ast.AST, former: str, modules: set[str]) -> bool:
    """Return whether the node is an absolute import of the package, or a string that names one of its modules."""
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == former for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and (node.module or "").split(".")[0] == former
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in modules - {former}


def git(project: Path, *arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise click.ClickException(f"git {arguments[0]}: {finished.stderr.strip()}")
    return finished.stdout
