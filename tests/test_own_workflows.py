"""Check the CI of this repository, its forms, and the configuration of the bot that updates pinned tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, commit_all, run, run_unchecked

BIN = Path(sys.executable).parent
CI = (ROOT / ".ci" / "run").read_text("utf-8")
PARTS = dict(re.findall(r"^    (\w+)\) slow (.*) ;;$", CI, re.MULTILINE))


def test_linters_accept_workflows_and_scripts() -> None:
    run(BIN / "actionlint", *ROOT.glob(".github/workflows/*.yml"), cwd=ROOT)
    run(BIN / "zizmor", "--offline", "--min-severity=medium", ".github", cwd=ROOT)
    run(BIN / "shellcheck", *(ROOT / ".ci").iterdir(), cwd=ROOT)


def test_schemas_accept_forms_and_configuration() -> None:
    schemas = {
        "github-issue-forms": [path for path in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml") if path.stem != "config"],
        "github-issue-config": [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"],
        "renovate": [ROOT / "renovate.json"],
    }
    for schema, paths in schemas.items():
        assert paths
        run(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths, cwd=ROOT)


def test_each_file_with_slow_tests_is_in_one_part() -> None:
    slow = {path.stem.removeprefix("test_") for path in ROOT.glob("tests/test_*.py") if is_slow(path)}
    in_parts = sorted(name for names in PARTS.values() for name in names.split())
    assert in_parts == sorted(slow)


def is_slow(path: Path) -> bool:
    return path != Path(__file__) and bool(re.search(r"mark\.slow|in_fast_part\(", path.read_text("utf-8")))


def test_workflow_runs_every_part() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["linux"]["strategy"]["matrix"]["part"] == ["lint", "fast", *PARTS]


def test_make_targets_in_workflows_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    texts = [
        path.read_text("utf-8") for path in (*ROOT.glob(".github/workflows/*.yml"), ROOT / ".ci" / "refresh-locks")
    ]
    named = set(re.findall(r"\bmake ((?!new\b)[a-z]+(?:-[a-z]+)*)", "\n".join(texts)))
    assert {"mutants", "lock"} <= named <= targets | {"migrate", "revision"}  # These are the rendered project's.


def test_both_products_use_the_same_version_of_an_action() -> None:
    versions = defaultdict(set)
    for path in (*ROOT.glob(".github/**/*.yml"), *ROOT.glob("template/**/*.yml.jinja")):
        for action, version in re.findall(r"uses: ([\w-]+/[\w-]+)@(\S+ # v\S+)", path.read_text("utf-8")):
            versions[action].add(version)
    assert "actions/checkout" in versions
    assert not {action: found for action, found in versions.items() if len(found) > 1}


PINS = re.compile(
    r"uses: [\w-]+/\S+@.*|image: [\w./-]+:[\w.-]+$|^ +- (?:docker|postgres):.*|^FROM [\w./-]+:[\w.-]+$"
    r"|--from=\S+/\S+:\S+|_VERSION := .*",
    re.MULTILINE,
)
"""Pinned versions of actions, images and tools in workflows, compose files, Dockerfiles and Makefiles."""

BUILT_IN = {"github-actions": r"^\.github/workflows/", "dockerfile": r"(^|/)Dockerfile[^/]*$"}
"""Files that Renovate's managers read without configuration."""


def found_by_renovate(name: str, text: str) -> Iterator[tuple[int, int]]:
    """Yield where the managers of renovate.json find pins."""
    configuration = json.loads((ROOT / "renovate.json").read_text("utf-8"))
    for manager in configuration["enabledManagers"]:
        if manager in BUILT_IN and re.search(BUILT_IN[manager], name):
            yield 0, len(text)
    for manager in configuration["customManagers"]:
        if any(re.search(pattern.strip("/"), name) for pattern in manager["managerFilePatterns"]):
            for expression in manager["matchStrings"]:
                for found in re.finditer(expression.replace("(?<", "(?P<"), text):
                    yield found.span()


def test_renovate_finds_every_pin() -> None:
    """Compare with `renovate --platform=local --dry-run=extract`, which needs Node.js 24."""
    missed, count = [], 0
    for path in (*ROOT.glob(".github/**/*.yml"), *(path for path in ROOT.glob("template/**/*") if path.is_file())):
        name, text = str(path.relative_to(ROOT)), path.read_text("utf-8")
        spans = list(found_by_renovate(name, text))
        for pin in PINS.finditer(text) if "/docs/" not in name else ():
            count += 1
            if not any(start < pin.end() and pin.start() < end for start, end in spans):
                missed.append(f"{name}: {pin[0].strip()}")
    assert count > 15
    assert missed == []


FAKE_MAKE = """#!/bin/sh
echo "make $*" >>"$CALLS"
case "$1" in lock) echo "$LOCK" >requirements.txt ;; lock-check) exit "$SUITE" ;; esac
"""
FAKE_GH = """#!/bin/sh
echo "gh $*" >>"$CALLS"
case "$*" in *view*) exit 1 ;; esac
"""


@pytest.mark.parametrize(("lock", "suite", "pushed"), [("old", 0, False), ("new", 0, True), ("new", 1, False)], ids=str)
def test_only_tested_lockfiles_are_pushed(tmp_path: Path, lock: str, suite: int, pushed: bool) -> None:
    """Programs of the suites and of GitHub are replaced, because they take an hour or are not reachable."""
    origin, clone, programs = tmp_path / "origin", tmp_path / "clone", tmp_path / "bin"
    run("git", "init", "--quiet", "--bare", origin, cwd=tmp_path)
    run("git", "clone", "--quiet", origin, clone, cwd=tmp_path)
    (clone / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "refresh-locks", clone / ".ci")
    (clone / "requirements.txt").write_text("old\n")
    commit_all(clone, "Start")
    run("git", "push", "--quiet", "origin", "HEAD", cwd=clone)
    programs.mkdir()
    for name, text in (("make", FAKE_MAKE), ("gh", FAKE_GH)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    variables = {"CALLS": str(tmp_path / "calls"), "LOCK": lock, "SUITE": str(suite)}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    finished = run_unchecked(clone / ".ci" / "refresh-locks", "--push", cwd=clone, PATH=path, **variables)
    assert finished.returncode == suite
    assert ("locks" in run("git", "branch", "--format=%(refname:short)", cwd=origin).stdout.split()) == pushed
    calls = (tmp_path / "calls").read_text()
    assert ("gh pr create --head locks" in calls) == pushed
    assert ("lint typecheck test audit" in calls) == pushed
