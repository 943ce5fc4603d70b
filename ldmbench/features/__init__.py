"""Feature extractors and their weights: networks that turn images and captions into vectors."""
