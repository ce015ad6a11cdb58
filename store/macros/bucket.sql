-- The start of the bucket of the given width in seconds that holds the TIMESTAMP ts (UTC).
-- Widths that divide a day begin at UTC midnight, whole weeks on Monday.
CREATE OR REPLACE MACRO bucket(ts, seconds) AS time_bucket(to_seconds(seconds), CAST(ts AS TIMESTAMP));
