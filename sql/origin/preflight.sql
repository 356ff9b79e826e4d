-- What the origin and one of its tables offer to the role that connects: one row, read before a realtime view is
-- made and by `flashql doctor`.
SELECT
    current_setting('server_version_num')::int AS version,
    current_setting('wal_level') AS wal_level,
    current_user::text AS role,
    (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS may_replicate,
    has_database_privilege(current_database(), 'CREATE') AS may_publish,
    current_database()::text AS database,
    current_setting('max_replication_slots')::int
        - (SELECT count(*) FROM pg_catalog.pg_replication_slots)::int AS free_slots,
    pg_is_in_recovery() AS standby
