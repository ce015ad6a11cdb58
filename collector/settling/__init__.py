"""New spans and data points become requests, attempts and joules, a bucket at a time."""
