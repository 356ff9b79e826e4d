"""Random patterns over random text: where they are accepted, Postgres and DuckDB find the same."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import psycopg
from sqlglot import exp

from flashql import errors
from flashql.datatypes import PgType
from flashql.planner import matches
from flashql.planner.literals import TEXT, UNKNOWN
from flashql.planner.scalars import Scalar
from tests.seeds import seeded

ATOMS = ["a", "b", "c", "[ab]", "[^a]", "[a-c]", ".", "\\.", "[^.b]", "é", "-", "\\d", "[\\d.]"]
MANY = ["", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,1}", "{2,}"]
LETTERS = "aabbc.é-1\n"
PATTERNS = 1500


def _constant(text: str) -> Scalar:
    return Scalar(exp.Literal.string(text), PgType(UNKNOWN), text=text)


def _accepted(pattern: str) -> list[tuple[str, str]]:
    """Calls at Postgres and their translations."""
    x, known = Scalar(exp.column("x"), PgType(TEXT), "C"), _constant(pattern)
    calls: list[tuple[str, Callable[[], Scalar]]] = [
        ("substring(x from {})", lambda: matches.part(x, known)),
        ("regexp_match(x, {})", lambda: matches.parts(x, known)),
        ("regexp_split_to_array(x, {})", lambda: matches.split(x, known)),
        ("regexp_replace(x, {}, '<z>')", lambda: matches.replaced(x, known, _constant("<z>"))),
        ("regexp_replace(x, {}, '<z>', 'g')", lambda: matches.replaced(x, known, _constant("<z>"), _constant("g"))),
    ]
    found = []
    for written, made in calls:
        try:
            found.append((written.format(f"'{pattern}'"), made().node.sql("duckdb")))
        except errors.NotSupported:
            continue
    return found


def test_what_is_matched_is_the_same_in_both(postgres_dsn: str) -> None:
    chosen = seeded()
    compared = 0
    with psycopg.connect(postgres_dsn, autocommit=True) as server, duckdb.connect() as local:
        for _ in range(PATTERNS):
            parts = [chosen.choice(ATOMS) + chosen.choice(MANY) for _ in range(chosen.randrange(1, 5))]
            if chosen.random() < 0.5:
                at = chosen.randrange(len(parts))
                last = chosen.randrange(at, len(parts))
                parts[at], parts[last] = "(" + parts[at], parts[last] + ")" if last != at else f"({parts[at]})"
            anchors = ["^" if chosen.random() < 0.2 else "", "$" if chosen.random() < 0.2 else ""]
            accepted = _accepted("".join(parts).join(anchors))
            if not accepted:
                continue
            texts = ["".join(chosen.choice(LETTERS) for _ in range(chosen.randrange(8))) for _ in range(4)]
            theirs, ours = (", ".join(pair) for pair in zip(*accepted, strict=True))
            of_theirs = f"SELECT {theirs} FROM unnest(%s::text[]) WITH ORDINALITY AS v (x, n) ORDER BY n"
            expected = server.execute(of_theirs.encode(), [texts]).fetchall()
            found = local.execute(f"SELECT {ours} FROM (SELECT unnest(?::VARCHAR[]) AS x)", [texts]).fetchall()
            assert found == expected, (accepted, texts)
            compared += len(texts) * len(accepted)
    assert compared > 5000
