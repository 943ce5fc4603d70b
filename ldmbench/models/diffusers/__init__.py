"""Diffusers folders: read, and written."""
