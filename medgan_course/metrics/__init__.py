"""How good generated images are: distances between sets of them, with floors and intervals."""
