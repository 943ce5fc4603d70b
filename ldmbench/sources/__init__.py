"""What lies on disk, without torch: images, models, evaluators."""
