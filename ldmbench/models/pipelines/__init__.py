"""Pipelines of diffusers that their own call samples."""
