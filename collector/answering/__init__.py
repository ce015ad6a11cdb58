"""What the collector answers: queries, shipped metrics, records, backups, as fresh as what was acknowledged."""
