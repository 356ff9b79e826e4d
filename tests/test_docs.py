"""The documentation: what it shows runs, what it lists is complete, what is generated is in step, links resolve.

`python -m tests.test_docs` writes the generated pages anew.

In the tutorial, `python` and `bash` blocks run in order, and a `text` block is what the block before it prints; `sh`
blocks install or start something that stays, and are not run.
"""

from __future__ import annotations

import inspect
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import typer

import flashql
from flashql import errors, events, instances
from flashql.cli import app
from flashql.ddl.options import VIEW_OPTIONS
from flashql.lifecycle import mermaid, phases_mermaid
from flashql.openmetrics import FAMILIES
from flashql.resources import sql_text
from tests.fix_postgres import Origin
from tests.spec_pairs import function_names, proven

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
README_DSN = "postgresql://app@localhost/shop"

SHOP = """
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL);
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price numeric(10, 2) NOT NULL);
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id int NOT NULL, product_id int NOT NULL, quantity int NOT NULL,
    amount numeric(10, 2) NOT NULL, status text
);
INSERT INTO customers VALUES (1, 'Ada', 'Lyon'), (2, 'Grace', 'Oslo');
INSERT INTO products VALUES (1, 'Lamp', 40), (2, 'Chair', 90.50);
INSERT INTO orders VALUES (1, 1, 1, 2, 80, 'paid'), (2, 2, 2, 1, 90.50, 'new'), (3, 1, 2, 2, 181, NULL);
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, the words after that, its text, and the line it begins on."""

    language: str
    words: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*) ?(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(one[1], one[2], one[3], text.count("\n", 0, one.start()) + 2) for one in found]


def run_python(block: Block, page: Path, names: dict[str, Any]) -> str:
    """Run a block, told as its page's line in tracebacks; what it printed."""
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    return printed.getvalue()


# -- what is shown runs


def test_the_readme_runs(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin.execute(SHOP)
    monkeypatch.chdir(tmp_path)
    page, names, shown = ROOT / "README.md", dict[str, Any](), 0
    try:
        for block in blocks(page):
            if block.language == "python":
                text = block.text.replace(README_DSN, origin.dsn)
                assert "Ada" in run_python(Block("python", "", text, block.line), page, names)
                shown += 1
    finally:
        if "db" in names:
            names["db"].close()
    assert shown == 1


def test_the_tutorial_runs(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_DSN", origin.dsn)
    page, names, printed = DOCS / "tutorial.md", dict[str, Any](), ""
    exports = ""  # a reader stays in one shell
    try:
        for block in blocks(page):
            if block.language == "python":
                printed = run_python(block, page, names)
            elif block.language == "bash":
                printed = run_shell(exports + block.text)
                exports += "".join(line + "\n" for line in block.text.splitlines() if line.startswith("export "))
            elif block.language == "text":
                assert printed.strip() == block.text.strip(), f"line {block.line}"
    finally:
        if "db" in names:
            names["db"].close()
    left = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    assert origin.query(left) == [(0,)]
    assert origin.query("SELECT count(*) FROM pg_publication") == [(0,)]


@pytest.mark.parametrize(
    ("name", "parts"), [("changes", 4), ("events", 4), ("hooks", 3), ("scopes", 4), ("subscriptions", 3)]
)
def test_a_guide_runs(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, parts: int) -> None:
    """Its `sql` blocks run at the origin; a `text` block is what was printed since the one before it."""
    monkeypatch.setenv("SHOP_DSN", origin.dsn)
    monkeypatch.chdir(tmp_path)
    page, names, shown = DOCS / "guides" / f"{name}.md", dict[str, Any](), 0
    with redirect_stdout(io.StringIO()) as printed:
        try:
            for block in blocks(page):
                if block.language == "python":
                    exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
                elif block.language == "sql":
                    origin.execute(block.text)
                elif block.language == "text":
                    assert printed.getvalue().strip() == block.text.strip(), f"line {block.line}"
                    printed.seek(0)
                    printed.truncate()
                    shown += 1
        finally:
            if "db" in names:
                names["db"].close()
    assert shown == parts


def run_shell(script: str) -> str:
    """Run a script in bash, with `flashql` being this one; what it printed."""
    commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script], capture_output=True, text=True, env={**os.environ, "PATH": commands}
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_ddl_reference_runs(origin: Origin) -> None:
    origin.execute(SHOP)
    page, ran = DOCS / "reference" / "ddl.md", 0
    with flashql.connect(origins={"primary": origin.dsn, "crm": origin.dsn}) as db:
        for block in blocks(page):
            if block.language != "sql":
                continue
            try:
                db.execute(block.text)
            except errors.FlashQLError as error:
                pytest.fail(f"ddl.md, line {block.line}: {error}")
            report = db.sync.sync()
            assert report, f"ddl.md, line {block.line}: {report.failed}"
            ran += 1
    assert ran > 10


def test_the_expressions_of_the_dialect_page_are_accepted_and_refused(origin: Origin) -> None:
    found = {"accepted": 0, "refused": 0}
    with flashql.connect(origins={"primary": origin.dsn}) as db:
        db.execute("CREATE SCHEMA s WITH (replication_origin = 'primary')")
        for block in blocks(DOCS / "reference" / "dialect.md"):
            if block.words == "origin":
                origin.execute(block.text)
            if block.words not in found:
                continue
            for expression in block.text.splitlines():
                statement = f"CREATE OR REPLACE REALTIME VIEW s.v AS SELECT {expression} AS x FROM examples"
                try:
                    db.execute(statement)
                    outcome = "accepted"
                except errors.NotSupported:
                    outcome = "refused"
                assert outcome == block.words, expression
                found[outcome] += 1
    assert found["accepted"] > 40
    assert found["refused"] > 15


# -- what is listed is complete


def test_every_public_name_is_documented() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    assert [name for name in flashql.__all__ if f"flashql.{name}" not in text] == []


def test_every_verb_of_sync_and_field_of_a_status_is_documented() -> None:
    text = (DOCS / "reference" / "sync.md").read_text(encoding="utf-8")
    verbs = (
        "sync",
        "status",
        "stop",
        "resume",
        "forget",
        "wait",
        "verify",
        "metrics",
        "wake",
        "reconcile",
        "share_status",
        "subscribe",
        "subscriptions",
    )
    scopes = ("start", "status", "wait", "delete", "delete_status")
    for where, verb in [(flashql.Sync, one) for one in verbs] + [(flashql.Scopes, one) for one in scopes]:
        given = [str(one).split(":")[0] for one in inspect.signature(getattr(where, verb)).parameters.values()]
        for name in given[1:]:
            assert re.search(rf"`{verb}\([^`]*\b{name}\b", text), f"{verb} takes {name}"
    assert [field.name for field in fields(flashql.JobStatus) if f"`{field.name}`" not in text] == []
    assert [field.name for field in fields(flashql.VerifyReport) if f"`{field.name}`" not in text] == []
    assert [field.name for field in fields(flashql.Subscribed) if f"`{field.name}`" not in text] == []
    assert [field.name for field in fields(flashql.ScopeStatus) if f"`{field.name}`" not in text] == []
    assert [field.name for field in fields(flashql.SyncReport) if f"`{field.name}`" not in text] == []
    measured = [*fields(flashql.OriginMetrics), *fields(flashql.ViewMetrics), *fields(flashql.Metrics)]
    assert [field.name for field in measured if f"`{field.name}`" not in text] == []


def test_every_option_of_views_is_documented() -> None:
    text = (DOCS / "reference" / "ddl.md").read_text(encoding="utf-8")
    assert [name for name in VIEW_OPTIONS if f"| `{name}` |" not in text] == []


def test_every_command_and_its_options_are_documented() -> None:
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    commands = getattr(group, "commands")  # noqa: B009 - typer's stubs do not say that it is a group
    assert set(commands) == {"demo", "sql", "sync", "scope", "subscribe", "status", "verify", "run", "doctor"}
    for name, command in commands.items():
        assert f"### `flashql {name}" in text, name
        for one, part in getattr(command, "commands", {}).items():
            assert f"`flashql {name} {one}" in text, f"{name} {one}"
            assert_options_are_documented(part, text)
        assert_options_are_documented(command, text)


def assert_options_are_documented(command: Any, text: str) -> None:
    """Each option of a command is on the page."""
    for option in (one for parameter in command.params for one in parameter.opts if one.startswith("--")):
        assert option == "--help" or f"`{option}" in text or option in text.split(), f"{command.name} {option}"


def test_every_module_is_in_the_house() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "flashql"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.stat().st_size}
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    outside = {f"{folder}__init__.py" for folder in ("", "ddl/", "planner/", "store/", "origins/", "origins/postgres/")}
    expected = modules - outside  # those only say what their folder is for, or name its contents
    assert expected - named == set(), "modules that docs/architecture.md does not name"
    assert named - modules == set(), "modules that docs/architecture.md names and that are not there"


# -- links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        assert "://" not in target, f"{target}: the documentation stands by itself"
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            linked = (page.parent / target).resolve()
            if linked not in seen:
                waiting.append(linked)
    assert set(PAGES) - seen == set()


# -- generated pages

_ERRORS_PAGE = """# Errors

Written from `flashql/errors.py` by `python -m tests.test_docs`; do not edit.

Every error that FlashQL raises is a `flashql.errors.FlashQLError`. It has `message`, `hint` (one sentence of advice for
the case at hand, or None) and `retry`; `str(error)` is the message, and the hint below it. Each is about one of
four: the statement (`DefinitionError`), an origin (`OriginError`), the local file (`DatabaseError`), or a hook of yours
(`HookRefused`). Errors of DuckDB and of Postgres are their `__cause__`. The one exception is Python's own
`TimeoutError`, from `db.sync.wait`.

`retry` says what FlashQL does by itself when the error ends the work on a realtime view: **backoff** tries again with
growing pauses, **recopy** replaces the copy from the origin, **manual** waits for a person and the next `sync()`. It
does not repeat a statement or query of yours.

| error | kind of | retry | meaning |
|---|---|---|---|
{rows}

## What is tried again

This is the whole table: an error does what the nearest kind above it here does. How fast and how often is the origin's
[retry policy](sync.md#retries).

| error | retry |
|---|---|
{retries}
"""


def errors_page() -> str:
    """docs/reference/errors.md, from the classes and their docstrings."""
    rows = []
    for one in vars(errors).values():
        if isinstance(one, type) and issubclass(one, errors.FlashQLError):
            parent = "`Exception`" if one is errors.FlashQLError else f"`{one.__bases__[0].__name__}`"
            advice = " ".join((one.__doc__ or "").split())
            rows.append(f"| `{one.__name__}` | {parent} | {one.retry} | {advice} |")
    retries = [f"| `{kind.__name__}` | {retry} |" for kind, retry in errors.RETRY.items()]
    return _ERRORS_PAGE.format(rows="\n".join(rows), retries="\n".join(retries))


def sync_page() -> str:
    """docs/reference/sync.md with the diagrams of flashql/lifecycle.py and the kinds of flashql/events.py."""
    page = (DOCS / "reference" / "sync.md").read_text(encoding="utf-8")
    diagrams = iter((phases_mermaid(), mermaid()))
    block = re.compile(r"^```mermaid\n.*?^```$", re.MULTILINE | re.DOTALL)
    page = block.sub(lambda _: f"```mermaid\n{next(diagrams)}\n```", page)
    rows = re.compile(
        r"(?<=^\| event \| class \| also has \| told when \|\n\|---\|---\|---\|---\|\n)(\|.*\n)*", re.MULTILINE
    )
    return rows.sub("".join(_event_row(kind) for kind in events.EVENTS), page)


def _event_row(kind: type[events.SyncEvent]) -> str:
    of_all = {field.name for field in fields(events.SyncEvent)}
    own = ", ".join(f"`{field.name}`" for field in fields(kind) if field.name not in of_all)
    told = " ".join((kind.__doc__ or "").split())
    return f"| `{kind.name}` | `{kind.__name__}` | {own} | {told} |\n"


def scopes_page() -> str:
    """docs/guides/scopes.md with the diagram of flashql/instances.py."""
    page, drawn = (DOCS / "guides" / "scopes.md").read_text(encoding="utf-8"), instances.mermaid()
    return re.sub(r"^```mermaid\n.*?^```$", f"```mermaid\n{drawn}\n```", page, flags=re.MULTILINE | re.DOTALL)


def operations_page() -> str:
    """docs/guides/operations.md with sql/origin/setup.sql; tests/postgres/test_least_privilege.py runs that."""
    page = (DOCS / "guides" / "operations.md").read_text(encoding="utf-8")
    script = f"```sql setup\n{sql_text('origin/setup.sql')}```"
    return re.sub(r"^```sql setup\n.*?^```$", lambda _: script, page, flags=re.MULTILINE | re.DOTALL)


_MARK = "<!-- From here on written from sql/spec by `python -m tests.test_docs`; do not edit. -->\n"


def dialect_page() -> str:
    """docs/reference/dialect.md with all that sql/spec proves: tests run each of it in both databases."""
    page = (DOCS / "reference" / "dialect.md").read_text(encoding="utf-8")
    parts = [page[: page.index(_MARK)] + _MARK, "\n## Every expression that is tested\n"]
    for title, texts in proven("transpile", every=2):
        parts.append(f"\n{title}\n\n```sql\n" + "".join(f"{one}\n" for one in texts) + "```\n")
    for title, texts in proven("expressions", every=1):
        parts.append(f"\n{title}\n\n```sql\n" + "".join(f"{one}\n" for one in texts) + "```\n")
    parts.append("\n## Every query that is tested\n")
    for title, texts in proven("queries", every=1):
        parts.append(f"\n{title}\n\n```sql\n" + "".join(f"{one};\n" for one in texts) + "```\n")
    parts.append("\n## Everything that is refused and tested\n\n| refused | since |\n|---|---|\n")
    for folder in ("transpile_refused", "queries_refused"):
        for _, texts in proven(folder, every=1):
            cells = [one.replace("|", "\\|").replace("\n", " ") for one in texts]
            parts += [f"| `{one}` | {why} |\n" for one, why in zip(cells[::2], cells[1::2], strict=True)]
    parts.append("\n## Every function and operator of Postgres\n\nThose over types that views compute with: a name is")
    parts.append(" accepted where some call of it is.\n\n| | |\n|---|---|\n")
    for reason, names in function_names().items():
        listed = " ".join(f"`{name.removeprefix('operator ')}`" for name in names).replace("|", "\\|")
        parts.append(f"| {reason if reason == 'accepted' else f'refused: {reason}'} | {listed} |\n")
    return "".join(parts)


_METRICS_PAGE = """# Metrics

Written from `flashql/openmetrics.py` by `python -m tests.test_docs`; do not edit.

`flashql run --metrics-port 9464` shows these at `http://127.0.0.1:9464/metrics`, as OpenMetrics, which Prometheus and
its kin read. [What to alarm on](../guides/operations.md#what-to-alarm-on) has the expressions. `/healthz` beside it
answers 200 while every enabled view is running or synced, and otherwise 503 with the reason for each that is not.

In Python, [`db.sync.metrics()`](sync.md#metrics) has the same, and an application that exports metrics of its own may
add these to them: `registry.register(flashql.openmetrics.Collector(db.sync.metrics))`.

Counters begin anew with the process. A sample is absent while its value is not known.

| metric | type | labels | meaning |
|---|---|---|---|
{rows}
"""

_SUFFIXES = {"counter": "_total", "info": "_info"}


def metrics_page() -> str:
    """docs/reference/metrics.md, from the table of metrics."""
    rows = []
    for subject, family in FAMILIES:
        name = family.name + _SUFFIXES.get(family.kind, "")
        labels = ", ".join(f"`{one}`" for one in (subject, *family.labels) if one)
        rows.append(f"| `{name}` | {family.kind} | {labels} | {family.help} |")
    return _METRICS_PAGE.format(rows="\n".join(rows))


GENERATED = {
    DOCS / "reference" / "metrics.md": metrics_page,
    DOCS / "reference" / "dialect.md": dialect_page,
    DOCS / "guides" / "operations.md": operations_page,
    DOCS / "guides" / "scopes.md": scopes_page,
    DOCS / "reference" / "errors.md": errors_page,
    DOCS / "reference" / "sync.md": sync_page,
}


@pytest.mark.parametrize("page", GENERATED, ids=lambda page: page.name)
def test_generated_pages_are_in_step(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == GENERATED[page](), "run: python -m tests.test_docs"


if __name__ == "__main__":
    for path, written in GENERATED.items():
        path.write_text(written(), encoding="utf-8")
