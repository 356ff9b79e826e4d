"""The process that tests kill while sets of parameters come and go.

    python -m tests.postgres.subscriber_process FILE DSN

Prints a line at each step: `opened`, `copying` whenever rows of a set come in, `synced`, then `applied` after each
change of what it is subscribed to.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import flashql
from tests.postgres.follower_process import say
from tests.postgres.pair import SCHEMA

VIEWS = {
    "a_of(least int, most int)": "SELECT * FROM a WHERE id BETWEEN least AND most",
    "b_of(value int)": "SELECT * FROM b WHERE v = value",
    "sums(value int)": "SELECT v, count(*) AS n FROM c WHERE v = value GROUP BY v",
}
SCRIPT = SCHEMA.replace("SCHEMA", "SCHEMA IF NOT EXISTS") + "".join(
    f"; CREATE REALTIME VIEW IF NOT EXISTS s.{name} AS {query}" for name, query in VIEWS.items()
)
DRAWS: dict[str, Callable[[], dict[str, Any]]] = {
    "a_of": lambda: (lambda least: {"least": least, "most": least + random.randrange(9000)})(random.randrange(40000)),
    "b_of": lambda: {"value": random.randrange(100)},
    "sums": lambda: {"value": random.randrange(8)},
}


def main(path: str, dsn: str) -> None:
    """Sync the views, then subscribe and unsubscribe for ever."""
    with flashql.connect(path, origins={"primary": dsn}) as db:
        db.execute(SCRIPT)
        say("opened")
        db.sync.progress = lambda *_: say("copying")
        db.sync.subscribe("s.a_of", DRAWS["a_of"]())
        db.sync.sync()
        say("synced")
        held: list[flashql.Subscription] = []
        while True:
            for _ in range(random.randrange(1, 8)):
                name = random.choice(list(DRAWS))
                held.append(db.sync.subscribe(f"s.{name}", DRAWS[name](), priority=random.randrange(3)))
            if random.random() < 0.5:
                held[-1].wait(60)
            while len(held) > 20:
                held.pop(random.randrange(len(held))).unsubscribe()
            say("applied")


if __name__ == "__main__":
    main(*sys.argv[1:])
