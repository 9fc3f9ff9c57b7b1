"""The rendered suite on every Python that the service is said to run on, beside the one that runs these tests
and so test_service.py."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from answers import PYTHON_VERSIONS
from conftest import Render, run, run_unchecked, skip_outside_ci
from engine import Engine

pytestmark = pytest.mark.slow

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
IN_CONTAINER = """
cp -r /project /tmp/project && cd /tmp/project
python -m venv /tmp/environment && . /tmp/environment/bin/activate
pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps -r requirements-dev.txt
pip check
PYTHONPATH=/tmp/project/src python -m pytest -q
"""


@pytest.mark.parametrize("version", [version for version in PYTHON_VERSIONS if version != THIS])
def test_the_suite_passes(render: Render, tmp_path: Path, version: str) -> None:
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
        skip_outside_ci(f"no Python {version}: install it, or a container engine that has {image} (see .ci/run)")
    volume = f"{project}:/project:ro"
    engine.run("run", "--rm", "--network=host", "--volume", volume, "--entrypoint=bash", image, "-ec", IN_CONTAINER)


def find_python(version: str) -> Path | None:
    """An interpreter of that version: on the path, or one of pyenv's."""
    candidates = [Path(found)] if (found := shutil.which(f"python{version}")) else []
    candidates += sorted(Path(os.environ.get("PYENV_ROOT", "/nonexistent")).glob(f"versions/{version}.*/bin/python"))
    for candidate in candidates:
        if run_unchecked(candidate, "-c", "import ssl, sqlite3", cwd=Path("/")).returncode == 0:
            return candidate
    return None
