"""Check scripts/mutations.toml, the bugs that `make mutants` plants."""

from __future__ import annotations

import sys

import pytest

from conftest import ROOT, Render

sys.path.insert(0, str(ROOT / "scripts"))

from mutants import Mutation, read_mutations


def test_each_bug_can_be_planted_in_one_place(render: Render) -> None:
    mutations = read_mutations()
    assert len({mutation.name for mutation in mutations}) == len(mutations) == 20
    for mutation in mutations:
        mutation.check(render())


@pytest.mark.parametrize(("old", "places"), [("no such text", "no file"), ("import asyncio", r"\w+\.py, \w+\.py")])
def test_bug_that_fits_no_place_or_several_is_rejected(render: Render, old: str, places: str) -> None:
    with pytest.raises(SystemExit, match=rf"'a bug' must be in one place, but is in {places}.*mutations\.toml"):
        Mutation("a bug", (old,), "").check(render())
