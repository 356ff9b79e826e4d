"""The DDL: golden pairs in sql/spec/ddl, DuckDB as the judge of what is DuckDB's, and arbitrary text.

DuckDB's own parser splits scripts too: where it accepts one, FlashQL must find the same statements. Known
gaps: DuckDB expands PIVOT into several statements when it splits, and DuckDB 1.5 stops reading at a zero
character; both stay out of that comparison.
"""

from __future__ import annotations

import dataclasses
import doctest
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flashql.catalog import Persistence
from flashql.ddl import (
    CreateView,
    FlashQL,
    LocalSQL,
    RelationName,
    Statement,
    dialect,
    names,
    options,
    parse_interval_seconds,
    parse_script,
)
from flashql.errors import DefinitionError, FlashQLError, SyntaxProblem
from flashql.quoting import literal, qualified, quote

_SPEC = Path(__file__).parent.parent / "sql" / "spec" / "ddl"


def _golden() -> Iterator[tuple[str, str, str]]:
    """Id, input and expected text of every pair."""
    for path in sorted(_SPEC.glob("*.sql")):
        _, *blocks = path.read_text().split("-- input\n")
        for number, block in enumerate(blocks, 1):
            given_text, _, expected = block.partition("-- expected\n")
            yield f"{path.stem}-{number}", given_text.removesuffix("\n"), expected.strip("\n")


def _plain(value: object) -> object:
    return [str(item) for item in value] if isinstance(value, tuple) else value


def _shown(statement: Statement) -> str:
    """The statement as the golden files write it: empty fields and the source left out."""
    fields = {
        field.name: str(value) if isinstance(value, RelationName) else _plain(value)
        for field in dataclasses.fields(statement)
        if field.repr and (value := getattr(statement, field.name))
    }
    return f"{type(statement).__name__} {json.dumps(fields, ensure_ascii=False)}"


def _outcome(script: str) -> str:
    try:
        return "\n".join(_shown(statement) for statement in parse_script(script))
    except FlashQLError as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize(("script", "expected"), [pytest.param(*pair[1:], id=pair[0]) for pair in _golden()])
def test_golden(script: str, expected: str) -> None:
    assert _outcome(script) == expected


@pytest.mark.parametrize("module", [dialect, names, options])
def test_docstring_examples(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted
    assert not results.failed


def test_dialect_parses_to_statements() -> None:
    parsed: list[object] = list(FlashQL().parse("REFRESH VIEW v; SELECT 1"))
    assert tuple(parsed) == parse_script("REFRESH VIEW v; SELECT 1")


def test_position_is_in_the_whole_script() -> None:
    with pytest.raises(SyntaxProblem) as caught:
        parse_script("SELECT ';\n';\n\n  CREATE REALTIME VIEW x\n  SELECT 1")
    assert (caught.value.line, caught.value.column) == (5, 3)


def test_source_is_where_start_says() -> None:
    script = "/* first */ SELECT 1 ; -- second;\n  create realtime view é as select 'ü' -- end\n ; TABLE t"
    sources = [(statement.start, statement.sql) for statement in parse_script(script)]
    assert [text for _, text in sources] == ["SELECT 1", "create realtime view é as select 'ü'", "TABLE t"]
    assert all(script.startswith(text, start) for start, text in sources)


def test_duckdbs_spaces_are_spaces() -> None:
    (statement,) = parse_script("\ufeffREFRESH\u00a0VIEW\u2003v\u200b;\ufeff")
    assert statement.sql == "REFRESH\u00a0VIEW\u2003v"


def test_origin_password_is_never_quoted() -> None:
    for value in ("postgres://u:sesame@h/d", "host=h password=sesame", "u:sesame@h"):
        for quoted in (literal(value), quote(value)):
            for statement in ("CREATE SCHEMA s WITH", "ALTER VIEW v SET"):
                with pytest.raises(SyntaxProblem) as caught:
                    parse_script(f"{statement} (replication_origin = {quoted})")
                assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("persistence", list(Persistence))
def test_keyword_and_option_mean_the_same(persistence: Persistence) -> None:
    spellings = (
        f"CREATE {persistence.upper()} VIEW v AS SELECT 1",
        f"CREATE VIEW v WITH (persistence = '{persistence}') AS SELECT 1",
        f"CREATE VIEW v AS SELECT 1 WITH (persistence = {persistence.upper()})",
        f"create {persistence} view V as SELECT 1 with (Persistence = $${persistence}$$)",
    )
    assert {_outcome(spelling) for spelling in spellings} == {_outcome(spellings[0])}
    assert isinstance(parse_script(spellings[0])[0], CreateView)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30 s", 30.0),
        ("5 minutes", 300.0),
        ("1 hour 30 minutes", 5400.0),
        (" 1h30m ", 5400.0),
        ("1.5 Days", 129600.0),
        ("2 weeks", 1209600.0),
        ("250 ms", 0.25),
        ("10 years", None),
        ("3651 days", None),
        ("-5 minutes", None),
        ("5", None),
        ("minutes", None),
        ("1.2.3 s", None),
        ("0 s", None),
        (" ", None),
        ("5 minutes and a bit", None),
        ("٣ s", None),
        ("9" * 400 + " s", None),
    ],
)
def test_interval(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(DefinitionError):
            parse_interval_seconds(text)
    else:
        assert parse_interval_seconds(text) == seconds


@pytest.fixture(scope="module")
def local() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def test_names_are_quoted_where_duckdb_needs_it(local: duckdb.DuckDBPyConnection) -> None:
    words = {row[0] for row in local.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()}
    for name in sorted(words | {"Upper", "a b", 'a"b', "1a", "_1", "é", "a.b", "a-b", "a$b"}):
        local.execute(f"CREATE OR REPLACE TEMP VIEW {RelationName(None, name)} AS SELECT 1")
        found = local.execute("SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal").fetchall()
        assert (name,) in found
        local.execute(f"DROP VIEW {quote(name)}")


def test_printed_names_read_back(local: duckdb.DuckDBPyConnection) -> None:
    words = [row[0] for row in local.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()]
    for name in [*words, "Upper", 'a"b', "é", "a.b"]:
        for relation in (RelationName(None, name), RelationName(name, name)):
            (statement,) = parse_script(f"CREATE REALTIME VIEW {relation} AS SELECT 1")
            assert isinstance(statement, CreateView)
            assert statement.name == relation


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
@example(text="'\"\\;--")
def test_quoting_survives_duckdb(local: duckdb.DuckDBPyConnection, text: str) -> None:
    row = local.execute(
        f"SELECT {quote(text)}.{quote(text)} FROM (SELECT {literal(text)}) AS {qualified(text)}({quote(text)})"
    ).fetchone()
    assert row == (text,)


def _between(script: str, statements: tuple[Statement, ...]) -> Iterator[str]:
    """What no statement holds."""
    at = 0
    for statement in statements:
        yield script[at : statement.start]
        at = statement.start + len(statement.sql)
    yield script[at:]


def _check_any(script: str) -> None:
    try:
        statements = parse_script(script)
    except FlashQLError:
        return
    for statement in statements:
        assert script.startswith(statement.sql, statement.start)
        assert parse_script(statement.sql) == (statement,)
        if isinstance(statement, CreateView):
            assert statement.query in statement.sql
    for rest in _between(script, statements):
        assert parse_script(rest) == ()


@settings(deadline=None)
@given(st.text())
def test_any_text(script: str) -> None:
    _check_any(script)


_WORDS = r"""
CREATE ALTER DROP REFRESH EXPLAIN OR REPLACE ORIGIN MATERIALIZED REALTIME VIEW SCHEMA IF NOT EXISTS WITH AS
SET RESET SELECT TABLE VALUES INSERT INTO CASCADE ANALYZE TEMP NO DATA persistence replication_origin numeric
auto refresh_every v s.v "V" "a;" 'x' ';' e'\';' $1 $a,$b $$;$$ $t$;'$t$ 1 2.5e-3 ( ) , = . ; ; -- /* */ /*/*
'5min' 'primary' :: -> [ ] { } " ' $$ é ? *
"""
_soup = st.lists(st.sampled_from([*_WORDS.split(), "--;\n"]), max_size=25)
_spaces = st.sampled_from([" ", "", "\n", "\r\n", "\t"])


@settings(max_examples=300, deadline=None)
@given(_soup, _spaces)
@example(["CREATE", "REALTIME", "VIEW", "v", "AS", "/*/*", "*/", "*/", "SELECT", "1"], " ")
def test_token_soup(words: list[str], space: str) -> None:
    _check_any(space.join(words))


_DUCKDB_STATEMENTS = (
    "SELECT $1,$2",
    "SELECT $a, $b::INT",
    "SELECT ? + 1, 'it''s;', \"x;\"\"y\" FROM t",
    "SELECT $$;'$$ || $t$ $$;\" $t$",
    "SELECT e'\\';\\\\', E'\\n'",
    "SELECT '\\'",
    "FROM t SELECT * EXCLUDE (a) REPLACE (b AS c)",
    "SELECT [x + 1 FOR x IN l IF x > 1], l[1:2], {'a': ';'}, MAP {'k': 1}",
    "SELECT a->'b'->>'$.c', 1::DECIMAL(18,3), 1_000, .5, 1e-3, 0xFF, x // y, x ** y FROM t",
    "INSERT INTO t VALUES (1, 'a;'), (2, NULL) ON CONFLICT DO NOTHING",
    "COPY t TO 'x;y.parquet' (FORMAT parquet)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE VIEW other.main.v AS FROM t",
    'CREATE OR REPLACE VIEW v (a, "B;") AS SELECT 1, 2',
    "CREATE MACRO f(a, b := 1) AS a + b",
    "CREATE SCHEMA IF NOT EXISTS s",
    "CREATE TABLE realtime (origin INT, materialized INT, view INT)",
    "ALTER VIEW v RENAME TO w",
    "DROP VIEW IF EXISTS s.v CASCADE",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN INSERT INTO t VALUES (1)",
    "PRAGMA version",
    "SET threads = 1",
    "ATTACH ':memory:' AS other",
    "WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM r",
    "BEGIN",
    "END",
    "SELECT 1 /* ; /* ; */ ' */ + 1 -- ; '\n",
)


def _splits_like_duckdb(local: duckdb.DuckDBPyConnection, script: str) -> None:
    """Where DuckDB reads the script, FlashQL finds as many statements, and each is the one DuckDB found."""
    try:
        theirs = local.extract_statements(script)
    except duckdb.Error:
        return
    ours = parse_script(script)
    assert len(ours) == len(theirs)
    for statement, other in zip(ours, theirs, strict=True):
        (same,) = local.extract_statements(statement.sql)
        assert (same.type, same.named_parameters) == (other.type, other.named_parameters)


@pytest.mark.parametrize("sql", _DUCKDB_STATEMENTS)
def test_duckdb_statement_is_left_alone(local: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert len(local.extract_statements(sql)) == 1, "DuckDB itself must take it, or the example proves nothing"
    (statement,) = parse_script(f" {sql} ; ")
    assert local.extract_statements(statement.sql)[0].type == local.extract_statements(sql)[0].type
    if isinstance(statement, LocalSQL):
        assert sql.startswith(statement.sql)


@settings(deadline=None)
@given(st.lists(st.sampled_from([*_DUCKDB_STATEMENTS, "", "-- ;\n", "/* ; */"]), max_size=6))
def test_script_splits_like_duckdb(local: duckdb.DuckDBPyConnection, parts: list[str]) -> None:
    _splits_like_duckdb(local, ";".join(parts))


_FRAGMENTS = r"""
SELECT 1 , 'a;' "b;" $$;$$ $x$;$x$ $1 $n ; ; -- /* */ /*/* */*/ ' " e'\' $ x + - / * ( ) AS
"""
_fragments = st.sampled_from([*_FRAGMENTS.split(), "\n", "\r"])


@settings(max_examples=400, deadline=None)
@given(st.lists(_fragments, max_size=14), st.sampled_from([" ", ""]))
@example(["SELECT", "1", "/*/*", "*/*/", ";", "SELECT", "1"], " ")
def test_soup_splits_like_duckdb(local: duckdb.DuckDBPyConnection, parts: list[str], space: str) -> None:
    _splits_like_duckdb(local, "SELECT 1 " + space.join(parts))
