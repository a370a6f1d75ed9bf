-- Lengthens the history of every account from its opening with $1 cents to $2 events, by deposits of one cent, as the library
-- writes them, without the hours that it would take to write them by commands.
-- $3 metadata, $4 how many snapshots there would be by then; at 0 there is none.
WITH account AS (
    SELECT aggregate_id, (payload -> 'Opened' ->> 'owner_name') AS owner_name FROM events
), event AS (
    INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
    SELECT 'account', aggregate_id, sequence, 'Deposited', '1.0',
        json_build_object('Deposited', json_build_object('cents', 1, 'balance_cents', $1::bigint + sequence - 1)),
        $3::json
    FROM account CROSS JOIN generate_series(2, $2::bigint) AS sequence
), snapshot AS (
    INSERT INTO snapshots (aggregate_type, aggregate_id, last_sequence, current_snapshot, payload)
    SELECT 'account', aggregate_id, $2::bigint, $4::bigint,
        json_build_object('is_open', true, 'balance_cents', $1::bigint + $2::bigint - 1)
    FROM account
    WHERE $4::bigint > 0
)
UPDATE account_view
SET version = $2::bigint,
    payload = json_build_object(
        'owner_name', owner_name, 'balance_cents', $1::bigint + $2::bigint - 1, 'events', $2::bigint)
FROM account WHERE view_id = aggregate_id
