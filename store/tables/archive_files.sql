-- The archived files that the views read, one row per Parquet file; writing a row is what makes a sealed day archived.
-- A file in the archive folder without a row is left over and nobody reads it.
CREATE TABLE IF NOT EXISTS {name} (
    relation  VARCHAR NOT NULL,
    day       INTEGER NOT NULL,              -- days since 1970-01-01 UTC: of arrival (raw) or of started_at (settled)
    path      VARCHAR NOT NULL,              -- within the archive folder: day=2026-11-20/spans.parquet
    num_rows  BIGINT NOT NULL,
    size      BIGINT NOT NULL,               -- bytes
    column_names  VARCHAR[]                  -- in order; NULL where an older release wrote it: its columns are joined by name
);
