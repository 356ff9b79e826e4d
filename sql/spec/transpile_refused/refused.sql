-- Refused, each with words of its reason: nearly the same is not the same.

x < 'a';
the order of text under collation default;

x BETWEEN 'a' AND 'b';
the order of text under collation default;

max(i4);
MAX(i4);

now();
CURRENT_TIMESTAMP, whose value is another one at each call,;

random();
the function random;

x ILIKE 'a';
lower under collation default;

x LIKE 'a\';
the LIKE pattern 'a\\' ends with its escape character;

lower(x);
lower under collation default;

upper(v);
upper under collation default;

tz > '2024-01-01';
the constant '2024-01-01' is not spelled in a way that Postgres and DuckDB read alike;

tz > DATE '2024-01-01';
comparison of date and timestamp with time zone;

ts = '2024-01-01 10:00+02';
the constant '2024-01-01 10:00+02' is not spelled in a way that Postgres and DuckDB read alike;

day = 'tomorrow';
the constant 'tomorrow' is not spelled in a way that Postgres and DuckDB read alike;

day = '2024-02-30';
the constant '2024-02-30' is not spelled in a way that Postgres and DuckDB read alike;

date_trunc('day', day);
date_trunc of date;

date_trunc('day', tz);
date_trunc of timestamp with time zone;

date_trunc('fortnight', ts);
date_trunc to fortnight;

extract(hour from tz);
extract(hour) from timestamp with time zone;


tz::date;
a cast of timestamp with time zone to date;

GREATEST(x, v);
the order of text under collation default;

COALESCE(c, x);
COALESCE of char(n);

COALESCE(f4, 1);
COALESCE of integer and real;

doc < '{}';
the order of jsonb;

i4 = 'x';
the constant 'x' is not an integer of 32 bits;

i2 = '70000';
the constant '70000' is not an integer of 16 bits;

id = 'a0ee';
the constant 'a0ee' is not spelled in a way that Postgres and DuckDB read alike;

x COLLATE "de_custom" = 'a';
equality of text under collation de_custom;

i4 IN (SELECT 1);
i4 IN (SELECT 1) (query);

EXISTS (SELECT 1);
EXISTS(SELECT 1);

f4 IN (0.1, 0.2);
IN of real and other numbers;

i4::mood;
a cast to mood;

ts::time(3);
a cast to TIME(3);

row_number() OVER ();
ROW_NUMBER() OVER ();

pg_catalog.length(x);
pg_catalog.length(x);

1e400 > f8;
the constant 1e400 has more than 38 digits;

12345678901234567890123456789012345678901 > n;
the constant 12345678901234567890123456789012345678901 has more than 38 digits;

x IS JSON;
x IS JSON;

current_date;
CURRENT_DATE, whose value is another one at each call,;

$1;
$1;

initcap(x);
initcap under collation default;

doc ? 'a"b';
the operator ? with 'a"b';

regexp_replace(x, '(a|ab)(c|bcd)', '-');
regexp_replace of the pattern;

x ~* 'é';
without regard to case;

i4 << 40;
a shift by 40 bits;

@ i4;
the operator @;

|/ f8;
the operator |/;

exp(f8);
depend on the origin's C library;

power(n, 2);
which Postgres rounds;

f8 ^ 2;
a power of double precision, whose last digits depend on the origin's C library;

scale(u);
scale of numeric that is printed with one scale or another;

width_bucket(n, ARRAY[1.5, 2]::float8[]);
array;

x !~ ALL (ARRAY['a', 'b']);
!~ of many patterns;

x LIKE ANY (tags);
is not translated;

tags < tags;
the order of text under collation default;

ints = '{{1,2},{3,4}}';
the array '{{1,2},{3,4}}' is not read;

ints[i4 + 1];
the subscript ints[i4 + 1];

substring(x from '([ab]+)(b+)');
substring of the pattern;

regexp_count(x, 'a*');
which matches nothing as well;

x ~ 'a^b';
the pattern 'a^b';

x ~ '\d';
the pattern;

E'\xff';
is not read;

format('%I', x);
format with another pattern;

to_char(n, '999D99');
whose D, G, L and S are settings of a session;

to_char(n, 'S999');
whose D, G, L and S are settings of a session;

to_char(n, '9.99EEEE');
is not translated;

to_char(f8, '999.9');
to_char of double precision;

x SIMILAR TO 'a#"b#"c' ESCAPE '#';
SIMILAR TO 'a#"b#"c';

x SIMILAR TO t;
SIMILAR TO a pattern that is not a constant;

x SIMILAR TO '[[:alpha:]]';
is not translated;

regexp_instr(x, '(?=a)');
the pattern;

to_char(ts, 'IDDD');
is not translated;

to_char(ts, 'FMDDth');
is not translated;
