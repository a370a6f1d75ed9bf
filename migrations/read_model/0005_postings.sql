-- The posting that a line is an entry of. All its entries have it; NULL for every other line.
ALTER TABLE transactions ADD COLUMN posting_id UUID;
