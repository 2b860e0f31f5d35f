"""PG-Drought: follow humans who can be asked only now and then."""

from __future__ import annotations

from typing import Any

from progressgym.challenges.follow import Follow

import progressgym as pg


@pg.register("challenge", "drought")
class Drought(Follow):
    """Follow humans who can be asked only in every second era.

    ## Description
    As in Follow, but between two eras that answer lie eras that answer nothing. Values go on
    changing meanwhile, and the policy is measured in every era. What is hard: to move on in the
    right direction without being told, and to catch up when somebody can be asked again.

    ## Action space
    `PolicySpace`: any `Policy` (base model and adapter).

    ## Observation space
    `Dict(step: Discrete, era: Discrete, questions: Discrete)`: the step, the era's index and the
    number of questions its human answers: 0 in a dry era.

    ## Rewards
    As in Follow: ‖f − u_t‖² − ‖v_t − u_t‖², and the skill.

    ## Starting state
    The first era, which answers. The initial policy is the first era's model.

    ## Episode end
    Terminated after the last era; never truncated.

    ## Arguments
    `every`: which eras answer: every second, every third …; 1 is Follow. The others are those of
    `progressgym.challenge.Challenge`.

    ## Version history
    v0: first version.
    """

    name = "drought"

    def __init__(self, every: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        if every < 1:
            raise pg.UsageError(f"every={every}: expected 1 or more.")
        self.every = every
        self.settings["every"] = every

    def budget(self, step: int) -> int:
        """All questions, or none in a dry era."""
        return self.settings["questions"] if step % self.every == 0 else 0
