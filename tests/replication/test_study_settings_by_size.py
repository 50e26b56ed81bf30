"""The study of settings by size: what it runs, and how it finds the tuned setting and the distance from it."""

import pandas as pd
import pytest
from replication import settings_by_size as study
from replication.study import write_table
from transformers.testing_utils import slow


SMALL = study.SettingsBySizeSettings(
    people=(30,), seeds=2, test_people=20, rates=(0.5,), dropouts=(0.3,), batches=(2.0,)
)


def test_the_distance_is_from_the_setting_that_is_best_over_panels(tmp_path):
    made = study.SettingsBySize(tmp_path, SMALL)
    nats = {study.RULE: (2.0, 2.2), "rate x0.5, dropout 0.3": (1.9, 2.4), "batch x2": (2.05, 2.05)}
    for cell in made.cells():
        row = {"people": 30, "person_years": 250, "seed": cell.seed, "setting": cell.setting, "validation": 3.0}
        row |= {"test": nats[cell.setting][cell.seed], "updates": 60, "seconds": 1.5, "expected_seconds": 1.0}
        write_table(made.at(cell), pd.DataFrame([row]))
    row = made.report()["sizes"].loc[30]
    assert row["tuned_setting"] == "batch x2" and (row["rule"], row["tuned"]) == pytest.approx((2.1, 2.05))
    assert (row["difference"], row["largest"], row["seeds"]) == pytest.approx((0.05, 0.15, 2))


@slow  # trains models
def test_it_runs_and_goes_on_with_further_sizes(tmp_path):
    found = study.SettingsBySize(tmp_path, SMALL).run(1)
    assert len(found["runs"]) == 6 and found["runs"]["test"].between(1, 6).all()
    more = study.SettingsBySize(tmp_path, study.replace(SMALL, seeds=3)).run(1)
    assert more["runs"].query("seed < 2").reset_index(drop=True).equals(found["runs"])
