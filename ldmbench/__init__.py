"""ldmbench: quality, speed and cost of latent diffusion models, from one YAML file.

suite (YAML) -> plan (cells and stages) -> store (what is made, by key) -> execute (workers)
-> records (rows with signatures) -> outlets (report, gate, MLflow).
What happens to the data is `pipeline.py`; what a suite may name is `catalog.py`.
"""

from ldmbench.errors import InputError, LdmbenchError

__all__ = ["InputError", "LdmbenchError"]
