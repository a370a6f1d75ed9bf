-- A balance by business date: what the clock and the books do not agree about yet at an instant is one step down this index,
-- and along it from there. By itself, for CockroachDB makes no index on a column that the same transaction adds.
CREATE INDEX events_by_date ON events (dated_account_id, dated_until, version) WHERE dated_account_id IS NOT NULL;
