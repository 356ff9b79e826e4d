-- Casts that are exact, or that fail in both.

i4::int2;
CAST("i4" AS SMALLINT);

i2::bigint;
CAST("i2" AS BIGINT);

i8::int;
CAST("i8" AS INT);

i4::numeric;
CAST("i4" AS DECIMAL(10, 0));

i4::numeric(12,2);
CAST(CAST("i4" AS DECIMAL(10, 0)) AS DECIMAL(12, 2));

n::int;
CAST("n" AS INT);

m::int2;
CAST("m" AS SMALLINT);

n::numeric(6,1);
CAST("n" AS DECIMAL(6, 1));

u::numeric(20,3);
CAST("u" AS DECIMAL(20, 3));

u::numeric;
"u";

u::numeric(20,3) * 2;
CAST((CAST(CAST("u" AS DECIMAL(20, 3)) AS DECIMAL(21, 3)) * CAST('2' AS DECIMAL(21, 0))) AS DECIMAL(21, 3));

n::float8;
CAST("n" AS DOUBLE);

i8::float8;
CAST("i8" AS DOUBLE);

f4::float8;
CAST("f4" AS DOUBLE);

'0.1'::float8;
CAST('0.1' AS DOUBLE);

i2::real;
CAST("i2" AS REAL);

b::int;
CAST("b" AS INT);

i4::bool;
CAST("i4" AS BOOLEAN);

b::text;
CAST("b" AS TEXT);

i8::text;
CAST("i8" AS TEXT);

n::text;
CAST(CAST("n" AS DECIMAL(10, 2)) AS TEXT);

m::text;
CAST(CAST("m" AS DECIMAL(5, 4)) AS TEXT);

id::text;
CAST("id" AS TEXT);

mood::text;
"mood";

c::text;
RTRIM("c", ' ');

x::varchar(2);
LEFT("x", 2);

v::text || x;
"v" || "x";

day::timestamp;
CAST("day" AS TIMESTAMP);

ts::date;
CAST("ts" AS DATE);

'2024-01-01'::date;
CAST('2024-01-01' AS DATE);

'12'::int + 1;
CAST(CAST(12 AS INT) AS INT) + CAST(1 AS INT);

'1.50'::numeric(5,1);
CAST('1.50' AS DECIMAL(5, 1));

'abc'::text;
'abc';

'ab'::varchar(1);
LEFT('ab', 1);

NULL::int;
CAST(NULL AS INT);
