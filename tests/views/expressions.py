"""Random typed expressions over columns in scope, as SQL text that Postgres accepts.

With `shared`, only what DuckDB writes alike and means alike: the dialect of views without an origin.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Kinds of values. `exact` is a numeric of any scale, `ints` an array: both are compared and passed on, no more.
INT, BIG, NUM, EXACT, TEXT, BOOL, DATE, TIME, FLOAT, INTS = (
    "int", "bigint", "numeric(10,2)", "exact", "text", "boolean", "date", "timestamptz", "float8", "int[]",
)  # fmt: skip
STORED = (INT, BIG, NUM, TEXT, BOOL, DATE, TIME, FLOAT)  # what a table's column may be
# What a column of the origin may be besides; a view without an origin does not read them.
STAMP, UUID, SHORT, FIXED, BYTES, FINE, DOC, TEXTS = (
    "timestamp", "uuid", "varchar(5)", "char(3)", "bytea", "numeric(12,4)", "jsonb", "text[]",
)  # fmt: skip
OF_ORIGIN = (STAMP, UUID, SHORT, FIXED, BYTES, FINE, DOC, TEXTS, INTS)
OPAQUE = (INTS, TEXTS, DOC)  # passed on, and taken apart
PLAIN = (INT, INT, INT, TEXT, TEXT, NUM, BIG, BOOL, DATE, FLOAT, TIME)  # what an expression is mostly asked for
ORDERED = (INT, BIG, NUM, TEXT, DATE, TIME, FLOAT)
_DOCUMENTS = (
    "{}", "[]", "3", "null", '"a"', '{"a": 1, "b": [1, 2.50]}', '{"a": "x", "é": null}', '[1, "b", {"a": 2}, [true]]',
)  # fmt: skip
_WORDS = ("", "a", "b", "ab", "A", "é", "b a", "%", "a_b", "10", "9")


@dataclass(frozen=True)
class Column:
    """A column in scope: how it is written, and its kind."""

    name: str
    kind: str


Scope = Sequence[Column]


class Expressions:
    """Draws expressions; every choice comes from `chance`."""

    def __init__(self, chance: random.Random, *, shared: bool) -> None:
        self.chance = chance
        self.shared = shared

    def some(self, probability: float) -> bool:
        """True with that probability."""
        return self.chance.random() < probability

    def literal(self, kind: str) -> str:
        """A constant; small, so that it meets what is stored."""
        chance = self.chance
        match kind:
            case "int":
                return str(chance.randint(0, 6))
            case "bigint":
                return f"{chance.choice([0, 1, 2, 10_000_000_007])}::bigint"
            case "numeric(10,2)":
                return f"{chance.choice(['0.00', '1.25', '2.50', '3.00', '-1.10'])}::numeric(10,2)"
            case "text":
                return f"'{chance.choice(_WORDS)}'::text"
            case "boolean":
                return chance.choice(["true", "false"])
            case "date":
                return f"date '2024-01-{chance.randint(1, 5):02d}'"
            case "timestamptz":
                return f"timestamptz '2024-01-0{chance.randint(1, 5)} 12:00:00+00'"
            case "float8":
                return f"({chance.randint(-4, 12) / 4})::float8"
            case _:
                return self._of_origin(kind)

    def _of_origin(self, kind: str) -> str:
        """A constant of a type that only the origin's dialect has here."""
        chance = self.chance
        match kind:
            case "timestamp":
                return f"timestamp '2024-01-0{chance.randint(1, 4)} {chance.choice(['00:00', '12:30:00.5', '23:59'])}'"
            case "uuid":
                return f"'{chance.choice('0a8f')}0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1{chance.randint(0, 3)}'::uuid"
            case "varchar(5)" | "char(3)":
                return f"'{chance.choice(['', 'a', 'b ', 'ab', 'é', 'B'])}'::{kind}"
            case "bytea":
                return f"'\\x{chance.choice(['', '00', 'ff', '6100'])}'::bytea"
            case "numeric(12,4)":
                return f"{chance.choice(['0.0000', '1.2500', '-3.0001', '12345.6789'])}::numeric(12,4)"
            case "jsonb":
                return f"'{chance.choice(_DOCUMENTS)}'::jsonb"
            case "text[]":
                return f"'{chance.choice(['{}', '{a}', '{b,NULL,a b}', '{é,a,a}'])}'::text[]"
            case "int[]":
                return f"'{chance.choice(['{}', '{1}', '{3,NULL,2}', '{5,5,0,1}'])}'::int[]"
        raise AssertionError(kind)

    def columns(self, scope: Scope, kind: str) -> list[str]:
        """The columns in scope of a kind."""
        return [column.name for column in scope if column.kind == kind]

    def of(self, kind: str, scope: Scope, depth: int = 2) -> str:
        """An expression of a kind: mostly a column, else one computed, else a constant."""
        found = self.columns(scope, kind)
        if found and self.some(0.65 if depth else 0.9):
            return self.chance.choice(found)
        if depth and self.some(0.7):
            return self._computed(kind, scope, depth - 1)
        return self.literal(kind)

    def _computed(self, kind: str, scope: Scope, depth: int) -> str:
        def of(other: str) -> str:
            return self.of(other, scope, depth)

        general = [
            lambda: f"coalesce({of(kind)}, {of(kind)})",
            lambda: f"CASE WHEN {self.predicate(scope, depth)} THEN {of(kind)} ELSE {of(kind)} END",
            lambda: f"CASE WHEN {self.predicate(scope, depth)} THEN {of(kind)} END",
            lambda: f"nullif({of(kind)}, {self.literal(kind)})",
        ]
        if kind in OF_ORIGIN:
            if kind in (SHORT, FIXED):
                return self.literal(kind)
            general = general[:3] if kind in OPAQUE else general
        elif kind not in (BOOL, TIME):
            general.append(lambda: f"{self.chance.choice(['greatest', 'least'])}({of(kind)}, {of(kind)})")
        return self.chance.choice(general + self._particular(kind, of, scope, depth) * 2)()

    def _particular(self, kind: str, of: Callable[[str], str], scope: Scope, depth: int) -> list[Callable[[], str]]:
        chance = self.chance
        match kind:
            case "int":
                found = [
                    lambda: f"({of(INT)} {chance.choice('+-')} {of(INT)})",
                    lambda: f"({of(INT)} * {chance.randint(-2, 3)})",
                    lambda: f"({of(INT)} % {chance.randint(2, 4)})",
                    lambda: f"abs({of(INT)})",
                    lambda: f"length({of(TEXT)})",
                    lambda: f"({of(DATE)} - {of(DATE)})::int",
                    lambda: f"extract(day FROM {of(DATE)})::int",
                ]
                return found if self.shared else found + self._integers(of, scope)
            case "bigint":
                return [lambda: f"({of(INT)})::bigint", lambda: f"({of(BIG)} + {of(INT)})"]
            case "numeric(10,2)" if not self.shared:
                # Rounded back, so that its kind is what it says.
                return [
                    lambda: f"({of(NUM)} {chance.choice('+-*')} {of(NUM)})::numeric(10,2)",
                    lambda: f"round({of(NUM)} * {of(INT)}, 1)::numeric(10,2)",
                    lambda: f"round({of(NUM)}, {of(INT)} % 3)::numeric(10,2)",
                    lambda: f"(({of(NUM)})::text)::numeric::numeric(10,2)",
                    lambda: f"round(sqrt(abs({of(NUM)})), 2)::numeric(10,2)",
                    lambda: f"({of(NUM)} / {chance.choice([3, 7])})::numeric(10,2)",
                    lambda: f"trunc({of(NUM)}, {chance.randint(0, 2)})::numeric(10,2)",
                    lambda: f"round({of(NUM)} / 9, 1)::numeric(10,2)",
                    lambda: f"({of(NUM)} % {chance.choice(['0.7', '3'])})::numeric(10,2)",
                ]
            case "text":
                found = [
                    lambda: f"({of(TEXT)} || {of(TEXT)})",
                    lambda: f"substring({of(TEXT)}, 1, {chance.randint(1, 2)})",
                    lambda: f"{chance.choice(['lower', 'upper'])}({of(TEXT)})",
                    lambda: f"({of(INT)})::text",
                ]
                return found if self.shared else found + self._texts(of, documents=bool(self.columns(scope, DOC)))
            case "boolean":
                return [lambda: self.predicate(scope, depth)]
            case "date":
                return [lambda: f"({of(DATE)} {chance.choice('+-')} {of(INT)})"]
            case "float8":
                return [lambda: f"({of(FLOAT)} + {of(FLOAT)})", lambda: f"({of(FLOAT)} * 0.5::float8)"]
            case "timestamp":
                return [
                    lambda: f"({of(STAMP)} + {of(INT)} * interval '1 day 2 hours')",
                    lambda: f"date_trunc('{chance.choice(['hour', 'week', 'month'])}', {of(STAMP)})",
                    lambda: f"({of(DATE)})::timestamp",
                ]
            case "jsonb":
                return [
                    lambda: f"jsonb_build_object('t', {of(TEXT)}, 'i', {of(INT)}, 'n', {of(NUM)})",
                    lambda: f"jsonb_build_array({of(INT)}, {of(TEXT)}, {of(BOOL)}, {of(DATE)})",
                    lambda: f"to_jsonb({of(TEXT)})",
                    lambda: f"({of(DOC)} -> 'a')",
                    lambda: f"({of(DOC)} -> {of(TEXT)})",
                    lambda: f"to_jsonb({of(FLOAT)})",
                    lambda: f"jsonb_strip_nulls({of(DOC)})",
                    lambda: f"({of(DOC)} #> ARRAY['b', ({of(INT)})::text])",
                    lambda: f"to_jsonb(ROW({of(INT)}, {of(DOC)}))",
                ]
        return []

    def _integers(self, of: Callable[[str], str], scope: Scope) -> list[Callable[[], str]]:
        """What is written otherwise in DuckDB."""
        chance = self.chance
        found = [
            lambda: f"({of(INT)} / {chance.choice([2, 3, -2])})",
            lambda: f"({of(INT)} {chance.choice('&|#')} 3)",
            lambda: f"({of(INT)} {chance.choice(['<<', '>>'])} {chance.randint(0, 3)})",
            lambda: f"width_bucket({of(INT)}, -2, 5, 3)",
            lambda: f"ascii({of(TEXT)})",
            lambda: f"strpos({of(TEXT)}, 'b')",
            lambda: f"gcd({of(INT)}, 6)",
            lambda: f"num_nulls({of(INT)}, {of(TEXT)})",
            lambda: f"left(({of(INT)})::text, 2)::int" if self.some(0.2) else of(INT),
        ]
        if self.columns(scope, STAMP):
            found += [
                lambda: f"extract(hour FROM {of(STAMP)})::int",
                lambda: f"extract(day FROM {of(STAMP)} - {of(STAMP)})::int",
            ]
        arrays = self.columns(scope, INTS)
        if arrays:
            one = chance.choice(arrays)
            found += [
                lambda: f"{one}[{chance.randint(1, 2)}]",
                lambda: f"cardinality({one})",
                lambda: f"array_position({one}, {of(INT)})",
                lambda: f"cardinality({one}[2:])",
            ]
        return found

    def _texts(self, of: Callable[[str], str], *, documents: bool) -> list[Callable[[], str]]:
        """What is written otherwise in DuckDB."""
        return [
            lambda: f"replace({of(TEXT)}, 'a', 'xy')",
            lambda: f"reverse({of(TEXT)})",
            lambda: f"lpad({of(TEXT)}, 3, 'xy')",
            lambda: f"translate({of(TEXT)}, 'ab', 'b')",
            lambda: f"left({of(TEXT)}, {of(INT)})",
            lambda: f"substring({of(TEXT)} from {of(INT)})",
            lambda: f"format('%s-%s', {of(TEXT)}, {of(INT)})",
            lambda: f"regexp_replace({of(TEXT)}, '[^a-z]', '', 'g')",
            lambda: f"split_part({of(TEXT)}, 'a', 1)",
            lambda: f"({of(DATE)})::text",
            lambda: f"to_char({of(NUM)}, '{self.chance.choice(['FM9,990.00', '99.9', 'FM90.9MI', '9PR'])}')",
            lambda: f'initcap({of(TEXT)} COLLATE "C")',
            lambda: f"({of(TEXT)} || {of(INT)})",
            lambda: f"({of(FLOAT)})::text",
            *([lambda: f"({of(DOC)} ->> 'a')"] if documents else []),
        ]

    def predicate(self, scope: Scope, depth: int = 1) -> str:
        """A condition without subqueries."""
        chance = self.chance
        if depth and self.some(0.3):
            parts = [self.predicate(scope, depth - 1) for _ in range(2)]
            return f"({parts[0]} {chance.choice(['AND', 'OR'])} {parts[1]})"
        kinds = [kind for kind in PLAIN if self.columns(scope, kind)] or [INT]
        kind = chance.choice(kinds)
        if not self.shared and self.some(0.15):
            kind = chance.choice([one for one in OF_ORIGIN if one not in OPAQUE and self.columns(scope, one)] or [kind])
        found = self.columns(scope, kind)
        one = chance.choice(found) if found else self.of(kind, scope, depth)

        def other() -> str:
            return self.of(kind, [column for column in scope if column.name != one], depth)

        choices = [
            lambda: f"{one} {chance.choice(['=', '<>', '<', '<=', '>', '>='])} {other()}",
            lambda: f"{one} {chance.choice(['=', '<>', '<>', '<=', '>='])} {self.literal(kind)}",
            lambda: f"{one} IS {chance.choice(['', 'NOT ', 'NOT '])}NULL",
            lambda: f"{one} IS {chance.choice(['', 'NOT '])}DISTINCT FROM {other()}",
            lambda: f"{one} {chance.choice(['', 'NOT '])}IN ({', '.join(self.literal(kind) for _ in range(3))})",
            lambda: f"{one} BETWEEN {self.literal(kind)} AND {other()}",
            lambda: f"NOT ({one} = {other()})",
        ]
        if not self.shared and self.columns(scope, DOC) and self.some(0.1):
            document = chance.choice(self.columns(scope, DOC))
            sign = chance.choice(["=", "<>", "@>", "<@", "IS DISTINCT FROM"])
            return f"{document} {sign} {self.of(DOC, scope, depth)}"
        if kind == BOOL:
            choices = [lambda: one, lambda: f"NOT {one}", lambda: f"{one} IS NOT TRUE", lambda: f"{one} = {other()}"]
        if not self.shared:
            choices += [
                lambda: f"{one} BETWEEN SYMMETRIC {self.literal(kind)} AND {other()}",
                lambda: f"({one}, 1) {chance.choice(['<', '<=', '>'])} ({self.literal(kind)}, 2)",
            ]
        if kind == TEXT and not self.shared:
            choices += [
                lambda: f"{one} ILIKE '{chance.choice(['A%', '%B', 'É'])}'",
                lambda: f"{one} LIKE {other()} || '%'",
            ]
        arrays = self.columns(scope, INTS)
        if kind == INT and arrays and not self.shared:
            choices += [
                lambda: f"{one} = ANY ({chance.choice(arrays)})",
                lambda: f"{one} <> ALL ({chance.choice(arrays)})",
                lambda: (
                    f"{one} {chance.choice(['<', '>=', '='])} {chance.choice(['ANY', 'ALL'])} ({chance.choice(arrays)})"
                ),
            ]
        if kind == TEXT:
            choices += [
                lambda: f"{one} {chance.choice(['', 'NOT '])}LIKE '{chance.choice(['a%', '%b', '_', '%a_b%'])}'"
            ]
        return f"({chance.choice(choices)()})"

    def order(self, names: Sequence[str]) -> str:
        """These names as the keys of an ORDER BY, each in its own direction."""
        return ", ".join(f"{name} {self._direction()}" for name in names)

    def _direction(self) -> str:
        nulls = ["NULLS FIRST", "NULLS LAST"] if self.shared else ["", "", "NULLS FIRST", "NULLS LAST"]
        return f"{self.chance.choice(['ASC', 'DESC'])} {self.chance.choice(nulls)}".strip()


def total(scope: Scope) -> list[str]:
    """Every column in scope: rows that tie under an order by all of them are the same row."""
    return [column.name for column in scope]


def aggregate(draw: Expressions, scope: Scope) -> tuple[str, str]:
    """An aggregate over the scope whose value does not depend on the order of rows, and its kind."""
    chance = draw.chance
    there = [kind for kind in ORDERED if draw.columns(scope, kind)] or [INT]
    kind = chance.choice(there)
    value, number = draw.of(kind, scope, 1), draw.of(INT, scope, 1)
    choices = [
        ("count(*)", BIG),
        (f"count({value})", BIG),
        (f"count(DISTINCT {value})", BIG),
        (f"sum({number})", BIG),
        (f"sum(DISTINCT {number})", BIG),
        (f"min({value})", kind),
        (f"max({value})", kind),
    ]
    if not draw.shared:
        choices += [
            (f"avg({number})", EXACT),
            (f"array_agg({number} ORDER BY {number})", INTS),
            (f"array_agg(DISTINCT {number} ORDER BY {number} DESC)", INTS),
            (f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {value})", kind),
            (f"bit_or({number})", INT),
            (
                f"jsonb_agg({value} ORDER BY {value})"
                if kind not in (TIME, FLOAT)
                else f"jsonb_agg({number} ORDER BY {number})",
                DOC,
            ),
            (f"jsonb_object_agg({number}, {number}) FILTER (WHERE {number} IS NOT NULL)", DOC),
        ]
    for one in (BIG, NUM, TEXT, BOOL, FLOAT):
        if draw.columns(scope, one):
            choices += _particular(draw, one, draw.of(one, scope, 1))
    if not draw.shared and draw.some(0.1):
        of_many = chance.choice(["stddev", "variance", "var_pop", "stddev_samp", "stddev_pop"])
        choices = [(f"{of_many}({number})", EXACT), (f"round({of_many}({number}), 2)", EXACT)]
        if FLOAT in there and draw.some(0.3):  # not kept: it depends on the order of rows
            choices = [
                (f"{chance.choice(['corr', 'regr_slope', 'covar_pop'])}({number}, {draw.of(FLOAT, scope, 1)})", FLOAT)
            ]
    call, kind = chance.choice(choices)
    if draw.some(0.2) and " FILTER " not in call and not call.startswith("round"):
        call += f" FILTER (WHERE {draw.predicate(scope)})"
    return call, kind


def _particular(draw: Expressions, kind: str, value: str) -> list[tuple[str, str]]:
    """Aggregates of a value of one kind."""
    of_any_dialect: dict[str, list[tuple[str, str]]] = {
        NUM: [(f"sum({value})", EXACT)],
        TEXT: [(f"string_agg({value}, ',' ORDER BY {value})", TEXT)],
        BOOL: [(f"bool_and({value})", BOOL), (f"bool_or({value})", BOOL)],
    }
    of_postgres: dict[str, list[tuple[str, str]]] = {
        BIG: [(f"sum({value})", EXACT)],
        NUM: [(f"avg({value})", EXACT), (f"round(avg({value}), 1)", EXACT), (f"stddev({value})", EXACT)],
        TEXT: [(f"string_agg(DISTINCT {value}, '-' ORDER BY {value})", TEXT)],
        BOOL: [(f"every({value})", BOOL)],
        FLOAT: [(f"percentile_cont(0.5) WITHIN GROUP (ORDER BY {value})", FLOAT)],
    }
    return of_any_dialect.get(kind, []) + ([] if draw.shared else of_postgres.get(kind, []))


def window(draw: Expressions, scope: Scope) -> tuple[str, str]:
    """A window function over the scope, ordered by every column where the order counts, and its kind."""
    chance = draw.chance
    kind = chance.choice([one for one in PLAIN if draw.columns(scope, one)] or [INT])
    value, number = draw.of(kind, scope, 1), draw.of(INT, scope, 1)
    by = chance.choice(scope).name
    partition = f"PARTITION BY {by} " if draw.some(0.75) else ""
    peers = f"{partition}ORDER BY {draw.order([chance.choice(scope).name])}"
    names = total(scope)
    chance.shuffle(names)
    rows = f"{partition}ORDER BY {draw.order(names)}"
    frame = chance.choice(
        [
            "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW",
            "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
            "ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING",
            "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
        ]
    )
    choices = [
        (f"row_number() OVER ({rows})", BIG),
        (f"rank() OVER ({peers})", BIG),
        (f"dense_rank() OVER ({peers})", BIG),
        (f"ntile(3) OVER ({rows})", INT),
        (f"lag({value}) OVER ({rows})", kind),
        (f"lead({value}, 2) OVER ({rows})", kind),
        (f"first_value({value}) OVER ({rows})", kind),
        (f"last_value({value}) OVER ({rows} {frame})", kind),
        (f"nth_value({value}, 2) OVER ({rows} {frame})", kind),
        (f"sum({number}) OVER ({partition})", BIG),
        (f"count(*) OVER ({partition})", BIG),
        (f"sum({number}) OVER ({peers})", BIG),
        (f"sum({number}) OVER ({rows} {frame})", BIG),
        (f"count({value}) OVER ({peers})", BIG),
        (f"max({number}) OVER ({rows} {frame})", INT),
    ]
    if not draw.shared:
        choices += [(f"percent_rank() OVER ({peers})", FLOAT), (f"avg({number}) OVER ({partition})", EXACT)]
        choices += [(f"array_agg({number}) OVER ({rows} {frame})", INTS)] * ("ROWS" in frame)
        choices += _over_peers(draw, scope, partition)
    return chance.choice(choices)


def _over_peers(draw: Expressions, scope: Scope, partition: str) -> list[tuple[str, str]]:
    """Functions over frames of RANGE and GROUPS: of values that all peers have."""
    chance = draw.chance
    found = []
    for kind, near in ((INT, "1"), (DATE, "interval '1 day'"), (NUM, "1.5"), (STAMP, "'1 day 12 hours'")):
        for key in draw.columns(scope, kind)[:1]:
            over = f"{partition}ORDER BY {draw.order([key])}"
            frames = [
                f"RANGE BETWEEN {near} PRECEDING AND {near} FOLLOWING",
                f"RANGE BETWEEN {near} PRECEDING AND CURRENT ROW EXCLUDE {chance.choice(['CURRENT ROW', 'GROUP'])}",
                "GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                "",
            ]
            frame = chance.choice(frames)
            last = chance.choice(["last_value", "first_value"])
            found.append((f"count(*) OVER ({over} {frame})", BIG))
            found.append((f"{last}({key}) OVER ({over} {frame})", kind))
    return found
