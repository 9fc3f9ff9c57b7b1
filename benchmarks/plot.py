"""The figure of docs/performance.md: how many times less, or more, than the peer."""

from __future__ import annotations

from pathlib import Path

from report import OURS, Row, Table

ROWS = {
    ("render", "copy, CPU"): "CPU of a render",
    ("start", "first healthy answer, CPU"): "CPU to the first answer",
    ("resources", "500 more, start, CPU"): "the same with 500 resources more",
    ("memory", "PSS idle"): "memory, idle",
    ("memory", "PSS after 10,000 requests"): "memory, after 10,000 requests",
    ("requests", "health, CPU"): "CPU of a health check",
    ("requests", "read by id, CPU"): "CPU of a read by id",
    ("requests", "list page, CPU"): "CPU of a list page",
    ("requests", "create, CPU"): "CPU of a create",
    ("requests", "read by id, rate"): "reads by id per second",
    ("requests", "list page, rate"): "list pages per second",
    ("requests", "create, rate"): "creates per second",
    ("clients", "50 clients, p99"): "p99 of a list page, 50 clients",
}
"""The rows to draw, and their labels."""

AHEAD, BEHIND = "#2a78b5", "#c0504d"


def draw(table: Table, path: Path, against: str = "peer") -> None:
    """Write an SVG with a bar for each quantity. If less is better, it shows peer / ours. Otherwise ours / peer.

    A bar to the right of 1 means that ours is better. Its line reaches from the lowest round to the highest.
    """
    # Only where there is something to draw: the measurements need no such library.
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    mpl.rcParams["svg.hashsalt"] = "bench"  # the same figures make the same file
    from matplotlib import pyplot

    found = {(row.section, row.name): row for row in table if OURS in row.values and against in row.values}
    drawn = {title: leads(found[key], against) for key, title in ROWS.items() if key in found}
    if not drawn:
        return
    figure, axes = pyplot.subplots(figsize=(8, 0.5 + 0.36 * len(drawn)))
    for place, (median, low, high) in enumerate(drawn.values()):
        axes.barh(place, median - 1, left=1, height=0.62, color=AHEAD if median >= 1 else BEHIND)
        axes.plot([low, high], [place, place], color="#333333", linewidth=1.2)
        axes.annotate(f"{median:.2f}", (max(median, high, 1), place), (5, 0), textcoords="offset points", va="center")
    axes.set_xscale("log", base=2)  # twice as good and half as good are as far from 1
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color="#333333", linewidth=0.8)
    axes.set_yticks(range(len(drawn)), list(drawn))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(f"times better than the {against}: median, and lowest to highest round")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def leads(row: Row, against: str) -> tuple[float, float, float]:
    """Return the factor by which ours is better: the median, lowest and highest of the rounds."""
    median, low, high = row.ratio(against)
    return (median, low, high) if row.better == "more" else (1 / median, 1 / high, 1 / low)
