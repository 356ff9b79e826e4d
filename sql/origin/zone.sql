-- How far a time zone is from UTC in seconds, and since which second of the epoch: one row for each change, and one
-- without a second for the time before them. Postgres takes changes to be 48 hours apart at least
-- (DetermineTimeZoneOffset), so there is one in a day at most, which halving finds; before 1800 none is looked for day
-- by day.
WITH RECURSIVE probe AS MATERIALIZED (
    SELECT moment, (moment AT TIME ZONE %(zone)s) - (moment AT TIME ZONE INTERVAL '0') AS shift
    FROM (
        SELECT generate_series(timestamptz '4713-02-01 00:00+00 BC', '1799-12-31 00:00+00', '480 hours') AS moment
        UNION ALL
        SELECT generate_series(timestamptz '1800-01-01 00:00+00', '2530-01-01 00:00+00', '24 hours')
    ) AS moments
), day AS (
    SELECT lag(moment) OVER at AS since, moment AS until, lag(shift) OVER at AS before, shift AS after
    FROM probe
    WINDOW at AS (ORDER BY moment)
), halved AS (
    SELECT extract(epoch FROM since)::bigint AS since, extract(epoch FROM until)::bigint AS until, before, after
    FROM day
    WHERE before <> after
    UNION ALL
    SELECT
        CASE WHEN shift = before THEN middle ELSE since END, CASE WHEN shift = before THEN until ELSE middle END,
        before, after
    FROM halved
    CROSS JOIN LATERAL (SELECT (since + until) / 2 AS middle) AS m
    CROSS JOIN LATERAL (SELECT timestamptz 'epoch' + middle * INTERVAL '1 second' AS moment) AS n
    CROSS JOIN LATERAL (
        SELECT (moment AT TIME ZONE %(zone)s) - (moment AT TIME ZONE INTERVAL '0') AS shift
    ) AS o
    WHERE until - since > 1
)
(SELECT NULL AS since, extract(epoch FROM after)::integer AS shift FROM day WHERE since IS NULL)
UNION ALL
(SELECT until, extract(epoch FROM after)::integer FROM halved WHERE until - since = 1 ORDER BY until)
