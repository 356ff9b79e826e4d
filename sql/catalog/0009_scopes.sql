-- How much of the rows that are being read for a view is there, while they are: totals are estimates.
ALTER TABLE flashql.sync_jobs ADD COLUMN done_rows BIGINT;
ALTER TABLE flashql.sync_jobs ADD COLUMN total_rows BIGINT;
ALTER TABLE flashql.sync_jobs ADD COLUMN done_bytes BIGINT;
ALTER TABLE flashql.sync_jobs ADD COLUMN total_bytes BIGINT;
-- When its rows were last known to be what its origin had sent.
ALTER TABLE flashql.sync_jobs ADD COLUMN last_synced_at TIMESTAMPTZ;

-- Scopes: named groups of views that are synced together, what became of each view in the last run, and when.

CREATE TABLE flashql.scopes (
    id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL, -- of the last run; what earlier ones still have to say no longer counts
    state VARCHAR NOT NULL, -- syncing, failed, synced or interrupted
    last_started_at TIMESTAMPTZ NOT NULL,
    last_failed_at TIMESTAMPTZ,
    last_synced_at TIMESTAMPTZ
);

CREATE TABLE flashql.scope_views (
    scope_id VARCHAR NOT NULL,
    relation_id VARCHAR NOT NULL,
    state VARCHAR NOT NULL, -- not_started, syncing, synced, failed, interrupted or stopped
    error VARCHAR,
    changed_at TIMESTAMPTZ NOT NULL -- when it came to this state
);

-- One row per scope. The counters are counted, so they add up to the views it was started with at any time.
CREATE VIEW flashql.sync_scopes AS
SELECT
    s.id,
    s.state,
    coalesce(v.not_started, 0) AS not_started,
    coalesce(v.syncing, 0) AS syncing,
    coalesce(v.failed, 0) AS failed,
    coalesce(v.synced, 0) AS synced,
    s.last_started_at,
    s.last_failed_at,
    s.last_synced_at,
    coalesce(v.details, CAST('{}' AS JSON)) AS details
FROM flashql.scopes AS s
LEFT JOIN (
    SELECT
        scope_id,
        count(*) FILTER (state = 'not_started') AS not_started,
        count(*) FILTER (state = 'syncing') AS syncing,
        count(*) FILTER (state = 'failed') AS failed,
        count(*) FILTER (state = 'synced') AS synced,
        json_group_object(
            relation_id,
            json_object(
                'state', state,
                'error', error,
                'changed_at', strftime(make_timestamp(epoch_us(changed_at)), '%Y-%m-%dT%H:%M:%S.%fZ')
            )
        ) AS details
    FROM flashql.scope_views
    GROUP BY scope_id
) AS v ON v.scope_id = s.id;

-- The last operation of each kind on each view: `entity` is the view, `provider` its origin, `function_id` the scope
-- that it was part of, or 'sync'.
CREATE TABLE flashql.sync_status (
    id VARCHAR NOT NULL, -- function_id/entity
    provider VARCHAR,
    entity VARCHAR NOT NULL,
    function_id VARCHAR NOT NULL,
    state VARCHAR NOT NULL, -- syncing, synced, failed or interrupted
    timestamp TIMESTAMPTZ NOT NULL, -- of the last change of the state
    error VARCHAR
);
