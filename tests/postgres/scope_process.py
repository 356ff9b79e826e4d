"""The process that tests kill while it runs a scope, again and again.

    python -m tests.postgres.scope_process FILE DSN

Prints a line at each step, so that its killer can choose the moment: `opened`, `copying` whenever rows come in,
`synced` when the scope was complete for the first time, `applied` each time after that.
"""

from __future__ import annotations

import sys

import flashql
from tests.postgres.follower_process import SCRIPT, say

SCOPE = "all"
MATERIALIZED = {
    "m": "SELECT * FROM a WHERE id % 3 = 0",
    "n": "SELECT count(*) AS n, sum(v) AS v FROM b",
    "e": "TABLE c",
}


def main(path: str, dsn: str) -> None:
    """Sync the views as a scope, making them first where the file has none; then so again for ever, from the origin."""
    with flashql.connect(path, origins={"primary": dsn}) as db:
        db.execute(SCRIPT)
        for name, query in MATERIALIZED.items():
            db.execute(f"CREATE MATERIALIZED VIEW IF NOT EXISTS s.{name} AS {query}")
        say("opened")
        db.sync.progress = lambda *_: say("copying")
        word = "synced"
        while True:
            done = db.sync.scopes.start(SCOPE, "s.*", wait=True, force=True).status()
            assert done.state == "synced", done
            say(word)
            word = "applied"


if __name__ == "__main__":
    main(*sys.argv[1:])
