"""An HTTP server for whoever watches `flashql run`: `/metrics`, as OpenMetrics, and `/healthz`.

It reads, and nothing else; it answers a few at a time, each within seconds, on threads of its own.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from urllib.parse import urlsplit

from flashql.errors import FlashQLError
from flashql.measuring import Metrics
from flashql.openmetrics import CONTENT_TYPE, exposition

# How many may ask at once, and how long one may take to say what it wants, or the last ones to be answered at the end.
_AT_ONCE = 8
_PATIENCE_SECONDS = 5.0
_END_SECONDS = 2.0
_POLL_SECONDS = 0.1

_log = logging.getLogger(__name__)

Answer = tuple[HTTPStatus, str, bytes]


def answer(path: str, measure: Callable[[], Metrics]) -> Answer:
    """Status, content type and body for a path. Whatever goes wrong is an answer, too."""
    try:
        match path:
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE, exposition(measure())
            case "/healthz":
                return _health(measure())
            case _:
                return HTTPStatus.NOT_FOUND, "text/plain", b"There are /metrics and /healthz.\n"
    except FlashQLError as error:
        return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error.message}\n".encode()
    except Exception:
        _log.exception("%s could not be answered", path)
        return HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"The log says what went wrong.\n"


def _health(found: Metrics) -> Answer:
    problems = {view.job.relation_id: view.problem for view in found.views if view.problem is not None}
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    body = {"status": "failing" if problems else "ok", "problems": problems}
    return status, "application/json", json.dumps(body).encode() + b"\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, host: str, port: int, measure: Callable[[], Metrics]) -> None:
        self.measure = measure
        self.places = threading.BoundedSemaphore(_AT_ONCE)
        self._asking: set[socket.socket] = set()
        (self.address_family, _, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        super().__init__((str(address[0]), int(address[1])), _Request)

    def server_bind(self) -> None:
        # Not HTTPServer's own, which looks up the name of this machine, and may wait for that.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: object, client_address: object) -> None:
        """Answer on a thread; beyond a few at once the connection is closed, which a scraper takes as a failure."""
        assert isinstance(request, socket.socket)
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._asking.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._asking.discard(request)
            self.places.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        _log.debug("a request for metrics broke off", exc_info=True)

    def end(self) -> None:
        """Wait a moment for those that are being answered; who has not asked by now is not answered any more."""
        for one in list(self._asking):
            with suppress(OSError):  # it has ended meanwhile
                one.shutdown(socket.SHUT_RD)
        for _ in range(_AT_ONCE):
            self.places.acquire(timeout=_END_SECONDS / _AT_ONCE)


class _Request(BaseHTTPRequestHandler):
    timeout = _PATIENCE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, kind, body = answer(urlsplit(self.path).path, self.server.measure)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name there
        _log.debug(format, *arguments)


@contextmanager
def exposed(host: str, port: int, measure: Callable[[], Metrics]) -> Iterator[str]:
    """A server at that port (0: any that is free) within the block; its address, as a URL.

    Raises `FlashQLError` when it cannot listen there.
    """
    try:
        server = _Server(host, port, measure)
    except OSError as error:
        raise FlashQLError(
            f"metrics cannot be shown at {host}, port {port}: {error.strerror or error}",
            hint="Choose another with --metrics-host and --metrics-port.",
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="flashql-metrics", daemon=True)
    thread.start()
    shown = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
    try:
        yield f"http://{shown}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        server.end()
