"""The process that test_kill.py kills: opens a database file, syncs it, and follows until its end.

    python -m tests.postgres.follower_process FILE DSN

It prints a line at each step, so that its killer can choose the moment: `opened`, `copying` whenever rows of a
snapshot come in, `synced`, then `applied` each time the copies have reached a new position.
"""

from __future__ import annotations

import sys
import threading

import flashql
from tests.postgres.pair import SCHEMA

VIEWS = {
    "a": "SELECT * FROM a",
    "b": "SELECT * FROM b",
    "some": "SELECT id, v FROM b WHERE v > 50",
    "c": "SELECT * FROM c",
}


def main(path: str, dsn: str) -> None:
    """Sync the views, making them first where the file has none, then report for ever."""
    with flashql.connect(path, origins={"primary": dsn}) as db:
        if not db.views:
            db.execute(SCHEMA)
            for name, query in VIEWS.items():
                db.execute(f"CREATE REALTIME VIEW IF NOT EXISTS s.{name} AS {query}")
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
