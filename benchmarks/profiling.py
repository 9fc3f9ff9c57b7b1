"""Show where a request spends its processor time, by layer: `make bench-profile`.

    make bench-profile                      the default render, and the render with `auth: jwt`
    make bench-profile args="--seconds 2"   with shorter loads

py-spy samples the running service under load. A sample counts for the layer of its innermost frame that has one. The
second table counts each sample that has the named function anywhere in its stack.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from asking import CLIENTS
from harness import Route, Server, command, load
from subjects import THEIR_CREATE, THEIR_LIST, Subject, create_database, fill, postgres, workshop

RATE = 500
"""Samples per second."""

LAYERS = {
    "middleware of the service": r"/my_service/middleware/",
    "log line": r"/my_service/(logs|utils/line_writer)\.py|/structlog/|/logging/",
    "pool": r"/my_service/(database|backends/pool)\.py|/sqlalchemy/(pool|util/queue|util/_?concurrency)",
    "routes, services, repositories": r"/my_service/",
    "middleware of FastAPI": r"/middleware/|/fastapi/(telemetry|_body_limit|applications)",
    "validation and serialization": r"serialize_response|/fastapi/(encoders|_compat)|/pydantic/|/json/",
    "routing and dependencies": r"/fastapi/|/starlette/routing",
    "request and response objects": r"/starlette/",
    "server and event loop": r"/uvicorn/|/uvloop/|/asyncio/",
    "ORM and session": r"/sqlalchemy/orm/|/sqlalchemy/ext/asyncio/",
    "SQLAlchemy's adapter of the driver": r"/sqlalchemy/dialects/",
    "statements and rows": r"/sqlalchemy/",
    "driver": r"/asyncpg/",
}
"""A frame belongs to the first layer whose pattern is in its `function (file:line)`."""

FUNCTIONS = (
    "solve_dependencies",
    "url_for",
    "set_etag",
    "next_cursor",
    "_flush",
    "model_validate",
    "connect",
    "commit",
)


def layer_of(stack: list[str]) -> str:
    for frame in reversed(stack):
        for layer, pattern in LAYERS.items():
            if re.search(pattern, frame):
                return layer
    return "other"


class Profile(NamedTuple):
    """Samples of a route by layer and by function, and the processor time of an answer in microseconds."""

    layers: Counter[str]
    functions: Counter[str]
    cost: float


def sample(server: Server, route: Route, seconds: float) -> Profile:
    cost = load(server, route, CLIENTS, seconds=seconds).cpu_per_answer
    with tempfile.NamedTemporaryFile("r", suffix=".txt") as output:
        spy: list[str | Path] = [Path(sys.executable).with_name("py-spy"), "record", "--gil", "--nonblocking"]
        spy += ["--full-filenames", "--format", "raw", "--rate", str(RATE), "--duration", str(int(seconds))]
        spy += ["--pid", str(server.pid), "--output", output.name]
        with subprocess.Popen(spy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as recording:
            load(server, route, CLIENTS, seconds=seconds + 1)
            recording.wait()
        layers: Counter[str] = Counter()
        functions: Counter[str] = Counter()
        for line in output:
            stack, _, count = line.rstrip().rpartition(" ")
            frames = stack.split(";")
            layers[layer_of(frames)] += int(count)
            names = {frame.partition(" ")[0].rpartition(".")[2] for frame in frames}
            for function in FUNCTIONS:
                functions[function] += int(count) * (function in names)
    return Profile(layers, functions, cost)


def profile(subject: Subject, seconds: float) -> None:
    """Print the tables of a service."""
    fill(subject)
    with subject.serving() as server:
        columns = {}
        for name, route in subject.routes.items():
            if name in (THEIR_LIST, THEIR_CREATE):
                continue
            load(server, route, CLIENTS, requests=300)
            columns[name] = sample(server, route, seconds)
    print(f"\n{subject.name:40}" + "".join(f"{name:>18}" for name in columns))
    print(f"{'processor time of an answer, µs':40}" + "".join(f"{column.cost:18.0f}" for column in columns.values()))
    for names in (LAYERS, FUNCTIONS):
        for name in names:
            shares = [max(c.layers[name], c.functions[name]) / c.layers.total() for c in columns.values()]
            print(f"  {name:38}" + "".join(f"{share:18.1%}" for share in shares))
        print()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-profile", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5, help="duration of each load")
    options = parser.parse_args()
    with workshop() as place, postgres(place) as server:
        ours = place.ours(create_database(server, "ours"))
        profile(ours, options.seconds)
        profile(place.signed_in(create_database(server, "jwt")), options.seconds)


if __name__ == "__main__":
    command(main)
