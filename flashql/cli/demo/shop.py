"""The shop at the demo's origin: its tables and rows, and the customers who will not stop buying."""

from __future__ import annotations

import random
import threading
from types import TracebackType
from typing import Any, Self

import psycopg

from flashql.origins.base import Progress

CUSTOMERS = 2_000
PRODUCTS = 200

_TABLES = """
CREATE TABLE public.customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    city text NOT NULL
);
CREATE TABLE public.products (
    id integer PRIMARY KEY,
    name text NOT NULL,
    price numeric(10, 2) NOT NULL
);
CREATE TABLE public.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES public.customers,
    product_id integer NOT NULL REFERENCES public.products,
    quantity integer NOT NULL,
    amount numeric(10, 2) NOT NULL,
    status text NOT NULL,
    placed_at timestamptz NOT NULL
);
"""

_CUSTOMERS = """
INSERT INTO public.customers
SELECT n, 'Customer ' || n, (ARRAY['Lyon', 'Oslo', 'Porto', 'Riga', 'Turin'])[1 + n %% 5]
FROM generate_series(1, %(customers)s) AS n
"""

_PRODUCTS = """
INSERT INTO public.products
SELECT n, 'Product ' || n, 1 + (n * 37) %% 500 + 0.95
FROM generate_series(1, %(products)s) AS n
"""

# The factors only spread the orders over customers and products without a random number.
_ORDERS = """
INSERT INTO public.orders (customer_id, product_id, quantity, amount, status, placed_at)
SELECT 1 + (n * 7919) %% %(customers)s, product.id, 1 + n %% 5, (1 + n %% 5) * product.price,
       (ARRAY['new', 'paid', 'sent'])[1 + n %% 3], timestamptz '2026-01-01' + n * interval '1 minute'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
JOIN public.products AS product ON product.id = 1 + (n * 104729) %% %(products)s
"""

_BUY = """
INSERT INTO public.orders (customer_id, product_id, quantity, amount, status, placed_at)
SELECT %(customer)s, id, %(quantity)s, %(quantity)s * price, 'new', clock_timestamp()
FROM public.products WHERE id = %(product)s
"""

_ORDERS_AT_ONCE = 20_000
_PAUSE_SECONDS = 0.005


def load_shop(connection: psycopg.Connection[Any], orders: int, tell: Progress) -> None:
    """Make the shop's tables and fill them; `tell` hears of the orders."""
    sizes = {"customers": CUSTOMERS, "products": PRODUCTS}
    connection.execute(_TABLES)
    connection.execute(_CUSTOMERS, sizes)
    connection.execute(_PRODUCTS, sizes)
    for first in range(1, orders + 1, _ORDERS_AT_ONCE):
        last = min(first + _ORDERS_AT_ONCE - 1, orders)
        connection.execute(_ORDERS, {**sizes, "first": first, "last": last})
        tell("orders at the origin", last, orders)
    connection.execute("ANALYZE")


class Shopping:
    """A thread that buys, changes and cancels orders at the origin, one transaction after another."""

    def __init__(self, dsn: str, orders: int) -> None:
        self.transactions = 0
        self.rows = 0
        self._dsn = dsn
        self._orders = max(orders, 1)
        self._stop = threading.Event()
        self._error: psycopg.Error | None = None
        self._thread = threading.Thread(target=self._shop, name="shopping")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _shop(self) -> None:
        dice = random.Random(1)  # noqa: S311 - who buys what is no secret
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                while not self._stop.wait(_PAUSE_SECONDS):
                    with connection.transaction():
                        self.rows += self._visit(connection, dice)
                    self.transactions += 1
        except psycopg.Error as error:
            self._error = error

    def _visit(self, connection: psycopg.Connection[Any], dice: random.Random) -> int:
        """Three orders placed, two moved on, one cancelled; how many rows that changed."""
        changed = 0
        for _ in range(3):
            order = {
                "customer": dice.randint(1, CUSTOMERS),
                "product": dice.randint(1, PRODUCTS),
                "quantity": dice.randint(1, 9),
            }
            changed += connection.execute(_BUY, order).rowcount
        for _ in range(2):
            one = [dice.choice(("paid", "sent")), dice.randint(1, self._orders)]
            changed += connection.execute("UPDATE public.orders SET status = %s WHERE id = %s", one).rowcount
        one = [dice.randint(1, self._orders)]
        return changed + connection.execute("DELETE FROM public.orders WHERE id = %s", one).rowcount
