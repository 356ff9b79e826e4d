-- Joins: each side has its own predicates; the null-extended side of an outer join has none.

SELECT c.name, sum(o.amount) FROM shop.orders o JOIN shop.customers c ON c.id = o.customer_id WHERE c.active AND o.status = 'paid' GROUP BY ALL;
SELECT "customer_id", "amount", "status" FROM ( SELECT * FROM orders ) AS v WHERE "status" = 'paid'
SELECT "id", "name", "active" FROM ( TABLE customers ) AS v WHERE "active";

SELECT name FROM shop.orders JOIN shop.customers ON customers.id = customer_id AND amount > 5 WHERE active;
SELECT "customer_id", "amount" FROM ( SELECT * FROM orders ) AS v WHERE "amount" > 5
SELECT "id", "name", "active" FROM ( TABLE customers ) AS v WHERE "active";

SELECT c.id, o.id FROM shop.customers c LEFT JOIN shop.orders o ON o.customer_id = c.id AND o.amount > 5 WHERE c.id < 9 AND o.status IS NULL;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" < 9
SELECT "id", "customer_id", "amount", "status" FROM ( SELECT * FROM orders ) AS v;

SELECT c.id FROM shop.customers c RIGHT JOIN shop.orders o ON o.customer_id = c.id WHERE c.active IS NULL AND o.amount > 5;
SELECT "id", "active" FROM ( TABLE customers ) AS v
SELECT "customer_id", "amount" FROM ( SELECT * FROM orders ) AS v;

SELECT c.id FROM shop.customers c FULL JOIN shop.orders o ON o.customer_id = c.id WHERE c.id IS NULL OR o.id IS NULL;
SELECT "id" FROM ( TABLE customers ) AS v
SELECT "id", "customer_id" FROM ( SELECT * FROM orders ) AS v;

SELECT a.id FROM shop.customers a JOIN shop.customers b ON a.id = b.id + 1 WHERE a.active AND b.born IS NOT NULL;
SELECT "id", "active" FROM ( TABLE customers ) AS v WHERE "active"
SELECT "id", "born" FROM ( TABLE customers ) AS v WHERE NOT ("born" IS NULL);

SELECT c.id FROM shop.customers c SEMI JOIN shop.orders o ON o.customer_id = c.id AND o.amount > 5 WHERE c.id > 3;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" > 3
SELECT "customer_id", "amount" FROM ( SELECT * FROM orders ) AS v;

SELECT c.id FROM shop.customers c ANTI JOIN shop.orders o ON o.customer_id = c.id WHERE c.id > 3;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" > 3
SELECT "customer_id" FROM ( SELECT * FROM orders ) AS v;

SELECT id FROM shop.customers JOIN shop.orders USING (id) WHERE id = 3;
SELECT "id" FROM ( TABLE customers ) AS v
SELECT "id" FROM ( SELECT * FROM orders ) AS v;

SELECT count(*) FROM shop.customers NATURAL JOIN shop.orders WHERE amount > 1;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v
SELECT "id", "customer_id", "amount", "status" FROM ( SELECT * FROM orders ) AS v;

SELECT c.id FROM shop.customers c, shop.orders o WHERE c.id = o.customer_id AND o.status = 'paid' AND c.id = 3;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" = 3
SELECT "customer_id", "status" FROM ( SELECT * FROM orders ) AS v WHERE "status" = 'paid';

SELECT c.id, o.id FROM shop.customers c ASOF JOIN shop.orders o ON c.id >= o.customer_id WHERE o.amount > 5;
SELECT "id" FROM ( TABLE customers ) AS v
SELECT "id", "customer_id", "amount" FROM ( SELECT * FROM orders ) AS v;

SELECT id FROM shop.customers c WHERE EXISTS (SELECT 1 FROM shop.orders o WHERE o.customer_id = c.id AND o.amount > 5) AND active;
SELECT "id", "active" FROM ( TABLE customers ) AS v WHERE "active"
SELECT "customer_id", "amount" FROM ( SELECT * FROM orders ) AS v WHERE "amount" > 5;

SELECT id FROM shop.customers WHERE id IN (SELECT customer_id FROM shop.orders WHERE status = 'paid');
SELECT "id" FROM ( TABLE customers ) AS v
SELECT "customer_id", "status" FROM ( SELECT * FROM orders ) AS v WHERE "status" = 'paid';

SELECT c.id, l.n FROM shop.customers c, LATERAL (SELECT count(*) AS n FROM shop.orders o WHERE o.customer_id = c.id) l WHERE c.id < 4;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" < 4
SELECT "customer_id" FROM ( SELECT * FROM orders ) AS v;

SELECT id FROM shop.customers WHERE id = 1 UNION ALL SELECT id FROM shop.orders WHERE id = 2;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" = 1
SELECT "id" FROM ( SELECT * FROM orders ) AS v WHERE "id" = 2;

SELECT c.id FROM shop.customers c CROSS JOIN shop.orders o WHERE c.id = 3 AND o.id < 3;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" = 3
SELECT "id" FROM ( SELECT * FROM orders ) AS v WHERE "id" < 3;

SELECT c.id FROM shop.customers c JOIN shop.orders o ON TRUE WHERE c.id = 3 AND o.id < 3;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" = 3
SELECT "id" FROM ( SELECT * FROM orders ) AS v WHERE "id" < 3;

SELECT c.id, o.n FROM shop.customers c POSITIONAL JOIN (SELECT id AS n FROM shop.orders WHERE id < 3) o WHERE c.id IS NULL;
SELECT "id" FROM ( TABLE customers ) AS v
SELECT "id" FROM ( SELECT * FROM orders ) AS v WHERE "id" < 3;

SELECT c.id FROM (shop.customers c JOIN shop.orders o ON o.customer_id = c.id) WHERE c.id = 3;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v
SELECT "id", "customer_id", "amount", "status" FROM ( SELECT * FROM orders ) AS v;
