-- What queries over HTTP step down.

-- Accounts in the orders that a list can have, by bytes: they must not depend on the database's locale.
CREATE INDEX account_balance_by_id ON account_balance (account_id COLLATE "C");
CREATE INDEX account_balance_by_owner ON account_balance (owner_name COLLATE "C", account_id COLLATE "C");
CREATE INDEX account_balance_by_opening ON account_balance (opened_at, account_id COLLATE "C");

-- The lines of an account within a time; time rises with the version, so it is also their order.
CREATE INDEX transactions_by_time ON transactions (account_id, timestamp, version);
