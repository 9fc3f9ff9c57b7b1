"""Check that links, commands and files in README.md and CONTRIBUTING.md exist."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from conftest import ROOT

DOCUMENTS = ["README.md", "CONTRIBUTING.md"]
LARGEST_PICTURE = 200_000


@pytest.fixture(params=DOCUMENTS)
def text(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return (ROOT / name).read_text("utf-8")


def test_linked_files_exist(text: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    assert links or "## Set up" in text
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_make_targets_in_documents_exist(text: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    # These are the rendered project's.
    named = set(re.findall(r"`make ([a-z-]+)", text)) - {"audit", "dev", "update", "update-check"}
    assert named
    assert named <= targets


def test_file_names_in_documents_exist(text: str) -> None:
    parts = text.partition("\n## Comparison with other templates\n")
    others = parts[2].partition("\n## ")
    for name in re.findall(r"`((?:[\w.-]+/)*(?:test_)?[\w-]+\.(?:py|yml|jinja|txt|md))`", parts[0] + others[2]):
        rendered_or_owners = {".copier-answers.yml", "answers.yml"}
        found = any((ROOT / folder / name).exists() for folder in (".", "tests", "hooks"))
        assert found or name in rendered_or_owners or name.startswith(".config"), f"{name} does not exist."


def test_pictures_are_small_and_complete() -> None:
    picture = (ROOT / "docs" / "documentation.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture.endswith(b"IEND\xaeB`\x82")
    svg = (ROOT / "docs" / "terminal.svg").read_text("utf-8")
    ET.fromstring(svg)
    # A browser must not load fonts or images from other servers.
    assert set(re.findall(r"(?:href|url\()[^;\s]*https?:", svg)) == set()
    assert max(len(picture), len(svg)) < LARGEST_PICTURE
    passed = re.search(r"(\d+)&#160;passed", svg)
    assert passed
    assert int(passed[1]) > 100
