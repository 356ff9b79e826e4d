-- Documents composed of texts, and documents shown over lines. Names within are of one macro each, as in
-- 0004_numeric.sql.

-- Every second text, from the first or the second on: names and values of json_object.
CREATE OR REPLACE MACRO flashql.json_half(texts, first) AS
    CASE
        WHEN len(texts) % 2 = 1 THEN error('array must have even number of elements: ' || CAST(texts AS VARCHAR))
        ELSE [texts[flashql_at] FOR flashql_at IN range(first, len(texts) + 1, 2)]
    END;

-- jsonb_object and json_object of names and texts.
CREATE OR REPLACE MACRO flashql.jsonb_of_texts(names, texts) AS
    CASE
        WHEN len(names) <> len(texts) THEN error('mismatched array dimensions: ' || CAST(names AS VARCHAR))
        WHEN texts IS NOT NULL THEN flashql.json_from_members(
            names, [coalesce(flashql.json_string(flashql_text), 'null') FOR flashql_text IN texts]
        )
    END;
CREATE OR REPLACE MACRO flashql.json_of_texts(names, texts) AS
    CASE
        WHEN len(names) <> len(texts) THEN error('mismatched array dimensions: ' || CAST(names AS VARCHAR))
        WHEN names IS NOT NULL AND texts IS NOT NULL THEN '{' || coalesce(array_to_string([
            flashql.json_name(names[flashql_at]) || ' : ' || coalesce(flashql.json_string(texts[flashql_at]), 'null')
            FOR flashql_at IN generate_series(1, len(names))
        ], ', '), '') || '}'
    END;

-- How deep the piece at a place is, of pieces that open and close arrays and objects.
CREATE OR REPLACE MACRO flashql.json_depth(pieces, place) AS (
    len([flashql_piece FOR flashql_piece IN pieces[:place] IF flashql_piece IN ('[', '{')])
    - len([flashql_closed FOR flashql_closed IN pieces[:place] IF flashql_closed IN (']', '}')])
);

-- jsonb_pretty: a line for each member, four spaces for each level.
CREATE OR REPLACE MACRO flashql.json_pretty(document) AS [
    array_to_string([
        CASE
            WHEN flashql_pieces[flashql_at] IN (']', '}')
                THEN chr(10) || repeat('    ', flashql.json_depth(flashql_pieces, flashql_at)) || flashql_pieces[flashql_at]
            WHEN flashql_pieces[flashql_at] = ', '
                THEN ',' || chr(10) || repeat('    ', flashql.json_depth(flashql_pieces, flashql_at))
            WHEN flashql_pieces[flashql_at] IN ('[', '{') AND flashql_pieces[flashql_at + 1] NOT IN (']', '}')
                THEN flashql_pieces[flashql_at] || chr(10) || repeat('    ', flashql.json_depth(flashql_pieces, flashql_at))
            ELSE flashql_pieces[flashql_at]
        END
        FOR flashql_at IN generate_series(1, len(flashql_pieces))
    ], '')
    FOR flashql_pieces IN [regexp_extract_all(
        CAST(document AS VARCHAR), '"(?:[^"\\]|\\.)*"|[\[\]{}]|, |[^"\[\]{},]+'
    )]
][1];
