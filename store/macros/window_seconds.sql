-- Length in seconds of the part of a time bucket that lies in [start_at, end_at); of the whole window without buckets.
CREATE OR REPLACE MACRO window_seconds(bucket_at, bucket_s, start_at, end_at) AS
    CASE WHEN CAST(bucket_s AS DOUBLE) IS NULL
         THEN epoch(CAST(end_at AS TIMESTAMP)) - epoch(CAST(start_at AS TIMESTAMP))
         ELSE epoch(least(bucket_at + to_seconds(CAST(bucket_s AS DOUBLE)), CAST(end_at AS TIMESTAMP)))
            - epoch(greatest(bucket_at, CAST(start_at AS TIMESTAMP))) END;
