"""From a fresh render to a passing `make test`, with each dependency tool: `make bench-first-suite`.

Cold is with empty caches of pip and uv, warm is the same again. The ratios are what to look at: the
absolute figures are those of a shared machine and its network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

from copier import run_copy
from copier.errors import DirtyLocalWarning

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("pip-tools", "uv")
STEPS = {"install": ".venv/.installed", "suite": "test"}


def main() -> None:
    warnings.simplefilter("ignore", DirtyLocalWarning)
    print(f"{'':16}" + "".join(f"{step:>10}" for step in (*STEPS, "total")) + "   ratio to pip-tools")
    with tempfile.TemporaryDirectory() as directory:
        for caches in ("cold", "warm"):
            totals = {}
            for tool in TOOLS:
                seconds = first_suite(Path(directory), tool)
                totals[tool] = sum(seconds)
                row = "".join(f"{figure:8.1f} s" for figure in (*seconds, totals[tool]))
                print(f"{f'{tool}, {caches}':16}{row}   {totals[tool] / totals['pip-tools']:.2f}", flush=True)


def first_suite(directory: Path, tool: str) -> list[float]:
    """The seconds of each step, in a new render."""
    project = directory / "service"
    shutil.rmtree(project, ignore_errors=True)
    run_copy(str(ROOT), project, data={"dependency_tool": tool}, vcs_ref="HEAD", defaults=True, quiet=True)
    environment = {
        **os.environ,
        "PIP_CACHE_DIR": str(directory / "pip-cache"),
        "UV_CACHE_DIR": str(directory / "uv-cache"),
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = []
    for target in STEPS.values():
        started = time.perf_counter()
        finished = subprocess.run(
            ["make", target], cwd=project, env=environment, capture_output=True, text=True, check=False
        )
        seconds.append(time.perf_counter() - started)
        if finished.returncode:
            raise SystemExit(finished.stdout + finished.stderr)
    return seconds


if __name__ == "__main__":
    main()
