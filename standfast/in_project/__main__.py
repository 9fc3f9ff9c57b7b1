"""Run a script of this directory in a project: python in_project SCRIPT PACKAGE ARGUMENT…

The interpreter is the project's, and the working directory is its root. `standfast` itself is not installed there.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    script = Path(__file__).with_name(f"{sys.argv.pop(1)}.py")
    # The code of this project, whatever is installed for the interpreter.
    sys.path.insert(0, str(Path("src").absolute()))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except ImportError as error:
        sys.exit(
            f"Error: Cannot import the project with {sys.executable} ({error}). Install the project's dependencies "
            "with `make test`, or name another interpreter with --python."
        )
