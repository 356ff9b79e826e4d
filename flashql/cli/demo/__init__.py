"""`flashql demo`: the whole of FlashQL in half a minute, on a Postgres of its own that leaves nothing behind."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from rich.live import Live

import flashql
from flashql.cli.demo.shop import Shopping, load_shop
from flashql.cli.embedded import embedded_postgres
from flashql.cli.output import complain, console, print_rows, status_table
from flashql.cli.progress import bars, progress_of
from flashql.cli.signals import interruptible
from flashql.errors import DatabaseError
from flashql.resources import sql_files

_QUERY = """
SELECT p.name AS product, c.city, count(*) AS orders, sum(o.amount) AS revenue
FROM shop.orders AS o
JOIN shop.products AS p ON p.id = o.product_id
JOIN shop.customers AS c ON c.id = o.customer_id
GROUP BY ALL
ORDER BY revenue DESC, product, city
LIMIT 5
"""
_CATCH_UP_TIMEOUT_SECONDS = 120.0


def demo(
    seconds: Annotated[float, typer.Option(min=0, help="How long the origin is written to.")] = 10.0,
    orders: Annotated[int, typer.Option(min=1, help="How many orders the shop begins with.")] = 200_000,
) -> None:
    r"""See it work: a shop in Postgres, three views over it, a copy that follows while the shop is written to.

    Starts a Postgres server in a temporary directory (needs: pip install 'flashql\[demo]'), and removes it at the
    end, as it does on Ctrl-C.

    [bold]Examples[/bold]

    flashql demo

    flashql demo --seconds 30 --orders 1000000
    """
    try:
        with interruptible(), tempfile.TemporaryDirectory(prefix="flashql-demo-") as folder:
            _play(Path(folder), seconds, orders)
    except KeyboardInterrupt:
        complain("interrupted; the demo's server and files are gone", None)
        raise typer.Exit(1) from None
    _say("Nothing is left behind: the demo's server, slot, publication and files are gone.")


def _play(folder: Path, seconds: float, orders: int) -> None:
    _say("Starting a Postgres server of the demo's own ...")
    with (
        embedded_postgres() as server,
        psycopg.connect(server.dsn, autocommit=True) as origin,
    ):
        with bars() as tell:
            load_shop(origin, orders, tell)
        _say(f"A shop with {orders:,} orders is at the origin. Its views, one per persistence:")
        with flashql.connect(str(folder / "app.duckdb"), origins={"primary": server.dsn}) as db:
            _define_and_sync(db)
            _query(db)
            _follow(db, server.dsn, seconds, orders)
            _prove(db)
            _forget(db, origin)


def _define_and_sync(db: flashql.Database) -> None:
    for _, text in sql_files("views"):
        console().print(text.strip(), style="cyan", soft_wrap=True)
        db.execute(text)
    begun = time.monotonic()
    with progress_of(db):
        report = db.sync.sync()
    for error in report.failed.values():
        raise error
    _say(f"db.sync.sync() made the local copies in {time.monotonic() - begun:.1f} s.")


def _query(db: flashql.Database) -> None:
    begun = time.monotonic()
    result = db.execute(_QUERY)
    names, rows = [column[0] for column in result.description or ()], result.fetchall()
    took_ms = (time.monotonic() - begun) * 1000
    _say(f"One query over all three (customers at the origin, products and orders here), {took_ms:.0f} ms:")
    print_rows(names, rows)


def _follow(db: flashql.Database, dsn: str, seconds: float, orders: int) -> None:
    """Write at the origin for a while, and show the copy moving."""
    _say(f"Now the shop is written to for {seconds:g} s, and the copy of shop.orders follows:")
    begun, never = time.monotonic(), threading.Event()
    with Shopping(dsn, orders) as shopping:
        if console().is_terminal:
            with Live(console=console(), auto_refresh=False) as live:
                while (passed := time.monotonic() - begun) < seconds:
                    title = f"{passed:4.1f} s: {_written(shopping)}"
                    drawn = status_table(db.sync.status(), title=title)
                    live.update(drawn, refresh=True)
                    never.wait(min(0.2, seconds))
            return
        while (passed := time.monotonic() - begun) < seconds:
            job = db.sync.status("shop.orders")[0]
            print(
                f"{passed:4.1f} s: {_written(shopping)}; {job.relation_id}: {job.rows} rows, "
                f"last_seen_commit {job.last_seen_commit}, lag {job.lag_bytes} bytes",
                flush=True,
            )
            never.wait(min(1.0, seconds))


def _written(shopping: Shopping) -> str:
    return f"{shopping.transactions:,} transactions, {shopping.rows:,} rows written at the origin"


def _prove(db: flashql.Database) -> None:
    """Once the copy has all that was committed, both must have the same rows."""
    begun = time.monotonic()
    db.sync.wait(timeout=_CATCH_UP_TIMEOUT_SECONDS)
    _say(f"db.sync.wait() returned after {(time.monotonic() - begun) * 1000:.0f} ms. The proof, row by row:")
    begun = time.monotonic()
    (report,) = db.sync.verify("shop.orders")
    took_ms = (time.monotonic() - begun) * 1000
    if not report.equal:
        raise DatabaseError("the copy differs from its origin", hint="That is a fault in FlashQL: please report it.")
    _say(
        f"db.sync.verify() compared {report.rows:,} rows at {report.lsn} in {took_ms:.0f} ms. "
        "The copy equals its origin."
    )


def _forget(db: flashql.Database, origin: psycopg.Connection[Any]) -> None:
    db.sync.forget("*")
    left = origin.execute(
        "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)"
    ).fetchone()
    if left != (0,):
        raise DatabaseError("a slot or publication stayed at the origin after db.sync.forget('*')")


def _say(text: str) -> None:
    console().print(text, style="bold", markup=False, soft_wrap=True)
