"""Run the rendered suite on every supported Python version.

test_service.py runs it on the Python version of this process.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from answers import values
from conftest import Render, find_python, run, skip_outside_ci
from engine import Engine

pytestmark = pytest.mark.slow

PYTHON_VERSIONS = values()["python_version"]
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
IN_CONTAINER = """
cp -r /project /tmp/project && cd /tmp/project
python -m venv /tmp/environment && . /tmp/environment/bin/activate
pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps -r requirements-dev.txt
pip check
PYTHONPATH=/tmp/project/src python -m pytest -q
"""


@pytest.mark.parametrize("version", [version for version in PYTHON_VERSIONS if version != THIS])
def test_suite_passes_on_python_version(render: Render, tmp_path: Path, version: str) -> None:
    project = render()
    requires = re.search(r'requires-python = ">=([\d.]+)"', (project / "pyproject.toml").read_text())
    assert requires
    assert requires[1] == PYTHON_VERSIONS[0]
    if python := find_python(version):
        environment = tmp_path / "environment"
        uv = Path(sys.executable).with_name("uv")
        run(uv, "venv", "--quiet", "--python", python, environment, cwd=project)
        install = ("pip", "install", "--quiet", "--python", environment, "--require-hashes", "--no-deps")
        run(uv, *install, "-r", "requirements-dev.txt", cwd=project)
        run(environment / "bin" / "python", "-m", "pytest", "-q", cwd=project, PYTHONPATH=str(project / "src"))
        return
    engine, image = Engine.find(), f"python:{version}-slim"
    if engine is None or (engine.program == "podman" and engine.try_run("image", "exists", image).status != 0):
        skip_outside_ci(f"There is no Python {version}. Install it, or a container engine with {image} (see .ci/run).")
    volume = f"{project}:/project:ro"
    engine.run("run", "--rm", "--network=host", "--volume", volume, "--entrypoint=bash", image, "-ec", IN_CONTAINER)
