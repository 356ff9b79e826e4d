-- What a job is doing has names of its own, and the slot that is waited for is part of a clone.
UPDATE flashql.sync_jobs SET phase = CASE phase WHEN 'stream' THEN 'pull' ELSE 'clone' END
WHERE phase IN ('stream', 'copy', 'slot');
