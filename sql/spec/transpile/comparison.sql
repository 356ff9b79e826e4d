-- Comparisons. Numbers meet in a type that holds both sides; text is compared by bytes.

i4 = 5;
"i4" = 5;

i2 < i8;
"i2" < "i8";

i4 <> 2.5;
CAST(CAST("i4" AS DECIMAL(10, 0)) AS DECIMAL(11, 1)) <> CAST('2.5' AS DECIMAL(11, 1));

i4 > '7';
"i4" > CAST(7 AS INT);

i8 <= n;
CAST(CAST("i8" AS DECIMAL(19, 0)) AS DECIMAL(21, 2)) <= CAST("n" AS DECIMAL(21, 2));

n = 1.50;
CAST("n" AS DECIMAL(10, 2)) = CAST('1.50' AS DECIMAL(10, 2));

n > i4;
CAST("n" AS DECIMAL(12, 2)) > CAST(CAST("i4" AS DECIMAL(10, 0)) AS DECIMAL(12, 2));

m < n;
CAST("m" AS DECIMAL(12, 4)) < CAST("n" AS DECIMAL(12, 4));

u > 10;
"u" > CAST('10' AS DECIMAL(2, 0));

u = 1.50;
"u" = CAST('1.50' AS DECIMAL(3, 2));

f8 = 0.1;
"f8" = CAST('0.1' AS DOUBLE);

f4 = 0.1;
CAST("f4" AS DOUBLE) = CAST('0.1' AS DOUBLE);

f4 < f8;
CAST("f4" AS DOUBLE) < "f8";

f8 >= i8;
"f8" >= CAST("i8" AS DOUBLE);

f8 < 'NaN';
"f8" < CAST('NaN' AS DOUBLE);

f8 = n;
"f8" = CAST("n" AS DOUBLE);

x = 'b';
"x" = 'b';

x <> v;
"x" <> "v";

t < 'b';
"t" < 'b';

x COLLATE "C" >= v;
"x" >= "v";

v IN ('a', 'b ');
"v" IN ('a', 'b ');

c = 'ab';
RTRIM("c", ' ') = 'ab';

c = 'ab   ';
RTRIM("c", ' ') = 'ab';

c <> x;
RTRIM("c", ' ') <> "x";

x = c;
"x" = RTRIM("c", ' ');

day = '2024-02-29';
"day" = CAST('2024-02-29' AS DATE);

day < DATE '2000-01-01';
"day" < CAST('2000-01-01' AS DATE);

day >= ts;
CAST("day" AS TIMESTAMP) >= "ts";

ts > TIMESTAMP '1999-12-31 23:59:59.5';
"ts" > CAST('1999-12-31 23:59:59.500000' AS TIMESTAMP);

ts <= '2024-02-29';
"ts" <= CAST('2024-02-29 00:00:00' AS TIMESTAMP);

ts < 'infinity';
"ts" < CAST('infinity' AS TIMESTAMP);

tz = '2024-02-29 12:00:00+02';
"tz" = CAST('2024-02-29 10:00:00+00' AS TIMESTAMPTZ);

tz > TIMESTAMPTZ '1970-01-01 00:00:00Z';
"tz" > CAST('1970-01-01 00:00:00+00' AS TIMESTAMPTZ);

id = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11';
"id" = CAST('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS UUID);

id < id;
"id" < "id";

raw = '\x00ff';
"raw" = FROM_HEX('00ff');

raw > '\x61';
"raw" > FROM_HEX('61');

mood = 'sad';
"mood" = 'sad';

mood <> 'happy';
"mood" <> 'happy';

mood IN ('sad', 'ok');
"mood" IN ('sad', 'ok');

b = TRUE;
"b" = TRUE;

b > 'f';
"b" > FALSE;

i4 IS DISTINCT FROM 5;
"i4" IS DISTINCT FROM 5;

x IS NOT DISTINCT FROM v;
"x" IS NOT DISTINCT FROM "v";

u IS DISTINCT FROM NULL;
"u" IS DISTINCT FROM NULL;

i4 BETWEEN 0 AND i8;
("i4" >= 0) AND ("i4" <= "i8");

day NOT BETWEEN '2000-01-01' AND '2024-12-31';
NOT (("day" >= CAST('2000-01-01' AS DATE)) AND ("day" <= CAST('2024-12-31' AS DATE)));

t BETWEEN 'a' AND 'b';
("t" >= 'a') AND ("t" <= 'b');

i4 IN (1, 2, NULL);
"i4" IN (1, 2, NULL);

i4 IN (1, 2.5);
CAST(CAST("i4" AS DECIMAL(10, 0)) AS DECIMAL(11, 1)) = CAST('1' AS DECIMAL(11, 1)) OR CAST(CAST("i4" AS DECIMAL(10, 0)) AS DECIMAL(11, 1)) = CAST('2.5' AS DECIMAL(11, 1));

n NOT IN (1, 2.50);
NOT (CAST("n" AS DECIMAL(10, 2)) = CAST('1' AS DECIMAL(10, 2)) OR CAST("n" AS DECIMAL(10, 2)) = CAST('2.50' AS DECIMAL(10, 2)));

u IN (1, 1.5);
"u" = CAST('1' AS DECIMAL(1, 0)) OR "u" = CAST('1.5' AS DECIMAL(2, 1));

f8 IN (0.1, 1);
"f8" = CAST('0.1' AS DOUBLE) OR "f8" = CAST('1' AS DOUBLE);

id IN ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
"id" IN (CAST('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' AS UUID));

mood < 'ok';
(flashql.enum_place("mood", ['sad', 'ok', 'happy'])) < 2;

'sad' >= mood;
1 >= (flashql.enum_place("mood", ['sad', 'ok', 'happy']));

mood BETWEEN 'sad' AND 'ok';
((flashql.enum_place("mood", ['sad', 'ok', 'happy'])) >= 1) AND ((flashql.enum_place("mood", ['sad', 'ok', 'happy'])) <= 2);

GREATEST(mood, 'ok');
LIST_EXTRACT(['sad', 'ok', 'happy'], GREATEST(flashql.enum_place("mood", ['sad', 'ok', 'happy']), 2));

LEAST('ok', mood, NULL) = 'sad';
LIST_EXTRACT(['sad', 'ok', 'happy'], LEAST(2, flashql.enum_place("mood", ['sad', 'ok', 'happy']), NULL)) = 'sad';
