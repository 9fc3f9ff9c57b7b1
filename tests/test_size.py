"""Check the sizes of renders against sizes.txt and the budgets: `make size`."""

from __future__ import annotations

import sys
from pathlib import Path

from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import size


def test_renders_are_within_recorded_sizes_and_budgets(template: Path) -> None:
    sizes = size.measure(template, "HEAD")
    recorded = size.read_record()
    messages = size.excess(sizes, recorded)
    assert not messages, "\n".join(messages)
    assert sizes.keys() == recorded.keys(), (
        "sizes.txt does not list the current options. Run `make size args=--record`."
    )


def test_growth_is_reported_with_option_column_and_remedy() -> None:
    recorded = {"default": dict.fromkeys(size.COLUMNS, 10), "auth=jwt": dict.fromkeys(size.COLUMNS, 20)}
    grown = {"auth=jwt": {**recorded["auth=jwt"], "tests": 21}, "new=true": dict.fromkeys(size.COLUMNS, 0) | {"src": 1}}
    remedy = "Make it smaller, or run `make size args=--record` and say why in the commit."
    assert size.excess(recorded, recorded) == []
    assert size.excess({**recorded, **grown}, recorded) == [
        f"auth=jwt: tests is 21, recorded 20. {remedy}",
        f"new=true: src is 1, recorded 0. {remedy}",
    ]


def test_budgets_apply_only_to_the_default_answers() -> None:
    sizes = {name: dict.fromkeys(size.COLUMNS, 1000) for name in ("default", "auth=jwt")}
    assert size.excess(sizes, sizes) == [
        "default: scripts+alembic is 1000, budget 400. Make it smaller.",
        "default: python-files is 1000, budget 95. Make it smaller.",
        "default: readme is 1000, budget 100. Make it smaller.",
    ]
