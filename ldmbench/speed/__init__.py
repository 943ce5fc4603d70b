"""Throughput, latency, FLOPs, memory, energy of a model on this machine."""
