"""Networks: autoencoders, denoisers, conditioners, and loading of released ones."""
