"""Reads the golden pairs of `sql/spec`: statements ending with `;`, two by two; lines with `--` are prose."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

SPEC = Path(__file__).parent.parent / "sql" / "spec"


def _statements(path: Path) -> list[str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("--")]
    return [part.strip().removesuffix(";") for part in "\n".join(lines).split(";\n")]


def pairs(folder: str) -> list[ParameterSet]:
    """(input, expected) of every pair in a folder of `sql/spec`, named by file and number."""
    found = []
    for path in sorted((SPEC / folder).glob("*.sql")):
        statements = _statements(path)
        assert len(statements) % 2 == 0, f"{path.name} has a statement without a partner"
        for index in range(0, len(statements), 2):
            pair = statements[index], statements[index + 1]
            found.append(pytest.param(*pair, id=f"{path.stem}-{index // 2 + 1}"))
    return found


def statements(folder: str) -> list[ParameterSet]:
    """Every statement in a folder of `sql/spec`, named by file and number."""
    found = []
    for path in sorted((SPEC / folder).glob("*.sql")):
        found += [pytest.param(one, id=f"{path.stem}-{at + 1}") for at, one in enumerate(_statements(path))]
    return found


def proven(folder: str, *, every: int) -> list[tuple[str, list[str]]]:
    """Of each file in a folder of `sql/spec`: its first comment, and the first of `every` so many statements."""
    found = []
    for path in sorted((SPEC / folder).glob("*.sql")):
        lines = path.read_text().splitlines()
        comment = lines[: next(at for at, line in enumerate(lines) if not line.startswith("--"))]
        found.append((" ".join(line.removeprefix("-- ") for line in comment), _statements(path)[::every]))
    return found


def function_names() -> dict[str, list[str]]:
    """The names of `sql/spec/functions.txt`: those that are accepted, and by reason those that are refused."""
    found: dict[str, list[str]] = {}
    for part in (SPEC / "functions.txt").read_text().strip().split("\n\n"):
        reason, *lines = part.splitlines()
        found[reason.removesuffix(":")] = " ".join(lines).replace("operator ", "operator\0").split()
    return {reason: [name.replace("\0", " ") for name in names] for reason, names in found.items()}
