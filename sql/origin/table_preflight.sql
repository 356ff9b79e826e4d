-- Whether one table can be followed by the role that connects.
SELECT
    current_user::text AS role,
    c.relkind::text AS kind,
    c.relpersistence = 'p' AND NOT EXISTS (
        SELECT 1
        FROM pg_catalog.pg_partition_tree(c.oid) AS t
        JOIN pg_catalog.pg_class AS part ON part.oid = t.relid
        WHERE part.relpersistence <> 'p' OR part.relkind = 'f'
    ) AS logged,
    has_table_privilege(c.oid, 'SELECT') AS may_read,
    pg_has_role(c.relowner, 'USAGE') AS may_publish,
    pg_get_userbyid(c.relowner)::text AS owner,
    row_security_active(c.oid) AS rows_hidden,
    EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid) AND c.relkind = 'r' AS inherited,
    EXISTS (
        SELECT 1 FROM pg_catalog.pg_index AS i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate
    ) AS deferrable_key
FROM pg_catalog.pg_class AS c
WHERE c.oid = %(oid)s
