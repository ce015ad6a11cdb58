"""Ways to serve the shipped models: one TOML file is one variant, its file name is its name."""
