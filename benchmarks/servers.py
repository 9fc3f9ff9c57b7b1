"""The service on other servers, event loops and parsers of HTTP: `make bench-servers`.

What is shipped is compared with each of the others in turns; each starts the same application without a log of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from harness import command, load, run
from report import OURS, Table, render
from subjects import create_database, fill, postgres, workshop

GRANIAN = "granian==2.8.7"
FACTORY = ("--factory", "my_service.main:create_app", "--port")
UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning")
OTHERS = {
    "asyncio": (*UVICORN, "--loop", "asyncio", "--http", "httptools", *FACTORY),
    "h11": (*UVICORN, "--loop", "uvloop", "--http", "h11", *FACTORY),
    "granian": ("-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--no-log", *FACTORY),
}
"""How their commands go on after Python's, up to the port."""

ROUNDS = 5
SECONDS = 2.0
CLIENTS = 16


def main() -> None:
    table = Table()
    with workshop() as place, postgres(place) as server, ExitStack() as stack:
        ours = place.ours(create_database(server, "service"))
        python = ours.command[0]
        run([place.uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, GRANIAN], place.directory)
        fill(ours, 1000)
        subjects = {OURS: ours}
        for name, arguments in OTHERS.items():
            subjects[name] = replace(ours, name=name, command=(python, *arguments), port_argument=True)
        servers = {name: stack.enter_context(subject.serving()) for name, subject in subjects.items()}
        for name, started in servers.items():
            table.row("idle", "RSS", "MB").add(name, started.memory().rss)
            for route in ours.routes.values():
                load(started, route, CLIENTS, requests=200)
        for _ in range(ROUNDS):
            for kind in ("health", "read by id", "create"):
                for name, started in servers.items():
                    result = load(started, ours.routes[kind], CLIENTS, seconds=SECONDS)
                    table.row("requests", f"{kind}, rate", "1/s", "more").add(name, result.rate)
                    table.row("requests", f"{kind}, p99", "ms").add(name, result.percentile(0.99))
                    table.row("requests", f"{kind}, CPU", "µs").add(name, result.cpu_per_answer)
    print(render(table))


if __name__ == "__main__":
    command(main)
