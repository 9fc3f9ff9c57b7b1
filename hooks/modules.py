"""Merge Python modules where git has a conflict, because both sides changed lines beside each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from io import BytesIO
from itertools import dropwhile, takewhile
from tokenize import COMMENT, tokenize

from imports import LINE_LENGTH, place_of, sort_key, written

CONFLICT = re.compile(rb"^<<<<<<< .*?^>>>>>>> [^\n]*\n", re.MULTILINE | re.DOTALL)
Part = tuple[str, str]
"""The module and the name of an import, the name and an element of a list, or an empty text and another statement."""


def with_imports_of(base: bytes, ours: bytes) -> bytes:
    """Return the owner's module with the imports of the old version, unless the imports have comments."""
    lines, (start, end), (first, last) = ours.splitlines(keepends=True), import_lines(ours), import_lines(base)
    if not comments(b"".join(lines[start:end])):
        lines[start:end] = base.splitlines(keepends=True)[first:last]
    return b"".join(lines)


def add_imports(merged: bytes, ours: bytes, base: bytes) -> bytes:
    """Add imports that the owner added, and other imports that the owner's code still needs."""
    expected, present = dict(parts(base)), dict(parts(merged))
    tree = ast.parse(merged)
    defined = {name.rpartition(" ")[2] for where, name in present if where}
    for node in ast.walk(tree):
        match node:
            case ast.Name(name, ctx=ast.Store()) | ast.arg(name):
                defined.add(name)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                defined.add(name)
    text = merged.decode()
    for (where, name), statement in parts(ours):
        needed = (where, name) not in expected or name.rpartition(" ")[2] in set(names_in(tree)) - defined
        if isinstance(statement, ast.Import | ast.ImportFrom) and (where, name) not in present and needed:
            text = add_import(text, where, name)
    return text.encode()


def add_imports_around_conflicts(merged: bytes, ours: bytes, base: bytes) -> bytes:
    """Add imports like `add_imports`, to a module that may have conflicts.

    Raises:
        SyntaxError: without the lines in conflict, it is not a module.
    """
    conflicts = CONFLICT.findall(merged)
    for number, conflict in enumerate(conflicts):
        merged = merged.replace(conflict, b"# conflict %d\n" % number, 1)
    merged = add_imports(merged, ours, base)
    for number, conflict in enumerate(conflicts):
        merged = merged.replace(b"# conflict %d\n" % number, conflict, 1)
    return merged


def merge_additions(ours: bytes, base: bytes, theirs: bytes, served: Collection[str] = ()) -> bytes | None:
    """Return `theirs` with what `ours` adds to `base`, or None if `ours` differs from `base` in another way.

    The additions are statements, imported names, and elements of `routers` or `__all__`.

    Args:
        ours: the owner's module.
        base: the module of the old version.
        theirs: the module of the new version.
        served: route modules whose imports and entries are left out, because `theirs` finds the modules itself.
    """
    found, expected, new = dict(parts(ours)), dict(parts(base)), dict(parts(theirs))
    if expected.keys() - found.keys() or comments(ours) != comments(base):
        return None
    left_out = {part for module in served for part in [(".", module), *entries_of(module)]}
    gone = {name for _, name in expected.keys() - new.keys()}
    text = theirs.decode()
    for (where, name), node in found.items():
        if (where, name) in expected or (where, name) in left_out:
            continue
        if gone.intersection(names_in(node)):
            return None  # It uses a name that the template no longer imports.
        if where == "__all__" and where not in {other for other, _ in new}:
            return None  # The template has no such list.
        if isinstance(node, ast.ImportFrom):
            text = add_import(text, where, name)
        elif where == "__all__":
            text = add_to_all(text, ast.literal_eval(name))
        elif where:
            text += f"{where} += [{name}]\n"
        else:
            text += f"\n{source_of(node, ours)}"
    return text.encode()


def listed_modules(source: bytes) -> dict[str, bool]:
    """Return the route modules whose only use in `source` is an entry, and whether the entry is public."""
    found, names = dict(parts(source)), names_in(ast.parse(source))
    return {
        module: public
        for where, module in found
        if where == "." and names.count(module) == 1
        for entry, public in entries_of(module).items()
        if entry in found
    }


def entries_of(module: str) -> dict[Part, bool]:
    """Return the ways to serve the router of a module without options, and whether each is public."""
    router = f"{module}.router"
    return {
        ("routers", router): True,
        ("", f"routers.append({router})"): True,
        ("", f"authenticated.include_router({router})"): False,
        ("", f"signed_in.include_router({router})"): False,
    }


def parts(source: bytes) -> Iterator[tuple[Part, ast.stmt | ast.expr]]:
    for node in ast.parse(source).body:
        match node:
            case ast.ImportFrom():
                for alias in node.names:
                    yield (module_in(node), ast.unparse(alias)), node
            case (
                ast.Assign(targets=[ast.Name("routers" | "__all__" as name)], value=ast.List(elements))
                | ast.AnnAssign(target=ast.Name("routers" | "__all__" as name), value=ast.List(elements))
            ):
                for element in elements:
                    yield (name, ast.unparse(element)), element
            case _:
                yield ("", ast.unparse(node)), node


def import_lines(source: bytes) -> tuple[int, int]:
    """Return where the first block of imports starts and ends."""
    body = dropwhile(lambda node: not is_import(node), ast.parse(source).body)
    nodes = list(takewhile(is_import, body))
    return (nodes[0].lineno - 1, nodes[-1].end_lineno or 0) if nodes else (0, 0)


def is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def names_in(tree: ast.AST) -> list[str]:
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def comments(source: bytes) -> list[str]:
    return [token.string for token in tokenize(BytesIO(source).readline) if token.type == COMMENT]


def source_of(node: ast.stmt | ast.expr, source: bytes) -> str:
    start = min(child.lineno for child in [node, *getattr(node, "decorator_list", [])])
    return "".join(source.decode().splitlines(keepends=True)[start - 1 : node.end_lineno])


def add_import(text: str, module: str, name: str) -> str:
    """Add a name to the import of its module, or add an import. `make format` sorts the imports.

    Args:
        module: an empty text if `name` is a statement such as `import os`.
    """
    lines = text.splitlines(keepends=True)
    start, end = import_lines(text.encode())
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    block = [node for node in imports if (node.level > 0) == module.startswith(".")]
    if not module:
        lines.insert(start, f"{name}\n")
    elif found := next((node for node in imports if module_in(node) == module), None):
        names = [*map(ast.unparse, found.names), name]
        lines[found.lineno - 1 : found.end_lineno] = [f"{written(module, names, indent='')}\n"]
    elif block:
        before = [node.end_lineno or 0 for node in block if place_of(module_in(node)) < place_of(module)]
        lines.insert(before[-1] if before else block[0].lineno - 1, f"from {module} import {name}\n")
    else:
        lines.insert(end, f"\nfrom {module} import {name}\n")
    return "".join(lines)


def module_in(node: ast.ImportFrom) -> str:
    return "." * node.level + (node.module or "")


def add_to_all(text: str, name: str) -> str:
    (node,) = (one for one in ast.parse(text).body if isinstance(one, ast.Assign) and "__all__" in names_in(one))
    names = [f'"{each}"' for each in sorted([*ast.literal_eval(node.value), name], key=sort_key)]
    line = f"__all__ = [{', '.join(names)}]"
    if len(line) > LINE_LENGTH:
        line = "\n".join(["__all__ = [", *(f"    {each}," for each in names), "]"])
    lines = text.splitlines(keepends=True)
    lines[node.lineno - 1 : node.end_lineno] = [f"{line}\n"]
    return "".join(lines)
