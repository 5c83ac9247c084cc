SET lock_timeout = '2s';
SET statement_timeout = 0;

DROP FUNCTION close_stream(uuid),
    open_stream(uuid, text, text, integer, integer, integer, bigint, boolean, integer),
    read_changes(text, bigint, boolean, integer),
    changes_page(text, bigint, boolean, integer);
DROP TABLE change_streams;
