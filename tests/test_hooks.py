"""Tests of hooks/imports.py and hooks/modules.py, which change modules in an update. test_updates.py runs updates."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from imports import Imports
from modules import add_imports, add_imports_around_conflicts, listed_modules, merge_additions, with_imports_of

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
    source = "if True:\n    def select():\n        return select"
    assert rewrite(source, "src/app/paging.py") == source.replace("select", "page_request")


def test_other_variables_with_the_name_are_unchanged() -> None:
    source = """from ..paging import select
select()
class Query:
    def select(self, select=None, *, key=lambda select: select): return select
    def first(self): return select() + [select for select in "ab"]
"""
    expected = source.replace("import select", "import page_request").replace("\nselect()", "\npage_request()")
    assert rewrite(source) == expected.replace("return select()", "return page_request()").rstrip()


def test_other_lines_are_unchanged() -> None:
    source = b"import os\r\nfrom .orders import b,a\nfrom ..api.orders import d\nfrom .conditional import c \n\n\nx=1"
    assert IMPORTS.rewrite(source, "src/app/api/ours.py", "src/app/api/ours.py") == source


def rewrite(source: str, path: str = "src/app/api/ours.py", target: str | None = None) -> str:
    return IMPORTS.rewrite(f"{source}\n".encode(), path, target or path).decode().strip()


# ------------------------------------------------------------------------------------ modules.py

FORMER = '''"""The routers."""

from fastapi import APIRouter

from . import auth, items

authenticated = APIRouter()
authenticated.include_router(items.router)

routers: list[APIRouter] = [auth.router, authenticated]
'''
NEW = '''"""The routers under the API prefix."""

from importlib import import_module

from fastapi import APIRouter

authenticated = APIRouter()

routers: list[APIRouter] = [authenticated, *find_routers()]
'''


def test_long_list_of_names_is_wrapped() -> None:
    base = b'__all__ = [\n    "A",\n]\n'
    theirs = f'__all__ = [\n    "{LONG}",\n]\n'.encode()
    ours = b'__all__ = [\n    "A",\n    "Ours",\n]\n'
    assert merge_additions(ours, base, theirs) == f'__all__ = [\n    "{LONG}",\n    "Ours",\n]\n'.encode()


def test_import_of_the_owner_stays_beside_conflicts() -> None:
    base = b"from .a import (\n    A,\n    B,\n)\n\nx = [A, B]\n"
    ours = b"from .a import (\n    A,\n    B,\n    Ours,\n)\n\nx = [A, B, Ours]\n"
    conflict = b"<<<<<<< before updating\nx = [A, B, Ours]\n=======\nx = [a.A]\n>>>>>>> after updating\n"
    merged = b"from . import a\n\n" + conflict
    assert add_imports_around_conflicts(merged, ours, base) == (b"from . import a\nfrom .a import Ours\n\n" + conflict)


@pytest.mark.parametrize(
    ("added", "listed"),
    [
        ("authenticated.include_router(orders.router)", {"orders": False}),
        ("routers.append(orders.router)", {"orders": True}),
        ("routers += [orders.router]", {}),
        ("authenticated.include_router(orders.router, prefix='/shop')", {}),
        ("authenticated.include_router(orders.lines)", {}),
        ("authenticated.include_router(orders.router)\nX = orders", {}),
        ("admin.include_router(orders.router)", {}),
    ],
)
def test_entry_is_found_if_it_has_no_options(added: str, listed: dict[str, bool]) -> None:
    source = f"{FORMER}{added}\n".replace("items\n", "items, orders\n")
    found = listed_modules(source.encode())
    assert {name: found[name] for name in found.keys() - {"auth", "items"}} == listed


def test_found_entries_are_left_out_of_the_merge() -> None:
    ours = FORMER.replace("items\n", "items, orders, terms\n").replace("[auth", "[terms.router, auth")
    ours += "authenticated.include_router(orders.router)\n"
    assert merged(ours, {"orders", "terms"}) == NEW


def test_other_additions_are_merged() -> None:
    added = """admin = APIRouter(dependencies=[Depends()])
admin.include_router(orders.router)


@decorated
def ours():
    return 1

"""
    ours = FORMER.replace("items\n", "items, orders\n").replace("APIRouter\n", "APIRouter, Depends\n", 1)
    ours = ours.replace("[auth", "[admin, auth").replace("routers:", f"{added}routers:")
    expected = NEW.replace("APIRouter\n", "APIRouter, Depends\n\nfrom . import orders\n", 1)
    for statement in added.replace(")\nadmin", ")\n\nadmin").split("\n\n"):
        expected += f"\n{statement.strip()}\n" if statement else ""
    assert merged(ours) == f"{expected}routers += [admin]\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("authenticated = APIRouter()", "authenticated = APIRouter(dependencies=[])"),  # changed
        ("auth.router, ", ""),  # removed
        ("items\n", "items  # ours\n"),  # Syntax trees have no comments.
        ("\nrouters", '\n__all__ = ["routers"]\n\nrouters'),  # Only the owner has this list.
        ("\nrouters", "\nown = APIRouter()\nown.include_router(items.router)\n\nrouters"),  # no longer imported
    ],
)
def test_other_changes_are_not_merged(before: str, after: str) -> None:
    assert merged(FORMER.replace(before, after)) is None


def test_added_exports_are_sorted() -> None:
    base = 'from .base import Base\n\n__all__ = ["Base"]\n'
    ours = 'from .base import Base\nfrom .order import Line, Order\n\n__all__ = ["Base", "Order", "Line"]\n'
    theirs = 'from .base import Base, Versioned\n\n__all__ = ["Base", "Versioned"]\n\nfind()\n'
    assert merge_additions(ours.encode(), base.encode(), theirs.encode()) == (
        b"from .base import Base, Versioned\nfrom .order import Line, Order\n\n"
        b'__all__ = ["Base", "Line", "Order", "Versioned"]\n\nfind()\n'
    )


def test_imports_of_the_owner_are_added_to_those_of_the_template() -> None:
    base = "import os\n\nfrom .paging import SIZE, select\n\nselect(SIZE)\n"
    ours = base.replace("os\n\n", "os\nimport re\n\nfrom .orders import a as b\n") + "b(SIZE)\n"
    merged = "import os\n\nfrom .paging import page\n\npage(lambda select: select)\nb(SIZE)\n"
    assert with_imports_of(base.encode(), ours.encode()) == f"{base}b(SIZE)\n".encode()
    assert add_imports(merged.encode(), ours.encode(), base.encode()) == (
        b"import re\nimport os\n\nfrom .orders import a as b\nfrom .paging import SIZE, page\n\n"
        b"page(lambda select: select)\nb(SIZE)\n"
    )


def merged(ours: str, served: Collection[str] = ()) -> str | None:
    text = merge_additions(ours.encode(), FORMER.encode(), NEW.encode(), served)
    return None if text is None else text.decode()
