"""The study of the coverage of displacement's effect: every model and outcome beside the known effect."""

from __future__ import annotations

import pandas as pd
import pytest
from replication import coverage_displacement as study


def test_every_model_is_held_against_the_known_effect(tmp_path):
    models = (study.CAREER, study.CHAIN)  # the law is slower
    settings = study.CoverageSettings(
        models=models,
        worlds=2,
        people=80,
        compared=10,
        samples=2,
        draws=20,
        training=100,
        max_steps=2,
        population=2_000,
        parts=1,
    )
    plan = study.CoverageOfDisplacement(tmp_path, settings)
    table = plan.run(workers=1)["coverage"]
    kinds = {name.partition(":")[0] for name in table.index}
    assert kinds == {"no model", *models, *(f"{name}, net" for name in models)}
    assert len(table) == 5 * 3 * study.HORIZON and (table["worlds"] == 2).all()
    truth = pd.read_csv(tmp_path / "truth" / "0.csv").set_index(["event_time", "outcome"])["effect"]
    assert table.loc["CAREER, net: employed, 2", "truth"] == pytest.approx(truth[2, "employed"], abs=1e-4)
    assert truth[1, "employed"] < truth[4, "employed"] < 0.1
