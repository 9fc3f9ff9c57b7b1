"""Merge a module to which the owner only added statements, imported names, or elements of `routers` or `__all__`.

Git has a conflict if the template changed a line beside the added ones. A short `__init__.py` has few other lines.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from io import BytesIO
from tokenize import COMMENT, tokenize

from imports import place_of, sort_key, written

Part = tuple[str, str]
"""The module and the name of an import, the name and an element of a list, or an empty text and another statement."""


def merge_additions(ours: bytes, base: bytes, theirs: bytes, served: Collection[str] = ()) -> bytes | None:
    """Return `theirs` with what `ours` adds to `base`, or None if `ours` differs from `base` in another way.

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
                    yield ("." * node.level + (node.module or ""), ast.unparse(alias)), node
            case (
                ast.Assign(targets=[ast.Name("routers" | "__all__" as name)], value=ast.List(elements))
                | ast.AnnAssign(target=ast.Name("routers" | "__all__" as name), value=ast.List(elements))
            ):
                for element in elements:
                    yield (name, ast.unparse(element)), element
            case _:
                yield ("", ast.unparse(node)), node


def names_in(tree: ast.AST) -> list[str]:
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]


def comments(source: bytes) -> list[str]:
    return [token.string for token in tokenize(BytesIO(source).readline) if token.type == COMMENT]


def source_of(node: ast.stmt | ast.expr, source: bytes) -> str:
    start = min(child.lineno for child in [node, *getattr(node, "decorator_list", [])])
    return "".join(source.decode().splitlines(keepends=True)[start - 1 : node.end_lineno])


def add_import(text: str, module: str, name: str) -> str:
    """Add a name to the import of its module, or add an import in the order of isort."""
    lines = text.splitlines(keepends=True)
    place, blank = None, ""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            other = "." * node.level + (node.module or "")
            if other == module:
                names = [*map(ast.unparse, node.names), name]
                lines[node.lineno - 1 : node.end_lineno] = [written(module, names, "") + "\n"]
                return "".join(lines)
            if place is None or (other[0] == ".", *place_of(other)) < (module[0] == ".", *place_of(module)):
                place, blank = node.end_lineno, "" if (other[0] == ".") == (module[0] == ".") else "\n"
    lines.insert(len(lines) if place is None else place, f"{blank}from {module} import {name}\n")
    return "".join(lines)


def add_to_all(text: str, name: str) -> str:
    (node,) = (one for one in ast.parse(text).body if isinstance(one, ast.Assign) and "__all__" in names_in(one))
    names = ", ".join(f'"{each}"' for each in sorted([*ast.literal_eval(node.value), name], key=sort_key))
    lines = text.splitlines(keepends=True)
    lines[node.lineno - 1 : node.end_lineno] = [f"__all__ = [{names}]\n"]
    return "".join(lines)
