"""The text of an update request, in Markdown."""

from __future__ import annotations

import re

from .model import Result

MAXIMUM = 60_000
"""Characters. GitHub accepts 65,536."""


def title(result: Result) -> str:
    """Return the subject of the commit and the title of the request."""
    where = f" of {result.subfolder}" if result.subfolder else ""
    subject = f"Update the template{where} to {result.target}"
    if result.conflicts:
        number = len(result.conflicts)
        subject = f"Part of: {subject} ({number} {'file' if number == 1 else 'files'} left)"
    return subject


def is_draft(result: Result) -> bool:
    """Return whether the branch cannot be merged as it is."""
    return bool(result.conflicts) or result.passed is False


def request_text(result: Result) -> str:
    """Return the text of a pull or merge request. Long conflicts are shortened first."""
    for lines in (200, 20, 0):
        parts = [introduction(result), conflicts(result, lines), tasks(result), checks(result), files(result)]
        text = "\n\n".join(part for part in parts if part) + "\n"
        if len(text) <= MAXIMUM:
            return text
    return cut(text)


def cut(text: str) -> str:
    """Return the start of a text. A code block that would stay open is left out."""
    fence = ""
    end = position = 0
    for line in text[: MAXIMUM - 100].splitlines(keepends=True)[:-1]:
        position += len(line)
        if found := re.match(r"\s*(`{3,})", line):
            fence = "" if fence and found[1] == fence else fence or found[1]
        if not fence:
            end = position
    return f"{text[:end].rstrip()}\n\nThe text is cut here. `standfast fleet` reports the rest.\n"


def introduction(result: Result) -> str:
    behind = f" The project was {count(result.behind, 'release')} behind." if result.behind else ""
    return (
        f"This updates the project from version {result.version} of its template to {result.target}.{behind} "
        "`standfast fleet` wrote the branch and this text."
    )


def conflicts(result: Result, limit: int) -> str:
    """Return the conflicts by file, as tasks, with the template's lines of each conflict up to a limit."""
    if not result.conflicts:
        return ""
    warning = (
        "**Do not merge this branch yet.** The project and the template changed the same lines. The branch keeps the "
        "project's lines. The answers file already names the new version, so later updates do not bring the "
        "template's lines again."
    )
    lines = ["## Conflicts", "", warning, ""]
    for conflict in result.conflicts:
        lines.append(f"- [ ] {code(conflict.path)}: add the template's lines, or decide against them")
        for theirs in conflict.theirs:
            shown = theirs.splitlines()[:limit]
            if len(shown) < len(theirs.splitlines()):
                shown.append("… (shortened)")
            fence = "`" * max(3, longest_run(theirs) + 1)
            lines += ["", *(f"  {line}".rstrip() for line in [fence, *shown, fence])]
    return "\n".join(lines)


def tasks(result: Result) -> str:
    return f"## Notices\n\n{result.tasks.strip()}" if result.tasks.strip() else ""


def checks(result: Result) -> str:
    if not result.checks:
        why = " because of the conflicts" if result.conflicts else ""
        return f"## Checks\n\nThe checks of the project did not run{why}."
    lines = ["## Checks", "", "| command | result | seconds |", "|---|---|---|"]
    lines += [
        f"| {code(check.command)} | {verdict(check.passed, check.before)} | {check.seconds:.0f} |"
        for check in result.checks
    ]
    return "\n".join(lines)


def files(result: Result) -> str:
    """Return the numbers of files, and the files that the update did not change although the template did."""
    numbers = [f"{len(paths)} {group}" for group, paths in result.files.items() if paths and group != "conflicts"]
    lines = ["## Files", "", (", ".join(numbers) or "No other files") + "."]
    if kept := result.files.get("kept"):
        lines += [
            "",
            "Kept, although the template has deleted or replaced them:",
            "",
            *(f"- {code(path)}" for path in kept),
        ]
    return "\n".join(lines)


def verdict(passed: bool, before: bool | None) -> str:
    if passed:
        return "passed"
    return "failed, as before the update" if before is False else "**failed**"


def code(text: str) -> str:
    """Return the text as Markdown code in one line."""
    text = " ".join(text.split())
    fence = "`" * (longest_run(text) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def count(things: list[str] | int, noun: str) -> str:
    number = things if isinstance(things, int) else len(things)
    return f"{number} {noun}{'' if number == 1 else 's'}"
