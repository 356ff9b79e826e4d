-- One slot of the database that is connected to. Of a slot that was invalidated `restart_lsn` is NULL.
SELECT
    s.active_pid,
    coalesce(s.confirmed_flush_lsn, '0/0')::text AS confirmed,
    coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.restart_lsn), 0)::int8 AS retained,
    s.safe_wal_size AS safe,
    pg_current_wal_insert_lsn()::text AS origin_end,
    coalesce(s.wal_status = 'lost', false) AS invalidated,
    to_jsonb(s) ->> 'invalidation_reason' AS reason, -- since version 17; in 16 all that is lost is "conflicting"
    s.plugin <> 'pgoutput' OR s.two_phase AS is_foreign, -- not as FlashQL makes them
    current_setting('max_slot_wal_keep_size') AS keep_size,
    current_setting('idle_replication_slot_timeout', true) AS idle_timeout -- since version 18
FROM pg_catalog.pg_replication_slots AS s
WHERE s.slot_name = %s AND s.database = current_database()
