"""Find the uses of a name in the scopes of a Python module that bind it by an import."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPES = (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef)


def uses(scope: ast.AST, name: str, binds: Callable[[ast.AST], bool], *, bound: bool = False) -> Iterator[ast.Name]:
    """Yield the nodes that use a name, but not where another variable or parameter has this name.

    Args:
        scope: a module, function, class or comprehension.
        name: the name.
        binds: returns whether a statement, such as an import, gives the name the wanted meaning.
        bound: whether the name has the wanted meaning around the scope.
    """
    nodes = list(nodes_of(scope))
    inner = True if any(map(binds, nodes)) else bound and not any(_hides(node, name) for node in nodes)
    for node in nodes:
        if isinstance(node, SCOPES):
            # Functions do not see the names of a class around them.
            yield from uses(node, name, binds, bound=bound if isinstance(scope, ast.ClassDef) else inner)
        elif inner and isinstance(node, ast.Name) and node.id == name:
            yield node


def nodes_of(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope. Of an inner scope, yield only its first node."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, SCOPES):
            yield from nodes_of(child)


def _hides(node: ast.AST, name: str) -> bool:
    """Return whether a node binds the name, other than by the wanted import."""
    if isinstance(node, ast.Name):
        return node.id == name and isinstance(node.ctx, ast.Store)
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0]) == name
    bound = {ast.arg: "arg", ast.ExceptHandler: "name", ast.MatchAs: "name", ast.MatchStar: "name"}
    bound |= {ast.FunctionDef: "name", ast.AsyncFunctionDef: "name", ast.ClassDef: "name"}
    return getattr(node, bound.get(type(node), ""), None) == name
