"""True rationales: which earlier steps made an occupation likely, where the law says so.

Every step of a career tells something about the type and so has some effect on every p*(y_t | past). But three
mechanisms of the law name particular steps: a recipe (a, b, c) pulls people who have held a and b to c, a ladder pulls
people who have worked in a family for long enough to its senior occupation, and returns pull people to occupations
that they have held. Where an occupation was entered under such a pull, these steps are its rationale, and a method
that explains predictions (attention, gradients, leaving steps out) can be compared with it.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from .filtering import Filter
from .law import NONE, History, Law, Step
from .survey import BLOCK, Simulation, Waves
from .world import World


MECHANISMS = ["recipe", "ladder", "return"]


def rationale_sets(simulation: Simulation) -> pd.DataFrame:
    """Finds the earlier steps that pulled people to the occupations that they entered, and the effect of each pull.

    Args:
        simulation: Careers and their world.

    Returns:
        One row for each step at which an occupation was entered (not stayed in) and each mechanism that pulled to it:
        person; step (0 for the first, as in a transition table); occupation; mechanism, "recipe", "ladder" or
        "return"; steps, all earlier steps that the pull depends on: steps in a and in b, the waves worked in the
        family in a row, or steps in the occupation itself; needs, lists of steps such that one of each list is needed
        for the pull and one of each is enough (a return has some of its strength then, which grows with waves held and
        fades with time); minimal, the smallest set of steps that is enough, the latest of each list; strength, the
        pull in u_kj; probability, p*(y_t | past); without, the probability with this pull on this occupation switched
        off at this step and types as likely as before; effect, the ratio of the two probabilities.
    """
    world = simulation.world
    law, waves = Law(world), Waves.of(simulation.careers, world)
    blocks = []
    for start in range(0, len(waves.lengths), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(waves.lengths)))
        pulls = _pulls(law, waves.take(block))
        blocks.append(pulls.assign(row=pulls["row"] + start))
    pulls = pd.concat(blocks).sort_values(["row", "step", "mechanism"], ignore_index=True)
    sets = [
        _steps_and_needs(world, MECHANISMS[mechanism], waves.states[row, :step], state)
        for row, step, state, mechanism in pulls[["row", "step", "state", "mechanism"]].itertuples(index=False)
    ]
    return pd.DataFrame(
        {
            "person": pd.Series(simulation.careers["person"][:]).loc[pulls["row"]].to_numpy(),
            "step": pulls["step"],
            "occupation": pd.Categorical.from_codes(pulls["state"], world.labels),
            "mechanism": pd.Categorical.from_codes(pulls["mechanism"], MECHANISMS),
            "steps": pd.Series([steps for steps, _ in sets], dtype=object),
            "needs": pd.Series([needs for _, needs in sets], dtype=object),
            "minimal": pd.Series([sorted(steps[-1] for steps in needs) for _, needs in sets], dtype=object),
            **pulls[["strength", "probability", "without"]],
            "effect": pulls["probability"] / pulls["without"],
        }
    )


def _pulls(law: Law, waves: Waves) -> pd.DataFrame:
    """The pulls at work: row of the person, step, state, index of the mechanism in `MECHANISMS`, and effect."""
    frames = []
    rows = np.arange(len(waves.lengths))
    forward = Filter(law, waves.people)
    for t in range(waves.years.shape[1]):
        continues = waves.lengths[rows] > t
        if not continues.all():
            rows, forward = rows[continues], forward.take(continues)
        state = waves.states[rows, t]
        forward.observe_covariates(waves.years[rows, t], waves.levels[rows, t])
        step = forward.current()
        for mechanism, strength in enumerate(_strengths(law, forward.history, waves.years[rows, t], state)):
            pulled = np.flatnonzero(strength)
            probability, without = _switched_off(
                step.take(pulled), forward.weights[pulled], state[pulled], strength[pulled]
            )
            columns = {"row": rows[pulled], "step": t, "state": state[pulled], "mechanism": mechanism}
            columns |= {"strength": strength[pulled], "probability": probability, "without": without}
            frames.append(pd.DataFrame(columns))
        forward.observe_occupation(state)
    return pd.concat(frames)


def _strengths(law: Law, history: History, year: np.ndarray, state: np.ndarray) -> list[np.ndarray]:
    """For each mechanism, the `(people,)` pull on the occupation that was entered; 0 where it was not at work."""
    world, c = law.world, law.world.config
    people = np.arange(len(state))
    entered = (history.previous != NONE) & (state < c.occupations) & (state != history.previous)
    occupation = np.where(entered, state, 0)
    a, b, result = world.recipes.T
    is_completed = (history.waves_held[:, a] > 0) & (history.waves_held[:, b] > 0) & (result == occupation[:, None])
    climbed = (history.family_run >= c.ladder_waves) & (
        occupation == world.senior[world.family[history.last_occupation]]
    )
    returns = np.zeros(len(state))
    back = np.flatnonzero(entered & (history.waves_held[people, occupation] > 0))
    returns[back] = law.return_pull(history, year, back, occupation[back])
    return [entered * c.recipe_strength * is_completed.any(axis=1), entered * c.ladder * climbed, returns]


def _switched_off(
    step: Step, weights: np.ndarray, occupation: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """p*(y_t = occupation | past), and its value where u of that occupation is lower by `strength`.

    For each type the odds of the occupation against all others that a mover can enter are lower by exp(strength);
    whether people stay and which class they move to is as before.
    """
    share = step.pull[np.arange(len(occupation)), occupation][:, None] * step.taste_pull[:, occupation].T / step.total
    fade = np.exp(-strength)[:, None]
    likelihood = weights * step.likelihood(occupation)
    return likelihood.sum(axis=1), (likelihood * fade / (1 - share * (1 - fade))).sum(axis=1)


def _steps_and_needs(
    world: World, mechanism: str, past: np.ndarray, occupation: int
) -> tuple[list[int], list[list[int]]]:
    """All steps that a pull depends on, and the lists of steps of which it needs one each."""
    if mechanism == "recipe":
        a, b = world.recipes[world.recipes[:, 2] == occupation][0, :2]
        needs = [np.flatnonzero(past == ingredient).tolist() for ingredient in (a, b)]
        return sorted(sum(needs, [])), needs
    if mechanism == "return":
        steps = np.flatnonzero(past == occupation).tolist()
        return steps, [steps]
    worked = np.flatnonzero(past < world.config.occupations)
    elsewhere = np.flatnonzero(world.family[past[worked]] != world.family[past[worked[-1]]])
    run = worked[elsewhere[-1] + 1 :] if len(elsewhere) else worked
    return run.tolist(), [[step] for step in run[-world.config.ladder_waves :].tolist()]
