"""Replacement for `docker compose` in documents. It runs Docker, or the class `Compose` with Podman."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine import Compose, Engine


def main(*arguments: str) -> None:
    engine = Engine.find()
    assert engine
    if engine.program == "docker":
        os.execvp("docker", ["docker", "compose", *arguments])
    option, file, verb, *rest = arguments
    assert option == "-f", f"The first argument must be -f: {arguments}"
    compose = Compose(engine, Path.cwd(), file, os.environ["COMPOSE_PROJECT_NAME"])
    if verb == "up":
        compose.up(*(service for service in rest if service in compose.services))
    elif verb == "exec":
        without_terminal, *rest = rest
        assert without_terminal == "-T", f"The first argument of exec must be -T: {arguments}"
        options = [rest.pop(0) for _ in range(2)] if rest[0] == "--env" else []
        service, *command = rest
        container = compose.containers(service)[0]
        os.execvp(engine.program, [engine.program, "exec", "--interactive", *options, container, *command])
    else:
        print(compose.run(verb, *rest))


if __name__ == "__main__":
    main(*sys.argv[1:])
