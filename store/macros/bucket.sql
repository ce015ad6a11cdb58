-- The start of the bucket of the given width in seconds that holds the TIMESTAMP ts (UTC); counted from Monday 0001-01-01.
-- Widths that divide a day begin at UTC midnight, whole weeks on Monday. Integers: time_bucket took a third of a count by hour.
CREATE OR REPLACE MACRO bucket(ts, seconds) AS
    make_timestamp(epoch_us(CAST(ts AS TIMESTAMP))
        - (epoch_us(CAST(ts AS TIMESTAMP)) + 62135596800000000) % CAST(1000000 * CAST(seconds AS DOUBLE) AS BIGINT));
