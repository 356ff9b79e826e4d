-- When a job's rows were last found equal to the origin's.
ALTER TABLE flashql.sync_jobs ADD COLUMN last_reconciled_at TIMESTAMPTZ;
