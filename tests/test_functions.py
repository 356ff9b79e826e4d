"""Every function, aggregate and operator of the origin's catalog: accepted and the same in both databases, or refused.

`sql/spec/functions.txt` says of each name whether any call of it is accepted, and why those of the others are not; the
reference of the dialect shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import duckdb
import pytest

from flashql import errors
from tests.calls import TABLE, calls
from tests.fix_postgres import fresh_origin
from tests.fix_worlds import TwoDatabases
from tests.spec_pairs import function_names


@pytest.fixture(scope="module")
def world(postgres_dsn: str) -> Iterator[TwoDatabases]:
    with fresh_origin(postgres_dsn) as server:
        server.execute(TABLE)
        made = TwoDatabases(server)
        yield made
        made.close()


@pytest.mark.timeout(600)
def test_each_is_the_same_or_refused_as_the_list_says(world: TwoDatabases) -> None:
    accepted: dict[str, list[str]] = defaultdict(list)
    there, wrong = set(), []
    for one in calls(world.server):
        there.add(one.name)
        try:
            world.check(one.query)
        except errors.DefinitionError:
            continue
        except (AssertionError, duckdb.Error) as fault:
            wrong.append(f"{one.query}: {fault}")
        accepted[one.name].append(one.signature)
    assert not wrong, "\n".join(wrong)
    listed = function_names()
    known = {name: reason for reason, names in listed.items() for name in names}
    assert {name for name in accepted if known.get(name, "accepted") != "accepted"} == set(), "accepted by now"
    assert {name for name in there - accepted.keys() if known.get(name, "new") == "accepted"} == set(), "refused"
    unknown = {name: name in accepted for name in there if name not in known}
    assert not unknown or world.server.version > 18, unknown
