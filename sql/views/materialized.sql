-- Products change rarely: a local snapshot is taken by the first sync, and again on REFRESH or on a schedule.
CREATE SCHEMA IF NOT EXISTS shop WITH (replication_origin = 'primary');

CREATE MATERIALIZED VIEW shop.products AS
SELECT id, name, price FROM public.products;
