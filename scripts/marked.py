"""Parts of documents that a command writes. The part is between two comments that name the command."""

from __future__ import annotations

from pathlib import Path


def markers(command: str) -> tuple[str, str]:
    """Return the comments before and after the part that `make COMMAND` writes."""
    return f"<!-- written by `make {command}` -->", f"<!-- end of what `make {command}` writes -->"


def replaced(text: str, command: str, content: str) -> str:
    """Return the text with new content between the comments.

    Raises:
        SystemExit: a comment is missing.
    """
    begin, end = markers(command)
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise SystemExit(f"The document must have the lines {begin} and {end}. Restore them.")
    return f"{before}{begin}\n{content}{end}{after}"


def content(text: str, command: str) -> str:
    """Return the part that `make COMMAND` writes."""
    begin, end = markers(command)
    return text.partition(f"{begin}\n")[2].partition(end)[0]


def write(path: Path, command: str, content: str) -> None:
    path.write_text(replaced(path.read_text("utf-8"), command, content), "utf-8")
