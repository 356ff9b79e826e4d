-- One batch of changes, in one transaction: of orders and their lineitems one in a thousand leaves, one in a thousand
-- changes, and as many arrive: copies of others under keys that the generator leaves free (it uses 8 of each 32).
-- {leaves}, {changes} and {arrives} are different numbers below 1000: an order's place among all, modulo 1000.
BEGIN;
CREATE TEMPORARY TABLE refreshed ON COMMIT DROP AS
SELECT o_orderkey AS key, ((o_orderkey >> 5 << 3) | (o_orderkey & 7)) % 1000 AS place
FROM orders
WHERE ((o_orderkey >> 5 << 3) | (o_orderkey & 7)) % 1000 IN ({leaves}, {changes}, {arrives});
ANALYZE refreshed;

DELETE FROM lineitem WHERE l_orderkey IN (SELECT key FROM refreshed WHERE place = {leaves});
DELETE FROM orders WHERE o_orderkey IN (SELECT key FROM refreshed WHERE place = {leaves});

UPDATE orders SET
    o_custkey = o_custkey % (SELECT max(c_custkey) FROM customer) + 1,
    o_orderstatus = CASE o_orderstatus WHEN 'F' THEN 'O' ELSE 'F' END,
    o_totalprice = o_totalprice + 12.34,
    o_orderdate = o_orderdate + 20
WHERE o_orderkey IN (SELECT key FROM refreshed WHERE place = {changes});
UPDATE lineitem SET
    l_quantity = l_quantity % 50 + 1,
    l_extendedprice = l_extendedprice + 1.01,
    l_discount = (l_discount * 100 + 3) % 11 / 100,
    l_returnflag = CASE l_returnflag WHEN 'N' THEN 'R' ELSE 'N' END,
    l_shipdate = l_shipdate + 20,
    l_commitdate = l_commitdate + 10,
    l_receiptdate = l_receiptdate + 20
WHERE l_orderkey IN (SELECT key FROM refreshed WHERE place = {changes});

INSERT INTO orders
SELECT
    key | 8, o_custkey, o_orderstatus, o_totalprice, o_orderdate + 1, o_orderpriority, o_clerk, o_shippriority, o_comment
FROM refreshed JOIN orders ON o_orderkey = key
WHERE place = {arrives}
ON CONFLICT DO NOTHING;
INSERT INTO lineitem
SELECT
    key | 8, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, l_returnflag,
    l_linestatus, l_shipdate + 1, l_commitdate, l_receiptdate + 2, l_shipinstruct, l_shipmode, l_comment
FROM refreshed JOIN lineitem ON l_orderkey = key
WHERE place = {arrives}
ON CONFLICT DO NOTHING;
COMMIT
