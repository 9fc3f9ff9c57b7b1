"""Command line: `python -m` this package serves it, `--help` lists the other commands."""

import asyncio
import gc
import importlib
import io
import os
import pkgutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
import uvicorn
from sqlalchemy import URL

from . import __version__, commands
from .config import Settings, get_settings
from .logs import configure_logging

# The application is imported only where it is needed: it takes longer than everything else here.
if TYPE_CHECKING:
    from fastapi import FastAPI


class Server(uvicorn.Server):
    """Fails readiness before it stops accepting connections, so that load balancers stop sending requests first."""

    def __init__(self, app: "FastAPI", settings: Settings) -> None:
        super().__init__(uvicorn.Config(app, **_options(settings)))
        self._app = app
        self._shutdown_delay = settings.shutdown_delay
        self._starting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, self.handle_exit)
        self._starting = asyncio.current_task()
        await super().startup(sockets)
        # Excludes everything loaded so far from garbage collection, which would block the event loop for about 50 ms.
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        from .http_protocol import LimitedHTTPProtocol

        accepted = [connection for server in self.servers for connection in _accept_waiting(server)]
        for server in self.servers:
            server.close()
        # Requests that are on their way on open connections are still answered, with `Connection: close`.
        self._app.state.health.draining = True
        protocol = partial(LimitedHTTPProtocol, self.config, self.server_state, self.lifespan.state)
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
        await asyncio.sleep(0.1)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # uvicorn's own handler raises the signal again at the end, so that a normal stop would look like a failure.
        loop = asyncio.get_running_loop()
        health = getattr(self._app.state, "health", None)
        if not self.started and self._starting:
            loop.call_soon_threadsafe(self._starting.cancel)  # for example while it waits for the database
        elif health is None or health.draining or not self._shutdown_delay:
            self.force_exit = self.should_exit
            self.should_exit = True
        else:
            health.draining = True
            loop.call_later(self._shutdown_delay, setattr, self, "should_exit", True)


def _accept_waiting(server: asyncio.Server) -> Iterator[socket.socket]:
    """Accept the connections that wait in the backlog. Closing the server would reset them."""
    for listener in server.sockets:
        with socket.socket(fileno=os.dup(listener.fileno())) as copy, suppress(OSError):
            copy.setblocking(False)
            while True:
                yield copy.accept()[0]


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "http": f"{__package__}.http_protocol:LimitedHTTPProtocol",
        "log_config": None,  # create_app() configures logging, including uvicorn's
        "access_log": False,  # RequestContextMiddleware writes the access log
        "server_header": False,
        "root_path": settings.root_path,
        "forwarded_allow_ips": settings.forwarded_allow_ips,
        "timeout_graceful_shutdown": settings.shutdown_timeout,
        "timeout_keep_alive": settings.keep_alive_timeout,
    }


def _check_port(host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python adds the address
        raise click.ClickException(
            f"Cannot listen on {host}:{port} ({reason}). Free the port, or set HOST and PORT."
        ) from None


class Commands(click.Group):
    """The commands of this module, and those of `commands`, whose imports take long."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *(module.name for module in pkgutil.iter_modules(commands.__path__))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands and cmd_name in self.list_commands(ctx):
            self.add_command(importlib.import_module(f"{commands.__name__}.{cmd_name}").group)
        return self.commands.get(cmd_name)


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--reload", is_flag=True, help="Restart when the code changes.")
@click.version_option(__version__, message="%(version)s")
@click.pass_context
def main(context: click.Context, *, reload: bool) -> None:
    """Serve on HOST and PORT until stopped, or run a command."""
    if sys.stdout is None:  # its descriptor is closed, and another file could get it
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # its encoding may not have all characters
    if context.invoked_subcommand is None:
        _serve(reload=reload)


def _serve(*, reload: bool) -> None:
    settings = get_settings()
    _check_port(settings.host, settings.port)
    if reload:
        configure_logging(settings)  # for this process, which logs the address
        uvicorn.run(
            f"{__package__}.main:create_app", factory=True, reload=True, reload_dirs="src", **_options(settings)
        )
        return
    from .main import create_app

    server = Server(create_app(settings), settings)
    with suppress(asyncio.CancelledError):  # a signal has stopped the start
        server.run()
        if not server.started:
            raise SystemExit(3)  # as uvicorn does if start-up fails


@main.command()
def config() -> None:
    """Show the settings with masked secrets, or the errors in them."""
    for name, value in get_settings():
        shown = value.render_as_string() if isinstance(value, URL) else value
        click.echo(f"{name.upper()}={shown}")


@main.command()
def routes() -> None:
    """List the routes, and the authentication that they require."""
    from .main import create_app

    for path, operations in create_app(get_settings()).openapi()["paths"].items():
        for method, operation in operations.items():
            line = f"{method.upper():7} {path}  {operation['summary']}"
            for schemes in operation.get("security", []):
                line += "".join(f"  (requires {' '.join([name, *scopes])})" for name, scopes in schemes.items())
            click.echo(line)


@main.command()
def health() -> None:
    """Check that the process on PORT is ready. Exit status 1 if it is not."""
    from .health import HEALTH_PREFIX
    from .schemas.health import HealthReport

    settings = get_settings()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(host, settings.port)
        with closing(writer):
            writer.write(f"GET {HEALTH_PREFIX}/ready HTTP/1.0\r\n\r\n".encode())
            try:
                return await reader.readexactly(65536)
            except asyncio.IncompleteReadError as end:
                return end.partial

    response = b""
    try:
        response = asyncio.run(asyncio.wait_for(ask(), timeout=5))
        report = HealthReport.model_validate_json(response.partition(b"\r\n\r\n")[2])
    except (OSError, ValueError) as error:
        got = response.partition(b"\r\n")[0] if isinstance(error, ValueError) else error
        raise click.ClickException(
            f"No health report from {host}:{settings.port} ({got!r}). "
            "Check that the service runs, and that HOST and PORT are its address."
        ) from None
    click.echo(", ".join(f"{name}: {state}" for name, state in report.checks.items()))
    if report.status != "ok":
        raise SystemExit(1)


if __name__ == "__main__":
    main(prog_name=f"python -m {__package__}")
