"""The options of views and schemas: their names, their values, and what is said of wrong ones.

One row per option in `VIEW_OPTIONS`; a check takes the value as text and returns its normal form. Nothing
here knows where in a script the option stands: the parser adds the position.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches

from flashql.catalog import Parameter, Persistence
from flashql.datatypes import PgType, ladder
from flashql.ddl.statements import ParameterText
from flashql.errors import DefinitionError

ORIGIN_KINDS = ("postgres",)

# A pause longer than this is a slip of the pen, and timers of the operating system have limits not far above.
LONGEST_REFRESH_SECONDS = 3650 * 86400.0

# Priorities of subscriptions: a smaller number is more urgent. Three is what a view has that names none.
LEAST_URGENT, USUAL_PRIORITY = 1000, 3

_NUMERIC_OID = 1700  # pg_type.oid of numeric

_UNIT_SECONDS = {
    1e-3: "ms msec msecs millisecond milliseconds",
    1.0: "s sec secs second seconds",
    60.0: "m min mins minute minutes",
    3600.0: "h hr hrs hour hours",
    86400.0: "d day days",
    604800.0: "w week weeks",
}
_SECONDS_OF = {unit: seconds for seconds, units in _UNIT_SECONDS.items() for unit in units.split()}
_INTERVAL_HINT = "write numbers with units, as in '30 s', '5 minutes', '1 hour 30 minutes' or '1 day'"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean x? ` when a known word is close, else nothing."""
    close = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}? " if close else ""


def _choice(option: str, value: str, known: Iterable[str]) -> str:
    choices = tuple(known)
    if value.lower() in choices:
        return value.lower()
    raise DefinitionError(
        f"{option} cannot be {value!r}",
        hint=f"{suggestion(value, choices)}{option} is one of: {', '.join(choices)}",
    )


def parse_interval_seconds(text: str) -> float:
    """Seconds in an interval text such as `5 minutes`, `30 s` or `1 hour 30 minutes`.

    Units are milliseconds to weeks; months and years are refused because their length varies. Raises
    `DefinitionError` for anything else, for zero, and for more than ten years.

    >>> parse_interval_seconds("1 hour 30 minutes")
    5400.0
    """
    seconds, rest = 0.0, text.strip()
    if not rest:
        raise DefinitionError("the interval is empty", hint=_INTERVAL_HINT)
    while rest:
        number, rest = _split_leading(rest, string.digits + ".")
        unit, rest = _split_leading(rest.lstrip(), string.ascii_letters)
        seconds += _number(number, text) * _unit_seconds(unit, text)
        rest = rest.lstrip()
    if not 0 < seconds <= LONGEST_REFRESH_SECONDS:
        raise DefinitionError(f"the interval {text!r} is not above zero and at most ten years", hint=_INTERVAL_HINT)
    return seconds


def _split_leading(text: str, characters: str) -> tuple[str, str]:
    length = len(text) - len(text.lstrip(characters))
    return text[:length], text[length:]


def _number(digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise DefinitionError(f"{text!r} is not an interval", hint=_INTERVAL_HINT) from None


def _unit_seconds(unit: str, text: str) -> float:
    if not unit:
        raise DefinitionError(f"the interval {text!r} lacks a unit", hint=_INTERVAL_HINT)
    seconds = _SECONDS_OF.get(unit.lower())
    if seconds is None:
        raise DefinitionError(
            f"{unit!r} is not a unit of fixed length", hint=f"{suggestion(unit, _SECONDS_OF)}{_INTERVAL_HINT}"
        )
    return seconds


def _persistence(value: str) -> str:
    return _choice("persistence", value, tuple(Persistence))


def _replication_origin(value: str) -> str:
    hint = "replication_origin takes the name that connect(origins={name: ...}) gives, as in 'primary'"
    # A connection string must not be echoed: it may hold a password.
    if "://" in value or "=" in value or "@" in value:
        raise DefinitionError("replication_origin is a connection string where a name belongs", hint=hint)
    kind, colon, name = value.strip().partition(":")
    if not colon:
        kind, name = ORIGIN_KINDS[0], kind
    if kind not in ORIGIN_KINDS:
        raise DefinitionError(
            f"{kind!r} is not a kind of origin",
            hint=f"{suggestion(kind, ORIGIN_KINDS)}known kinds: {', '.join(ORIGIN_KINDS)}; {hint}",
        )
    if not name.strip():
        raise DefinitionError("replication_origin is empty", hint=hint)
    return name.strip()


def _interval(value: str) -> str:
    parse_interval_seconds(value)
    return " ".join(value.split())


def _seed(value: str) -> str:
    if not value.strip():
        raise DefinitionError("seed is empty", hint="seed = 'file.parquet', 'file.csv', 'schema.table' or 'SELECT ...'")
    return value.strip().rstrip(";")


def _numeric(value: str) -> str:
    text = "".join(value.split()).lower()
    ladder(PgType(_NUMERIC_OID), numeric=text)  # raises for what no numeric can be held as
    return text


def _float_aggregates(value: str) -> str:
    return _choice("float_aggregates", value, ("refuse", "any_order"))


def _default_subscription(value: str) -> str:
    return _choice("default_subscription", value, ("true", "false"))


def _priority(value: str) -> str:
    if not (value.isdigit() and value.isascii() and int(value) <= LEAST_URGENT):
        raise DefinitionError(f"priority cannot be {value!r}", hint=f"0 is the most urgent, {LEAST_URGENT} the least")
    return str(int(value))


Checks = Mapping[str, Callable[[str], str]]

VIEW_OPTIONS: Checks = {
    "persistence": _persistence,
    "replication_origin": _replication_origin,
    "refresh_every": _interval,
    "reconcile_every": _interval,
    "seed": _seed,
    "numeric": _numeric,
    "float_aggregates": _float_aggregates,
    "default_subscription": _default_subscription,
    "priority": _priority,
}
SCHEMA_OPTIONS: Checks = {"replication_origin": _replication_origin}


def check_name(name: str, known: Checks) -> None:
    """Raise `DefinitionError` unless the option exists."""
    if name not in known:
        raise DefinitionError(
            f"there is no option {name!r}", hint=f"{suggestion(name, known)}known options: {', '.join(known)}"
        )


def normal_value(name: str, value: str, known: Checks) -> str:
    """The option's value in normal form; raises `DefinitionError` when it has none."""
    return known[name](value)


# Options that some persistences make no sense of, and what to say of them then.
_ONLY_OF: Mapping[str, tuple[frozenset[Persistence], str]] = {
    "refresh_every": (
        frozenset({Persistence.MATERIALIZED}),
        "CREATE MATERIALIZED VIEW name WITH (refresh_every = '5 minutes') AS SELECT ...; "
        "a realtime view follows its origin by itself, an origin view is always fresh",
    ),
    "reconcile_every": (
        frozenset({Persistence.REALTIME}),
        "CREATE REALTIME VIEW name WITH (reconcile_every = '1 day') AS SELECT ...; "
        "a materialized view is refreshed (refresh_every), an origin view has no rows here",
    ),
    "float_aggregates": (
        frozenset({Persistence.REALTIME}),
        "CREATE REALTIME VIEW name WITH (float_aggregates = 'any_order') AS SELECT sum(x) ...; "
        "the query of any other view is computed by its origin",
    ),
    "seed": (
        frozenset({Persistence.MATERIALIZED, Persistence.REALTIME}),
        "CREATE REALTIME VIEW name WITH (seed = 'file.parquet') AS SELECT ...; an origin view has no rows here",
    ),
}


def misplaced(options: Iterable[str], persistence: Persistence | None) -> list[str]:
    """Which of these options a view of that persistence cannot have."""
    return [name for name in options if name in _ONLY_OF and persistence not in _ONLY_OF[name][0]]


def check_together(options: Iterable[str], persistence: Persistence | None) -> None:
    """Raise `DefinitionError` for an option that the view's persistence makes no sense of."""
    for name in misplaced(options, persistence):
        kinds, hint = _ONLY_OF[name]
        raise DefinitionError(f"{name} is for {' and '.join(sorted(kinds))} views only", hint=hint)


def check_parameters(
    parameters: Sequence[ParameterText | Parameter], options: Mapping[str, str], persistence: Persistence | None
) -> None:
    """Raise `DefinitionError` for parameters that a view cannot have, and for options that only they give a sense."""
    if parameters and persistence is not Persistence.REALTIME:
        raise DefinitionError(
            "only realtime views have parameters",
            hint="CREATE REALTIME VIEW name (parameter type, ...) AS SELECT ...; for a column list leave out the types",
        )
    if parameters and "seed" in options:
        raise DefinitionError("a view with parameters has no seed", hint="its rows come set by set: subscribe to them")
    always = options.get("default_subscription") == "true"
    if not parameters and ("priority" in options or options.get("default_subscription") == "false"):
        raise DefinitionError(
            "priority and default_subscription are for views with parameters",
            hint="a view without parameters has all its rows as soon as it is synced",
        )
    missing = [parameter.name for parameter in parameters if not parameter.has_default]
    if always and missing:
        raise DefinitionError(
            f"default_subscription needs a default for every parameter; {', '.join(missing)} has none",
            hint="write (name type DEFAULT value, ...)",
        )
