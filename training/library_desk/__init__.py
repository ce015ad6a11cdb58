"""The library desk: graded synthetic tasks, and the two models that learn to answer them."""
