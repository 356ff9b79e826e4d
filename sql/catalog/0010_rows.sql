-- Lists whose elements are the rows of Postgres's set-returning functions. Names within are of one macro each, as in
-- 0004_numeric.sql.

-- generate_series of integers; a step of 0 is an error, as in Postgres.
CREATE OR REPLACE MACRO flashql.series(start, stop, step) AS
    CASE
        WHEN step = 0 THEN CAST(error('step size cannot equal zero, as from ' || start) AS BIGINT[])
        ELSE generate_series(start, stop, step)
    END;

-- generate_series of timestamps, each the one before it plus the step.
CREATE OR REPLACE MACRO flashql.moments(start, stop, step) AS
    CASE
        WHEN step = INTERVAL 0 DAY THEN CAST(error('step size cannot equal zero, as from ' || start) AS TIMESTAMP[])
        ELSE generate_series(start, stop, step)
    END;

-- A part of a marked document (0006_functions.sql) as Postgres prints it, and as text: of a string what it says.
CREATE OR REPLACE MACRO flashql.json_part(marked) AS CAST(flashql.json_printed(CAST(marked AS VARCHAR)) AS JSON);
CREATE OR REPLACE MACRO flashql.json_part_text(marked) AS
    CASE
        WHEN json_type(marked) = 'NULL' THEN CAST(NULL AS VARCHAR)
        WHEN json_type(marked) = 'VARCHAR' AND NOT starts_with(CAST(marked AS VARCHAR), '"\u0000')
            THEN json_extract_string(marked, '$')
        ELSE flashql.json_printed(CAST(marked AS VARCHAR))
    END;

-- The document, where it is of the kind asked for.
CREATE OR REPLACE MACRO flashql.json_required(document, kind) AS
    CASE
        WHEN document IS NULL OR json_type(document) = kind THEN document
        ELSE CAST(error('this document is no ' || lower(kind) || ': ' || document) AS JSON)
    END;

-- jsonb_array_elements, jsonb_array_elements_text.
CREATE OR REPLACE MACRO flashql.json_list(document) AS [
    flashql.json_part(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'ARRAY')), '$[*]')
];
CREATE OR REPLACE MACRO flashql.json_texts(document) AS [
    flashql.json_part_text(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'ARRAY')), '$[*]')
];

-- jsonb_object_keys; the values of jsonb_each and jsonb_each_text.
CREATE OR REPLACE MACRO flashql.json_names(document) AS json_keys(flashql.json_required(document, 'OBJECT'));
CREATE OR REPLACE MACRO flashql.json_members(document) AS [
    flashql.json_part(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'OBJECT')), '$.*')
];
CREATE OR REPLACE MACRO flashql.json_member_texts(document) AS [
    flashql.json_part_text(flashql_part)
    FOR flashql_part IN json_extract(flashql.json_marked(flashql.json_required(document, 'OBJECT')), '$.*')
];

-- A text as a string of JSON. Postgres writes \u000b where DuckDB writes \u000B.
CREATE OR REPLACE MACRO flashql.json_string(string) AS
    CASE
        WHEN regexp_matches(string, '[\x0B\x0E\x0F\x1A-\x1F]')
            THEN error('no exact local value for a document with such characters: ' || string)
        ELSE CAST(to_json(string) AS VARCHAR)
    END;

-- Texts as an array of JSON; as strings where they are `quoted`.
CREATE OR REPLACE MACRO flashql.json_from_elements(elements, quoted, comma) AS
    CASE
        WHEN elements IS NOT NULL THEN '[' || coalesce(array_to_string([
            CASE
                WHEN flashql_element IS NULL THEN 'null'
                WHEN quoted THEN flashql.json_string(flashql_element)
                ELSE flashql_element
            END
            FOR flashql_element IN elements
        ], comma), '') || ']'
    END;

-- The texts of floats, dates and timestamps as json and jsonb have them.
CREATE OR REPLACE MACRO flashql.float_jsons(elements, single) AS [
    flashql.float_json(flashql_element, single) FOR flashql_element IN elements
];
CREATE OR REPLACE MACRO flashql.float_texts(elements, single) AS [
    CASE
        WHEN isnan(flashql_element) OR isinf(flashql_element) THEN '"' || flashql.float_text(flashql_element, single) || '"'
        ELSE flashql.float_text(flashql_element, single)
    END
    FOR flashql_element IN elements
];
CREATE OR REPLACE MACRO flashql.dates_shown(elements) AS [
    flashql.shown(flashql_element) FOR flashql_element IN elements
];
CREATE OR REPLACE MACRO flashql.moments_shown(elements) AS [
    regexp_replace(flashql.shown(flashql_element), ' ', 'T') FOR flashql_element IN elements
];

-- The name of a member of json, which is never null.
CREATE OR REPLACE MACRO flashql.json_name(named) AS
    CASE
        WHEN named IS NULL THEN error('field name must not be null' || coalesce(named, ''))
        ELSE flashql.json_string(named)
    END;

-- Elements of json_agg that begin lines: the first one does not.
CREATE OR REPLACE MACRO flashql.json_first_line(elements) AS
    CASE WHEN starts_with(elements, chr(10)) THEN elements[3:] ELSE elements END;

-- jsonb of names and the texts of their values: by length and bytes of the names, the last one of several alike.
CREATE OR REPLACE MACRO flashql.json_from_members(names, parts) AS
    CASE
        WHEN names IS NOT NULL AND list_count(names) < len(names)
            THEN error('field name must not be null: ' || CAST(names AS VARCHAR))
        WHEN names IS NOT NULL THEN '{' || coalesce(array_to_string([
            [
                flashql.json_string(flashql_sorted[flashql_place].named) || ': ' || flashql_sorted[flashql_place].part
                FOR flashql_place IN generate_series(1, len(flashql_sorted))
                IF flashql_place = len(flashql_sorted)
                    OR flashql_sorted[flashql_place + 1].named <> flashql_sorted[flashql_place].named
            ]
            FOR flashql_sorted IN [list_sort([
                {'bytes': strlen(names[flashql_at]), 'named': names[flashql_at], 'at': flashql_at, 'part': parts[flashql_at]}
                FOR flashql_at IN generate_series(1, len(names))
            ])]
        ][1], ', '), '') || '}'
    END;

-- So many times an interval of months, days and microseconds. Postgres multiplies in double precision (interval_mul).
CREATE OR REPLACE MACRO flashql.spans(number, months, days, microseconds) AS
    CASE
        WHEN abs(CAST(microseconds AS HUGEINT) * number) >= 9007199254740992
            THEN CAST(error('no exact local value for an interval times ' || number) AS INTERVAL)
        ELSE to_months(CAST(months * number AS INTEGER)) + to_days(CAST(days * number AS INTEGER))
            + to_microseconds(CAST(microseconds * number AS BIGINT))
    END;

-- age of two timestamps. Of infinite ones there is no interval here.
CREATE OR REPLACE MACRO flashql.ages(later, earlier) AS
    CASE
        WHEN isinf(later) OR isinf(earlier)
            THEN CAST(error('no exact local value for age(' || later || ', ' || earlier || ')') AS INTERVAL)
        ELSE age(later, earlier)
    END;

-- date_bin by so many microseconds; of an infinite moment itself.
CREATE OR REPLACE MACRO flashql.date_bin(stride, moment, origin) AS
    CASE
        WHEN isinf(origin) THEN CAST(error('origin out of range: ' || origin) AS TIMESTAMP)
        WHEN isinf(moment) THEN moment
        ELSE make_timestamp(CAST([
            epoch_us(origin) + flashql_span - ((flashql_span % stride) + stride) % stride
            FOR flashql_span IN [CAST(epoch_us(moment) AS HUGEINT) - epoch_us(origin)]
        ][1] AS BIGINT))
    END;

-- A list without the elements that are equal to one.
CREATE OR REPLACE MACRO flashql.without(listed, element) AS
    CASE
        WHEN listed IS NOT NULL
            THEN [flashql_one FOR flashql_one IN listed IF flashql_one IS DISTINCT FROM element]
    END;

-- The elements of an array as texts; of anything else itself.
CREATE OR REPLACE MACRO flashql.json_pieces_of(document) AS
    CASE
        WHEN json_type(document) = 'ARRAY' THEN CAST(flashql.json_list(document) AS VARCHAR[])
        ELSE [CAST(document AS VARCHAR)]
    END;

-- jsonb || jsonb: the members of both objects, or the elements of both (jsonfuncs.c: jsonb_concat).
CREATE OR REPLACE MACRO flashql.json_joined(document, other) AS
    CASE
        WHEN document IS NULL OR other IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) = 'OBJECT' AND json_type(other) = 'OBJECT' THEN flashql.json_from_members(
            list_concat(flashql.json_names(document), flashql.json_names(other)),
            CAST(list_concat(flashql.json_members(document), flashql.json_members(other)) AS VARCHAR[])
        )
        ELSE '[' || coalesce(array_to_string(
            list_concat(flashql.json_pieces_of(document), flashql.json_pieces_of(other)), ', '
        ), '') || ']'
    END;

-- jsonb - text: without the member of that name, or the strings that say it (jsonb_delete).
CREATE OR REPLACE MACRO flashql.json_less(document, name) AS
    CASE
        WHEN document IS NULL OR name IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) = 'OBJECT' THEN '{' || coalesce(array_to_string([
            flashql.json_string(flashql_pair[1]) || ': ' || flashql_pair[2]
            FOR flashql_pair IN [
                [flashql.json_names(document)[flashql_at], CAST(flashql.json_members(document)[flashql_at] AS VARCHAR)]
                FOR flashql_at IN generate_series(1, len(flashql.json_names(document)))
            ] IF flashql_pair[1] <> name
        ], ', '), '') || '}'
        WHEN json_type(document) = 'ARRAY' THEN '[' || coalesce(array_to_string([
            flashql_piece FOR flashql_piece IN flashql.json_pieces_of(document) IF flashql_piece <> flashql.json_string(name)
        ], ', '), '') || ']'
        ELSE error('cannot delete from scalar: ' || document)
    END;

-- From here on: members of documents by names and paths that rows give, documents changed at a path, and whether one
-- contains another.

-- A JSON pointer to a member.
CREATE OR REPLACE MACRO flashql.json_pointer(named) AS '/' || replace(replace(named, '~', '~0'), '/', '~1');

-- The path of `document -> name` and of `document -> place`: what is neither object nor array is its own first element.
CREATE OR REPLACE MACRO flashql.json_by_name(document, named) AS
    CASE WHEN json_type(document) = 'OBJECT' THEN flashql.json_pointer(named) END;
CREATE OR REPLACE MACRO flashql.json_by_place(document, place) AS
    CASE
        WHEN json_type(document) = 'OBJECT' THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) <> 'ARRAY' THEN CASE WHEN place IN (0, -1) THEN '$' END
        WHEN place < 0 THEN '$[#' || place || ']'
        ELSE '$[' || place || ']'
    END;

-- A document as text: of a string what it says, of null nothing.
CREATE OR REPLACE MACRO flashql.json_says(document) AS
    CASE json_type(document)
        WHEN 'VARCHAR' THEN json_extract_string(document, '$')
        WHEN 'NULL' THEN CAST(NULL AS VARCHAR)
        ELSE CAST(document AS VARCHAR)
    END;

-- The place in an array that a step of a path names; null where it is no number.
CREATE OR REPLACE MACRO flashql.json_place(step) AS
    CASE
        WHEN regexp_full_match(step, '[ \t\n\r\v\f]*[+-]?[0-9]+')
            THEN TRY_CAST(regexp_extract(step, '[+]?(-?[0-9]+)$', 1) AS INTEGER)
    END;

-- One step of a path; the document is text here, as what lists are reduced to has their elements' type.
CREATE OR REPLACE MACRO flashql.json_step(document, step) AS
    CASE json_type(document)
        WHEN 'OBJECT' THEN CAST(flashql.json_value(CAST(document AS JSON), flashql.json_pointer(step)) AS VARCHAR)
        WHEN 'ARRAY' THEN CAST(flashql.json_value(
            CAST(document AS JSON), flashql.json_by_place(document, flashql.json_place(step))
        ) AS VARCHAR)
    END;

-- document #> path: null where a step is.
CREATE OR REPLACE MACRO flashql.json_at(document, path) AS
    CASE
        WHEN document IS NOT NULL AND path IS NOT NULL AND list_count(path) = len(path) THEN list_reduce(
            path, lambda flashql_found, flashql_step: flashql.json_step(flashql_found, flashql_step),
            CAST(document AS VARCHAR)
        )
    END;

-- document ?| names, document ?& names: a null is no name.
CREATE OR REPLACE MACRO flashql.json_has_any(document, names) AS
    CASE
        WHEN document IS NOT NULL AND names IS NOT NULL THEN len([
            flashql_name FOR flashql_name IN names
            IF flashql.json_has(document, flashql.json_pointer(flashql_name), flashql.json_string(flashql_name))
        ]) > 0
    END;
CREATE OR REPLACE MACRO flashql.json_has_all(document, names) AS
    CASE
        WHEN document IS NOT NULL AND names IS NOT NULL THEN len([
            flashql_name FOR flashql_name IN names
            IF NOT flashql.json_has(document, flashql.json_pointer(flashql_name), flashql.json_string(flashql_name))
        ]) = 0
    END;

-- Elements, as texts, as an array.
CREATE OR REPLACE MACRO flashql.json_of_pieces(pieces) AS '[' || coalesce(array_to_string(pieces, ', '), '') || ']';

-- An array's elements changed at a place from 0 (jsonfuncs.c: setPathArray): how is replace, create, before, after or
-- delete. What is before the first is put there, and what is behind the last there.
CREATE OR REPLACE MACRO flashql.json_pieces_changed(pieces, place, value, how) AS
    CASE
        WHEN place IS NULL THEN CAST([error('a path element is not an integer, beside ' || how)] AS VARCHAR[])
        WHEN place BETWEEN -len(pieces) AND len(pieces) - 1 THEN [
            list_concat(
                pieces[:flashql_at],
                CASE how
                    WHEN 'delete' THEN CAST([] AS VARCHAR[])
                    WHEN 'before' THEN [value, pieces[flashql_at + 1]]
                    WHEN 'after' THEN [pieces[flashql_at + 1], value]
                    ELSE [value]
                END,
                pieces[flashql_at + 2:]
            )
            FOR flashql_at IN [CASE WHEN place < 0 THEN len(pieces) + place ELSE place END]
        ][1]
        WHEN how IN ('delete', 'replace') THEN pieces
        WHEN place < 0 THEN list_prepend(value, pieces)
        ELSE list_append(pieces, value)
    END;

-- A document changed at one step; what has no members stays as it is.
CREATE OR REPLACE MACRO flashql.json_changed(document, step, value, how) AS
    CASE json_type(document)
        WHEN 'ARRAY' THEN flashql.json_of_pieces(flashql.json_pieces_changed(
            flashql.json_pieces_of(CAST(document AS JSON)), flashql.json_place(step), value, how
        ))
        WHEN 'OBJECT' THEN CASE
            WHEN how = 'delete' THEN flashql.json_less(CAST(document AS JSON), step)
            WHEN how IN ('before', 'after') AND json_exists(document, flashql.json_pointer(step))
                THEN error('cannot replace existing key ' || step)
            WHEN how = 'replace' AND NOT json_exists(document, flashql.json_pointer(step)) THEN CAST(document AS VARCHAR)
            ELSE flashql.json_from_members(
                list_append(flashql.json_names(CAST(document AS JSON)), step),
                list_append(CAST(flashql.json_members(CAST(document AS JSON)) AS VARCHAR[]), value)
            )
        END
        ELSE CAST(document AS VARCHAR)
    END;

-- One step of a path on which something is changed: in an array only numbers lead on.
CREATE OR REPLACE MACRO flashql.json_step_down(document, step) AS
    CASE
        WHEN json_type(document) = 'ARRAY' AND flashql.json_place(step) IS NULL
            THEN error('path element is not an integer: ' || step)
        ELSE flashql.json_step(document, step)
    END;

-- jsonb_set, jsonb_insert and document #- path: from the innermost document that the path leads to outwards.
CREATE OR REPLACE MACRO flashql.json_changed_at(document, path, value, how) AS
    CASE
        WHEN document IS NULL OR path IS NULL OR value IS NULL OR how IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) NOT IN ('OBJECT', 'ARRAY') THEN error('cannot set path in scalar: ' || document)
        WHEN list_count(path) < len(path) THEN error('a path element is null: ' || CAST(path AS VARCHAR))
        WHEN len(path) = 0 OR (how IN ('delete', 'replace') AND CAST(document AS VARCHAR) IN ('[]', '{}'))
            THEN CAST(document AS VARCHAR)
        ELSE [
            CASE
                WHEN list_count(flashql_inner) < len(path) THEN CAST(document AS VARCHAR)
                ELSE list_reduce(
                    [CAST(flashql_level AS VARCHAR) FOR flashql_level IN range(len(path) - 1, 0, -1)],
                    lambda flashql_made, flashql_level: flashql.json_changed(
                        flashql_inner[CAST(flashql_level AS INTEGER)], path[CAST(flashql_level AS INTEGER)],
                        flashql_made, 'replace'
                    ),
                    flashql.json_changed(flashql_inner[len(path)], path[len(path)], value, how)
                )
            END
            FOR flashql_inner IN [[
                list_reduce(
                    path[:flashql_depth],
                    lambda flashql_found, flashql_step: flashql.json_step_down(flashql_found, flashql_step),
                    CAST(document AS VARCHAR)
                )
                FOR flashql_depth IN range(0, len(path))
            ]]
        ][1]
    END;

-- document - place, document - names.
CREATE OR REPLACE MACRO flashql.json_less_place(document, place) AS
    CASE
        WHEN document IS NULL OR place IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) = 'ARRAY' THEN flashql.json_of_pieces(
            flashql.json_pieces_changed(flashql.json_pieces_of(document), place, 'null', 'delete')
        )
        ELSE error('cannot delete from what is no array using integer index: ' || document)
    END;
CREATE OR REPLACE MACRO flashql.json_less_names(document, names) AS
    CASE
        WHEN document IS NULL OR names IS NULL THEN CAST(NULL AS VARCHAR)
        WHEN json_type(document) NOT IN ('OBJECT', 'ARRAY') THEN error('cannot delete from scalar: ' || document)
        ELSE list_reduce(
            [flashql_name FOR flashql_name IN names IF flashql_name IS NOT NULL],
            lambda flashql_left, flashql_name: flashql.json_less(CAST(flashql_left AS JSON), flashql_name),
            CAST(document AS VARCHAR)
        )
    END;

-- jsonb_strip_nulls: without members that are null, wherever they are. A name and its null are one piece.
CREATE OR REPLACE MACRO flashql.json_without_nulls(document) AS
    array_to_string([
        CASE
            WHEN starts_with(flashql_piece, '"') THEN flashql_piece
            ELSE replace(flashql_piece, ', }', '}')
        END
        FOR flashql_piece IN flashql.json_pieces(array_to_string([
            CASE WHEN regexp_matches(flashql_part, '^"(?:[^"\\]|\\.)*": null(?:, )?$') THEN '' ELSE flashql_part END
            FOR flashql_part IN regexp_extract_all(
                CAST(document AS VARCHAR), '"(?:[^"\\]|\\.)*": null(?:, )?|"(?:[^"\\]|\\.)*"|[^"]+'
            )
        ], ''))
    ], '');

-- What of a document must be found, and among what: members of one name, or any elements.
CREATE OR REPLACE MACRO flashql.json_sought(document, part) AS
    CASE json_type(part)
        WHEN 'OBJECT' THEN [
            {
                'part': json_extract(part, flashql.json_pointer(flashql_name)),
                'among': [json_extract(document, flashql.json_pointer(flashql_name))]
            }
            FOR flashql_name IN json_keys(part)
        ]
        ELSE [
            {'part': flashql_one, 'among': json_extract(document, '$[*]')} FOR flashql_one IN json_extract(part, '$[*]')
        ]
    END;

-- Whether a marked document contains another (jsonb_util.c: JsonbDeepContains), to some depth; deeper it raises.
CREATE OR REPLACE MACRO flashql.json_holds_0(document, part) AS
    CASE
        WHEN json_type(document) IS DISTINCT FROM json_type(part) THEN false
        WHEN json_type(part) IN ('OBJECT', 'ARRAY') AND CAST(part AS VARCHAR) NOT IN ('{}', '[]')
            THEN CAST(error('no exact local value for @> of such depth: ' || part) AS BOOLEAN)
        ELSE json_type(part) IN ('OBJECT', 'ARRAY') OR CAST(document AS VARCHAR) = CAST(part AS VARCHAR)
    END;
CREATE OR REPLACE MACRO flashql.json_holds_1(document, part) AS
    CASE
        WHEN json_type(document) IS DISTINCT FROM json_type(part) THEN false
        WHEN json_type(part) IN ('OBJECT', 'ARRAY') THEN len([
            flashql_sought_1 FOR flashql_sought_1 IN flashql.json_sought(document, part)
            IF len([
                flashql_one_1 FOR flashql_one_1 IN flashql_sought_1['among']
                IF flashql.json_holds_0(flashql_one_1, flashql_sought_1['part'])
            ]) = 0
        ]) = 0
        ELSE CAST(document AS VARCHAR) = CAST(part AS VARCHAR)
    END;
CREATE OR REPLACE MACRO flashql.json_holds_2(document, part) AS
    CASE
        WHEN json_type(document) IS DISTINCT FROM json_type(part) THEN false
        WHEN json_type(part) IN ('OBJECT', 'ARRAY') THEN len([
            flashql_sought_2 FOR flashql_sought_2 IN flashql.json_sought(document, part)
            IF len([
                flashql_one_2 FOR flashql_one_2 IN flashql_sought_2['among']
                IF flashql.json_holds_1(flashql_one_2, flashql_sought_2['part'])
            ]) = 0
        ]) = 0
        ELSE CAST(document AS VARCHAR) = CAST(part AS VARCHAR)
    END;
CREATE OR REPLACE MACRO flashql.json_holds_3(document, part) AS
    CASE
        WHEN json_type(document) IS DISTINCT FROM json_type(part) THEN false
        WHEN json_type(part) IN ('OBJECT', 'ARRAY') THEN len([
            flashql_sought_3 FOR flashql_sought_3 IN flashql.json_sought(document, part)
            IF len([
                flashql_one_3 FOR flashql_one_3 IN flashql_sought_3['among']
                IF flashql.json_holds_2(flashql_one_3, flashql_sought_3['part'])
            ]) = 0
        ]) = 0
        ELSE CAST(document AS VARCHAR) = CAST(part AS VARCHAR)
    END;
CREATE OR REPLACE MACRO flashql.json_holds_4(document, part) AS
    CASE
        WHEN json_type(document) IS DISTINCT FROM json_type(part) THEN false
        WHEN json_type(part) IN ('OBJECT', 'ARRAY') THEN len([
            flashql_sought_4 FOR flashql_sought_4 IN flashql.json_sought(document, part)
            IF len([
                flashql_one_4 FOR flashql_one_4 IN flashql_sought_4['among']
                IF flashql.json_holds_3(flashql_one_4, flashql_sought_4['part'])
            ]) = 0
        ]) = 0
        ELSE CAST(document AS VARCHAR) = CAST(part AS VARCHAR)
    END;
CREATE OR REPLACE MACRO flashql.json_holds_5(document, part) AS
    CASE
        WHEN json_type(document) IS DISTINCT FROM json_type(part) THEN false
        WHEN json_type(part) IN ('OBJECT', 'ARRAY') THEN len([
            flashql_sought_5 FOR flashql_sought_5 IN flashql.json_sought(document, part)
            IF len([
                flashql_one_5 FOR flashql_one_5 IN flashql_sought_5['among']
                IF flashql.json_holds_4(flashql_one_5, flashql_sought_5['part'])
            ]) = 0
        ]) = 0
        ELSE CAST(document AS VARCHAR) = CAST(part AS VARCHAR)
    END;
CREATE OR REPLACE MACRO flashql.json_holds_6(document, part) AS
    CASE
        WHEN json_type(document) IS DISTINCT FROM json_type(part) THEN false
        WHEN json_type(part) IN ('OBJECT', 'ARRAY') THEN len([
            flashql_sought_6 FOR flashql_sought_6 IN flashql.json_sought(document, part)
            IF len([
                flashql_one_6 FOR flashql_one_6 IN flashql_sought_6['among']
                IF flashql.json_holds_5(flashql_one_6, flashql_sought_6['part'])
            ]) = 0
        ]) = 0
        ELSE CAST(document AS VARCHAR) = CAST(part AS VARCHAR)
    END;

-- document @> part: an array holds also what is no array and one of its elements.
CREATE OR REPLACE MACRO flashql.json_contains(document, part) AS [
    CASE
        WHEN flashql_both['document'] IS NULL OR flashql_both['part'] IS NULL THEN CAST(NULL AS BOOLEAN)
        WHEN json_type(flashql_both['document']) = 'ARRAY' AND json_type(flashql_both['part']) NOT IN ('OBJECT', 'ARRAY')
            THEN list_contains(
                CAST(json_extract(flashql_both['document'], '$[*]') AS VARCHAR[]), CAST(flashql_both['part'] AS VARCHAR)
            )
        ELSE flashql.json_holds_6(flashql_both['document'], flashql_both['part'])
    END
    FOR flashql_both IN [{
        'document': flashql.json_marked(flashql.json_key(document)), 'part': flashql.json_marked(flashql.json_key(part))
    }]
][1];
