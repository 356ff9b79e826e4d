-- Functions by name.

concat(x, '-', i4, b);
CONCAT("x", '-', CAST("i4" AS TEXT), CASE WHEN "b" THEN 't' ELSE CASE WHEN NOT "b" THEN 'f' END END);

concat_ws(', ', x, v, NULL);
CONCAT_WS(', ', "x", "v", CAST(NULL AS TEXT));

floor(n);
CAST(FLOOR(CAST("n" AS DECIMAL(10, 2))) AS DECIMAL(9, 0));

ceil(f8);
CEIL("f8");

trunc(n);
CAST(TRUNC(CAST("n" AS DECIMAL(10, 2))) AS DECIMAL(9, 0));

sign(m);
CAST(SIGN(CAST("m" AS DECIMAL(4, 4))) AS DECIMAL(1, 0));

sqrt(abs(i4));
SQRT(CAST(ABS(CAST("i4" AS INT)) AS DOUBLE));

split_part(x, '_', 2);
SPLIT_PART("x", '_', 2);

repeat(v, 2);
REPEAT("v", 2);

md5(x);
MD5("x");

num_nulls(i4, x, b);
CAST(CAST("i4" IS NULL AS INT) + CAST("x" IS NULL AS INT) + CAST("b" IS NULL AS INT) AS INT);

x ~ '^a.*b$';
REGEXP_MATCHES("x", '^a.*b$', 's');

x !~ '[a-c]_';
NOT REGEXP_MATCHES("x", '[a-c]_', 's');

(i4, x) = (5, 'a');
("i4" = 5) AND ("x" = 'a');

(i4, j4) <> (1, 1);
NOT (("i4" = 1) AND ("j4" = 1));

(i4, j4) IN ((1, 3), (2, 1));
(("i4" = 1) AND ("j4" = 3)) OR (("i4" = 2) AND ("j4" = 1));

i4 = ANY (ARRAY[1, 5]);
("i4" = 1) OR ("i4" = 5);

i4 <> ALL (ARRAY[1, 5]);
("i4" <> 1) AND ("i4" <> 5);

row(i4, 1) = (5, 1);
("i4" = 5) AND (1 = 1);

date_trunc('month', day)::date;
CAST(CAST(COALESCE(DATE_TRUNC('month', CAST(CAST("day" AS TIMESTAMP) AS TIMESTAMP)), NULL) AS TIMESTAMP) AS DATE);

date_trunc('year', day)::timestamp;
CAST(COALESCE(DATE_TRUNC('year', CAST(CAST("day" AS TIMESTAMP) AS TIMESTAMP)), NULL) AS TIMESTAMP);

extract(second from ts);
CAST((CAST(DATE_PART('microseconds', CAST("ts" AS TIMESTAMP)) AS DECIMAL(8, 0)) * CAST('0.000001' AS DECIMAL(6, 6))) AS DECIMAL(14, 6));

extract(microseconds from ts) + 1;
CAST((CAST(CAST(DATE_PART('microseconds', CAST("ts" AS TIMESTAMP)) AS DECIMAL(8, 0)) AS DECIMAL(9, 0)) + CAST('1' AS DECIMAL(9, 0))) AS DECIMAL(9, 0));

tz AT TIME ZONE 'UTC';
CAST(flashql.local_time_fixed("tz", 0) AS TIMESTAMP);

ts AT TIME ZONE 'utc';
CAST(flashql.moment_of_fixed("ts", 0) AS TIMESTAMPTZ);

date(ts);
CAST("ts" AS DATE);

mod(i4, j4);
CASE WHEN CAST("j4" AS INT) = 0 THEN ERROR('division by zero of ' || CAST("i4" AS INT)) WHEN CAST("j4" AS INT) = -1 THEN CAST("j4" AS INT) * 0 ELSE CAST("i4" AS INT) % CAST("j4" AS INT) END;
