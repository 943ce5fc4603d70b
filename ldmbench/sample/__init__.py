"""Noise, time grids, solvers, guidance: work on any eps callable."""
