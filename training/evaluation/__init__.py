"""Quality, latency and joules of ways to serve the same models, side by side, and what follows for a deployment."""
