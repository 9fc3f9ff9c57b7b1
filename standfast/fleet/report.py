"""Write the report of a fleet as a table, as JSON, and as a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from .model import Check, Result
from .text import count

LOG_LINES = 40
"""Lines of a log that the page shows."""

HEADS = ("project", "version", "behind", "update", "by hand", "checks")


def table(results: Sequence[Result]) -> str:
    """Return a table with a row for each project, and the problems below it."""
    rows = [HEADS, *(row(result) for result in results)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() for cells in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    lines += ["", *summary(results)]
    lines += [f"{result.name}: {result.problem}" for result in results if result.problem]
    return "\n".join(lines)


def row(result: Result) -> tuple[str, ...]:
    by_hand = str(result.by_hand) if result.state in ("merges", "conflicts") else ""
    return (result.name, result.version or "?", behind(result), outcome(result), by_hand, checked(result.checks))


def behind(result: Result) -> str:
    return "?" if result.behind is None else str(len(result.behind))


def outcome(result: Result) -> str:
    """Return the result of the update in a few words."""
    if result.state == "conflicts":
        return f"conflicts in {count(len(result.conflicts), 'file')}"
    return {"current": "up to date", "merges": "merges", "untrusted": "needs --trust", "failed": "failed"}[result.state]


def checked(checks: Sequence[Check]) -> str:
    """Return the failed checks, or that all passed."""
    if not checks:
        return ""
    failed = [check for check in checks if not check.passed]
    if not failed:
        return "pass"
    names = ", ".join(check.command.removeprefix("make ") for check in failed)
    return f"{names} fail{'' if len(failed) > 1 else 's'}" + ("" if any(map(is_new, failed)) else ", as before")


def is_new(check: Check) -> bool:
    """Return whether the update may be the cause of a failure."""
    return not check.passed and check.before is not False


def summary(results: Sequence[Result]) -> list[str]:
    """Return the numbers of the fleet, and the files with the most conflicts, in sentences."""
    states = Counter(result.state for result in results)
    updated = [result for result in results if result.state in ("merges", "conflicts")]
    failed = states["failed"] + states["untrusted"]
    sentences = [f"{count(len(results), 'project')}: {states['current']} up to date, {failed} could not be examined."]
    if updated:
        sentences.append(f"Updates that merge: {states['merges']} of {len(updated)}.")
    ran = [result for result in updated if result.checks]
    if ran:
        green = sum(bool(result.passed) for result in ran)
        sentences.append(f"Merged projects that pass their checks: {green} of {len(ran)}.")
    files = Counter(conflict.path for result in results for conflict in result.conflicts)
    if files:
        most = ", ".join(f"{path} ({number})" for path, number in files.most_common(5))
        sentences.append(f"Conflicts by file: {most}{', …' if len(files) > 5 else ''}")
    return sentences


def as_json(results: Sequence[Result], seconds: float) -> str:
    """Return the report as JSON. The keys of a project are the fields of `Result`."""
    report = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "summary": summary(results),
        "projects": [asdict(result) for result in results],
    }
    return json.dumps(report, indent=2, ensure_ascii=False, default=str) + "\n"


def as_page(results: Sequence[Result]) -> str:
    """Return the report as an HTML page that needs no other file."""
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        results=results,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        targets=sorted({result.target for result in results if result.target}),
        bars=bars(results),
        sentences=summary(results),
        groups=GROUPS,
        group=group,
        outcome=outcome,
        behind=behind,
        checked=checked,
        is_new=is_new,
        tail=tail,
    )


GROUPS = {
    "current": "Up to date",
    "ready": "Ready to update",
    "work": "Merges, with work left",
    "conflicts": "Conflicts",
    "untrusted": "Needs --trust",
    "failed": "Could not be examined",
}


def group(result: Result) -> str:
    """Return the group of a project on the page: the work that it needs."""
    if result.state != "merges":
        return result.state
    return "work" if result.by_hand or result.passed is False else "ready"


def bars(results: Sequence[Result]) -> list[dict[str, Any]]:
    numbers = Counter(group(result) for result in results)
    return [{"group": name, "title": text, "number": numbers[name]} for name, text in GROUPS.items() if numbers[name]]


def tail(result: Result) -> str:
    """Return the last lines of the log, if a check failed."""
    if result.passed is not False:
        return ""
    try:
        lines = Path(result.log).read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(click.unstyle(line) for line in lines[-LOG_LINES:])
