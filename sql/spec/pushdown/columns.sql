-- Columns: those that may be read, in the view's order; a count alone for none.

SELECT name FROM shop.customers;
SELECT "name" FROM ( TABLE customers ) AS v;

SELECT c.name, c.id FROM shop.customers AS c;
SELECT "id", "name" FROM ( TABLE customers ) AS v;

SELECT * FROM shop.customers;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v;

SELECT count(*) FROM shop.customers;
SELECT count(*) AS count FROM ( TABLE customers ) AS v;

SELECT 1 FROM shop.customers LIMIT 3;
SELECT count(*) AS count FROM (SELECT 1 FROM ( TABLE customers ) AS v LIMIT 3) AS v;

FROM shop.customers SELECT upper(name);
SELECT "name" FROM ( TABLE customers ) AS v;

SELECT c FROM shop.customers c WHERE id < 5;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v WHERE "id" < 5;

SELECT COLUMNS('na.*') FROM shop.customers;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v;

SELECT shop.customers.name FROM shop.customers WHERE shop.customers.id = 3;
SELECT "id", "name" FROM ( TABLE customers ) AS v WHERE "id" = 3;

SELECT memory.shop.customers.name FROM memory.shop.customers;
SELECT "name" FROM ( TABLE customers ) AS v;

SELECT SHOP.Customers."NAME" FROM shop.CUSTOMERS;
SELECT "name" FROM ( TABLE customers ) AS v;

SELECT max(price) FROM shop.customers GROUP BY mood HAVING min(born) > DATE '1990-01-01';
SELECT "price", "born", "mood" FROM ( TABLE customers ) AS v;

SELECT name FROM shop.customers ORDER BY born, id;
SELECT "id", "name", "born" FROM ( TABLE customers ) AS v;

SELECT * EXCLUDE (doc) FROM shop.customers;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v;

WITH customers AS (SELECT 1 AS id) SELECT id FROM customers;
-;

WITH c AS (SELECT id, name FROM shop.customers WHERE active) SELECT count(*) FROM c;
SELECT "id", "name", "active" FROM ( TABLE customers ) AS v WHERE "active";

SELECT t.a FROM shop.customers AS t(a);
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers TABLESAMPLE 100%;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v;

SELECT list_transform([1, 2], lambda y: y + id) FROM shop.customers;
SELECT "id" FROM ( TABLE customers ) AS v;
