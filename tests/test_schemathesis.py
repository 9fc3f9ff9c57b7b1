"""Send generated requests to the service, and compare the responses with its OpenAPI description."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from conftest import Environment, EnvironmentOf, Render, created_database, run_unchecked
from processes import Service, serving

pytestmark = pytest.mark.slow

CONFIGURATION = """
# A valid If-Match of another version gets 412.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "412", "429"]
"""


@pytest.mark.parametrize("auth", ["none", "jwt"])
@pytest.mark.parametrize("backend", ["postgresql", "sqlite"])
def test_generated_requests_get_only_documented_responses(
    project: Render, environment: EnvironmentOf, postgres: str, tmp_path: Path, backend: str, auth: str
) -> None:
    directory = project(auth=auth)
    python = environment(directory)
    with created_database(postgres) as url:
        passed, output = examine(directory, python, url if backend == "postgresql" else f"sqlite:///{tmp_path}/a.db")
    assert passed, output
    cases = re.search(r"^ +(\d+) generated", output, re.MULTILINE)
    assert cases
    assert int(cases[1]) > 1000


def test_server_error_is_found(project: Render, environment: EnvironmentOf, tmp_path: Path) -> None:
    directory = project()
    service = directory / "src" / "my_service" / "services" / "item.py"
    text = service.read_text("utf-8")
    service.write_text(
        text.replace(
            "        item = await self._get_for_update", "        [][0]\n        item = await self._get_for_update"
        )
    )
    passed, output = examine(directory, environment(directory), f"sqlite:///{tmp_path}/a.db")
    assert not passed
    assert "Server error" in output


def sign_in(service: Service) -> str | None:
    """Return an access token, or None if the service has no users."""
    ada = {"email": "ada@example.com", "password": "correct horse battery"}
    if service.client.post("/api/v1/auth/register", json=ada).status_code == 404:
        return None
    token: str = service.client.post("/api/v1/auth/token", json=ada).json()["access_token"]
    return token


def examine(project: Path, python: Environment, database: str) -> tuple[bool, str]:
    python.run(project, "alembic", "upgrade", "head", DATABASE_URL=database)
    (project / "schemathesis.toml").write_text(CONFIGURATION)
    with serving(project, python, database, LOGIN_ATTEMPTS_PER_MINUTE="100000") as service:
        options = ["--checks=all", "--max-examples=250", "--seed=1", "--continue-on-failure", "--no-color"]
        if token := sign_in(service):
            # After a logout, the token would be invalid for all other requests.
            options += ["--header", f"Authorization: Bearer {token}", "--exclude-path-regex", "/auth/logout$"]
        tool = Path(sys.executable).with_name("schemathesis")
        finished = run_unchecked(tool, "run", f"{service.url}/openapi.json", *options, cwd=project)
        if token:  # An example that ends the session would make all later requests 401.
            headers = {"Authorization": f"Bearer {token}"}
            assert service.client.get("/api/v1/auth/me", headers=headers).status_code == 200
    return finished.returncode == 0, finished.stdout
