"""The events that a rendered service logs: one constant name for each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Render

METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
NAME = re.compile(r"[a-z]+(_[a-z]+)*")
"""The form of the names of events and fields."""


def log_calls(source: Path) -> Iterator[tuple[str, ast.Call]]:
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("logger"), attr=method)) if method in METHODS:
                    yield f"{path.name}:{node.lineno}", node
                case ast.Call(func=ast.Name("log")):
                    yield f"{path.name}:{node.lineno}", node


@pytest.mark.parametrize("auth", ["none", "jwt"])
def test_every_log_event_has_a_constant_name_and_its_values_as_fields(render: Render, auth: str) -> None:
    found = list(log_calls(render(auth=auth) / "src"))
    assert len(found) > 8
    for place, call in found:
        assert len(call.args) == 1, place
        name = call.args[0]
        assert isinstance(name, ast.Constant), place
        assert NAME.fullmatch(str(name.value)), place
        assert all(keyword.arg and NAME.fullmatch(keyword.arg) for keyword in call.keywords), place
