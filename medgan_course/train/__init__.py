"""The game: players, turns, and the engine that plays them."""

from medgan_course.train.engine import fit
from medgan_course.train.game import Game, History, Player, Turn, linear_decay

__all__ = ["Game", "History", "Player", "Turn", "fit", "linear_decay"]
