"""The command line: it starts the others and prints what they know, and holds no logic of its own."""
