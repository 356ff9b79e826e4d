-- Customers are read where they live: every query asks the origin, so the rows are always fresh and no copy is kept.
CREATE SCHEMA IF NOT EXISTS shop WITH (replication_origin = 'primary');

CREATE ORIGIN VIEW shop.customers AS
SELECT * FROM public.customers;
