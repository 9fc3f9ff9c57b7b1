"""From a fresh render to its first answer and a passing suite, beside the peer: `make bench-first-suite`.

Cold is with empty caches of pip and uv, warm is the same again. The ratios are what to look at: the
absolute figures are those of a shared machine and its network.
"""

from __future__ import annotations

from cloning import measure
from harness import command
from report import Table, render
from subjects import postgres, workshop


def main() -> None:
    table = Table()
    with workshop() as place, postgres(place) as server:
        measure(place, table, server.url)
    print(render(table))


if __name__ == "__main__":
    command(main)
