"""Update one project in a separate process: `python -m standfast.fleet.merge`.

Copier changes its working directory, so two updates cannot run in one process.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from ..update import TrustRequiredError, apply_update
from .model import Conflict, FleetError

_HUNK = re.compile(
    r"^<{7} before updating\r?\n(?P<ours>.*?)^={7}\r?\n(?P<theirs>.*?)^>{7} after updating(\r?\n|\Z)",
    re.MULTILINE | re.DOTALL,
)


def main(directory: str, ref: str, trust: str, output: str) -> None:
    """Update a project, and write a JSON object with the changed files or the error."""
    result: dict[str, object]
    try:
        preview = apply_update(Path(directory), to=ref, trust=trust == "trust").preview
    except TrustRequiredError as error:
        result = {"error": error.message, "trust": True}
    except click.ClickException as error:
        result = {"error": error.message}
    else:
        print(preview.message, file=sys.stderr)
        groups = ("new", "updated", "merged", "kept", "deleted", "conflicts")
        result = {group: list(getattr(preview, group)) for group in groups}
    Path(output).write_text(json.dumps(result), "utf-8")


def keep_own_lines(directory: Path, path: str) -> Conflict:
    """Replace each conflict of a file by the owner's lines, and return the template's lines.

    Raises:
        FleetError: the lines of a conflict look like its separator, such as the underline of a title.
    """
    file = directory / path
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    theirs = [hunk["theirs"].replace("\r\n", "\n") for hunk in _HUNK.finditer(text)]
    if any("=======" in lines.splitlines() for lines in theirs):
        raise FleetError(f"{path} has a conflict with several lines =======. Update this project by hand.")
    file.write_bytes(_HUNK.sub(lambda hunk: hunk["ours"], text).encode("utf-8", "surrogateescape"))
    return Conflict(path, [part.encode("utf-8", "replace").decode() for part in theirs])


if __name__ == "__main__":
    main(*sys.argv[1:])
