"""The small library all tasks talk about: its rooms, titles and members.

Every name is one token of the shipped tokenizer, so a prompt stays short and a model spends its
parameters on the task and not on spelling.
"""

from typing import Final

ROOMS: Final = (
    "annex", "archive", "basement", "cafe", "gallery", "garden",
    "lobby", "nursery", "office", "studio", "theatre", "workshop",
)  # fmt: skip
TITLES: Final = (
    "Atonement", "Beloved", "Candide", "Dracula", "Dune", "Emma", "Faust", "Hamlet",
    "Heidi", "Iliad", "Ivanhoe", "Kim", "Macbeth", "Medea", "Middlemarch", "Odyssey",
    "Othello", "Persuasion", "Rebecca", "Siddhartha", "Tartuffe", "Ulysses", "Utopia", "Walden",
)  # fmt: skip
BUSY_TITLES: Final = ("Dune", "Emma", "Hamlet", "Kim", "Walden")
"""What hard look-ups are about: matching a name with itself is learnt name by name."""
MEMBERS: Final = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jo", "Kai", "Lena")
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTH_LENGTHS: Final = {
    "January": 31, "February": 28, "March": 31, "April": 30, "May": 31, "June": 30,
    "July": 31, "August": 31, "September": 30, "October": 31, "November": 30, "December": 31,
}  # fmt: skip
