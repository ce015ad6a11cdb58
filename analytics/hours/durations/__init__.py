"""The durations that percentiles are taken of: one ``.sql`` file each."""
