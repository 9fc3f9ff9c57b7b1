"""Move a file that the template calls otherwise now, so that what its owner changed in it moves with it.

In `copier.yml`, for a version 2.0.0 that renames a file:

    _migrations:
      - version: v2.0.0
        command: ["{{ _copier_python }}", "{{ _copier_conf.src_path }}/hooks/rename.py", "old/path", "new/path"]
        when: "{{ _stage == 'before' }}"
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(old: str, new: str) -> None:
    if not Path(old).exists():
        return  # its owner deleted or renamed it, and so decided
    if Path(new).exists():
        sys.exit(f"{old} would become {new}, which is there already: move one of them, commit, update again.")
    Path(new).parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "mv", old, new], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
