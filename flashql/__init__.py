"""FlashQL: an embedded, federated SQL view materialization layer over DuckDB and Postgres."""

from flashql import errors, events
from flashql.calling import Hook, SyncContext
from flashql.changes import ChangeFeed
from flashql.database import Cursor, Database, connect
from flashql.measuring import Metrics, OriginMetrics, ViewMetrics
from flashql.moved import Change
from flashql.origins.postgres import PostgresOrigin
from flashql.passes import SyncReport
from flashql.result import Result
from flashql.retrying import RetryPolicy
from flashql.scopes import Scope, Scopes
from flashql.store.jobs import JobStatus
from flashql.store.scopes import ScopeStatus
from flashql.subscribing import Subscribed
from flashql.subscriptions import Subscription, SubscriptionProgress
from flashql.sync import Sync
from flashql.verifying import VerifyReport
from flashql.version import __version__

__all__ = [
    "Change",
    "ChangeFeed",
    "Cursor",
    "Database",
    "Hook",
    "JobStatus",
    "Metrics",
    "OriginMetrics",
    "PostgresOrigin",
    "Result",
    "RetryPolicy",
    "Scope",
    "ScopeStatus",
    "Scopes",
    "Subscribed",
    "Subscription",
    "SubscriptionProgress",
    "Sync",
    "SyncContext",
    "SyncReport",
    "VerifyReport",
    "ViewMetrics",
    "__version__",
    "connect",
    "errors",
    "events",
]
