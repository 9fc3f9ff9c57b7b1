"""`python -m` this package serves it."""

import asyncio
import os
import socket
from types import FrameType
from typing import Any

import click
import uvicorn
from fastapi import FastAPI

from .config import Settings, get_settings
from .logs import configure_logging
from .main import create_app

STARTUP_FAILED = 3


class Server(uvicorn.Server):
    """Fails its readiness for a while before it stops accepting, so that load balancers look elsewhere first."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(uvicorn.Config(app, **_options(settings)))
        self._app = app
        self._shutdown_delay = settings.shutdown_delay

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Not uvicorn's own, which raises the signal again at the end: a stop that was asked for is no failure.
        health = getattr(self._app.state, "health", None)
        if health is None or health.draining:
            self.force_exit = self.should_exit
            self.should_exit = True
        else:
            health.draining = True
            asyncio.get_running_loop().call_later(self._shutdown_delay, setattr, self, "should_exit", True)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,  # create_app() configures the logs, uvicorn's among them
        "access_log": False,  # AccessLogMiddleware writes it
        "server_header": False,
        "timeout_graceful_shutdown": settings.shutdown_timeout,
    }


def _check_port(host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}): free it, or set HOST and PORT."
        ) from None


@click.command()
@click.option("--reload", is_flag=True, help="Start again whenever the code changes.")
def main(*, reload: bool) -> None:
    """Serve on HOST and PORT until stopped."""
    settings = get_settings()
    _check_port(settings.host, settings.port)
    if reload:
        configure_logging(settings)  # for this process, which says where it listens
        uvicorn.run(
            f"{__package__}.main:create_app", factory=True, reload=True, reload_dirs="src", **_options(settings)
        )
        return
    server = Server(create_app(settings), settings)
    server.run()
    if not server.started:
        raise SystemExit(STARTUP_FAILED)


if __name__ == "__main__":
    main()
