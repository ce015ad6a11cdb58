-- How far settlement has come: up to which moment of receipt the rows of each raw relation are settled, and in `energy`
-- from which moment on joules are not split for good. Written after each pass; append-only, the newest pass wins.
CREATE TABLE IF NOT EXISTS {name} (
    pass       BIGINT NOT NULL,
    relation   VARCHAR NOT NULL,
    until_ns   BIGINT NOT NULL
);
