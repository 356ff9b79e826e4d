-- Documents composed of texts, and documents shown over lines; instants and bytes. Names within are of one macro each,
-- as in 0004_numeric.sql.

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

-- What a number or a truth of a document says (jsonb.c: jsonb_numeric, jsonb_bool).
CREATE OR REPLACE MACRO flashql.json_numeric(document) AS
    CASE coalesce(json_type(document), 'NULL')
        WHEN 'NULL' THEN CAST(NULL AS VARCHAR)
        WHEN 'VARCHAR' THEN error('cannot cast jsonb string to a number: ' || CAST(document AS VARCHAR))
        WHEN 'BOOLEAN' THEN error('cannot cast jsonb boolean to a number: ' || CAST(document AS VARCHAR))
        WHEN 'ARRAY' THEN error('cannot cast jsonb array to a number: ' || CAST(document AS VARCHAR))
        WHEN 'OBJECT' THEN error('cannot cast jsonb object to a number: ' || CAST(document AS VARCHAR))
        ELSE CAST(document AS VARCHAR)
    END;
CREATE OR REPLACE MACRO flashql.json_boolean(document) AS
    CASE coalesce(json_type(document), 'NULL')
        WHEN 'NULL' THEN CAST(NULL AS BOOLEAN)
        WHEN 'BOOLEAN' THEN CAST(document AS VARCHAR) = 'true'
        ELSE CAST(error('cannot cast this jsonb to a truth: ' || CAST(document AS VARCHAR)) AS BOOLEAN)
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

-- date_bin of timestamps with time zone, which are instants.
CREATE OR REPLACE MACRO flashql.instant_bin(stride, moment, origin) AS
    CASE
        WHEN isinf(origin) THEN CAST(error('origin out of range: ' || CAST(origin AS VARCHAR)) AS TIMESTAMPTZ)
        WHEN isinf(moment) THEN moment
        ELSE make_timestamptz(epoch_us(flashql.date_bin(
            stride, make_timestamp(epoch_us(moment)), make_timestamp(epoch_us(origin))
        )))
    END;

-- bytea as it is written (bytea.c: byteain): hexadecimal after \x, else characters, \\ and bytes as \ooo.
CREATE OR REPLACE MACRO flashql.bytes_read(string) AS
    CASE
        WHEN NOT contains(string, '\') THEN encode(string)
        WHEN regexp_full_match(string, '\\x([ \n\t\r]*[0-9a-fA-F]{2})*[ \n\t\r]*')
            THEN unhex(regexp_replace(string[3:], '[ \n\t\r]', '', 'g'))
        WHEN NOT starts_with(string, '\x') AND regexp_full_match(string, '([^\\]|\\\\|\\[0-3][0-7]{2})*', 's')
            THEN unhex(array_to_string([
                CASE
                    WHEN flashql_piece = '\\' THEN '5C'
                    WHEN starts_with(flashql_piece, '\') THEN printf(
                        '%02X',
                        CAST(flashql_piece[2] AS INTEGER) * 64 + CAST(flashql_piece[3] AS INTEGER) * 8
                            + CAST(flashql_piece[4] AS INTEGER)
                    )
                    ELSE hex(encode(flashql_piece))
                END
                FOR flashql_piece IN regexp_extract_all(string, '[^\\]+|\\\\|\\[0-3][0-7]{2}')
            ], ''))
        WHEN string IS NOT NULL THEN error('invalid input syntax for type bytea: ' || string)
    END;
