"""Move an owner's changes to the new paths of files, and rewrite imports: rename.py TABLE ANSWERS_FILE.

`copier update` runs this script in the project after its own merge. README.md describes the table and the results.
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from copier import run_copy

from imports import Imports, module_of
from modules import add_imports, listed_modules, merge_additions, with_imports_of

TEMPLATE = Path(__file__).resolve().parents[1]
"""Copier's clone of the template. The new version is checked out, and its history has the older versions."""


def main(table: str, answers_file: str) -> None:
    before = yaml.safe_load(git("show", f"HEAD:./{answers_file}"))
    after = yaml.safe_load(Path(answers_file).read_text("utf-8"))
    moves = yaml.safe_load(Path(__file__).with_name(table).read_text("utf-8").replace("PACKAGE", after["package_name"]))
    update = Update(render(before), render(after), moves["files"], moves["names"], moves.get("routes"))
    for path in update.old:
        update.merge(path)
    for path in sorted(update.head - update.old.keys() - update.new.keys()):
        update.keep(path)
    mentions = [f"-e{name}" for name in update.imports.moved if name.startswith(f"{after['package_name']}.")]
    if found := git("grep", "--line-number", "--word-regexp", "--fixed-strings", *mentions, check=False).decode():
        report(f"These lines use former names of moved modules or objects. Change them by hand:\n{found}")


def render(answers: dict[str, Any]) -> dict[str, bytes]:
    """Return the files that the template renders for the answers and the version of a project.

    Migrations are left out, because an update does not change them.
    """
    data = {name: answer for name, answer in answers.items() if not name.startswith("_")}
    with TemporaryDirectory() as directory:
        run_copy(str(TEMPLATE), directory, data=data, vcs_ref=answers["_commit"], defaults=True, quiet=True)
        paths = [path for path in Path(directory).rglob("*") if path.is_file() and path.parent.name != "versions"]
        return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


class Update:
    """Merges the old version, the new version and the owner's files.

    Args:
        old: the rendered files of the old version, by path.
        new: the rendered files of the new version, by path.
        files: the new path of each moved file, by its former path.
        names: the new full name of each moved object, by its former full name.
        routes: the new path of the module that serves all modules beside it. The old version had a list of them.
    """

    def __init__(
        self,
        old: dict[str, bytes],
        new: dict[str, bytes],
        files: dict[str, str],
        names: dict[str, str],
        routes: str | None,
    ) -> None:
        self.old = old
        self.new = new
        self.files = files
        self.routes = routes
        self.head = set(git("ls-tree", "-r", "-z", "--name-only", "HEAD").decode().split("\0")[:-1])
        self.served: set[str] = set()
        self.public: set[str] = set()
        self.own = self.route_modules(routes) if routes else {}
        moved = {module_of(path): module_of(target) for path, target in files.items() if path not in new}
        moved |= {module_of(path): module_of(target) for path, target in self.own.items()}
        self.imports = Imports(moved | names, {module_of(path) for path in self.head if path.endswith(".py")})

    def route_modules(self, routes: str) -> dict[str, str]:
        """Return the new paths of the owner's route modules, by their former paths.

        Modules with an entry in the list move beside `routes`. Other modules there move up, because the entries of
        their routers may have options, such as dependencies.
        """
        former_paths = [path for path, target in self.files.items() if target == routes]
        path = next((path for path in (routes, *former_paths) if path in self.old), routes)
        if path not in self.head:
            return {}
        try:
            listed = listed_modules(git("show", f"HEAD:./{path}"))
        except SyntaxError:
            listed = {}  # `merge` reports it.
        former, directory = PurePosixPath(path).parent, PurePosixPath(routes).parent
        moves = {}
        for own in sorted(self.head - self.old.keys()):
            if not PurePosixPath(own).is_relative_to(former):
                continue
            inner = PurePosixPath(own).relative_to(former)
            module = inner.parts[0].removesuffix(".py")
            if module not in listed and former != directory:
                continue
            target = str((directory if module in listed else directory.parent) / inner)
            if target != own and target in self.head | self.new.keys():
                report(f"Cannot move {own}, because {target} exists. Check where its routes are served.")
                continue
            if target != own:
                moves[own] = target
            if module in listed:
                self.served.add(module)
                if listed[module] and b"requires" in self.old[path] and b"PUBLIC" in self.new[routes]:
                    self.public.add(own)
        return moves

    def merge(self, path: str) -> None:
        """Merge a file of the old version into its path in the new version."""
        target = self.files.get(path, path)
        sources = {former for former, moved in self.files.items() if moved == target}
        if target in self.head - self.old.keys():
            report(f"Copier merged your {target} with the template's. Compare it with: git show HEAD:./{path}")
        elif path not in self.head:  # The owner deleted or moved it.
            if sources and not self.head & {target, *sources}:
                Path(target).unlink(missing_ok=True)
        elif (ours := git("show", f"HEAD:./{path}")) == self.old[path]:
            pass  # Copier has rendered the new version.
        elif target not in self.new:
            git("checkout", "HEAD", "--", path)
            report(f"{path} is no longer in the template, but stays because you changed it. Keep or delete it.")
            self.rewrite(path)
        else:
            ours_now, base_now = self.rewritten(ours, path, target), self.rewritten(self.old[path], path, target)
            if sources or path.endswith(".py"):
                self.write_merged(path, target, *self.merged(target, ours_now, base_now))

    def merged(self, target: str, ours: bytes, base: bytes) -> tuple[bytes, bool]:
        """Return the merged text, and whether it has conflicts."""
        theirs = self.new[target]
        text, conflicts = merge_texts(ours, base, theirs)
        if not target.endswith(".py"):
            return text, conflicts
        with suppress(SyntaxError):
            if target == self.routes or (conflicts and target.endswith("__init__.py")):
                added = merge_additions(ours, base, theirs, self.served)
                return (text, conflicts) if added is None else (added, False)
            if conflicts:
                text, conflicts = merge_texts(with_imports_of(base, ours), base, theirs)
            if not conflicts:
                text = add_imports(text, ours, base)
        return text, conflicts

    def write_merged(self, path: str, target: str, text: bytes, conflicts: bool) -> None:
        if path != target:
            Path(path).unlink(missing_ok=True)
            if path in self.new:
                Path(path).write_bytes(self.new[path])
        Path(target).write_bytes(text)
        self.new[target] = text  # Another file may move to the same path.
        git("reset", "--quiet", "--", path, target)  # Copier may have marked a conflict.
        if conflicts:
            git("add", "--intent-to-add", "--", target)
            report(f"{target} has conflicts. Resolve them.")

    def keep(self, path: str) -> None:
        """Move a file that only the owner has, and rewrite its imports."""
        target = self.own.get(path, path)
        if path in self.public:
            text = Path(path).read_bytes()
            Path(path).write_bytes(re.sub(rb"^(?=router\b)", b"PUBLIC = True\n", text, count=1, flags=re.MULTILINE))
            report(f"{path} now has PUBLIC = True, because its routes need no authentication.")
        if path.endswith(".py"):
            self.rewrite(path)
        if target != path:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(path).rename(target)
            report(f"{path} moved to {target}.")

    def rewrite(self, path: str) -> None:
        """Rewrite the imports of a file that only the owner has."""
        text = Path(path).read_bytes()
        rewritten = self.rewritten(text, path, self.own.get(path, path))
        if rewritten != text:
            Path(path).write_bytes(rewritten)
            report(f"{path} now imports moved modules or objects from their new paths.")

    def rewritten(self, text: bytes, path: str, target: str) -> bytes:
        try:
            return self.imports.rewrite(text, path, target) if path.endswith(".py") else text
        except SyntaxError as error:
            report(f"Cannot parse {path} ({error}). Change the imports of moved modules by hand.")
            return text


def merge_texts(ours: bytes, base: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """Return the merged text, and whether it has conflicts."""
    command = ["git", "merge-file", "-p", "-L", "before updating", "-L", "last update", "-L", "after updating"]
    with TemporaryDirectory() as directory:
        paths = [Path(directory, name) for name in ("ours", "base", "theirs")]
        for path, text in zip(paths, (ours, base, theirs), strict=True):
            path.write_bytes(text)
        merged = subprocess.run([*command, *paths], stdout=subprocess.PIPE, check=False)
    if merged.returncode > 127:  # A smaller status is the number of conflicts.
        raise subprocess.CalledProcessError(merged.returncode, command)
    return merged.stdout, merged.returncode > 0


def git(*arguments: str, check: bool = True) -> bytes:
    return subprocess.run(["git", *arguments], stdout=subprocess.PIPE, check=check).stdout


def report(message: str) -> None:
    print(f"  {message}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
