-- The schema of a copy of a read model used to be called shadow_NAME or retired_NAME, and is called HOME_shadow_NAME or
-- HOME_retired_NAME now, HOME being the schema of the live tables. Copies that are there get their new names: otherwise
-- nobody would find them any more.
--
-- With several ledgers in one database the old name does not say whose copy it is: it is of the one that has read the
-- same stream as the copy. ALTER SCHEMA moves no rows and locks no tables.
DO $$
DECLARE
    names CONSTANT TEXT[] := ARRAY['account_balance', 'transactions', 'transfers', 'holds', 'daily_totals'];
    home    TEXT;
    ledgers BIGINT;
    copy    RECORD;
    is_ours BOOLEAN;
BEGIN
    SELECT nspname INTO home FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = to_regclass('projection_offsets');
    -- Of those that hold offsets, the schemas that are no copies.
    SELECT count(*) INTO ledgers FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relname = 'projection_offsets' AND relkind = 'r'
        AND nspname !~ ('(^|_)(shadow|retired)_(' || array_to_string(names, '|') || ')$');
    FOR copy IN
        SELECT old.nspname::text AS old_name, home || '_' || old.nspname AS new_name, name,
            pg_has_role(nspowner, 'USAGE') AND has_database_privilege(current_database(), 'CREATE') AS may_rename
        FROM unnest(names) AS name, unnest(ARRAY['shadow', 'retired']) AS what, pg_namespace AS old
        WHERE old.nspname = what || '_' || name
            AND EXISTS (SELECT 1 FROM pg_class
                WHERE relnamespace = old.oid AND relname = 'projection_offsets' AND relkind = 'r')
    LOOP
        -- PostgreSQL would cut a longer name off, and the program refuses it.
        CONTINUE WHEN octet_length(copy.new_name) > 63
            OR EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = copy.new_name);
        is_ours := ledgers = 1;
        IF NOT is_ours AND copy.may_rename THEN
            EXECUTE format(
                'SELECT EXISTS (SELECT 1 FROM %I.projection_offsets AS copied
                    JOIN %I.projection_offsets AS live USING (projection, stream_id) WHERE projection = %L)',
                copy.old_name, home, copy.name
            ) INTO is_ours;
        END IF;
        CONTINUE WHEN NOT is_ours;
        IF NOT copy.may_rename THEN
            RAISE EXCEPTION 'a copy of % lies in the schema %, which has to be called % now, and this user may not rename it: '
                'ALTER SCHEMA % RENAME TO %, as a superuser, and migrate again', copy.name, copy.old_name, copy.new_name,
                quote_ident(copy.old_name), quote_ident(copy.new_name);
        END IF;
        EXECUTE format('ALTER SCHEMA %I RENAME TO %I', copy.old_name, copy.new_name);
    END LOOP;
END
$$;
