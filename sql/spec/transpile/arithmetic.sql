-- Arithmetic: integers in Postgres's result type, so that both overflow alike; numerics in a DECIMAL that holds
-- every result; division by constants alone, which are not zero.

i4 + 1;
CAST("i4" AS INT) + CAST(1 AS INT);

i2 + 1;
CAST("i2" AS INT) + CAST(1 AS INT);

i2 * i2;
CAST("i2" AS SMALLINT) * CAST("i2" AS SMALLINT);

i8 - i4;
CAST("i8" AS BIGINT) - CAST("i4" AS BIGINT);

-i4;
CAST(-CAST("i4" AS INT) AS INT);

- i2 - 5;
CAST(CAST(-CAST("i2" AS SMALLINT) AS SMALLINT) AS INT) - CAST(5 AS INT);

i4 / 2;
CAST("i4" AS INT) // CAST(2 AS INT);

i4 / -3;
CAST("i4" AS INT) // CAST(-3 AS INT);

i2 / 2;
CAST("i2" AS INT) // CAST(2 AS INT);

i8 % 7;
CAST("i8" AS BIGINT) % CAST(7 AS BIGINT);

mod(i4, -3);
CAST("i4" AS INT) % CAST(-3 AS INT);

abs(i4);
ABS(CAST("i4" AS INT));

abs(n);
ABS(CAST("n" AS DECIMAL(10, 2)));

abs(f8);
ABS(CAST("f8" AS DOUBLE));

-f8;
CAST(-CAST("f8" AS DOUBLE) AS DOUBLE);

-n;
CAST(-CAST("n" AS DECIMAL(10, 2)) AS DECIMAL(10, 2));

n + 1;
CAST((CAST("n" AS DECIMAL(11, 2)) + CAST('1' AS DECIMAL(11, 2))) AS DECIMAL(11, 2));

n - m;
CAST((CAST("n" AS DECIMAL(13, 4)) - CAST("m" AS DECIMAL(13, 4))) AS DECIMAL(13, 4));

n * n;
CAST((CAST("n" AS DECIMAL(20, 2)) * CAST("n" AS DECIMAL(20, 2))) AS DECIMAL(20, 4));

n * 2 + 0.05;
CAST((CAST(CAST((CAST("n" AS DECIMAL(11, 2)) * CAST('2' AS DECIMAL(11, 0))) AS DECIMAL(11, 2)) AS DECIMAL(12, 2)) + CAST('0.05' AS DECIMAL(12, 2))) AS DECIMAL(12, 2));

i4 + 0.5;
CAST((CAST(CAST("i4" AS DECIMAL(10, 0)) AS DECIMAL(12, 1)) + CAST('0.5' AS DECIMAL(12, 1))) AS DECIMAL(12, 1));

n * i8;
CAST((CAST("n" AS DECIMAL(29, 2)) * CAST(CAST("i8" AS DECIMAL(19, 0)) AS DECIMAL(29, 0))) AS DECIMAL(29, 2));

(n + 1) * 2 > 10;
CAST((CAST(CAST((CAST("n" AS DECIMAL(11, 2)) + CAST('1' AS DECIMAL(11, 2))) AS DECIMAL(11, 2)) AS DECIMAL(12, 2)) * CAST('2' AS DECIMAL(12, 0))) AS DECIMAL(12, 2)) > CAST('10' AS DECIMAL(12, 2));

i4 + j4 = 3;
(CAST("i4" AS INT) + CAST("j4" AS INT)) = 3;

mod(i4, 3) * 2;
CAST(CAST("i4" AS INT) % CAST(3 AS INT) AS INT) * CAST(2 AS INT);

(i2 - i2) - i2;
CAST((CAST("i2" AS SMALLINT) - CAST("i2" AS SMALLINT)) AS SMALLINT) - CAST("i2" AS SMALLINT);

i4 - (2 - i2);
CAST("i4" AS INT) - CAST((CAST(2 AS INT) - CAST("i2" AS INT)) AS INT);

round(n, 1);
CAST("n" AS DECIMAL(10, 1));

round(n);
CAST("n" AS DECIMAL(9, 0));

round(u, 2);
CAST("u" AS DECIMAL(38, 2));

f8 = u;
"f8" = CAST(CAST("u" AS TEXT) AS DOUBLE);

u + 1;
("u" + CAST('1' AS DECIMAL(1, 0)));

i4 / j4;
CASE WHEN CAST("j4" AS INT) = 0 THEN ERROR('division by zero of ' || CAST("i4" AS INT)) ELSE CAST("i4" AS INT) // CAST("j4" AS INT) END;

i8 % j4;
CASE WHEN CAST("j4" AS BIGINT) = 0 THEN ERROR('division by zero of ' || CAST("i8" AS BIGINT)) WHEN CAST("j4" AS BIGINT) = -1 THEN CAST("j4" AS BIGINT) * 0 ELSE CAST("i8" AS BIGINT) % CAST("j4" AS BIGINT) END;

n / 2;
CAST((CAST(flashql.quotient("n", CAST('2' AS DECIMAL(1, 0)), 2, 28) AS DECIMAL(38, 0)) * CAST('0.0000000000000000000000000001' AS DECIMAL(28, 28))) AS DECIMAL(38, 28));
