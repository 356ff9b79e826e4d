"""How FlashQL connects to Postgres: settings every session gets, and Postgres's errors as ours.

Snapshot and stream must print values alike, whatever ALTER ROLE or ALTER DATABASE say, so every connection fixes
the settings that change how values are printed, or end a snapshot, in its startup options (documentation: "Client
Connection Defaults"; a walsender accepts no SET).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from flashql import errors
from flashql.quoting import quote

SETTINGS = {
    "DateStyle": "ISO,\\ MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    # A connection that holds an exported snapshot is idle in a transaction for as long as its rows are read.
    "idle_in_transaction_session_timeout": "0",
}

# Notice a dead network within half a minute instead of the two hours of TCP's defaults (libpq: "Parameter Key
# Words"). What a user gives in the DSN wins.
_NETWORK = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


# What may hold any character. In all else an '@' is the sign of a DSN cut at the wrong place.
_FREE_TEXT = ("user", "password", "options", "application_name", "fallback_application_name", "passfile", "service")


def conninfo(dsn: str, application_name: str, **more: str) -> str:
    """The full connection string: the user's, the settings above, `more`.

    Raises `OriginRefused` when it is unreadable, or asks for what not every connection can have.
    """
    given = _parts(dsn)
    if given.get("gssencmode") == "require":
        raise errors.OriginRefused("the origin's DSN asks for encryption by GSSAPI", hint=_NO_GSSAPI)
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    merged = {
        **_NETWORK,
        "application_name": application_name,
        **given,
        "options": f"{given.get('options', '')} {options}".strip(),
        "client_encoding": "UTF8",
        **more,
    }
    return make_conninfo("", **merged)


def _parts(dsn: str) -> dict[str, str]:
    """The DSN's keywords and values. Raises `OriginRefused` when it makes no sense, without quoting any of it.

    A password with an '@' or '/' that is not percent-encoded ends where libpq takes it to end; the rest becomes host,
    port or database, which libpq and the server quote when they complain.
    """
    found = _read(dsn)
    if found is None:
        raise errors.OriginRefused(
            "the origin's DSN cannot be read",
            hint="It looks like postgresql://user@host:5432/database or 'host=... dbname=... user=...'; "
            "special characters of a password are percent-encoded in the first form, quoted in the second.",
        )
    misplaced = any("@" in value for key, value in found.items() if key not in _FREE_TEXT and not key.startswith("ssl"))
    if misplaced or "@" in found.get("sslmode", "") or not _PORTS.fullmatch(found.get("port", "")):
        raise errors.OriginRefused(
            "the origin's DSN cannot be right: its host, port or database looks like part of a password",
            hint="Percent-encode the special characters of the password: %40 for @, %2F for /, %25 for %.",
        )
    return found


# libpq: "port", one number for all hosts or one for each, which may be left out.
_PORTS = re.compile(r"[0-9]*(?:,[0-9]*)*")


def _read(dsn: str) -> dict[str, str] | None:
    """Keywords and values as libpq reads them, None when it cannot; its complaint quotes the DSN, so it is dropped."""
    with suppress(psycopg.Error, UnicodeError):
        return {key: str(value) for key, value in conninfo_to_dict(dsn).items() if value is not None}
    return None


def redacted(dsn: str) -> str:
    """The DSN as it may be shown: without password."""
    try:
        parts = _parts(dsn)
    except errors.OriginRefused:
        return "(unreadable DSN)"
    kept = {key: parts[key] for key in ("host", "hostaddr", "port", "dbname", "user") if parts.get(key)}
    return " ".join(f"{key}={value}" for key, value in kept.items())


@contextmanager
def translated(origin: str) -> Iterator[None]:
    """Psycopg's errors inside become FlashQL's, naming the origin."""
    try:
        yield
    except psycopg.Error as error:
        raise as_ours(origin, error.sqlstate, str(error)) from error


# What a SQLSTATE (documentation: "PostgreSQL Error Codes") means to FlashQL; the longest matching prefix decides.
_BY_SQLSTATE: dict[str, tuple[type[errors.FlashQLError], str | None]] = {
    "28": (errors.OriginRefused, "Check user and password of the DSN and the server's pg_hba.conf."),
    "3D000": (errors.OriginRefused, "The database of the DSN does not exist there."),
    "42501": (errors.OriginRefused, "Grant the role what the message names; `flashql doctor` lists what is missing."),
    "42P01": (errors.UnknownName, "Check the table's name and schema at the origin."),
    "42703": (errors.UnknownName, "Check the column's name at the origin."),
    "3F000": (errors.UnknownName, "Check the schema's name at the origin."),
    "42883": (errors.UnknownName, None),
    "42601": (errors.DefinitionError, "The query is in the origin's dialect, Postgres."),
    "42": (errors.DefinitionError, None),
    "53300": (errors.OriginBusy, "The origin has no connection free; raise max_connections or close some."),
    "53400": (errors.OriginUnfit, "Raise max_replication_slots at the origin, or drop slots nobody uses."),
    "53": (errors.OriginBusy, None),
    "55006": (errors.OriginBusy, None),
    "55P03": (errors.OriginBusy, "Another session holds a lock on the table; FlashQL tries again."),
    "40": (errors.OriginBusy, None),
    "57014": (errors.OriginBusy, None),
    "57P": (errors.OriginUnreachable, None),
    "58": (errors.OriginUnreachable, None),
    "08": (errors.OriginUnreachable, None),
}


# A refusal by its words, and what ends it. (Of a table's name the message lacks the schema.)
_GRANTS = (
    (re.compile("permission denied for schema (.+)"), "GRANT USAGE ON SCHEMA {} TO <role>;"),
    (re.compile('permission denied for database "(.+)"'), "GRANT CONNECT ON DATABASE {} TO <role>;"),
)


def _run(statement: str) -> str:
    return f"Run at the origin, for the role of its DSN: {statement}"


def as_ours(origin: str, sqlstate: str | None, text: str) -> errors.FlashQLError:
    """FlashQL's error for one of Postgres's, by its SQLSTATE; without one, the connection is what failed."""
    message = first_line(text)
    if not sqlstate:
        return _connection_error(origin, text)
    for denied, grant in _GRANTS:
        if sqlstate == "42501" and (what := denied.search(message)):
            return errors.OriginRefused(f"origin {origin}: {message}", hint=_run(grant.format(quote(what[1]))))
    for length in range(5, 1, -1):
        found = _BY_SQLSTATE.get(sqlstate[:length])
        if found is not None:
            kind, hint = found
            return kind(f"origin {origin}: {message}", hint=hint)
    return errors.OriginQueryFailed(f"origin {origin}: {message} (SQLSTATE {sqlstate})")


_REFUSALS = ("password", "authentication", "no pg_hba.conf entry", "role ", "database ", "permission denied", "ssl")
# The driver that reads rows as Arrow comes with a libpq of its own, which is built without it.
_NO_GSSAPI = (
    "Rows are read by a driver that has no GSSAPI. Let the role log in by password or certificate, and encrypt with "
    "TLS: gssencmode=disable sslmode=verify-full."
)
# Libpq's and OpenSSL's words when it is not the network that failed ("SSL SYSCALL error", "unexpected eof").
_TLS_REFUSALS = (
    "certificate",
    "private key",
    "does not support SSL",
    "channel binding",
    "alert unknown ca",
    "alert handshake failure",
    "alert protocol version",
    "unsupported protocol",
)


def _connection_error(origin: str, text: str) -> errors.FlashQLError:
    """Libpq gives no SQLSTATE for a failed connection, so its words must tell a refusal from silence."""
    message = next((line.strip() for line in text.splitlines() if "FATAL" in line), first_line(text))
    starting = "starting up" in text or "shutting down" in text or "recovery" in text
    fatal = "FATAL" in text and "too many" not in text and "remaining connection slots" not in text
    if not starting and fatal and any(word in text for word in _REFUSALS):
        pattern, grant = _GRANTS[-1]
        connect = pattern.search(message)
        return errors.OriginRefused(
            f"origin {origin} refuses the connection: {message}",
            hint=_run(grant.format(quote(connect[1])))
            if connect
            else "Check user, password and database of its DSN, and the server's pg_hba.conf.",
        )
    plain = re.sub('"[^"]*"', "", text)  # without names, which may hold any word
    if "GSSAPI" in plain:
        return errors.OriginRefused(f"origin {origin} wants GSSAPI: {message}", hint=_NO_GSSAPI)
    if any(word in plain for word in _TLS_REFUSALS):
        return errors.OriginRefused(
            f"origin {origin} and its DSN do not agree on encryption: {first_line(text)}",
            hint="Check sslmode, sslrootcert, sslcert and sslkey of the DSN, and the server's certificate.",
        )
    return errors.OriginUnreachable(
        f"origin {origin} does not answer: {message}",
        hint="Check that the server is up and that host and port of its DSN are right.",
    )


def first_line(text: str) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"


# Secrets need not sit in a dict: a DSN is asked for anew at each connection.
DsnSource = Callable[[], str]
