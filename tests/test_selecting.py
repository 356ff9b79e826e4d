"""Selectors: every form means what the contract says."""

from __future__ import annotations

import pytest

from flashql import errors
from flashql.catalog import Persistence, View
from flashql.selecting import Selector, select

KNOWN = {
    f"{namespace}.{name}": View(namespace, name, persistence, "primary", "SELECT 1", ())
    for namespace, name, persistence in [
        ("main", "local", Persistence.MATERIALIZED),
        ("shop", "customers", Persistence.ORIGIN),
        ("shop", "orders", Persistence.REALTIME),
        ("shop", "Products", Persistence.MATERIALIZED),
        ("site", "customers", Persistence.REALTIME),
    ]
}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("*", list(KNOWN)),
        ("shop.orders", ["shop.orders"]),
        ("SHOP.Orders", ["shop.orders"]),
        ("shop.products", ["shop.Products"]),
        ("local", ["main.local"]),
        ("shop.*", ["shop.customers", "shop.orders", "shop.Products"]),
        ("*.customers", ["shop.customers", "site.customers"]),
        ("shop.nothing*", []),
        ({"shop": ["orders", "cust*"]}, ["shop.customers", "shop.orders"]),
        ({"shop": "*"}, ["shop.customers", "shop.orders", "shop.Products"]),
        ({"shop": "orders", "site": ["*"]}, ["shop.orders", "site.customers"]),
        (["site.*", {"shop": "orders"}, "shop.orders"], ["shop.orders", "site.customers"]),
        ([], []),
        (lambda view: view.persistence is Persistence.REALTIME, ["shop.orders", "site.customers"]),
        ([lambda view: view.name == "local", "shop.orders"], ["main.local", "shop.orders"]),
    ],
)
def test_a_selector_means(selector: Selector, expected: list[str]) -> None:
    assert [view.relation_id for view in select(KNOWN, selector)] == expected


@pytest.mark.parametrize("selector", ["shop.ordres", "orders", {"shop": ["orders", "nothing"]}, ["*", "shop.x"]])
def test_a_name_that_is_no_views_is_an_error_unless_asked_gently(selector: Selector) -> None:
    with pytest.raises(errors.UnknownName, match="there is no view"):
        select(KNOWN, selector)
    select(KNOWN, selector, strict=False)


def test_the_error_suggests_what_was_meant() -> None:
    with pytest.raises(errors.UnknownName, match=r"Did you mean shop\.orders\?"):
        select(KNOWN, "shop.ordres")


@pytest.mark.parametrize("selector", [42, None, [42], {"shop": 42}])
def test_what_is_no_selector(selector: Selector) -> None:
    with pytest.raises(errors.DefinitionError, match="selects nothing"):
        select(KNOWN, selector)
