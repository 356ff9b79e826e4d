"""A small shop at an origin, and what tests of views over it ask again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import flashql
from flashql.database import Database
from flashql.store.jobs import JobStatus
from tests.fix_postgres import Origin

_POLL_SECONDS = 0.01

SHOP_SQL = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, since timestamptz, credit numeric(12, 2));
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric NOT NULL);
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id int NOT NULL, product_id int NOT NULL, amount numeric(12, 2), note text
);
INSERT INTO customers
    SELECT g, 'customer ' || g, timestamptz '2024-01-01 00:00:00.123456+00' + g * interval '1 day', g * 1.25
    FROM generate_series(1, 20) AS g;
INSERT INTO products SELECT g, 'product ' || g, g * 1.05 FROM generate_series(1, 10) AS g;
INSERT INTO orders SELECT g, g % 20 + 1, g % 10 + 1, g * 0.5, 'note ' || g FROM generate_series(1, 100) AS g;
"""

VIEWS_SQL = """
CREATE SCHEMA shop WITH (replication_origin = 'primary');
CREATE ORIGIN VIEW shop.customers AS SELECT * FROM public.customers;
CREATE MATERIALIZED VIEW shop.products AS SELECT id, name, price FROM public.products;
CREATE REALTIME VIEW shop.orders AS SELECT * FROM public.orders;
CREATE REALTIME VIEW shop.big AS SELECT id, amount FROM public.orders WHERE amount > 40;
"""


# The same in small, for tests to which rows do not matter: one table at the origin, one view that follows it.
ORDERS_SQL = """
CREATE TABLE orders (id int PRIMARY KEY, amount int);
INSERT INTO orders SELECT n, n FROM generate_series(1, 100) AS n;
"""
ORDERS_VIEW_SQL = """
CREATE SCHEMA shop WITH (replication_origin = 'primary');
CREATE REALTIME VIEW shop.orders AS SELECT * FROM public.orders;
"""


def make_orders(origin: Origin) -> Origin:
    """Fill the origin's database with 100 orders alone."""
    origin.execute(ORDERS_SQL)
    return origin


def make_shop(origin: Origin) -> Origin:
    """Fill the origin's database: 20 customers, 10 products, 100 orders."""
    origin.execute(SHOP_SQL)
    return origin


def open_shop(origin: Origin, path: str = ":memory:") -> Database:
    """A database whose schema `shop` holds views of all three persistences over the origin; none synced."""
    db = flashql.connect(path, origins={"primary": origin.dsn})
    db.execute(VIEWS_SQL)
    return db


def until(condition: Callable[[], object], what: str, timeout_seconds: float = 90.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s: {what}"
        pause.wait(_POLL_SECONDS)


def job(db: Database, name: str) -> JobStatus:
    """The status of one view."""
    (found,) = db.sync.status(name)
    return found


def slots(origin: Origin) -> list[tuple[str, bool]]:
    """Names of the slots in the origin's database, and whether somebody streams from each."""
    rows = origin.query(
        "SELECT slot_name, active FROM pg_replication_slots WHERE database = current_database() AND NOT temporary "
        "AND slot_name LIKE 'flashql%' ORDER BY 1"
    )
    return [(name, active) for name, active in rows]


def publications(origin: Origin) -> dict[str, set[str]]:
    """The publications in the origin's database, and the tables of each."""
    rows = origin.query(
        "SELECT p.pubname, t.schemaname || '.' || t.tablename FROM pg_publication AS p "
        "LEFT JOIN pg_publication_tables AS t ON t.pubname = p.pubname"
    )
    found: dict[str, set[str]] = {}
    for name, table in rows:
        found.setdefault(name, set()).update({table} - {None})
    return found


def copy_ids(db: Database) -> list[int]:
    """The ids of the copies there are: a table copied again has a new one."""
    return [number for (number,) in db.execute("SELECT id FROM flashql.copies ORDER BY id").fetchall()]
