-- Predicates: pushed where Postgres gives them the same truth for every row.

SELECT id FROM shop.customers WHERE id = 7;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" = 7;

SELECT id FROM shop.customers WHERE id IN (1, 2, NULL) AND random() >= 0;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" IN (1, 2, NULL);

SELECT id FROM shop.customers WHERE name = 'b';
SELECT "id", "name" FROM ( TABLE customers ) AS v WHERE "name" = 'b';

SELECT id FROM shop.customers WHERE email = 'b' OR email IS NULL;
SELECT "id", "email" FROM ( TABLE customers ) AS v WHERE ("email" = 'b') OR ("email" IS NULL);

SELECT id FROM shop.customers WHERE name < 'b' AND email >= 'B';
SELECT "id", "name", "email" FROM ( TABLE customers ) AS v WHERE ("name" COLLATE "C" < 'b') AND ("email" >= 'B');

SELECT id FROM shop.customers WHERE code = 'a' AND code NOT IN ('b', 'c');
SELECT "id", "code" FROM ( TABLE customers ) AS v WHERE ("code" = 'a' AND "code" COLLATE "C" = 'a') AND (NOT ("code" IN ('b', 'c') AND "code" COLLATE "C" IN ('b', 'c')));

SELECT id FROM shop.customers WHERE code <> 'a';
SELECT "id", "code" FROM ( TABLE customers ) AS v WHERE "code" COLLATE "C" <> 'a';

SELECT id FROM shop.customers WHERE name LIKE 'a\%';
SELECT "id", "name" FROM ( TABLE customers ) AS v WHERE "name" LIKE 'a\\%';

SELECT id FROM shop.customers WHERE name LIKE 'a!%%' ESCAPE '!';
SELECT "id", "name" FROM ( TABLE customers ) AS v WHERE "name" LIKE 'a\%%';

SELECT id FROM shop.customers WHERE starts_with(name, 'a_');
SELECT "id", "name" FROM ( TABLE customers ) AS v WHERE "name" LIKE 'a\_%';

SELECT id FROM shop.customers WHERE NOT (active AND score > 1.5);
SELECT "id", "active", "score" FROM ( TABLE customers ) AS v WHERE NOT ("active" AND ("score" > 1.5));

SELECT id FROM shop.customers WHERE active IS NOT TRUE;
SELECT "id", "active" FROM ( TABLE customers ) AS v WHERE NOT ("active" IS TRUE);

SELECT id FROM shop.customers WHERE price BETWEEN 1 AND 2.5;
SELECT "id", "price" FROM ( TABLE customers ) AS v WHERE ("price" >= 1 AND "price" <= 2.5);

SELECT id FROM shop.customers WHERE price > 1e0;
SELECT "id", "price" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers WHERE total > 1;
SELECT "id", "total" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers WHERE pad = 'ab';
SELECT "id", "pad" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers WHERE born >= '2000-01-01' AND born < DATE '2024-02-29';
SELECT "id", "born" FROM ( TABLE customers ) AS v WHERE ("born" >= CAST('2000-01-01' AS DATE)) AND ("born" < CAST('2024-02-29' AS DATE));

SELECT id FROM shop.customers WHERE seen > TIMESTAMP '2000-01-01 12:00:00' AND seen <= DATE '2030-01-01';
SELECT "id", "seen" FROM ( TABLE customers ) AS v WHERE ("seen" > CAST('2000-01-01 12:00:00' AS TIMESTAMP)) AND ("seen" <= CAST('2030-01-01 00:00:00' AS TIMESTAMP));

SELECT id FROM shop.customers WHERE changed >= '2024-01-01 00:00:00+01';
SELECT "id", "changed" FROM ( TABLE customers ) AS v WHERE "changed" >= CAST('2023-12-31 23:00:00+00' AS TIMESTAMPTZ);

SELECT id FROM shop.customers WHERE changed >= '2024-01-01';
SELECT "id", "changed" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers WHERE ref = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11';
SELECT "id", "ref" FROM ( TABLE customers ) AS v WHERE "ref" = CAST('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS UUID);

SELECT id FROM shop.customers WHERE mood = 'sad' OR mood > 'o';
SELECT "id", "mood" FROM ( TABLE customers ) AS v WHERE (CAST("mood" AS TEXT) = 'sad') OR (CAST("mood" AS TEXT) COLLATE "C" > 'o');

SELECT id FROM shop.customers WHERE id + 1 = 5;
SELECT "id" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers WHERE id = '5' AND id <> -1;
SELECT "id" FROM ( TABLE customers ) AS v WHERE ("id" = 5) AND ("id" <> -1);

SELECT id FROM shop.customers WHERE born < seen;
SELECT "id", "born", "seen" FROM ( TABLE customers ) AS v;

SELECT id FROM shop.customers WHERE 5 > id;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" < 5;

SELECT id FROM shop.customers WHERE doc IS NOT NULL;
SELECT "id", "doc" FROM ( TABLE customers ) AS v WHERE NOT ("doc" IS NULL);

SELECT id + 1 AS id FROM shop.customers WHERE id = 5;
SELECT "id" FROM ( TABLE customers ) AS v WHERE "id" = 5;
