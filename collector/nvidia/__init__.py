"""Boards behind NVML: what they answer, what their errors mean, how fast their counters move."""
