-- The moments, in seconds of the epoch, of local times of a zone given in seconds too.
SELECT extract(epoch FROM (timestamp 'epoch' + local * INTERVAL '1 second') AT TIME ZONE %(zone)s)::bigint
FROM unnest(%(locals)s::bigint[]) WITH ORDINALITY AS l (local, place)
ORDER BY place
