"""The game: players, turns, and the engine that plays them."""

from medgan_course.train.engine import fit
from medgan_course.train.game import Game, Player, Turn

__all__ = ["Game", "Player", "Turn", "fit"]
