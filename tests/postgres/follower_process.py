"""The process that tests kill: opens a database file, syncs it, and follows until its end.

    python -m tests.postgres.follower_process FILE DSN [SCRIPT]

The views are those that the script makes (a file of SQL that may be run again), without one `VIEWS`. It prints a line
at each step, so that its killer can choose the moment: `opened`, `copying` whenever rows of a snapshot come in,
`synced`, then `applied` each time the copies have reached a new position.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import flashql
from tests.postgres.pair import SCHEMA

VIEWS = {
    "a": "SELECT * FROM a",
    "b": "SELECT * FROM b",
    "some": "SELECT id, v FROM b WHERE v > 50",
    "c": "SELECT * FROM c",
}
SCRIPT = SCHEMA.replace("SCHEMA", "SCHEMA IF NOT EXISTS") + "".join(
    f"; CREATE REALTIME VIEW IF NOT EXISTS s.{name} AS {query}" for name, query in VIEWS.items()
)


def main(path: str, dsn: str, script: str | None = None) -> None:
    """Sync the views, making them first where the file has none, then report for ever."""
    with flashql.connect(path, origins={"primary": dsn}) as db:
        db.execute(Path(script).read_text(encoding="utf-8") if script else SCRIPT)
        say("opened")
        db.sync.progress = lambda *_: say("copying")
        db.sync.sync()
        say("synced")
        pause = threading.Event()
        seen: object = None
        while True:
            reached = db.execute("SELECT max(last_seen_commit) FROM flashql.sync_jobs").fetchone()
            if reached != seen:
                seen = reached
                say("applied")
            pause.wait(0.01)


def say(word: str) -> None:
    """One line to the killer, at once."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
