-- What the account's movements must obey; {} for most.
ALTER TABLE account_balance ADD COLUMN rules JSONB NOT NULL DEFAULT '{}';
