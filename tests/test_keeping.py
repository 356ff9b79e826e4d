"""Kept views: realtime views of any query, equal to it after every batch, with Postgres as the oracle."""

from __future__ import annotations

import random

from tests.fix_postgres import Origin
from tests.postgres.pair import following

TABLES = """
CREATE TABLE customers (id int PRIMARY KEY, name text, city text);
CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10, 2), placed date);
CREATE TABLE lines (orderid int, nr int, product int, quantity int, PRIMARY KEY (orderid, nr));
"""

VIEWS = {
    "joined": "SELECT o.id, c.name, o.amount FROM orders o JOIN customers c ON c.id = o.customer",
    "left_joined": "SELECT c.id, c.city, o.id AS o FROM customers c LEFT JOIN orders o ON o.customer = c.id",
    "full_joined": "SELECT c.id, o.id AS o FROM customers c FULL JOIN orders o ON o.customer = c.id",
    "selfjoined": "SELECT a.id, b.id AS other FROM orders a, orders b WHERE a.customer = b.customer AND a.id < b.id",
    "totals": "SELECT customer, count(*) AS n, sum(amount) AS total, min(amount) AS least, max(placed) AS latest "
    "FROM orders GROUP BY customer",
    "by_city": "SELECT c.city, count(*) AS n, sum(o.amount) AS total FROM customers c JOIN orders o "
    "ON o.customer = c.id GROUP BY c.city HAVING count(*) > 1",
    "products": "SELECT count(DISTINCT product) AS n, sum(quantity) AS q FROM lines",
    "cities": "SELECT DISTINCT city FROM customers",
    "ids": "SELECT id FROM customers UNION SELECT customer FROM orders",
    "all_ids": "SELECT id FROM customers UNION ALL SELECT customer FROM orders",
    "without": "SELECT id FROM customers EXCEPT SELECT customer FROM orders",
    "busy": "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer = c.id)",
    "idle": "SELECT name FROM customers WHERE id NOT IN (SELECT customer FROM orders WHERE customer IS NOT NULL)",
    "large": "SELECT id FROM orders WHERE amount > (SELECT min(amount) FROM orders)",
    "best": "SELECT o.id FROM orders o WHERE amount = (SELECT max(amount) FROM orders i WHERE i.customer = o.customer)",
    "ranked": "SELECT id, row_number() OVER (PARTITION BY customer ORDER BY amount, id) AS nr FROM orders",
    "top": "SELECT id, amount FROM orders ORDER BY amount DESC NULLS LAST, id LIMIT 5",
    "spread": "WITH t AS (SELECT orderid, sum(quantity) AS q FROM lines GROUP BY orderid) "
    "SELECT o.customer, count(*) AS n FROM orders o JOIN t ON t.orderid = o.id WHERE t.q > 3 GROUP BY o.customer",
}


def transaction(random_: random.Random) -> list[str]:
    """The statements of one transaction."""
    found = []
    for _ in range(random_.randrange(1, 6)):
        one, other = random_.randrange(12), random_.randrange(12)
        amount = random_.choice(["NULL", f"{random_.randrange(5)}.50"])
        customer = random_.choice(["NULL", str(other)])
        found.append(
            random_.choice(
                [
                    f"INSERT INTO customers VALUES ({one}, 'n{other}', 'c{other % 3}') ON CONFLICT DO NOTHING",
                    f"UPDATE customers SET city = 'c{other % 3}' WHERE id = {one}",
                    f"DELETE FROM customers WHERE id = {one}",
                    f"INSERT INTO orders VALUES ({one}, {customer}, {amount}, '2024-01-{other + 1}') ON CONFLICT DO NOTHING",
                    f"UPDATE orders SET amount = {amount}, customer = {customer} WHERE id = {one}",
                    f"UPDATE orders SET amount = {amount} WHERE id % 3 = {one % 3}",
                    f"DELETE FROM orders WHERE id = {one}",
                    f"INSERT INTO lines VALUES ({one}, {other}, {other % 4}, {one % 3}) ON CONFLICT DO NOTHING",
                    f"UPDATE lines SET quantity = quantity + 1 WHERE product = {other % 4}",
                    f"DELETE FROM lines WHERE orderid = {one}",
                    f"UPDATE orders SET id = id + 100 WHERE id = {one}",
                    "TRUNCATE lines" if one == 3 else f"DELETE FROM orders WHERE customer = {other}",
                ]
            )
        )
    return found


def test_views_of_many_shapes_equal_their_queries_after_every_batch(origin: Origin, database_path: str) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    random_ = random.Random(seed)
    origin.execute(TABLES)
    for _ in range(20):
        origin.execute(";".join(transaction(random_)))
    with following(origin, database_path, **VIEWS) as pair:
        pair.check()
        for nth in range(40):
            origin.execute(";".join(transaction(random_)))
            pair.db.sync.wait(timeout=60)
            pair.compare()
            if nth == 20:
                pair.reopen()
                pair.sync()
        pair.check()
        assert {status.state for status in pair.db.sync.status()} == {"running"}
