"""Connect the rendered service to a PostgreSQL server that requires TLS and a client certificate."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import EnvironmentOf, Render, run, run_unchecked, skip_outside_ci
from processes import serving

pytestmark = [pytest.mark.slow, pytest.mark.faults]

CONFIGURATION = """
ssl = on
ssl_cert_file = '{directory}/server.crt'
ssl_key_file = '{directory}/server.key'
ssl_ca_file = '{directory}/ca.crt'
"""
ONLY_CERTIFICATES = "hostssl all all 127.0.0.1/32 cert\n"


def make_certificates(directory: Path) -> None:
    """Write the certificates of two authorities, the server, and the user postgres."""
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "other"):
        run(*new, "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.crt", cwd=directory)
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    for name, subject in (("server", "server"), ("client", "postgres")):
        own = ("-subj", f"/CN={subject}", "-addext", "subjectAltName=IP:127.0.0.1")
        run(*new, *signed, *own, "-keyout", f"{name}.key", "-out", f"{name}.crt", cwd=directory)


@pytest.fixture(scope="module")
def server(postgres_module: ModuleType) -> Iterator[Any]:
    """Start Debian's PostgreSQL: that of the wheel has no TLS."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        skip_outside_ci("PostgreSQL with TLS is not installed. Run `apt-get install postgresql`.")

    class Server(postgres_module.PostgresServer):  # type: ignore[misc, name-defined]
        def _binaries(self) -> Path:
            return binaries[-1]

        def _initialize(self, binaries: Path, data: Path) -> None:
            super()._initialize(binaries, data)
            make_certificates(self.directory)
            if self._run_as:
                shutil.chown(self.directory / "server.key", "nobody")
            with (data / "postgresql.conf").open("a") as file:
                file.write(CONFIGURATION.format(directory=self.directory))
            (data / "pg_hba.conf").write_text(ONLY_CERTIFICATES)

    with Server() as server:
        yield server


def url(server: Any, *, authority: str = "ca", client: str = "client") -> str:
    files = {"sslrootcert": f"{authority}.crt", "sslcert": f"{client}.crt", "sslkey": f"{client}.key"}
    parameters = "&".join(f"{name}={server.directory / file}" for name, file in files.items())
    return f"postgresql://postgres@127.0.0.1:{server.port}/service?sslmode=verify-full&{parameters}"


def test_service_connects_with_a_client_certificate(render: Render, environment: EnvironmentOf, server: Any) -> None:
    project = render()
    python = environment(project)
    python.script(project, "scripts/init_db.py", DATABASE_URL=url(server))
    with serving(project, python, url(server)) as service:
        assert service.client.post("/api/v1/items", json={"name": "Teapot"}).status_code == 201


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"authority": "other"}, "Cannot connect to the database at .*certificate verify failed"),
        ({"authority": "missing"}, "DATABASE_URL: the file in its parameter 'sslrootcert' does not exist"),
        ({"client": "missing"}, "DATABASE_URL: the file in its parameter 'sslcert' does not exist"),
    ],
    ids=["wrong-authority", "missing-authority", "missing-certificate"],
)
@pytest.mark.parametrize("command", [["scripts/init_db.py"], ["-m", "my_service"]], ids=["init_db", "serve"])
def test_wrong_certificate_gives_a_message_of_one_line(
    render: Render, environment: EnvironmentOf, server: Any, command: list[str], files: dict[str, str], reason: str
) -> None:
    project = render()
    python = environment(project)
    variables = python.variables(project, DATABASE_URL=url(server, **files), DATABASE_STARTUP_TIMEOUT="0")
    finished = run_unchecked(python.python, *command, cwd=project, **variables)
    output = finished.stdout + finished.stderr
    assert finished.returncode in (1, 3)
    assert "Traceback" not in output
    assert re.search(reason, output), output
