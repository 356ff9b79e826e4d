"""OpenMetrics and the health of `flashql run`: what is exposed parses strictly, is true, and ends when it should."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import flashql
from flashql import errors
from flashql.catalog import Persistence, View
from flashql.cli.exposing import answer, exposed
from flashql.ladder import RUNGS
from flashql.lsn import LSN
from flashql.measuring import Batch, Meter, Metrics, OriginMetrics, Position, ViewMetrics
from flashql.openmetrics import CONTENT_TYPE, FAMILIES, Collector, exposition
from flashql.store.jobs import blank
from tests.fix_cli import running
from tests.fix_postgres import Origin
from tests.fix_proxy import Proxy
from tests.fix_shop import ORDERS_VIEW_SQL, make_orders, until

DEFINE = f"""{ORDERS_VIEW_SQL}CREATE MATERIALIZED VIEW shop.big AS SELECT * FROM public.orders WHERE amount > 50;
CREATE ORIGIN VIEW shop.all AS SELECT * FROM public.orders;
"""


@pytest.fixture
def shop(origin: Origin) -> Origin:
    return make_orders(origin)


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: bytes) -> dict[str, Metric]:
    """The metrics of an exposition, by name, as the strict parser of OpenMetrics has them."""
    found = text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
    return {metric.name: metric for metric in found}


def samples(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for metric in parsed(text).values()
        for sample in metric.samples
    }


def fetched(url: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.headers["Content-Type"], response.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.headers["Content-Type"], refused.read()


def sample(text: bytes, name: str, **labels: str) -> float | None:
    return samples(text).get((name, frozenset(labels.items())))


@contextmanager
def run_process(tmp_path: Path, dsn: str, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`flashql run` on the file app.duckdb, with metrics at a free port; the process and the URL."""
    arguments = ["run", "-d", "app.duckdb", "-o", f"primary={dsn}", "--metrics-port", "0", "--interval", "1", *more]
    with running(arguments, tmp_path) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, process.stderr
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        try:
            yield process, found[0]
        finally:
            process.kill()
            drain.join()


def is_well(url: str) -> bool:
    """All views are well, and the rows of the realtime one are there."""
    if fetched(f"{url}/healthz")[0] != 200:
        return False
    return bool(sample(fetched(f"{url}/metrics")[2], "flashql_view_rows", view="shop.orders"))


def defined(tmp_path: Path, dsn: str) -> None:
    with flashql.connect(str(tmp_path / "app.duckdb"), origins={"primary": dsn}) as db:
        db.execute(DEFINE)


def test_metrics_of_a_process_that_follows(shop: Origin, proxy: Proxy, tmp_path: Path) -> None:
    """Scraped while transactions flow and after the network broke: strict, in order, growing, and exact at the end."""
    defined(tmp_path, proxy.dsn)
    with run_process(tmp_path, proxy.dsn) as (process, url):
        until(lambda: is_well(url), "all views are well")
        changed, scraped = 0, []
        for at in range(20):
            shop.execute(f"INSERT INTO orders SELECT n, n FROM generate_series({1000 + at * 10}, {1009 + at * 10}) n")
            changed += 10
            if at == 10:
                proxy.cut()
            status, kind, text = fetched(f"{url}/metrics")
            assert (status, kind) == (200, CONTENT_TYPE)
            assert text.endswith(b"# EOF\n")
            rungs = [sample(text, "flashql_origin_position_bytes", origin="primary", rung=rung) for rung in RUNGS]
            known = [rung for rung in rungs if rung is not None]
            assert known == sorted(known, reverse=True)
            scraped.append(sample(text, "flashql_origin_changes_total", origin="primary") or 0)
        assert scraped == sorted(scraped)
        until(
            lambda: sample(fetched(f"{url}/metrics")[2], "flashql_view_rows", view="shop.orders") == 100 + changed,
            "all has come",
        )
        text = fetched(f"{url}/metrics")[2]
        assert sample(text, "flashql_origin_changes_total", origin="primary") == changed
        assert sample(text, "flashql_view_changes_total", view="shop.orders") == changed
        assert sample(text, "flashql_origin_transactions_total", origin="primary") == 20
        assert (sample(text, "flashql_origin_reconnects_total", origin="primary") or 0) >= 1
        assert sample(text, "flashql_origin_copies_total", origin="primary") == 1
        state = {"view": "shop.orders", "flashql_view_state": "running"}
        assert sample(text, "flashql_view_state", **state) == 1
        assert sample(text, "flashql_view_healthy", view="shop.big") == 1
        assert sample(text, "flashql_view_rows", view="shop.big") == 50
        assert process.poll() is None


def test_health_says_which_view_is_not_well_and_why(shop: Origin, proxy: Proxy, tmp_path: Path) -> None:
    defined(tmp_path, proxy.dsn)
    with run_process(tmp_path, proxy.dsn) as (_, url):
        until(lambda: is_well(url), "all views are well")
        assert json.loads(fetched(f"{url}/healthz")[2]) == {"status": "ok", "problems": {}}
        proxy.refuse()
        proxy.cut()
        until(lambda: fetched(f"{url}/healthz")[0] == 503, "the network is gone")
        told = json.loads(fetched(f"{url}/healthz")[2])
        assert told["status"] == "failing"
        assert set(told["problems"]) == {"shop.orders"}
        assert "primary" in told["problems"]["shop.orders"]
        text = fetched(f"{url}/metrics")[2]
        assert sample(text, "flashql_origin_connected", origin="primary") == 0
        assert sample(text, "flashql_view_healthy", view="shop.orders") == 0
        assert sample(text, "flashql_view_next_retry_timestamp_seconds", view="shop.orders") is not None
        proxy.accept()
        until(lambda: fetched(f"{url}/healthz")[0] == 200, "it is back")
        assert fetched(f"{url}/elsewhere")[0] == 404


def test_sigterm_amid_scrapes_ends_it_cleanly(shop: Origin, tmp_path: Path) -> None:
    """One who asks and does not listen, one who connects and says nothing, and many who scrape."""
    defined(tmp_path, shop.dsn)
    ended, whole = threading.Event(), [0]

    def scrape(url: str) -> None:
        while not ended.is_set():
            try:
                _, _, text = fetched(f"{url}/metrics")
            except OSError:  # it has ended
                return
            if text.endswith(b"# EOF\n"):
                whole[0] += 1

    with run_process(tmp_path, shop.dsn) as (process, url):
        until(lambda: is_well(url), "all views are well")
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as deaf:
            deaf.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            scraping = [threading.Thread(target=scrape, args=(url,)) for _ in range(4)]
            for one in scraping:
                one.start()
            until(lambda: whole[0] > 10, "scrapes go on")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            ended.set()
            for one in scraping:
                one.join()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    with flashql.connect(str(tmp_path / "app.duckdb"), read_only=True) as db:
        assert {job.state for job in db.sync.status("shop.orders")} == {"idle"}


# -- the exposition by itself


def measured() -> Metrics:
    """Something of everything, with names and errors that need escapes."""
    meter = Meter('pri"mary\\\n')
    for size in (1, 1000, 1 << 40):
        meter.count(Batch(LSN(77), 2, 3, size, 0.02, None, {}))
    at = Position(lsn="1/0", at=datetime(2026, 1, 2, tzinfo=UTC))
    one = OriginMetrics(
        origin=meter.origin, connected=True, head=at, received=at, applied=at, confirmed=None,
        lag_bytes=0, lag_seconds=0.0, transactions=6, rows=9, batch_seconds=meter.totals.seconds,
        batch_bytes=meter.totals.size_bytes, last_batch=meter.totals.last, reconnects=0, retries=1, copies=2,
        failed_copies=0, retained_bytes=1 << 40, safe_bytes=None, seconds_to_loss=None,
    )  # fmt: skip
    view = View("shop", 'or"ders', Persistence.REALTIME, "primary", "SELECT 1", ())
    job = blank(view)
    return Metrics(origins=(one,), views=(ViewMetrics(job=job, origin="primary"),))


def test_every_metric_is_strict_openmetrics() -> None:
    text = exposition(measured())
    found = parsed(text)
    assert set(found) == {family.name for _, family in FAMILIES}
    for _, family in FAMILIES:
        metric = found[family.name]
        assert (metric.type, metric.unit) == (family.kind, family.unit)
        assert family.name.endswith(family.unit)
        assert family.help.endswith(".")
    assert sample(text, "flashql_origin_position_bytes", origin='pri"mary\\\n', rung="head") == 1 << 32
    assert sample(text, "flashql_origin_position_bytes", origin='pri"mary\\\n', rung="confirmed") is None
    buckets = [s.value for s in found["flashql_origin_batch_size_bytes"].samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (1, 3)
    assert sample(text, "flashql_origin_batch_size_bytes_sum", origin='pri"mary\\\n') == 1001 + (1 << 40)


def test_a_database_without_anything_is_strict_openmetrics_too() -> None:
    assert "flashql_build" in parsed(exposition(Metrics(origins=(), views=())))


def test_an_application_registers_the_collector_with_its_own_registry() -> None:
    registry = CollectorRegistry()
    registry.register(Collector(measured))
    assert registry.get_sample_value("flashql_origin_retries_total", {"origin": 'pri"mary\\\n'}) == 1


def test_a_closed_database_is_an_answer(database_path: str) -> None:
    db = flashql.connect(database_path)
    db.close()
    assert answer("/metrics", db.sync.metrics)[0] == 503
    assert answer("/healthz", db.sync.metrics)[0] == 503


def test_a_fault_is_an_answer_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fault() -> Metrics:
        raise RuntimeError("password=s3cret")

    status, _, body = answer("/metrics", fault)
    assert status == 500
    assert b"s3cret" not in body
    assert "could not be answered" in caplog.text


def test_a_port_that_is_taken_is_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.FlashQLError, match=str(port)) as raised, exposed("127.0.0.1", port, measured):
            pass
    assert "--metrics-port" in (raised.value.hint or "")


def test_no_more_than_a_few_are_answered_at_once() -> None:
    """Those who connect and say nothing take all places; others are turned away at once, until their time is over."""
    with exposed("127.0.0.1", 0, measured) as url:
        port = int(url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        until(lambda: not _answers(url), "all places are taken, and others turned away")
        for one in silent:
            one.close()
        until(lambda: _answers(url), "there is room again")


def _answers(url: str) -> bool:
    try:
        return fetched(f"{url}/metrics")[0] == 200
    except OSError:
        return False
