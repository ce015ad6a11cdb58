"""What a span or an event means, whichever dialect says it: one vocabulary, one set of rules."""
