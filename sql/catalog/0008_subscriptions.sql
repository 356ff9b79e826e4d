-- Who wants which rows of views with parameters. One row for each view and set of values for its parameters.
CREATE TABLE flashql.subscriptions (
    id BIGINT NOT NULL,
    view VARCHAR NOT NULL, -- its relation id
    parameters VARCHAR NOT NULL, -- a JSON object; equal sets of values are equal texts
    active BOOLEAN NOT NULL, -- the view is there, so the rows are to be
    is_default BOOLEAN NOT NULL, -- the view subscribes to it by itself
    local_priority BIGINT, -- the most urgent that was asked for; NULL: the view's
    ttl_seconds DOUBLE, -- NULL when nobody has asked for it
    expires_at TIMESTAMPTZ,
    last_synced_at TIMESTAMPTZ, -- when its rows came
    has_synced BOOLEAN NOT NULL,
    lsn VARCHAR, -- of the origin, as of which they came
    -- While they are read; totals are the origin's estimates.
    progress STRUCT(done_rows BIGINT, total_rows BIGINT, done_bytes BIGINT, total_bytes BIGINT),
    last_error VARCHAR -- why they could not be
);
