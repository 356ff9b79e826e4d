"""Letters and their cases: every character there is, under every collation that the server has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flashql import errors
from flashql.planner.collations import by_bytes, deterministic, joint
from tests.fix_postgres import Origin
from tests.fix_worlds import TwoDatabases

_LONGEST = 5000  # characters in a row of the table


@pytest.fixture
def world(origin: Origin) -> Iterator[TwoDatabases]:
    origin.execute('CREATE TABLE letters (id int PRIMARY KEY, t text, c text COLLATE "C")')
    origin.execute(
        f"INSERT INTO letters SELECT code / {_LONGEST}, string_agg(chr(code), '' ORDER BY code), "
        f"string_agg(chr(code), '' ORDER BY code) FROM generate_series(1, 1114111) AS code "
        f"WHERE code NOT BETWEEN 55296 AND 57343 GROUP BY 1"
    )
    made = TwoDatabases(origin)
    yield made
    made.close()


def _collations(origin: Origin) -> list[str]:
    found = origin.query(
        "SELECT quote_ident(collname) FROM pg_collation WHERE collencoding IN (-1, pg_char_to_encoding('UTF8')) "
        "AND (collname !~ '^[a-z]' OR collname IN ('default', 'pg_c_utf8', 'pg_unicode_fast', 'ucs_basic', 'unicode'))"
    )
    return [name for (name,) in found]


def test_every_letter_has_the_same_cases_in_both(world: TwoDatabases) -> None:
    compared, refused = [], {}
    for collation in _collations(world.server):
        for call in ("lower(t COLLATE {})", "upper(t COLLATE {})", "t COLLATE {} ILIKE '%aä_Я%'"):
            written = call.format(collation)
            try:
                rows = world.check(f"SELECT id, {written} FROM letters")
            except errors.NotSupported as refusal:
                refused[collation] = refusal.hint
            except errors.OriginQueryFailed:
                continue  # of another encoding, or not in this build
            else:
                assert rows > 200
                compared.append(written)
    assert all('COLLATE "C"' in str(hint) for hint in refused.values())
    assert any("default" in one or "C." in one for one in compared), compared


def test_text_of_the_database_itself_has_its_collation(world: TwoDatabases) -> None:
    assert world.check("SELECT id, lower('ÄB' || id::text) FROM letters WHERE id < 3") == 3
    assert world.check("SELECT min(id::text), max('a' || id::text) FROM letters WHERE id::text < '5'") == 1
    assert world.check("SELECT id FROM letters WHERE coalesce(c, 'a'::text) < id::text AND c < 'b'::text") > 0


@pytest.mark.parametrize(
    ("names", "whole"),
    [
        ((), None), ((None, "C"), "C"), (("default", "de_DE.UTF-8"), "de_DE.UTF-8"), (("default",), "default"),
        (("C", "en_US.UTF-8"), "?"), (("C", "C.UTF-8"), "?bytes"), (("C+en_US.UTF-8", "C"), "?bytes"),
        (("default=en_US.UTF-8", "C"), "C"), (("default=C", "C"), "C"), (("default=C", None), "default=C"),
    ],
)  # fmt: skip
def test_text_of_several_collations(names: tuple[str | None, ...], whole: str | None) -> None:
    assert joint(names) == whole
    assert deterministic(joint(names)) == (whole != "?")


def test_order_is_by_bytes_where_the_first_of_two_names_says_so() -> None:
    assert by_bytes("C+en_US.UTF-8")
    assert not by_bytes("en_US.UTF-8+C")
    assert not by_bytes("icu")
    assert deterministic("en_US.UTF-8+C")
    assert not deterministic("mine+C")


def test_cases_come_from_the_second_of_two_names(world: TwoDatabases) -> None:
    """A database may order by bytes and have the letters of a language."""
    (default,) = world.server.query("SELECT datctype FROM pg_database WHERE datname = current_database()")
    world.server.execute(f"CREATE COLLATION mixed (lc_collate = 'C', lc_ctype = '{default[0]}')")
    world.server.execute("CREATE TABLE words (id int PRIMARY KEY, w text COLLATE mixed)")
    world.server.execute("INSERT INTO words VALUES (1, 'Ärger'), (2, 'ärger'), (3, NULL), (4, 'ORT')")
    assert world.check("SELECT lower(w), upper(w), w < 'a' FROM words") == 4
