"""Every test; folders mirror the packages."""
