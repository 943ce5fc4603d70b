"""Scoring what a person brings: images, features or statistics from any source, without a model.

One request is looked at (`request.py`), refused or warned of (`checks.py`), planned and run
(`run.py`); `sides.py` recognises what its names mean, `imports.py` puts it into the store.
"""
