"""Growth of the costs with the number of clients, rows and routes."""

from __future__ import annotations

import json
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness import Route, load
from report import Table
from subjects import Subject, database_url, fill, serving_all, sql

CLIENTS, ROWS, ROUTES = "clients", "rows", "routes"

OURS_MORE = """
from uuid import UUID

from fastapi import APIRouter

from ...schemas.item import ItemRead
from .items import ReaderDep

router = APIRouter(prefix="/more")
"""
OURS_ROUTE = """

@router.get("/{number}/{{item_id}}", response_model=ItemRead)
async def read_{number}(item_id: UUID, reader: ReaderDep) -> object:
    return await reader.get(item_id)
"""
PEER_MORE = """
from peer_service.db.dao.dummy_dao import DummyDAO
from peer_service.web.api.dummy.schema import DummyModelDTO
from fastapi import Depends
"""
PEER_ROUTE = """

@api_router.get("/more/{number}/{{name}}", response_model=list[DummyModelDTO])
async def read_{number}(name: str, dummy_dao: DummyDAO = Depends()) -> object:
    return await dummy_dao.filter(name)
"""
VSTORM_MORE = """
from uuid import UUID

from app.api.deps import ItemSvc
from app.schemas.item import ItemRead
"""
VSTORM_ROUTE = """

@v1_router.get("/more/{number}/{{item_id}}", response_model=ItemRead)
async def read_{number}(item_id: UUID, item_service: ItemSvc) -> object:
    return await item_service.get_item(item_id)
"""
MORE = {
    "peer": ("peer_service/web/api/router.py", PEER_MORE, PEER_ROUTE),
    "vstorm": ("app/api/routes/v1/__init__.py", VSTORM_MORE, VSTORM_ROUTE),
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


def measure_routes(subjects: Mapping[str, Subject], table: Table, rounds: int, counts: tuple[int, ...]) -> None:
    """CPU seconds to the first healthy answer, memory, and microseconds of a request that matches no route."""
    enlarged = {count: [enlarge(subject, count) for subject in subjects.values()] for count in counts}
    for _ in range(rounds):
        for count, variants in enlarged.items():
            for variant in variants:
                with variant.serving() as server:
                    table.row(ROUTES, f"{count} more routes, CPU", "s").add(variant.name, server.start.cpu)
                    table.row(ROUTES, f"{count} more routes, PSS", "MB").add(variant.name, server.memory().pss)
                    missing = load(server, Route("GET", "/nowhere", status=404), 1, requests=500)
                    table.row(ROUTES, f"{count} more routes, 404, CPU", "µs").add(variant.name, missing.cpu_per_answer)


def enlarge(subject: Subject, routes: int) -> Subject:
    """Return a copy of a subject with this number of additional routes."""
    if subject.name == "bare":
        return replace(subject, variables={**subject.variables, "MORE_ROUTES": str(routes)})
    project = subject.cwd.with_name(f"{subject.cwd.name}-{routes}-routes")
    shutil.copytree(subject.cwd, project, ignore=shutil.ignore_patterns(".venv", ".git"), dirs_exist_ok=True)
    if subject.name in MORE:
        router, more, route = MORE[subject.name]
        with (project / router).open("a", encoding="utf-8") as file:
            file.write(more + "".join(route.format(number=number) for number in range(routes)))
        return replace(subject, cwd=project)
    package = project / "src" / "my_service" / "api" / "routes"
    (package / "more.py").write_text(OURS_MORE + "".join(OURS_ROUTE.format(number=number) for number in range(routes)))
    return replace(subject, cwd=project, variables={**subject.variables, "PYTHONPATH": str(Path(project, "src"))})
