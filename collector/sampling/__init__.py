"""What the collector reads by itself: devices, processes, metrics pages, its own health."""
