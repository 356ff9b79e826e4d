-- Slots and publications of FlashQL in the database that is connected to, by their common name. Temporary slots end
-- with their connection, so nobody forgets them.
SELECT
    coalesce(s.slot_name, p.pubname)::text AS name,
    s.slot_name IS NOT NULL AS has_slot,
    p.pubname IS NOT NULL AS has_publication,
    s.active_pid,
    coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.restart_lsn), 0)::int8 AS retained,
    obj_description(p.oid, 'pg_publication') AS comment
FROM (
    SELECT slot_name, active_pid, restart_lsn FROM pg_catalog.pg_replication_slots
    WHERE database = current_database() AND slot_name ~ '^flashql_[0-9a-f]{12}_'
        AND NOT (temporary AND slot_name ~ '_(copy|look)_[0-9a-f]{4}$')
) AS s
FULL JOIN (
    SELECT oid, pubname FROM pg_catalog.pg_publication WHERE pubname ~ '^flashql_[0-9a-f]{12}_'
) AS p ON p.pubname = s.slot_name
ORDER BY 1
