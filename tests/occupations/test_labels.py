"""One dialect: whatever two parts of the package call a level of a covariate, they call it the same."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from career_hf import CareerConfig, CareerForOccupationPrediction, CareerProcessor
from career_hf.careers import from_frame
from career_hf.models.transfer import resize_vocabulary
from career_hf.occupations.labels import (
    BELOW_COLLEGE,
    COLLEGE,
    EDUCATION,
    GENDERS,
    LEVELS,
    NOT_WORKING,
    OTHER_REGION,
    RACES,
    RACES_WITH_OTHER,
    REGIONS,
)
from career_hf.simulation import preset
from career_hf.simulation.world import NOT_WORKING as SIMULATED_STATES
from career_hf.sources import nlsy79_careers, open_resumes, psid_careers, resume_careers, survey_steps
from career_hf.wages.gap_estimates import GapGroups


SPOKEN = {
    "education": {
        "surveys": survey_steps.GRADES,
        "resumes": resume_careers.DEGREES.values(),
        "JobHop": open_resumes.DEGREES.values(),
    },
    "region": {
        "surveys": survey_steps.REGION_OF_CODE.values(),
        "PSID": psid_careers.REGION.values(),
        "resumes": [*resume_careers.STATES_BY_REGION, OTHER_REGION],
    },
    "race": {"NLSY79": nlsy79_careers.RACE.values(), "NLSY97 and PSID": RACES_WITH_OTHER},
    "gender": {"surveys": survey_steps.GENDER_OF_CODE.values()},
}


@pytest.fixture(scope="module")
def market():
    return preset("tiny").simulate(people=200)


@pytest.mark.parametrize("name", LEVELS)
def test_every_part_of_the_package_speaks_of_levels_in_one_dialect(name, market):
    world = market.world.covariate_levels[name]
    for part, levels in SPOKEN[name].items():
        assert set(levels) <= set(LEVELS[name]), part
    values = market.careers[name][:]
    levels_used = set(values) if isinstance(values[0], str) else {level for levels in values for level in levels}
    assert levels_used <= set(world) <= set(LEVELS[name])
    # The surveys have all levels of the market, so that what is pretrained on it goes over whole.
    assert set(world) <= set(next(iter(SPOKEN[name].values())))


def test_defaults_are_levels_and_states_of_the_market():
    groups = GapGroups()
    assert {groups.group, groups.others} == set(GENDERS) == set(LEVELS[groups.protected])
    assert set(SIMULATED_STATES) < set(NOT_WORKING)
    assert set(LEVELS["education"]) == COLLEGE | BELOW_COLLEGE


def test_transfer_by_name_from_the_market_to_a_survey_keeps_every_level(market):
    rows = {"person": range(20), "year": [1980] * 20, "occupation": ["22"] * 20}
    levels = {
        "education": list(survey_steps.GRADES),
        "region": list(survey_steps.REGION_OF_CODE.values()),
        "race": list(nlsy79_careers.RACE.values()),
        "gender": list(survey_steps.GENDER_OF_CODE.values()),
    }
    rows |= {name: [of_covariate[i % len(of_covariate)] for i in range(20)] for name, of_covariate in levels.items()}
    survey = from_frame(pd.DataFrame(rows), covariates=["education"], static=["region", "race", "gender"])
    old = CareerProcessor.fit(market.careers, covariates=list(levels))
    model = CareerForOccupationPrediction(CareerConfig(**old.config_kwargs(), hidden_size=8, num_attention_heads=2))
    before = model.model.embed_covariates["region"].weight[1:].detach().clone()
    transferred = resize_vocabulary(model, old, CareerProcessor.fit(survey, covariates=list(levels)))
    for name, labels in {"education": EDUCATION, "region": REGIONS, "race": RACES, "gender": GENDERS}.items():
        assert set(transferred.kept[name]) >= set(labels) and not transferred.fresh[name]
    assert torch.equal(model.model.embed_covariates["region"].weight[1:], before)
