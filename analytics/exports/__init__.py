"""What leaves the store in other people's formats: one module per format."""
