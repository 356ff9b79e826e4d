"""A breakable network: a TCP proxy between FlashQL and an origin.

One thread runs an event loop that pumps bytes both ways; the methods are called from the test's thread and
have taken effect when they return.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.fix_postgres import Origin

_CHUNK_BYTES = 65536
_TIMEOUT_SECONDS = 30


class Proxy:
    """Forwards connections at 127.0.0.1 to a Postgres server, until told to misbehave."""

    def __init__(self, target_dsn: str) -> None:
        self._target = {name: str(value) for name, value in conninfo_to_dict(target_dsn).items()}
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._allowance_bytes = sys.maxsize
        self._fuse: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0  # accepted so far
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self.accept()

    @property
    def dsn(self) -> str:
        """The DSN of the origin's database by way of the proxy."""
        secret = f":{quote(self._target['password'], safe='')}" if "password" in self._target else ""
        who = quote(self._target.get("user", "postgres"), safe="") + secret
        return f"postgresql://{who}@127.0.0.1:{self.port}/{self._target.get('dbname', 'postgres')}"

    def cut(self) -> None:
        """Break every connection, with no goodbye to either side; new ones are still accepted."""
        self._run(self._cut())

    def cut_at(self, text: bytes) -> None:
        """Break every connection in place of letting the next bytes with that text in them through, once."""
        self._fuse = text

    def refuse(self) -> None:
        """Refuse new connections; those that stand go on."""
        self._run(self._refuse())

    def accept(self) -> None:
        """Accept new connections again, at the same port."""
        self._run(self._accept())

    def stall(self) -> None:
        """Let no byte through, either way, while connections stay open: a network that swallows packets."""
        self._run(self._set_flowing(False))

    def trickle(self, count_bytes: int) -> None:
        """Let so many bytes through, both ways together, then none: most likely it stops amid a message."""
        self._run(self._set_flowing(True, count_bytes))

    def flow(self) -> None:
        """Let bytes through again, those held back first."""
        self._run(self._set_flowing(True))

    def close(self) -> None:
        """Break everything and end the thread."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_SECONDS)

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _set_flowing(self, flowing: bool, allowance_bytes: int = sys.maxsize) -> None:
        self._allowance_bytes = allowance_bytes
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _close(self) -> None:
        await self._refuse()
        await self._cut()
        pumps = list(self._pumps)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            behind_reader, behind_writer = await self._open()
        except OSError:  # the server is down: the client sees its connection end
            self._writers.discard(writer)
            writer.transport.abort()
            return
        self._writers.add(behind_writer)
        for pump in (self._pump(reader, behind_writer), self._pump(behind_reader, writer)):
            task = self._loop.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target.get("host", "localhost"), int(self._target.get("port", "5432"))
        if host.startswith("/"):
            return await asyncio.open_unix_connection(str(Path(host) / f".s.PGSQL.{port}"))
        return await asyncio.open_connection(host, port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                if self._fuse is not None and self._fuse in chunk:
                    self._fuse = None
                    await self._cut()
                    return
                while chunk:
                    await self._flowing.wait()
                    through, chunk = chunk[: self._allowance_bytes], chunk[self._allowance_bytes :]
                    self._allowance_bytes -= len(through)
                    if not self._allowance_bytes:
                        self._flowing.clear()
                    writer.write(through)
                    await writer.drain()
        except OSError:
            pass  # cut, or a side went away: the other side learns it below
        finally:
            self._writers.discard(writer)
            writer.close()


@pytest.fixture
def proxy(origin: Origin) -> Iterator[Proxy]:
    """A proxy in front of `origin`: use its `.dsn` in place of the origin's."""
    between = Proxy(origin.dsn)
    try:
        yield between
    finally:
        between.close()
