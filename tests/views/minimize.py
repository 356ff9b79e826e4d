"""A failing world made short: steps, statements, rows and parts of queries are left out while it still fails.

python -m tests.views.minimize SEED > tests/views/regressions/what_it_shows.sql
python -m tests.views.minimize FILE > tests/views/regressions/what_it_shows.sql
"""

from __future__ import annotations

import logging
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from flashql.cli.embedded import embedded_postgres
from tests.fix_postgres import fresh_origin
from tests.views.scenario import Mismatch, Scenario, parsed, run
from tests.views.worlds import place_of, together

Item = TypeVar("Item")
Failing = Callable[[Scenario], bool]


def minimized(scenario: Scenario, failing: Failing) -> Scenario:
    """The least found that still fails: what it cannot do without, step by step and word by word."""
    while True:
        before = str(scenario)
        scenario = Scenario(tuple(fewer(scenario.steps, lambda steps: failing(Scenario(tuple(steps))))))
        for at in range(len(scenario.steps)):
            scenario = _shorter_step(scenario, at, failing)
        if str(scenario) == before:
            return scenario


def fewer(items: Sequence[Item], failing: Callable[[list[Item]], bool]) -> list[Item]:
    """The items without those that it fails without, in ever smaller runs.

    >>> fewer(range(10), lambda kept: 3 in kept and 7 in kept)
    [3, 7]
    """
    kept = list(items)
    size = max(1, len(kept) // 2)
    while True:
        at = len(kept)
        while (at := at - size) > -size:
            shorter = kept[: max(at, 0)] + kept[max(at, 0) + size :]
            if len(shorter) < len(kept) and failing(shorter):
                kept = shorter
        if size == 1:
            return kept
        size //= 2


def _shorter_step(scenario: Scenario, at: int, failing: Failing) -> Scenario:
    def changed(statements: Sequence[str]) -> Scenario:
        steps = list(scenario.steps)
        steps[at] = replace(steps[at], statements=tuple(statements))
        return Scenario(tuple(steps))

    kept: list[str] = list(scenario.steps[at].statements)
    if len(kept) > 1:
        kept = fewer(kept, lambda statements: bool(statements) and failing(changed(statements)))
    for nth in range(len(kept)):
        if scenario.steps[at].kind in ("origin", "local"):
            continue  # the statements that fill the tables name no columns
        written, kept[nth] = kept[nth], normal(kept[nth])  # as sqlglot writes it, so that lengths compare
        if not failing(changed(kept)):
            kept[nth] = written
        found = True
        while found:
            found = False
            for one in simpler(kept[nth]):
                if len(one) < len(kept[nth]) and failing(changed([*kept[:nth], one, *kept[nth + 1 :]])):
                    kept[nth] = one
                    found = True
                    break
    return changed(kept)


def normal(statement: str) -> str:
    """The statement as sqlglot writes it, or as it is where sqlglot cannot read it."""
    try:
        return sqlglot.parse_one(statement, read="postgres").sql(dialect="postgres")
    except SqlglotError:
        return statement


def simpler(statement: str) -> Iterator[str]:
    """The statement with one part left out, or replaced by a part of it; the largest parts first."""
    try:
        tree = sqlglot.parse_one(statement, read="postgres")
    except SqlglotError:
        return
    found: dict[str, int] = {}
    for node in list(tree.walk()):
        for smaller in _smaller(tree, node):
            text = smaller.sql(dialect="postgres")
            found.setdefault(text, len(text))
    yield from sorted(found, key=lambda text: found[text])


def _smaller(tree: exp.Expr, node: exp.Expr) -> Iterator[exp.Expr]:
    """Copies of the tree in which the node is gone, or one of its own parts stands in its place."""
    path = _path(node)
    for inner in _parts(node):
        yield _edited(tree, path, partial(_replaced, inner=inner))
    for name, value in node.args.items():
        if isinstance(value, list):
            for at in range(len(value)):
                if len(value) > 1 or name != "expressions":
                    yield _edited(tree, path, partial(_without, name=name, at=at))
        elif isinstance(value, exp.Expr) and name not in ("this", "expression", "alias", "from_", "table", "db"):
            yield _edited(tree, path, partial(_without, name=name))


def _parts(node: exp.Expr) -> Iterator[exp.Expr]:
    """What could stand in a node's place."""
    if isinstance(node, (exp.SetOperation, exp.Connector, exp.Binary)):
        yield node.left
        yield node.right
    elif isinstance(node, (exp.Paren, exp.Not, exp.Cast, exp.Coalesce, exp.Nullif, exp.Filter, exp.Func)):
        if isinstance(node.this, exp.Expr) and not isinstance(node, exp.AggFunc):
            yield node.this
    elif isinstance(node, exp.Case):
        yield from (one for one in (node.args.get("default"), node.args["ifs"][0].args["true"]) if one is not None)
    elif isinstance(node, exp.Subquery) and isinstance(node.parent, (exp.From, exp.Join)):
        source = node.this.args.get("from_") if isinstance(node.this, exp.Select) else None
        if source is not None and isinstance(source.this, exp.Table):
            table = source.this.copy()
            table.set("alias", node.args.get("alias"))
            yield table


def _path(node: exp.Expr) -> list[tuple[str, int | None]]:
    """The way from the root to a node, as argument names and places in lists."""
    path: list[tuple[str, int | None]] = []
    while node.parent is not None:
        path.append((node.arg_key or "", node.index))
        node = node.parent
    return path[::-1]


def _edited(tree: exp.Expr, path: Sequence[tuple[str, int | None]], edit: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """A copy of the tree with the node at the end of the path replaced by what `edit` makes of it."""
    copied = tree.copy()
    node = copied
    for name, index in path:
        value = node.args[name]
        node = value if index is None else value[index]
    replaced = edit(node)
    if replaced is node:
        return copied
    if node is copied:
        return replaced
    node.replace(replaced)
    return copied


def _replaced(_: exp.Expr, inner: exp.Expr) -> exp.Expr:
    return inner.copy()


def _without(node: exp.Expr, name: str, at: int | None = None) -> exp.Expr:
    if at is None:
        node.set(name, None)
    else:
        node.args[name].pop(at)
    return node


def shortened(text: str) -> str:
    """What two failures have in common when they are the same: the first words, without names and numbers."""
    return re.sub(r"[\d.]+|'[^']*'|\[.*", "", text.splitlines()[0] if text else "")[:60]


def main(argument: str) -> str:
    """The minimized scenario of a seed or a file, as text."""
    scenario = together(int(argument)) if argument.isdigit() else parsed(Path(argument).read_text(encoding="utf-8"))
    with embedded_postgres(18) as server, tempfile.TemporaryDirectory() as folder:

        def failure(one: Scenario) -> str | None:
            with fresh_origin(server.dsn) as origin:
                path = Path(folder) / f"{origin.name}.duckdb"
                try:
                    run(one, origin, str(path))
                except Mismatch as problem:
                    return str(problem)
                except psycopg.Error:
                    return None  # no longer SQL
                finally:
                    path.unlink(missing_ok=True)
            return None

        def same(one: Scenario) -> bool:
            return shortened(failure(one) or "") == shortened(first or "")

        first = failure(scenario)
        if first is None:
            raise SystemExit("it does not fail")
        sys.stderr.write(first + "\n")
        if argument.isdigit() and (named := re.search(r"\b[slz]\.v\d+\b", first)):
            alone = together(int(argument), {place_of(named[0])})
            if same(alone):
                scenario = alone
        least = minimized(scenario, same)
        return f"-- {(failure(least) or '').splitlines()[0]}\n\n{least}"


if __name__ == "__main__":
    logging.getLogger("flashql").addHandler(logging.NullHandler())
    sys.stdout.write(main(sys.argv[1]))
