"""The position that wait() waits for is one that the stream reaches by itself."""

from __future__ import annotations

from flashql.lsn import LSN
from flashql.origins.postgres import PostgresOrigin
from tests.fix_postgres import PrivateServer


def test_everything_up_to_the_current_lsn_is_flushed(private_server: PrivateServer) -> None:
    """Edge case 8."""
    origin = PostgresOrigin("primary", lambda: private_server.dsn)
    try:
        origin.current_lsn()  # connecting may write by itself
        # A message outside of transactions is written but not flushed: nothing waits for it.
        private_server.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 100))")
        wanted = origin.current_lsn()
        ((flushed,),) = private_server.query("SELECT pg_current_wal_flush_lsn()::text")
        assert LSN.parse(flushed) >= wanted
    finally:
        origin.client.close()
