-- A small transaction, number {n}: of {orders} orders sixty change with their lineitems, twenty leave, as many arrive.
UPDATE orders SET o_totalprice = o_totalprice + 1, o_orderstatus = CASE o_orderstatus WHEN 'F' THEN 'O' ELSE 'F' END
WHERE o_orderkey IN (SELECT order_keys({n}, 0, 59, {orders}));
UPDATE lineitem SET l_quantity = l_quantity % 50 + 1, l_extendedprice = l_extendedprice + 1
WHERE l_orderkey IN (SELECT order_keys({n}, 0, 59, {orders}));
UPDATE customer SET c_acctbal = c_acctbal + 1
WHERE c_custkey IN (SELECT o_custkey FROM orders WHERE o_orderkey IN (SELECT order_keys({n}, 0, 9, {orders})));

INSERT INTO orders
SELECT
    o_orderkey | 16, o_custkey, o_orderstatus, o_totalprice, o_orderdate, o_orderpriority, o_clerk, o_shippriority,
    o_comment
FROM orders
WHERE o_orderkey IN (SELECT order_keys({n}, 60, 79, {orders}))
ON CONFLICT DO NOTHING;
INSERT INTO lineitem
SELECT
    l_orderkey | 16, l_partkey, l_suppkey, l_linenumber, l_quantity, l_extendedprice, l_discount, l_tax, l_returnflag,
    l_linestatus, l_shipdate, l_commitdate, l_receiptdate, l_shipinstruct, l_shipmode, l_comment
FROM lineitem
WHERE l_orderkey IN (SELECT order_keys({n}, 60, 79, {orders}))
ON CONFLICT DO NOTHING;

DELETE FROM lineitem WHERE l_orderkey IN (SELECT order_keys({n}, 80, 99, {orders}));
DELETE FROM orders WHERE o_orderkey IN (SELECT order_keys({n}, 80, 99, {orders}))
