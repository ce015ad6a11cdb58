"""What the rows mean: settled requests, joules per request and the metrics over them; frames in, frames out."""
