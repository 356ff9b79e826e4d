-- Text. Positions count code points; char(n) loses its padding except before LIKE.

t || x;
"t" || "x";

x || '!';
"x" || '!';

c || '|';
RTRIM("c", ' ') || '|';

length(x);
CAST(LENGTH("x") AS INT);

char_length(c);
CAST(LENGTH(RTRIM("c", ' ')) AS INT);

left(x, 2);
LEFT("x", 2);

left(x, -1);
LEFT("x", -1);

right(x, 2);
RIGHT("x", 2);

right(x, -2);
RIGHT("x", -2);

substring(x from 2 for 3);
SUBSTRING("x", 2, 3);

substring(x, -1, 4);
SUBSTRING("x", 1, 2);

substr(x, 2);
SUBSTRING("x", 2);

trim(x);
TRIM("x", ' ');

trim(x, 'ab');
TRIM("x", 'ab');

trim(leading 'a' from x);
LTRIM("x", 'a');

trim(both 'ab' from x);
TRIM("x", 'ab');

ltrim(x);
LTRIM("x", ' ');

rtrim(x, ' b');
RTRIM("x", ' b');

btrim(c);
TRIM(RTRIM("c", ' '), ' ');

lower(t);
TRANSLATE("t", 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz');

upper(x COLLATE "C");
TRANSLATE("x", 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ');

replace(x, 'a', 'bb');
REPLACE("x", 'a', 'bb');

position('b' in x);
CAST(STRPOS("x", 'b') AS INT);

strpos(x, v);
CAST(STRPOS("x", "v") AS INT);

starts_with(x, 'a');
STARTS_WITH("x", 'a');

x ^@ v;
STARTS_WITH("x", "v");

x LIKE 'a%';
"x" LIKE 'a%';

x NOT LIKE '%b_';
NOT ("x" LIKE '%b_');

x LIKE 'a\%%';
"x" LIKE 'a\%%' ESCAPE '\';

x LIKE 'a#_b%' ESCAPE '#';
"x" LIKE 'a\_b%' ESCAPE '\';

x LIKE '\a\\%';
"x" LIKE 'a\\%' ESCAPE '\';

x LIKE '\%' ESCAPE '';
"x" LIKE '\\%' ESCAPE '\';

c LIKE 'ab   ';
"c" LIKE 'ab   ';

c LIKE 'ab%';
"c" LIKE 'ab%';

v ~~ '_';
"v" LIKE '_';
