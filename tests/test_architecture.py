"""Compare the layers and diagrams of docs/architecture.md with the code."""

from __future__ import annotations

import ast
import itertools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from answers import CORNERS
from conftest import Render

Arrows = set[tuple[str, str]]

FORBIDDEN = {
    "api": r"sqlalchemy(?!\.exc|\.ext\.asyncio)",
    "services": r"fastapi|starlette|sqlalchemy",
    "repositories": r"fastapi|starlette",
    "models": r"fastapi|starlette",
}
"""Modules that a layer must not import, according to the table in docs/architecture.md."""


def imports(node: ast.AST) -> Iterator[ast.ImportFrom]:
    """Yield imports that run. Imports under `if TYPE_CHECKING:` are left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for statement in child.orelse:
                yield from imports(statement)
        else:
            yield from imports(child)


def modules(package: Path) -> set[str]:
    return {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()} - {
        "__init__"
    }


def imported(package: Path) -> Arrows:
    """Return pairs of modules: the first imports the second. A subpackage counts as one module."""
    found = set()
    for path in package.rglob("*.py"):
        location = path.relative_to(package).with_suffix("").parts
        for statement in imports(ast.parse(path.read_text("utf-8"))):
            if not statement.level:
                continue
            base = [*location[: -statement.level], *(statement.module or "").split(".")]
            names = [name for name in base if name][:1] or [alias.name for alias in statement.names]
            found |= {(location[0], name) for name in names if name in modules(package) and name != location[0]}
    return found


def diagrams(project: Path) -> list[str]:
    return re.findall(r"```mermaid\n(.*?)```", (project / "docs" / "architecture.md").read_text("utf-8"), re.DOTALL)


def drawn(diagram: str) -> tuple[set[str], Arrows]:
    """Return the nodes and the arrows of a diagram."""
    nodes, arrows = set(), []
    for line in diagram.splitlines()[1:]:
        chain = [part.strip().split(" & ") for part in line.split("-->")]
        nodes |= {name for names in chain for name in names}
        for sources, targets in itertools.pairwise(chain):
            arrows += [(source, target) for source in sources for target in targets]
    assert len(arrows) == len(set(arrows)), f"The diagram has the same arrow twice: {arrows}"
    return nodes, set(arrows)


def left_out(project: Path) -> set[str]:
    paragraph = re.search(
        r"^`__main__`, .*?\n\n", (project / "docs" / "architecture.md").read_text("utf-8"), re.M | re.S
    )
    assert paragraph
    return set(re.findall(r"`(\w+)`", paragraph[0])) - {"main"}


@pytest.mark.parametrize("corner", CORNERS)
def test_diagram_arrows_match_imports(render: Render, corner: str) -> None:
    project = render(**CORNERS[corner])
    package = project / "src" / "my_service"
    nodes, arrows = drawn(diagrams(project)[0])
    assert nodes | left_out(project) == modules(package)
    assert nodes & left_out(project) == set()
    assert arrows == {(source, target) for source, target in imported(package) if {source, target} <= nodes}


def test_diagram_shows_the_middleware_in_order(render: Render) -> None:
    project = render()
    tree = ast.parse((project / "src" / "my_service" / "main.py").read_text("utf-8"))
    chain = next(node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "middleware")
    assert isinstance(chain, ast.List)
    # CORS is the only layer that depends on a setting.
    names = [ast.unparse(layer.args[0]) if isinstance(layer, ast.Call) else "CORS" for layer in chain.elts]
    layers = [name.rpartition(".")[2].removesuffix("Middleware") for name in names]
    order = diagrams(project)[1].splitlines()[1].strip().split(" --> ")
    assert order == [*layers, "route"]


@pytest.mark.parametrize("corner", CORNERS)
def test_documented_layers_match_the_import_linter_contract(render: Render, corner: str) -> None:
    project = render(**CORNERS[corner])
    document = (project / "docs" / "architecture.md").read_text("utf-8")
    layers = re.search(r"^```\n(.*?)\n```$", document, re.MULTILINE | re.DOTALL)
    assert layers
    configuration = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    assert layers[1].splitlines() == configuration["contracts"][0]["layers"]


@pytest.mark.parametrize("corner", CORNERS)
def test_layers_do_not_import_forbidden_packages(render: Render, corner: str) -> None:
    package = render(**CORNERS[corner]) / "src" / "my_service"
    for layer, pattern in FORBIDDEN.items():
        for path in (package / layer).rglob("*.py"):
            names = [statement.module or "" for statement in imports(ast.parse(path.read_text("utf-8")))]
            assert not [name for name in names if re.match(pattern, name)], f"{path} imports a forbidden module."


def test_added_imports_are_found(project: Render) -> None:
    directory = project()
    package = directory / "src" / "my_service"
    before = imported(package)
    with (package / "models" / "base.py").open("a") as file:
        file.write("\nfrom ..api import health\n\nif TYPE_CHECKING:\n    from ..main import create_app\n")
    assert imported(package) - before == {("models", "api")}
    with (package / "errors.py").open("a") as file:
        file.write("\nfrom . import config, logs\n")
    assert imported(package) - before == {("models", "api"), ("errors", "config"), ("errors", "logs")}
