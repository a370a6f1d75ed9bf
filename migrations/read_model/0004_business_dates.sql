-- The business date of a line that moves money, where its command gave one; else the line is effective at its timestamp.
ALTER TABLE transactions ADD COLUMN effective_at TIMESTAMPTZ;
