"""Arrays -> numbers: quality metrics, usable without any suite."""
