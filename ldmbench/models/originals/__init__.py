"""Transformers by the layouts of their own repositories: DiT, SiT, REPA, LightningDiT."""
