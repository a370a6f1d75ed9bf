-- Rules of accounts: what those that limit a day's debits have counted, as of each event. NULL for every other account.
ALTER TABLE events ADD COLUMN day_debits JSONB;
