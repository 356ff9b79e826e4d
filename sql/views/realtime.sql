-- Orders change all the time: the local copy follows the origin's write-ahead log, transaction by transaction.
CREATE SCHEMA IF NOT EXISTS shop WITH (replication_origin = 'primary');

CREATE REALTIME VIEW shop.orders AS
SELECT * FROM public.orders;
