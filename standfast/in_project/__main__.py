"""Run a script of this directory in a project: python in_project SCRIPT PACKAGE ARGUMENT…

Run it with the project's interpreter in the project's root. `standfast` need not be installed for this interpreter.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    script = Path(__file__).with_name(f"{sys.argv.pop(1)}.py")
    # Import the package from this project, even if another copy is installed.
    sys.path.insert(0, str(Path("src").absolute()))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except ImportError as error:
        sys.exit(
            f"Error: Cannot import the project with {sys.executable} ({error}). Install the project's dependencies "
            "with `make test`, or name another interpreter with --python."
        )
