"""to_char by random patterns, over values at which digits carry, vanish and do not fit; Postgres is the oracle."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from flashql import errors
from tests.fix_postgres import Origin
from tests.fix_worlds import TwoDatabases
from tests.seeds import rounds, seeded

_COLUMNS = ("i", "b", "s", "n", "m", "k", "loose")


@pytest.fixture
def world(origin: Origin) -> Iterator[TwoDatabases]:
    origin.execute(
        "CREATE TABLE numbers (id int PRIMARY KEY, i int, b bigint, s smallint, n numeric(12, 3), m numeric(4, 4), "
        "k numeric(38, 6), loose numeric)"
    )
    made = TwoDatabases(origin)
    yield made
    made.close()


def _number(chosen: random.Random, digits: int, scale: int) -> str:
    lead = 10 ** chosen.randrange(digits)
    found = chosen.choice(
        [0, 1, -1, lead - 1, -lead, 5 * lead // 10, 995 * lead // 1000, chosen.randrange(-lead, lead)]
    )
    return f"{found}e-{scale}"


def _rows(chosen: random.Random) -> str:
    def row(at: int) -> str:
        values = [
            chosen.choice([0, 1, -2, 3, 11, 12, 13, 21, 111, 2**31 - 1, -(2**31), chosen.randrange(-9999, 9999)]),
            chosen.choice([2**63 - 1, -(2**63), chosen.randrange(-(10**9), 10**9)]),
            chosen.choice([32767, -32768, 5, 0, -9]),
            _number(chosen, 12, 3),
            _number(chosen, 4, 4),
            _number(chosen, 30, 6),
            _number(chosen, 12, chosen.randrange(8)),
        ]
        return f"({at}, " + ", ".join("NULL" if chosen.random() < 0.05 else str(one) for one in values) + ")"

    return "INSERT INTO numbers VALUES " + ", ".join(row(at) for at in range(100))


def _pattern(chosen: random.Random) -> str:
    if chosen.random() < 0.15:
        pieces = [
            "9",
            "0",
            ",",
            ".",
            "FM",
            "S",
            "MI",
            "PL",
            "SG",
            "PR",
            "TH",
            "th",
            "$",
            " ",
            '"a"',
            "%",
            "V",
            "D",
            "G",
        ]
        return "".join(chosen.choices(pieces, k=chosen.randrange(1, 9)))
    literals = [chosen.choice(["", "", "", "", "$", " ", '"x y"', "#", "(", "€", "- "]) for _ in range(4)]
    whole = (chosen.choice("9990") + "".join(chosen.choices("999900,", k=chosen.randrange(9)))).rstrip(",")
    fraction = "." + "".join(chosen.choices("990", k=chosen.randrange(1, 5))) if chosen.random() < 0.6 else ""
    front = chosen.choice(["", "", "", "MI", "PL", "SG"])
    back = "" if front else chosen.choice(["", "", "MI", "PL", "SG", "PR", "pr", "TH", "th"])
    fill = chosen.choice(["", "FM"])
    return f"{literals[0]}{fill}{front}{literals[1]}{whole}{fraction}{literals[2]}{back}{literals[3]}"


@pytest.mark.timeout(0)
def test_numbers_are_shown_as_at_the_origin(world: TwoDatabases) -> None:
    chosen = seeded()
    world.server.execute(_rows(chosen))
    compared = 0
    for _ in rounds(120):
        pattern = _pattern(chosen)
        one, other = chosen.sample(_COLUMNS, 2)
        try:
            world.check(f"SELECT id, to_char({one}, '{pattern}') AS a, to_char({other}, '{pattern}') AS b FROM numbers")
            compared += 1
        except errors.NotSupported:
            pass
    assert compared > 80
