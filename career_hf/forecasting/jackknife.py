"""Logs of probabilities that are averages over sampled trajectories: their bias, and their Monte-Carlo error.

The log of an average is too low on average. Let r be what a trajectory says of a probability, over the mean of that.
The log of the average of S independent trajectories has the expectation (a Taylor expansion about the mean)

    log p - var(r) / (2 S) + O(1 / S^2),

and the variance var(r) / S to first order. Trajectories of one person are independent, because each has random numbers
of its own, however many steps they share in memory; so S is their number, and the var(r) of averaged probabilities is
smaller than that of counts (Rao-Blackwell). An estimate of var(r) / (2 S) is the standard error of p over p, squared
and halved. It is too small where a few trajectories hold most of a probability: the sample often has none of them, and
then knows nothing of its own error. On a Markov chain of the NLSY79, three steps ahead with 300 trajectories, it
leaves a quarter of the bias, and an error that is a quarter too small.

So groups of trajectories are left out, one and two at a time (the jackknife of second order: Quenouille, 1956, "Notes
on bias in estimation"; Schucany, Gray and Owen, 1971, "On bias reduction in estimation"), which leaves O(1 / S^3),
and sees what happens without the few that matter. The corrected log is

    (G^2 log p - 2 (G - 1)^2 mean_g log p_(g) + (G - 2)^2 mean_gh log p_(gh)) / 2,

where p_(g) is the average without group g, and p_(gh) that without two. On the chain above it leaves less than half of
the bias that the first order, G log p - (G - 1) mean_g log p_(g), leaves, and its spread is 2% to 3% larger. Its error
is Tukey's (1958), over corrected logs of first order that are made without each group.
"""

from __future__ import annotations

from itertools import combinations

import torch


# Groups of trajectories that are left out in turn.
GROUPS = 10
# Where two groups hold more than nine tenths of a probability, differences of logs have no bound: half the squared
# error there.
LEAST_LEFT = 0.1
# With fewer trajectories than two in each group half the squared error is all that there is.
FEWEST_TRAJECTORIES = 2 * GROUPS


def group_of(numbers: torch.Tensor, trajectories: int) -> torch.Tensor:
    """The group of each trajectory of a person, by its number; sizes differ by one at most."""
    return numbers * GROUPS // trajectories


def log_correction(
    sums: torch.Tensor, relative_error: torch.Tensor, trajectories: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What has to be added to the log of a probability, and the standard error of the sum of both.

    Args:
        sums: `(..., groups, vocabulary)`, what each group of trajectories adds to the probability, float64.
        relative_error: `(..., vocabulary)`, the standard error of the probability, over the probability.
        trajectories: Number of trajectories of a person.

    Returns:
        Two tensors of `(..., vocabulary)`, 0 where the probability is 0.
    """
    correction, error = relative_error.square() / 2, relative_error
    if trajectories < FEWEST_TRAJECTORIES:
        return correction, error
    total = sums.sum(-2)
    possible = total > 0
    share = sums / total.where(possible, 1).unsqueeze(-2)
    size = (
        torch.bincount(group_of(torch.arange(trajectories, device=sums.device), trajectories)).to(sums) / trajectories
    )
    # Logs of averages over those that are left, minus the log of the average over all.
    without = ((1 - share) / (1 - size).unsqueeze(-1)).clamp(min=LEAST_LEFT).log()
    without_two = torch.zeros_like(without)
    least = torch.ones_like(total)
    for a, b in combinations(range(GROUPS), 2):
        left = (1 - share[..., a, :] - share[..., b, :]) / (1 - size[a] - size[b])
        least = torch.minimum(least, left)
        log = left.clamp(min=LEAST_LEFT).log()
        without_two[..., a, :] += log
        without_two[..., b, :] += log
    corrected = (GROUPS - 1) * without - (GROUPS - 2) / (GROUPS - 1) * without_two
    jackknifed = possible & (least >= LEAST_LEFT)
    of_pairs = without_two.sum(-2) / (GROUPS * (GROUPS - 1))
    second_order = (GROUPS - 2) ** 2 / 2 * of_pairs - (GROUPS - 1) ** 2 * without.mean(-2)
    correction = second_order.where(jackknifed, correction)
    variance = (GROUPS - 1) * corrected.var(-2, correction=0)
    return correction, variance.sqrt().where(jackknifed, error)


__all__ = ["GROUPS", "group_of", "log_correction"]
