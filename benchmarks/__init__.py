"""Speed and memory against the loops that people would otherwise write: same networks, data and batch."""
