-- What a job is doing has names of its own, and the slot that is waited for is part of a clone.
ALTER TABLE flashql.sync_jobs ADD COLUMN last_reconciled_at TIMESTAMPTZ; -- when its rows were last found equal to the origin's
UPDATE flashql.sync_jobs SET phase = CASE phase WHEN 'stream' THEN 'pull' ELSE 'clone' END WHERE phase IS NOT NULL;
