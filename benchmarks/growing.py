"""Growth of the costs with the number of clients, rows and resources."""

from __future__ import annotations

import json
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from harness import Route, load
from report import Table
from subjects import Subject, database_url, fill, serving_all, sql

CLIENTS, ROWS, RESOURCES = "clients", "rows", "resources"

GROUP = 25
"""Resources for each router that is included. FastAPI cannot start with 500 of them: see upstream/lifespans.py."""

ROUTES_OF_A_RESOURCE = [
    ("get", ""),
    ("post", ""),
    ("get", "/{item_id}"),
    ("patch", "/{item_id}"),
    ("delete", "/{item_id}"),
]
ROUTE = """

@{router}.{method}("{path}", response_model={model})
async def {method}{number}_{place}(item_id: UUID, {parameter}) -> object:
    return await {call}
"""


class Code(NamedTuple):
    """The way in which a subject writes the routes of a resource."""

    module: str
    """File of the routes. With `{first}`, each group has its own."""

    imports: str
    include: str
    """Statement that serves the router of a group."""

    model: str
    parameter: str
    call: str


CODE = {
    "ours": Code(
        "src/my_service/api/routes/more{first}.py",
        "from ...schemas.item import ItemRead\nfrom .items import ReaderDep\n",
        "router = group",
        "ItemRead",
        "reader: ReaderDep",
        "reader.get(item_id)",
    ),
    "peer": Code(
        "peer_service/web/api/router.py",
        "from fastapi import Depends\nfrom peer_service.db.dao.item_dao import ItemDAO\n"
        "from peer_service.web.api.items.schema import ItemModelDTO\n",
        "api_router.include_router(group)",
        "ItemModelDTO",
        "item_dao: ItemDAO = Depends()",
        "item_dao.get_item(item_id)",
    ),
    "vstorm": Code(
        "app/api/routes/v1/__init__.py",
        "from app.api.deps import ItemSvc\nfrom app.schemas.item import ItemRead\n",
        "v1_router.include_router(group)",
        "ItemRead",
        "item_service: ItemSvc",
        "item_service.get_item(item_id)",
    ),
}
OFFSETS = {"peer": "offset", "vstorm": "skip"}
"""The names of the parameter that leaves rows out."""


def measure_clients(
    subjects: Mapping[str, Subject], table: Table, rounds: int, seconds: float, counts: tuple[int, ...]
) -> None:
    """The list page asked for by more and more clients: answers per second, and milliseconds of the 99th percentile."""
    for subject in subjects.values():
        fill(subject)
    for _ in range(rounds):
        with serving_all(subjects) as servers:
            for count in counts:
                for name, subject in subjects.items():
                    result = load(servers[name], subject.routes["list page"], count, seconds=seconds)
                    table.row(CLIENTS, f"{count} clients, rate", "1/s", "more").add(name, result.rate)
                    table.row(CLIENTS, f"{count} clients, p99", "ms").add(name, result.percentile(0.99))


def measure_rows(
    subjects: Mapping[str, Subject], table: Table, rounds: int, seconds: float, counts: tuple[int, ...]
) -> None:
    """Milliseconds until one client has an item, the number of rows, and pages."""
    for count in counts:
        for subject in subjects.values():
            fill(subject, count)
        found = {
            "read by id": {
                name: replace(subject.routes["read by id"], rows=count) for name, subject in subjects.items()
            },
            "first page": {name: subject.routes["list page"] for name, subject in subjects.items()},
            "middle page": {name: middle_page(subject, count) for name, subject in subjects.items()},
            "number of rows": {"ours": Route("GET", "/api/v1/items/count")},
        }
        for _ in range(rounds):
            with serving_all(subjects) as servers:
                for kind, routes in found.items():
                    for name, route in routes.items():
                        result = load(servers[name], route, 1, seconds=seconds)
                        table.row(ROWS, f"{count:,} rows, {kind}, p50", "ms").add(name, result.percentile(0.5))
                        if kind == "number of rows":  # the first request counts, and the cache has the others
                            row = table.row(ROWS, f"{count:,} rows, {kind}, first request", "ms")
                            row.add(name, result.percentile(1))


def middle_page(subject: Subject, rows: int) -> Route:
    """The page after half of the rows, as the subject itself would link to it."""
    path = subject.routes["list page"].path
    if subject.name in OFFSETS:
        return Route("GET", f"{path}&{OFFSETS[subject.name]}={rows // 2}")
    query = f"SELECT id::text FROM my_service.item ORDER BY id LIMIT 1 OFFSET {rows // 2}"
    middle = sql(database_url(subject), query)
    if subject.name == "ours":
        middle = urlsafe_b64encode(json.dumps(["id", middle, middle]).encode()).decode().rstrip("=")
    return Route("GET", f"{path}&after={middle}")


def measure_resources(subjects: Mapping[str, Subject], table: Table, rounds: int, counts: tuple[int, ...]) -> None:
    """CPU seconds to the first healthy answer, memory, and CPU of a read of the last resource and of a 404."""
    for subject in subjects.values():
        fill(subject)
    enlarged = {count: [enlarge(subject, count) for subject in subjects.values()] for count in counts}
    for _ in range(rounds):
        for count, variants in enlarged.items():
            for variant in variants:
                with variant.serving() as server:
                    table.row(RESOURCES, f"{count} more, start, CPU", "s").add(variant.name, server.start.cpu)
                    table.row(RESOURCES, f"{count} more, PSS", "MB").add(variant.name, server.memory().pss)
                    for kind in ("last resource", "no resource"):
                        route = variant.routes[kind]
                        load(server, route, 1, requests=100)
                        result = load(server, route, 1, requests=500)
                        table.row(RESOURCES, f"{count} more, {kind}, CPU", "µs").add(
                            variant.name, result.cpu_per_answer
                        )


def enlarge(subject: Subject, count: int) -> Subject:
    """Return a copy of a subject with this number of additional resources."""
    path = subject.routes["read by id"].path
    routes = {
        **subject.routes,
        "last resource": Route("GET", path.replace("items", f"more{count - 1}") if count else path),
        "no resource": Route("GET", "/nowhere", status=404),
    }
    if subject.name == "bare":
        return replace(subject, routes=routes, variables={**subject.variables, "MORE_RESOURCES": str(count)})
    project = subject.cwd.with_name(f"{subject.cwd.name}-{count}-resources")
    shutil.copytree(subject.cwd, project, ignore=shutil.ignore_patterns(".venv", ".git"), dirs_exist_ok=True)
    code = CODE[subject.name]
    for first in range(0, count, GROUP):
        numbers = range(first, min(count, first + GROUP))
        module = project / code.module.format(first=first)
        with module.open("a", encoding="utf-8") as file:
            file.write(f"\n{code.imports}from uuid import UUID\nfrom fastapi import APIRouter\n")
            file.writelines(resource(code, number) for number in numbers)
            members = ", ".join(f"more{number}" for number in numbers)
            file.write(f"\ngroup = APIRouter()\nfor member in ({members},):\n    group.include_router(member)\n")
            file.write(f"{code.include}\n")
    source = {"PYTHONPATH": str(project / "src")} if subject.name == "ours" else {}
    return replace(subject, cwd=project, routes=routes, variables={**subject.variables, **source})


def resource(code: Code, number: int) -> str:
    """Return the code of a router with five routes."""
    router = f"more{number}"
    text = f'\n{router} = APIRouter(prefix="/{router}")\n'
    for place, (method, path) in enumerate(ROUTES_OF_A_RESOURCE):
        text += ROUTE.format(**code._asdict(), router=router, number=number, place=place, method=method, path=path)
    return text
