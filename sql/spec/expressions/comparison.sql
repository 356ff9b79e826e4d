-- Rows, ranges, patterns.

(i4, j4) < (2, 3);
(i4, j4) <= (5, 1);
(i2, i4, j4) > (0, 5, 1);
ROW(i4, x COLLATE "C") >= ROW(1, 'a');
i4 BETWEEN SYMMETRIC 5 AND 0;
n NOT BETWEEN SYMMETRIC j4 AND 0;
day BETWEEN SYMMETRIC '2024-01-01' AND '1990-01-01';
x COLLATE "C" ~* 'A+b';
x COLLATE "C" !~* '[a-c]_';
t ~* 'b' OR t ~* '(A|x)b';
t ~* '^[^a-b]';
x LIKE v;
x NOT LIKE t || '%';
x LIKE replace(x, 'a', '_');
t ILIKE 'A%';
t NOT ILIKE '%\_B';
