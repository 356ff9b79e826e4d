-- A local table changed in a transaction of several statements: the view over it stayed as it was.

-- local
CREATE TABLE l.t9 (k int, i0 int, i1 int, b2 bigint, t3 text, b4 boolean);
-- commit local
INSERT INTO l.t9 VALUES (4, 5, 2, NULL, '9', TRUE);
-- view l.v3
SELECT r1.t3 AS c1 FROM l.t9 AS r1;
-- compare
-- commit local
UPDATE l.t9 SET t3 = NULL;
-- compare
