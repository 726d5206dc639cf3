"""A first configuration for images that nobody has described yet: what is guessed, from what, and what to check."""

from heteroscope.guess.folder import guess_folder as guess_folder
from heteroscope.guess.guesses import Guess as Guess
from heteroscope.guess.sketch import sketch as sketch
from heteroscope.guess.table import guess_table as guess_table
