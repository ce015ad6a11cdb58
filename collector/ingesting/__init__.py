"""From the spool's acknowledgement into the store: bounded, fair, every row once."""
