"""The rules of subscriptions, as scripts in subscription_cases.json: no clock, no database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashql.subscribers import due_at
from flashql.subscribing import (
    Key,
    Rows,
    Subscribed,
    extend,
    listed,
    prune,
    published,
    requested,
    subscribe,
    unsubscribe,
    urgency,
)
from tests import test_subscriptions

CASES = json.loads((Path(__file__).parent / "subscription_cases.json").read_text())["cases"]


class Script:
    """Carries out the steps of one case."""

    def __init__(self) -> None:
        self.now = datetime(2024, 5, 1, tzinfo=UTC)
        self.rows: Rows = {}
        self.defaults: dict[str, str | None] = {}

    def step(self, step: dict[str, Any]) -> None:
        """Do one, or assert what it expects."""
        match step["do"]:
            case "views":
                self.defaults = step["defaults"]
            case "subscribe":
                key = step["view"], step["parameters"]
                self.rows = subscribe(self.rows, key, self.now, step.get("ttl_seconds"), step.get("priority"))
            case "unsubscribe":
                self.rows = unsubscribe(self.rows, (step["view"], step["parameters"]))
            case "look":
                live = {(view, parameters) for view, parameters in step["live"]}
                self.rows = listed(prune(extend(self.rows, live, self.now), self.now), self.defaults)
            case "publish":
                self.rows = published(self.rows, [tuple(one) for one in step["sets"]], self.now, "0/1")
            case "elapse":
                self.now += timedelta(seconds=step["seconds"])
            case "rows":
                self.expect(step["rows"])
            case "requested":
                assert [list(row.key) for row in requested(self.rows)] == step["sets"]
            case other:
                raise AssertionError(other)

    def expect(self, rows: list[dict[str, Any]]) -> None:
        """The rows have the values that are named."""
        assert len(self.rows) == len(rows)
        for row, wanted in zip(self.rows.values(), rows, strict=True):
            for name, value in wanted.items():
                if isinstance(value, dict):
                    value = self.now + timedelta(seconds=value["now_plus"])
                assert getattr(row, name) == value, name


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    script = Script()
    for step in case.get("steps", []):
        script.step(step)
    assert case["adapted"]
    if "elsewhere" in case:
        assert hasattr(test_subscriptions, case["elsewhere"])
    else:
        assert ("steps" in case) != case.get("inapplicable", False)


def test_every_known_script_is_here() -> None:
    known = [f"S{number:02}" for number in range(1, 14)] + [f"D{number:02}" for number in range(1, 13)]
    assert [case["id"] for case in CASES][: len(known)] == known


KEYS: list[Key] = [("a", "{}"), ("a", '{"n": 1}'), ("b", "{}"), ("c", "{}")]
ACTS = st.one_of(
    st.tuples(st.just("subscribe"), st.sampled_from(KEYS), st.floats(1, 100), st.sampled_from([None, 0, 2])),
    st.tuples(st.just("unsubscribe"), st.sampled_from(KEYS)),
    st.tuples(st.just("look"), st.sets(st.sampled_from(KEYS))),
    st.tuples(st.just("publish"), st.sets(st.sampled_from(KEYS))),
    st.tuples(st.just("elapse"), st.floats(0, 60)),
)


@given(st.lists(ACTS))
def test_any_order_of_acts_keeps_the_rules(acts: list[tuple[Any, ...]]) -> None:
    rows: Rows = {}
    now, defaults = datetime(2024, 5, 1, tzinfo=UTC), {"a": None, "b": "{}"}
    for act in acts:
        match act:
            case ("subscribe", key, ttl, priority):
                rows = subscribe(rows, key, now, ttl, priority)
                assert rows[key].expires_at == now + timedelta(seconds=ttl)
            case ("unsubscribe", key):
                rows = unsubscribe(rows, key)
                assert key not in rows or not rows[key].explicit
            case ("look", live):
                rows = listed(prune(extend(rows, live, now), now), defaults)
                check_looked_at(rows, now)
            case ("publish", keys):
                before = rows
                rows = published(rows, keys, now, "0/1")
                assert all(rows[key] == row for key, row in before.items() if key not in keys or not row.active)
            case ("elapse", seconds):
                now += timedelta(seconds=seconds)
    assert all(key == row.key for key, row in rows.items())


def check_looked_at(rows: Rows, now: datetime) -> None:
    """After a look, what is there is wanted, and not over; what a view subscribes to by itself is there."""
    assert ("b", "{}") in rows
    for row in rows.values():
        assert row.explicit or row.is_default
        assert row.expires_at is None or row.expires_at >= now
        assert (row.expires_at is None) == (not row.explicit)
        assert row.active == (row.view in ("a", "b"))
        assert row.is_default == (row.key == ("b", "{}"))
    assert {row.key for row in requested(rows)} == {row.key for row in rows.values() if row.active}


def test_looks_are_as_often_as_needed() -> None:
    now = datetime(2024, 5, 1, tzinfo=UTC)
    assert due_at([], now) is None
    assert due_at([Subscribed("a", "{}", is_default=True)], now) is None
    rows = subscribe({}, KEYS[0], now, 8.0)
    assert due_at(rows.values(), now) == now + timedelta(seconds=2)
    assert due_at(subscribe(rows, KEYS[1], now).values(), now + timedelta(seconds=7)) == now + timedelta(seconds=8)
    assert due_at(subscribe({}, KEYS[1], now).values(), now) == now + timedelta(seconds=20)


def test_urgency_is_the_subscriptions_own_or_the_views() -> None:
    assert urgency(Subscribed("a", "{}"), 3) == 3
    assert urgency(Subscribed("a", "{}", local_priority=0), 3) == 0
