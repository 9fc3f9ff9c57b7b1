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
# The description does not say that strings have no NUL.
generation.allow-x00 = false

# A valid If-Match of another version gets 412.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "412", "429"]

# A valid cursor of another order gets 422.
[[operations]]
include-name = "GET /api/v1/items"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "422"]
"""


@pytest.mark.parametrize("client", ["without users", "signed in", "signed out"])
@pytest.mark.parametrize("backend", ["postgresql", "sqlite"])
def test_generated_requests_get_only_documented_responses(
    project: Render, environment: EnvironmentOf, postgres: str, tmp_path: Path, backend: str, client: str
) -> None:
    directory = project(auth="none" if client == "without users" else "jwt")
    python = environment(directory)
    # Without a token, most routes answer 401.
    examples = 50 if client == "signed out" else 250
    with created_database(postgres) as url:
        database = url if backend == "postgresql" else f"sqlite:///{tmp_path}/a.db"
        passed, output = examine(directory, python, database, examples=examples, signed_in=client == "signed in")
    assert passed, output
    cases = re.search(r"^ +(\d+) generated", output, re.MULTILINE)
    assert cases
    assert int(cases[1]) > 4 * examples


FAULTS = {
    "Server error": (
        "services/item.py",
        "self._items.get(item_id, lock=True, versions=versions)\n        for",
        "[][0]\n        for",
    ),
    "Schema-violating request accepted": (
        "schemas/base.py",
        'extra="forbid",',
        'json_schema_extra={"additionalProperties": False},',
    ),
    "Undocumented status code": (
        "api/routes/items.py",
        "problem_responses(404, 409, 412)",
        "problem_responses(404, 409)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_a_service_is_found(project: Render, environment: EnvironmentOf, tmp_path: Path, fault: str) -> None:
    directory = project()
    path, text, faulty = FAULTS[fault]
    module = directory / "src" / "my_service" / path
    original = module.read_text("utf-8")
    assert text in original
    module.write_text(original.replace(text, faulty), "utf-8")
    passed, output = examine(directory, environment(directory), f"sqlite:///{tmp_path}/a.db", examples=20)
    assert not passed
    assert fault in output


def sign_in(service: Service) -> str:
    """Register a user, and return an access token."""
    ada = {"email": "ada@example.com", "password": "correct horse battery"}
    service.client.post("/api/v1/auth/register", json=ada)
    token: str = service.client.post("/api/v1/auth/token", json=ada).json()["access_token"]
    return token


def examine(
    project: Path, python: Environment, database: str, *, examples: int, signed_in: bool = False
) -> tuple[bool, str]:
    """Send valid and invalid parameters and bodies to each route. Return whether no check failed, and the output."""
    python.run(project, "alembic", "upgrade", "head", DATABASE_URL=database)
    (project / "schemathesis.toml").write_text(CONFIGURATION)
    with serving(project, python, database, LOGIN_ATTEMPTS_PER_MINUTE="100000") as service:
        options = ["--checks=all", "--mode=all", f"--max-examples={examples}", "--seed=1", "--continue-on-failure"]
        if signed_in:
            authorization = f"Bearer {sign_in(service)}"
            # After a logout, the token would be invalid for all other requests.
            options += ["--header", f"Authorization: {authorization}", "--exclude-path-regex", "/auth/logout$"]
        tool = Path(sys.executable).with_name("schemathesis")
        finished = run_unchecked(tool, "run", f"{service.url}/openapi.json", "--no-color", *options, cwd=project)
        if signed_in:  # An example that ends the session would make all later requests 401.
            user = service.client.get("/api/v1/auth/me", headers={"Authorization": authorization})
            assert user.status_code == 200
    return finished.returncode == 0, finished.stdout
