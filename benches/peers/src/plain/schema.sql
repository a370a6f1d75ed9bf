-- What somebody would write who wants balances and a history of them, and nothing else. No foreign key from lines to accounts:
-- the statements make it true, and it would cost a look-up for each line.
-- fillfactor: room for the next versions of a row on its own page, so that an update touches no index.
CREATE TABLE accounts (
    account_id text PRIMARY KEY,
    owner_name text NOT NULL,
    balance_cents bigint NOT NULL CHECK (balance_cents >= 0)
) WITH (fillfactor = 50);

CREATE TABLE lines (
    line_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id text NOT NULL,
    cents bigint NOT NULL,
    balance_after_cents bigint NOT NULL,
    description text NOT NULL,
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX lines_of_account ON lines (account_id, line_id);
