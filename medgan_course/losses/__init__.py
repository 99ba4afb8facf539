"""Losses: pure functions of logits or images, each with its formula."""
