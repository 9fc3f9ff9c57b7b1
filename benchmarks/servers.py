"""The service on other servers, event loops and parsers of HTTP: `make bench-servers`.

What is shipped is compared with each of the others in turns; each starts the same application without a log of its own.
"""

from __future__ import annotations

from dataclasses import replace

import asking
from harness import command, run
from report import Table, render
from starting import note
from subjects import create_database, postgres, workshop

GRANIAN = "granian==2.8.7"
FACTORY = ("--factory", "my_service.main:create_app")
UVICORN = ("-m", "uvicorn", "--no-access-log", "--log-level", "warning")
OTHERS = {
    "asyncio": ("UVICORN_PORT", (*UVICORN, "--loop", "asyncio", "--http", "httptools", *FACTORY)),
    "h11": ("UVICORN_PORT", (*UVICORN, "--loop", "uvloop", "--http", "h11", *FACTORY)),
    "granian": ("GRANIAN_PORT", ("-m", "granian", "--interface", "asgi", "--loop", "uvloop", "--no-log", *FACTORY)),
}
"""Where each looks for its port, and how its command goes on after Python's."""

KINDS = ("health", "read by id", "create")
ROUNDS = 5
SECONDS = 2.0


def main() -> None:
    table = Table()
    with workshop() as place, postgres(place) as server:
        ours = place.ours(create_database(server, "service"))
        ours = replace(ours, routes={kind: ours.routes[kind] for kind in KINDS})
        python = ours.command[0]
        run([place.uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, GRANIAN], place.directory)
        subjects = {ours.name: ours}
        for name, (port_variable, arguments) in OTHERS.items():
            subjects[name] = replace(ours, name=name, command=(python, *arguments), port_variable=port_variable)
        for subject in subjects.values():
            with subject.serving() as started:
                note(table, "idle", subject.name, started.memory())
        asking.measure(subjects, table, ROUNDS, SECONDS)
    print(render(table))


if __name__ == "__main__":
    command(main)
