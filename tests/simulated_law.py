"""The law of `docs/explanation/simulated_market.md` once more, for one person and one type, in plain Python: what
tests compare `career_hf.simulation` with. It shares nothing with the package but the arrays of the world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Person:
    birth_year: int
    gender: int
    race: int
    region: int


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def class_of(value, first_values):
    """Number of the class of a whole number, of which the first also has what is below it."""
    return max(sum(value >= first for first in first_values) - 1, 0)


def prior(world, person):
    c = world.config
    middle = (c.first_birth_year + c.last_birth_year) / 2
    share = [
        math.exp(
            (person.gender - 0.5) * world.type_gender[k]
            + world.type_race[person.race, k]
            + (person.birth_year - middle) / 10 * world.type_cohort[k]
        )
        for k in range(c.types)
    ]
    return [s / sum(share) for s in share]


def p_education(world, k, person, past, year, level):
    """p(level | type, past), where past is a list of (year, level, state)."""
    c = world.config
    if not past:
        mean = c.education_start + c.education_by_type * world.schooling[k]
        mean += c.education_by_age * (year - person.birth_year - 20)

        def below(bound):
            return 0.5 * math.erfc(-(bound - mean) / c.education_noise / math.sqrt(2))

        return (1 if level == 4 else below(level + 0.5)) - (0 if level == 0 else below(level - 0.5))
    before, at, state = past[-1]
    rises = 0.0
    if c.tables is not None and at < 4:
        log_odds = c.tables.rise_by_year[state != world.num_states - 1][class_of(year, c.tables.years)]
        rises = 1 - (1 - sigmoid(log_odds + 0.8 * world.schooling[k])) ** (year - before)
    elif state == world.num_states - 1 and at < 4:
        rises = 1 - (1 - c.education_progress * sigmoid(-1 + 0.8 * world.schooling[k])) ** (year - before)
    return {0: 1 - rises, 1: rises}.get(level - at, 0.0)


def p_state(world, k, person, past, year, level):
    """p(y_t = j | type, past) for every state j, as a list."""
    c, n = world.config, world.config.occupations
    age, decades = year - person.birth_year, (year - person.birth_year - 20) / 10
    young_woman = person.gender == 1 and 24 <= age <= 36
    previous = past[-1][2] if past else None
    t = c.tables
    if t is not None:
        groups = max(t.group) + 1
        origin = groups + 3 if not past else t.group[previous] if previous < n else groups + previous - n
        of_year = class_of(year, t.years)

    stay = 0.0
    if past:
        start = past[-1][0]
        for then, _, state in reversed(past):
            if state != previous:
                break
            start = then
        spell, gap = math.log(past[-1][0] - start + 1), year - past[-1][0]
        if previous < n:
            logit = c.stay_occupation + world.stability[k] + c.stay_match * world.taste[k] @ world.skill[previous]
            logit += c.stay_duration * spell + c.stay_age * min(max(decades, 0), 2.5)
        elif previous == n:
            logit = c.stay_unemployed + world.joblessness[k] + c.stay_unemployed_duration * spell
        elif previous == n + 1:
            logit = c.stay_out + world.attachment[k] + c.out_women * young_woman
        else:
            logit = c.stay_school + world.schooling[k] / 2 + c.stay_school_age * max(age - 20, 0)
        if t is not None:
            kind = max(previous - n + 1, 0)
            logit += t.stay_by_duration[kind][class_of(past[-1][0] - start + 1, t.durations)]
            logit += t.stay_by_year[person.gender][kind][of_year]
            logit += t.stay_by_group[t.group[previous]] if previous < n else 0
        stay = sigmoid(logit + c.stay_gap * (gap - 1))

    classes = [
        0.0,
        c.move_unemployed + c.unemployed_education * level + c.unemployed_age * decades + world.joblessness[k],
        c.move_out + c.out_age * decades + c.out_women * young_woman + world.attachment[k],
        c.move_school + c.school_age * max(age - 18, 0) + world.schooling[k],
    ]
    if not past:
        classes = [a + b for a, b in zip(classes, [0, c.first_unemployed, c.first_out, c.first_school], strict=True)]
    if t is not None:
        tables = (t.move_by_origin[origin], t.move_by_year[person.gender][of_year], t.move_by_education[level])
        classes = [classes[0], *(a + sum(table[i] for table in tables) for i, a in enumerate(classes[1:]))]
    classes = [math.exp(a) for a in classes]
    if past and previous >= n:
        classes[previous - n + 1] = 0

    worked = [(then, state) for then, _, state in past if state < n]
    held = [state for _, state in worked]
    last = held[-1] if held else None
    if not c.last_occupation_survives:
        last = previous if past and previous < n else None
    run = 0
    for state in reversed(held):
        if world.family[state] != world.family[held[-1]]:
            break
        run += 1
    pull = []
    for j in range(n):
        u = world.size[j] + world.trend[j] * (year - 1990) / 10 + world.region_size[person.region, j]
        u += (person.gender - 0.5) * world.gender_typing[j] - c.education_gap * max(world.requirement[j] - level, 0)
        u += c.taste * world.taste[k] @ world.skill[j]
        if last is not None:
            u -= c.nearness / 2 * sum((world.skill[last] - world.skill[j]) ** 2)
        if held:
            u += c.mean_skill * np.mean([world.skill[i] for i in held], axis=0) @ world.skill[j]
        if t is not None:
            u += t.flow[origin][t.group[j]] + t.education_flow[level][t.group[j]]
        if j in held and t is not None:
            others = len(set(held)) - (previous < n)
            since = year - max(then for then, state in worked if state == j)
            pull_back = t.return_by_held[class_of(others, t.held)] + t.return_by_since[class_of(since, t.since)]
            pull_back += t.return_by_waves[class_of(held.count(j), t.waves)]
            pull_back += t.recall if previous >= n and held[-1] == j else 0
            u += c.return_strength * pull_back
        elif j in held:
            since = year - max(then for then, state in worked if state == j)
            u += c.return_strength * math.log(1 + held.count(j)) * math.exp(-c.return_decay * since)
        if run >= c.ladder_waves and j == world.senior[world.family[held[-1]]]:
            u += c.ladder
        for a, b, result in world.recipes:
            u += c.recipe_strength * (j == result and a in held and b in held)
        pull.append(0.0 if j == previous else math.exp(u))

    p = [(1 - stay) * classes[0] / sum(classes) * x / sum(pull) for x in pull]
    p += [(1 - stay) * x / sum(classes) for x in classes[1:]]
    if past:
        p[previous] = stay
    return p


def p_true(world, person, career):
    """p*(y_t | past) at every wave of a career, a list of (year, level, state): whole careers summed over types."""
    joint, answers = prior(world, person), []
    for t, (year, level, state) in enumerate(career):
        past = career[:t]
        joint = [w * p_education(world, k, person, past, year, level) for k, w in enumerate(joint)]
        of_type = [p_state(world, k, person, past, year, level) for k in range(len(joint))]
        answers.append(np.array(joint) @ np.array(of_type) / sum(joint))
        joint = [w * p[state] for w, p in zip(joint, of_type, strict=True)]
    return np.array(answers)
