-- The characters that a function (lower or upper) changes under a collation, and into what: NULL where it does more
-- than to change single characters. What it does to a sigma shows whether it looks at their neighbours.
SELECT
    coalesce(string_agg(before, '' ORDER BY code), ''),
    CASE
        WHEN coalesce(bool_and(length(after) = 1), true)
            AND convert_to(function('AΣ' COLLATE collation), 'UTF8')
                = convert_to(function('A' COLLATE collation) || function('Σ' COLLATE collation), 'UTF8')
        THEN coalesce(string_agg(after, '' ORDER BY code), '')
    END
FROM (
    SELECT code, chr(code) AS before, function(chr(code) COLLATE collation) AS after
    FROM generate_series(1, 1114111) AS code
    WHERE code NOT BETWEEN 55296 AND 57343
) AS every
WHERE after <> before COLLATE "C"
