"""Families of library-desk exercises: one module is one family, its class ``Task`` draws the questions."""

import random
from collections.abc import Mapping
from typing import Final, cast

from conventions import plugins
from training.library_desk.exercise import DIFFICULTIES, SYSTEM_PROMPT, Difficulty, Exercise, Split, Task, split_of

Cell = tuple[str, Difficulty]
"""A family and a difficulty: the grain of every mixture and of every accuracy table."""

_SYSTEM_PROMPT_SHARE: Final = 0.15


def families() -> list[str]:
    """Sorted names of the task families in this folder."""
    return plugins.names(__name__)


def load(family: str) -> Task:
    """The task of one family; raises ``PluginError`` naming the choices."""
    return cast(Task, plugins.load(__name__, family, "Task")())


def cells() -> list[Cell]:
    """Every family at every difficulty."""
    return [(family, difficulty) for family in families() for difficulty in DIFFICULTIES]


def traffic_mix(easy_share: float = 0.8) -> dict[Cell, float]:
    """Weights of the cells in live traffic: families alike, ``easy_share`` of the questions easy."""
    shares = {"easy": easy_share, "hard": 1.0 - easy_share}
    return {(family, difficulty): shares[difficulty] for family, difficulty in cells()}


def sample(seed: int, n: int, easy_share: float = 0.8, split: Split = "heldout") -> list[Exercise]:
    """``n`` exercises of the traffic mix, the same for the same arguments."""
    return mixture(random.Random(f"{split}-{seed}"), n, traffic_mix(easy_share), split)


def mixture(rng: random.Random, n: int, weights: Mapping[Cell, float], split: Split) -> list[Exercise]:
    """``n`` exercises of one split, cells drawn in proportion to ``weights``."""
    tasks = {family: load(family) for family in families()}
    drawn = rng.choices(list(weights), weights=list(weights.values()), k=n)
    return [draw(rng, tasks[family], family, difficulty, split) for family, difficulty in drawn]


def draw(rng: random.Random, task: Task, family: str, difficulty: Difficulty, split: Split) -> Exercise:
    """One exercise of ``split``: questions that belong to another split are thrown back."""
    set_scene = task.easy if difficulty == "easy" else task.hard
    scene = set_scene(rng)
    while split_of(scene.standalone(0)) != split:
        scene = set_scene(rng)
    system = SYSTEM_PROMPT if rng.random() < _SYSTEM_PROMPT_SHARE else None
    # A follow-up that another split owns when it is asked first would tell that split's answer.
    own = [index for index in range(1, len(scene.turns)) if split_of(scene.standalone(index)) == split]
    followups = tuple(scene.turns[index] for index in own)
    return Exercise(scene.standalone(0), scene.turns[0][1], family, difficulty, system, followups)
