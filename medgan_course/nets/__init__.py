"""Networks. Discriminators and classifiers return logits; images are ``(N, C, H, W)`` in [-1, 1]."""
