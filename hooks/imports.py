"""Rewrite the imports of a module whose imported modules or objects have moved."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

sys.path.append(str(Path(__file__).parents[1]))  # Copier's clone of the template, which is not installed

from standfast.scopes import nodes_of, uses

LINE_LENGTH = 120


def module_of(path: str) -> str:
    """Return the name under which other modules import a file of a project."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[parts[0] in ("src", "tests") : -1 if parts[-1] == "__init__" else None])


def package_of(path: str) -> str:
    """Return the package in which the relative imports of a file start."""
    return module_of(path) if path.endswith("__init__.py") else module_of(path).rpartition(".")[0]


@dataclass(frozen=True)
class Imports:
    """Rewrites imports by a table of moves."""

    moved: dict[str, str]
    """Former full name of each moved module or object, with its new full name."""
    modules: set[str]
    """Full names of all modules before the update, including the owner's."""

    def rewrite(self, source: bytes, path: str, target: str) -> bytes:
        """Return the source of a module with rewritten imports.

        Args:
            source: the source of the module at `path`.
            path: the path of the module before the update.
            target: the path of the module after the update.

        Raises:
            SyntaxError: this version of Python cannot parse the source.
        """
        source = rename(source, self.renamed(source, path))
        lines = source.splitlines(keepends=True)
        for block in reversed(import_blocks(source)):
            first, last = block[0].lineno - 1, block[-1].end_lineno
            statements = [new for node in block for new in self.moved_import(node, lines, path, target)]
            if lines[first:last] != b"".join(text for _, text in statements).splitlines(keepends=True):
                lines[first:last] = [text.rstrip() + b"\n" for _, text in sorted(statements)]
        return b"".join(lines)

    def renamed(self, source: bytes, path: str) -> dict[str, str]:
        """Return the changed names among the names that the module defines or imports, with their new names."""
        full_names = (full.rpartition(".") for full in self.moved)
        names = {name: self.find(module, name)[1] for module, _, name in full_names if module == module_of(path)}
        for node in from_imports(source):
            module = absolute(node, package_of(path))
            names |= {alias.name: self.find(module, alias.name)[1] for alias in node.names if not alias.asname}
        return {name: new for name, new in names.items() if name != new}

    def find(self, module: str, name: str) -> tuple[str, str]:
        """Return the new module and the new name of an object."""
        full = f"{module}.{name}"
        if full in self.moved:
            module, _, name = self.moved[full].rpartition(".")
        elif full not in self.modules:
            module = self.moved.get(module, module)
        return module, name

    def moved_import(
        self, node: ast.ImportFrom, lines: list[bytes], path: str, target: str
    ) -> list[tuple[tuple[int, str], bytes]]:
        """Return the rewritten statements of an import, one for each module, with their sort keys."""
        before = [f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in node.names]
        after: dict[str, list[str]] = {}
        former = absolute(node, package_of(path))
        for alias, text in zip(node.names, before, strict=True):
            module, name = self.find(former, alias.name)
            if (module, path) == (former, target):
                module = "." * node.level + (node.module or "")
            elif node.level:
                module = relative(module, package_of(target))
            after.setdefault(module, []).append(text.replace(alias.name, name, 1))
        whole = b"".join(lines[node.lineno - 1 : node.end_lineno])
        end = len(whole) - len(lines[(node.end_lineno or 0) - 1]) + (node.end_col_offset or 0)
        indent, statement, rest = whole[: node.col_offset], whole[node.col_offset : end], whole[end:]
        if list(after.values()) == [before]:  # Only the module changed, so the layout stays.
            texts = [re.sub(rb"from\s*[.\w]+", f"from {module}".encode(), statement, count=1) for module in after]
        else:
            texts = [written(module, names, indent.decode()).encode() for module, names in after.items()]
        return [(place_of(module), indent + text + rest) for module, text in zip(after, texts, strict=True)]


def absolute(node: ast.ImportFrom, package: str) -> str:
    parts = package.split(".")[: 1 - node.level or None] if node.level else []
    return ".".join([*parts, *([node.module] if node.module else [])])


def relative(module: str, package: str) -> str:
    there, here = module.split("."), package.split(".")
    while there and here and there[0] == here[0]:
        del there[0], here[0]
    return "." * (len(here) + 1) + ".".join(there)


def place_of(module: str) -> tuple[int, str]:
    """Return the sort key of isort: the furthest package first, then by name."""
    name = module.lstrip(".")
    return len(name) - len(module), name.lower()


def sort_key(name: str) -> tuple[bool, bool, str]:
    """Return the sort key of isort for imported names: constants, classes, other names."""
    return not name.isupper(), not name[0].isupper(), name


def written(module: str, names: list[str], indent: str) -> str:
    names = sorted(names, key=sort_key)
    line = f"from {module} import {', '.join(names)}"
    if len(indent + line) <= LINE_LENGTH:
        return line
    return f"from {module} import (\n" + "".join(f"{indent}    {name},\n" for name in names) + f"{indent})"


def from_imports(source: bytes) -> list[ast.ImportFrom]:
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom))
    return sorted(nodes, key=lambda node: node.lineno)


def import_blocks(source: bytes) -> list[list[ast.ImportFrom]]:
    """Return the imports in groups of adjacent lines."""
    blocks: list[list[ast.ImportFrom]] = []
    for node in from_imports(source):
        last = blocks[-1][-1] if blocks else None
        if last and node.lineno == (last.end_lineno or 0) + 1 and bool(node.level) == bool(last.level):
            blocks[-1].append(node)
        else:
            blocks.append([node])
    return blocks


def rename(source: bytes, names: dict[str, str]) -> bytes:
    """Rename variables, functions and classes of a module, but not in import statements or where a name is hidden."""
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    found = []
    for name in names:
        found += [(node.lineno - 1, node.col_offset, name) for node in uses(tree, name, partial(_binds, tree, name))]
    for node in nodes_of(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in names:
            start = lines[node.lineno - 1].index(f" {node.name}".encode(), node.col_offset) + 1
            found.append((node.lineno - 1, start, node.name))
    for number, start, name in sorted(found, reverse=True):
        line = lines[number]
        lines[number] = line[:start] + names[name].encode() + line[start + len(name.encode()) :]
    return b"".join(lines)


def _binds(module: ast.Module, name: str, node: ast.AST) -> bool:
    """Return whether a node belongs to the module's own scope, or imports the name into an inner scope."""
    if isinstance(node, ast.ImportFrom):
        return any(alias.name == name and not alias.asname for alias in node.names)
    return node in module.body
