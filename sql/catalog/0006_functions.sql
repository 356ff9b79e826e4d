-- Functions of Postgres that views' expressions call, written out in DuckDB's. Names within are of one macro each, as in
-- 0004_numeric.sql.

-- Text with a function done to each character, but for `these`, which become those at their places in `others`.
CREATE OR REPLACE MACRO flashql.lowered(string, these, others) AS array_to_string([
    CASE
        WHEN strpos(these, flashql_character) > 0
            THEN substring(others, strpos(these, flashql_character), 1)
        ELSE lower(flashql_character)
    END
    FOR flashql_character IN string_split(string, '')
], '');
CREATE OR REPLACE MACRO flashql.uppered(string, these, others) AS array_to_string([
    CASE
        WHEN strpos(these, flashql_character) > 0
            THEN substring(others, strpos(these, flashql_character), 1)
        ELSE upper(flashql_character)
    END
    FOR flashql_character IN string_split(string, '')
], '');
