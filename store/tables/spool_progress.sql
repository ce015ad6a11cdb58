-- How far the collector's spool is in the store: written in the transaction that holds the rows, so that no record of the
-- spool is stored twice or skipped. Append-only; the highest wins.
CREATE TABLE IF NOT EXISTS {name} (
    sequence  BIGINT NOT NULL
);
