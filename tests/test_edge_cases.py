"""The forty known hard cases of a consumer of logical replication: each is a test on a real server, by its number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CASES = range(1, 41)


def test_every_edge_case_is_a_test() -> None:
    """A test says `Edge case 7.` or `Edge cases 27 and 28.` at the beginning of its docstring."""
    numbers: set[int] = set()
    for path in sorted((Path(__file__).parent / "postgres").glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                said = re.match(r"Edge cases? ([0-9, and]+)\.", ast.get_docstring(node) or "")
                numbers.update(int(number) for number in re.findall("[0-9]+", said[1] if said else ""))
    assert numbers == set(CASES)
