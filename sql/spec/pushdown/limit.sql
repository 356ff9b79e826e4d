-- LIMIT: only where the first rows of the view are the rows of the result.

SELECT id FROM shop.customers ORDER BY id LIMIT 3;
SELECT "id" FROM ( TABLE customers ) AS v ORDER BY v."id" ASC NULLS LAST LIMIT 3;

SELECT id FROM shop.customers WHERE id > 3 ORDER BY id DESC LIMIT 3 OFFSET 2;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" > 3 ORDER BY v."id" DESC NULLS LAST LIMIT 5;

SELECT id FROM shop.customers ORDER BY name, id DESC LIMIT 5;
SELECT "id", "name" FROM ( TABLE customers ) AS v ORDER BY v."name" COLLATE "C" ASC NULLS LAST, v."id" DESC NULLS LAST LIMIT 5;

SELECT id FROM shop.customers ORDER BY email NULLS FIRST, id LIMIT 5;
SELECT "id", "email" FROM ( TABLE customers ) AS v ORDER BY v."email" ASC NULLS FIRST, v."id" ASC NULLS LAST LIMIT 5;

SELECT id FROM shop.customers ORDER BY score DESC, id LIMIT 5;
SELECT "id", "score" FROM ( TABLE customers ) AS v ORDER BY v."score" DESC NULLS LAST, v."id" ASC NULLS LAST LIMIT 5;

SELECT id FROM shop.customers ORDER BY price DESC, id LIMIT 5;
SELECT "id", "price" FROM ( TABLE customers ) AS v ORDER BY v."price" DESC NULLS LAST, v."id" ASC NULLS LAST LIMIT 5;

SELECT id FROM shop.customers ORDER BY total, id LIMIT 5;
SELECT "id", "total" FROM ( TABLE customers ) AS v;

SELECT * REPLACE (-id AS id) FROM shop.customers ORDER BY id LIMIT 3;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v;

SELECT name: -id FROM shop.customers ORDER BY name LIMIT 3;
SELECT "id", "name" FROM ( TABLE customers ) AS v;

SELECT * RENAME (id AS price, price AS id) FROM shop.customers ORDER BY id, price LIMIT 3;
SELECT "id", "name", "email", "code", "pad", "active", "score", "price", "total", "born", "seen", "changed", "ref", "mood", "doc" FROM ( TABLE customers ) AS v;

WITH one AS (SELECT id FROM shop.customers WHERE active LIMIT 2), customers AS (SELECT * FROM one) SELECT count(*) FROM customers;
SELECT "id", "active" FROM ( TABLE customers ) AS v WHERE "active" LIMIT 2;

SELECT id FROM shop.customers ORDER BY pad, id LIMIT 5;
SELECT "id", "pad" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers ORDER BY mood, id LIMIT 5;
SELECT "id", "mood" FROM ( TABLE customers ) AS v;

SELECT -id AS id FROM shop.customers ORDER BY id LIMIT 3;
SELECT "id" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers ORDER BY 1 LIMIT 3;
SELECT "id" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers WHERE total > 1 ORDER BY id LIMIT 3;
SELECT "id", "total" FROM ( TABLE customers ) AS v;

SELECT DISTINCT active FROM shop.customers ORDER BY active LIMIT 1;
SELECT "active" FROM ( TABLE customers ) AS v;

SELECT count(*) FROM shop.customers LIMIT 1;
SELECT count(*) AS count FROM ( TABLE customers ) AS v;

SELECT active FROM shop.customers GROUP BY active ORDER BY active LIMIT 1;
SELECT "active" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers QUALIFY row_number() OVER (ORDER BY id) = 2 LIMIT 1;
SELECT "id" FROM ( TABLE customers ) AS v;

SELECT unnest([id, id]) FROM shop.customers ORDER BY id LIMIT 3;
SELECT "id" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers ORDER BY id LIMIT 10%;
SELECT "id" FROM ( TABLE customers ) AS v;

SELECT * FROM (SELECT id FROM shop.customers ORDER BY id LIMIT 4) ORDER BY id DESC LIMIT 2;
SELECT "id" FROM ( TABLE customers ) AS v ORDER BY v."id" ASC NULLS LAST LIMIT 4;

SELECT id FROM shop.customers UNION SELECT id FROM shop.orders ORDER BY id LIMIT 2;
SELECT "id" FROM ( TABLE customers ) AS v
SELECT "id" FROM ( SELECT * FROM orders ) AS v;

SELECT coalesce(name, '?') FROM shop.customers ORDER BY born DESC NULLS LAST, id LIMIT 4;
SELECT "id", "name", "born" FROM ( TABLE customers ) AS v ORDER BY v."born" DESC NULLS LAST, v."id" ASC NULLS LAST LIMIT 4;
