"""Give the package of a rendered project another name: `make rename-package DEST=../my-service TO=orders`.

The project is merged with the difference between two renders of its own version of the template, which differ in the
name alone, so what its owner changed stays. A later `copier update` goes on from there.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import yaml
from copier import run_copy
from copier.errors import CopierError

ANSWERS = ".copier-answers.yml"


@click.command(help=__doc__.split("\n\n")[0] if __doc__ else None)
@click.argument("project", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name")
def main(*, project: Path, name: str) -> None:
    if git(project, "status", "--porcelain"):
        raise click.ClickException(f"{project} has changes that are not committed: commit them first.")
    answers: dict[str, Any] = yaml.safe_load((project / ANSWERS).read_text("utf-8"))
    former = answers["package_name"]
    with tempfile.TemporaryDirectory() as directory:
        before, after = Path(directory, "before"), Path(directory, "after")
        try:
            render(before, answers)
            render(after, {**answers, "package_name": name, "rendered_package_name": name})
        except (CopierError, ValueError) as error:
            raise click.ClickException(str(error)) from None
        git(project, "mv", f"src/{former}", f"src/{name}")
        conflicts = merge(project, before, after, former, name)
    rewrite_imports(project, former, name)
    click.echo(f"  ✅ {former} is {name} now. Look at `git diff HEAD`, run make test, commit.")
    if conflicts:
        click.echo(f"  ❌ conflicts in {', '.join(conflicts)}")
        raise SystemExit(1)


def render(directory: Path, answers: dict[str, Any]) -> None:
    data = {key: value for key, value in answers.items() if not key.startswith("_")}
    run_copy(answers["_src_path"], directory, data=data, vcs_ref=answers["_commit"], defaults=True, quiet=True)


def merge(project: Path, before: Path, after: Path, former: str, name: str) -> list[str]:
    """Merge file by file; those with conflicts."""
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
    """In what the template knows nothing of: the owner's own files and lines."""
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
    """The line with the package's name replaced: all along in an import, where the text is otherwise."""
    encoded = line.encode()
    start, end = (0, len(encoded)) if isinstance(node, ast.stmt) else (node.col_offset, node.end_col_offset or 0)
    inside = re.sub(rf"(?<![\w.]){former}(?!\w)", name, encoded[start:end].decode(), count=isinstance(node, ast.expr))
    return encoded[:start].decode() + inside + encoded[end:].decode()


def names_package(node: ast.AST, former: str, modules: set[str]) -> bool:
    """Whether it is an absolute import of the package, or a text that is the name of one of its modules."""
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


if __name__ == "__main__":
    sys.exit(main())
