-- Columns, constants and tests for null and truth.

b;
"b";

T.i4;
"i4";

"t";
"t";

5;
5;

-2147483648;
CAST(-2147483648 AS INT);

2147483648;
2147483648;

1.50;
CAST('1.50' AS DECIMAL(3, 2));

'it''s \ so';
'it''s \ so';

TRUE;
TRUE;

NULL;
NULL;

(i4);
"i4";

doc;
"doc";

tags;
"tags";

i4 IS NULL;
"i4" IS NULL;

x IS NOT NULL;
NOT ("x" IS NULL);

doc ISNULL;
"doc" IS NULL;

b IS TRUE;
"b" IS TRUE;

b IS NOT FALSE;
NOT ("b" IS FALSE);

b IS UNKNOWN;
"b" IS NULL;

f8 IS NULL OR NOT b;
("f8" IS NULL) OR (NOT "b");

b AND i4 > 0 OR t = 'a';
("b" AND ("i4" > 0)) OR ("t" = 'a');

NOT (b AND f8 > 1);
NOT ("b" AND ("f8" > CAST('1' AS DOUBLE)));

b AND 'true';
"b" AND TRUE;
