"""Tests of hooks/imports.py, which rewrites imports during an update. test_updates.py tests it in projects."""

from __future__ import annotations

import pytest

from imports import Imports

IMPORTS = Imports(
    moved={
        "app.api.items": "app.api.routes.items",
        "app.api.problems": "app.problems",
        "app.dialects": "app.backends",
        "app.dialects.dialect_for": "app.backends.backend_for",
        "app.dialects.parse_url": "app.urls.parse_url",
        "app.models.portable": "app.models.types",
        "app.paging.select": "app.paging.page_request",
        "widget": "support.models",
    },
    modules={
        "app",
        "app.api",
        "app.api.items",
        "app.api.orders",
        "app.api.problems",
        "app.dialects",
        "app.models.item",
    },
)
LONG = "Abcdefghijklmnopqrstuvwxyz" * 4


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from .orders import router", "from .orders import router"),
        ("from .problems import problem", "from ..problems import problem"),
        ("from . import problems", "from .. import problems"),
        ("from app.api.problems import problem as p", "from app.problems import problem as p"),
        ("from .problems import *", "from ..problems import *"),
        ("from ..dialects import dialect_for\n\ndialect_for()", "from ..backends import backend_for\n\nbackend_for()"),
        ("from ..dialects import dialect_for as d\n\nd()", "from ..backends import backend_for as d\n\nd()"),
        ("from ..models import portable\n\nportable.A", "from ..models import types\n\ntypes.A"),
        ("from widget import Widget", "from support.models import Widget"),
        ("from .problems import (\n    a,  # why\n    b,\n)", "from ..problems import (\n    a,  # why\n    b,\n)"),
        ("def f():\n    from .problems import a  # late", "def f():\n    from ..problems import a  # late"),
        ("x = 'é'; from .problems import a", "x = 'é'; from ..problems import a"),
    ],
)
def test_import_is_rewritten_to_the_new_module(before: str, after: str) -> None:
    assert rewrite(before) == after


def test_import_is_split_if_its_names_moved_to_different_modules() -> None:
    source = "from ..dialects import parse_url, dialect_for, Dialect"
    assert rewrite(source) == "from ..backends import Dialect, backend_for\nfrom ..urls import parse_url"


def test_rewritten_import_is_sorted_into_its_block() -> None:
    source = "from ..models import Item\nfrom .orders import a\nfrom .problems import b"
    assert rewrite(source) == "from ..models import Item\nfrom ..problems import b\nfrom .orders import a"


def test_long_import_is_wrapped() -> None:
    source = f"from ..dialects import {LONG}, dialect_for"
    assert rewrite(source) == f"from ..backends import (\n    {LONG},\n    backend_for,\n)"


def test_relative_imports_of_a_moved_module_are_adjusted() -> None:
    source = "from ..models import Item\nfrom . import items, orders\nfrom .problems import problem"
    expected = "from ...models import Item\nfrom ...problems import problem\nfrom .. import orders\nfrom . import items"
    assert rewrite(source, "src/app/api/__init__.py", "src/app/api/routes/__init__.py") == expected


def test_renamed_function_is_renamed_in_its_own_module() -> None:
    source = "def select():\n    return select\n"
    assert rewrite(source, "src/app/paging.py") == "def page_request():\n    return page_request"


def test_other_lines_are_unchanged() -> None:
    source = b"import os\r\nfrom .orders import b,a\nfrom ..api.orders import d\nfrom .conditional import c \n\n\nx=1"
    assert IMPORTS.rewrite(source, "src/app/api/ours.py", "src/app/api/ours.py") == source


def rewrite(source: str, path: str = "src/app/api/ours.py", target: str | None = None) -> str:
    return IMPORTS.rewrite(f"{source}\n".encode(), path, target or path).decode().strip()
