"""Answers to the questions of copier.yml, for renders in tests."""

from __future__ import annotations

import itertools
from collections.abc import Set
from typing import Any

Answers = dict[str, Any]

DATABASES: dict[str, Answers] = {
    "namespaced": {"database_backend": "postgresql", "schema_namespace": "orders"},
    "plain": {"database_backend": "postgresql", "schema_namespace": ""},
    "sqlite": {"database_backend": "sqlite"},
}
TOOLS = ("pip-tools", "uv")
CI_PROVIDERS = ("github", "gitlab", "none")
LICENSES = ("Proprietary", "MIT", "Apache-2.0", "BSD-3-Clause")
PYTHON_VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.15")

CORNERS: dict[str, Answers] = {
    f"{database}{'' if auth == 'none' else f'-{auth}'}-{'example' if example else 'bare'}": {
        **answers,
        "auth": auth,
        "include_example": example,
    }
    for (database, answers), auth, example in itertools.product(DATABASES.items(), ("none", "jwt"), (True, False))
}
"""Answers that change the Python code of the service."""


def matrix() -> dict[str, Answers]:
    """Return every combination of CORNERS, tools and CI providers.

    Licenses, Python versions and Kubernetes change only a few files: each combination gets the next value.
    """
    licenses, versions = itertools.cycle(LICENSES), itertools.cycle(PYTHON_VERSIONS)
    kubernetes = itertools.cycle((True, False, False, True, True, False))
    return {
        f"{corner}-{tool}-{ci}": {
            **answers,
            "dependency_tool": tool,
            "ci_provider": ci,
            "license": next(licenses),
            "python_version": next(versions),
            "kubernetes": next(kubernetes),
        }
        for (corner, answers), tool, ci in itertools.product(CORNERS.items(), TOOLS, CI_PROVIDERS)
    }


def covering() -> dict[str, Answers]:
    """Return few combinations that together have each pair of answers. Licenses and Python versions do not count."""
    return cover_pairs(matrix(), ignore={"license", "python_version"})


def suites() -> dict[str, Answers]:
    """Return few combinations of CORNERS and database servers, to run the rendered suite with.

    They have each pair of answers that change Python code. Other answers do not change it.
    """
    runs = {
        f"{corner}-on-{server}": {**answers, "server": server}
        for corner, answers in CORNERS.items()
        for server in ("postgresql", "sqlite")
        if server == "sqlite" or answers["database_backend"] == "postgresql"
    }
    return cover_pairs(runs)


def cover_pairs(combinations: dict[str, Answers], ignore: Set[str] = frozenset()) -> dict[str, Answers]:
    """Return few combinations. Each pair of values that occurs in any combination occurs in one of these."""
    pairs = {
        name: {pair for pair in itertools.combinations(sorted(answers.items()), 2) if not ignore & dict(pair).keys()}
        for name, answers in combinations.items()
    }
    missing = set().union(*pairs.values())
    chosen = {}
    while missing:
        name = max(pairs, key=lambda name: len(pairs[name] & missing))
        chosen[name] = combinations[name]
        missing -= pairs[name]
    return chosen


LONGEST: Answers = {
    "project_name": "Z" + "y" * 49,
    "package_name": "z" * 40,
    "schema_namespace": "n" * 63,
    "description": "d" * 200,
    "author_name": "a" * 100,
}
SHORTEST: Answers = {
    "project_name": "A",
    "package_name": "a",
    "schema_namespace": "a",
    "description": "d",
    "author_name": "a",
}
HOSTILE: Answers = {
    "description": """Tom's "best" \\ {{ x }} {% y %} ${z} %(q)s #1 `r` é → 服务 🫖""",
    "author_name": """O'Neil "Ace" \\ {{ x }} ${y} é 服务""",
    "author_email": "a.b+c_d%e-f@mail.sub-domain.example.com",
    "schema_namespace": "select",
}
NAMES: dict[str, Answers] = {"longest": LONGEST, "shortest": SHORTEST, "hostile": HOSTILE}
