"""The house keeps its shape: sizes, names, docstrings, import direction, public surface, and what may be committed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import flashql

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "flashql"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_sql" not in path.parts)

# Public API. A name leaves this list in a major version only.
PUBLIC = {
    "Change",
    "ChangeFeed",
    "Cursor",
    "Database",
    "Hook",
    "JobStatus",
    "Metrics",
    "OriginMetrics",
    "PostgresOrigin",
    "Result",
    "RetryPolicy",
    "Scope",
    "ScopeStatus",
    "Scopes",
    "Subscribed",
    "Subscription",
    "SubscriptionProgress",
    "Sync",
    "SyncContext",
    "SyncReport",
    "VerifyReport",
    "ViewMetrics",
    "__version__",
    "connect",
    "errors",
    "events",
}

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks",
    "docs",
    "flashql",
    "pyproject.toml",
    "sql",
    "tests",
}

BANNED_WORDS = {"utils", "helpers", "manager", "handler", "processor", "engine", "service", "common", "misc"} | {
    "data",
    "info",
}
MODULE_LINES = 400
FUNCTION_LINES = 50

# Written in two pieces each, so that this file does not contain what it looks for.
FORBIDDEN_TEXT = re.compile(
    "|".join(
        [
            "/wor" + "k/",
            "/ro" + "ot/",
            "/ho" + r"me/\w",
            "/Use" + r"rs/\w",
            "/tm" + r"p/\w",
            "files.pythonhos" + "ted.org",
            "py" + "pi.org",
            "index-" + "url",
            "find-" + "links",
        ]
    )
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _definitions(path: Path) -> Iterator[Definition]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Definition):
            yield node


def _tracked() -> list[str]:
    """Files that are, or would be, committed; skips where there is no repository (a source archive)."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).exists()]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_fits_its_room(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= MODULE_LINES, f"{lines} lines: this module wants a wall"
    for node in _definitions(path):
        if not isinstance(node, ast.ClassDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length < FUNCTION_LINES, f"{node.name} (line {node.lineno}) has {length} lines"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_opens_by_saying_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_names_say_what_a_thing_is(path: Path) -> None:
    """No module, package or class has a name that fits everything."""
    names = [path.stem, path.parent.name, *(n.name for n in _definitions(path) if isinstance(n, ast.ClassDef))]
    for name in names:
        # UpperCamelCase and snake_case alike: SlotManager -> slot, manager
        words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]*|[a-z]+", name)
        vague = {word.lower() for word in words} & BANNED_WORDS
        assert not vague, f"{name}: {', '.join(vague)} says nothing"


def test_the_public_surface_is_exactly_this() -> None:
    assert set(flashql.__all__) == PUBLIC
    assert list(flashql.__all__) == sorted(flashql.__all__)
    for name in PUBLIC:
        assert getattr(flashql, name) is not None


def test_imports_point_up_the_house() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_is_in_the_import_contract() -> None:
    """A module that the layers do not name could import anything."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    named = {layer.split(".")[0] for layer in layers}
    rooms = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms - {"__init__"} == named


def test_the_top_level_is_as_designed() -> None:
    assert {name.split("/")[0] for name in _tracked()} == TOP_LEVEL


def test_nothing_tracked_names_a_machine_or_a_registry() -> None:
    found = []
    for name in _tracked():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # not text
        found += [
            f"{name}:{number}: {match[0]}"
            for number, line in enumerate(text.splitlines(), 1)
            if (match := FORBIDDEN_TEXT.search(line))
        ]
    assert not found, "\n".join(found)


def test_the_licence_and_the_type_marker_are_there() -> None:
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert (PACKAGE / "py.typed").exists()
