"""Studies on careers of one's own: what they start from, and what their tables say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from replication import figure5, pretrained, table3, volume
from replication.study import studies
from typer.testing import CliRunner

from career_hf.careers import save_careers, split_careers
from career_hf.simulation import preset
from career_hf.wages.regression import ALL_YEARS


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "survey"
    save_careers(split_careers(preset("tiny").simulate(60).careers), folder)
    return folder


def test_a_start_is_a_checkpoint_or_resumes(tmp_path, survey):
    assert not pretrained.Start().is_given and pretrained.Start().described() == {}
    with pytest.raises(ValueError, match="give a checkpoint, or resumes to pretrain on, not both"):
        pretrained.Start("occ1990dd-small", tmp_path)
    with pytest.raises(ValueError, match="no checkpoint of that name ships"):
        pretrained.Start("occ1990dd-smal").check()
    save_careers(preset("tiny").simulate(20).careers, tmp_path / "whole")
    with pytest.raises(ValueError, match=r"has splits \['all'\], and not 'train'"):
        pretrained.Start(resumes=tmp_path / "whole").check()
    with pytest.raises(ValueError, match=r"has splits \['all'\]: prepare it with train, validation and test"):
        pretrained.survey_of(tmp_path / "whole")
    train, validation = pretrained.corpus(survey)
    assert train["person"][:] == pretrained.survey_of(survey)["train"]["person"][:] and len(validation)


def test_the_papers_table_is_read_off_the_rows_of_its_protocol():
    rows = [("paper", ALL_YEARS, "+ occupation", 0.4312, 0.0), ("paper", "1990-1999", "+ occupation", 0.4242, 0.0)]
    rows += [("paper", ALL_YEARS, "+ occupation, h including", 0.4934, 0.0004)]
    rows += [("paper", "1990-1999", "+ occupation, h including", 0.498, 0.0)]
    rows += [("cross-fitted", ALL_YEARS, "+ occupation", 0.9, np.nan), ("paper", ALL_YEARS, "Blau-Kahn", 0.3, 0.0)]
    r2 = pd.DataFrame(rows, columns=["protocol", "years", "specification", "mean_of_splits", "seed_sd"])
    assert table3.as_in_the_paper(r2).to_dict("index") == {
        "full specification": {"overall": "0.431 ± 0.000", "1990-1999": "0.424 ± 0.000"},
        "+ CAREER (not pretrained)": {"overall": "0.493 ± 0.000", "1990-1999": "0.498 ± 0.000"},
    }
    one_seed = table3.as_in_the_paper(r2.assign(seed_sd=np.nan))
    assert one_seed.loc["full specification", "overall"] == "0.431"


def test_rows_with_h_are_there_for_each_start():
    frame = pd.DataFrame({"year": ["1990", "1991"], "schooling": [1.0, 2.0], "occupation": ["a", "b"]})
    plain, both = (table3.specifications(frame, starts) for starts in ([""], ["", "pretrained"]))
    assert set(both) - set(plain) == {f"{name}, pretrained" for name in plain if " h " in name or "wage head" in name}
    assert both["+ occupation, h including, pretrained"] == [
        "year", "schooling", "occupation", "h including, pretrained",
    ]  # fmt: skip
    assert table3.Table3Settings().cost(pretrained.Start("x"))[0] == 2 * table3.Table3Settings().cost()[0]


def test_options_for_ones_own_careers_are_refused_without_them(tmp_path, survey):
    def said(*command):
        result = CliRunner().invoke(studies, [*command, "--output", str(tmp_path / command[-1].replace("/", "-"))])
        assert result.exit_code == 2, result.output
        return " ".join(result.output.replace("│", " ").split())

    assert "give --data too" in said("figure5", "--checkpoint", "occ1990dd-small")
    assert "give --data too" in said("volume", "--quick")
    assert "give --resumes with --data" in said("volume", "--data", str(survey))
    assert "not both" in said(
        "table3", "--data", str(survey), "--checkpoint", "occ1990dd-small", "--resumes", str(survey)
    )
    assert "a volume is larger" in said(
        "volume", "--data", str(survey), "--resumes", str(survey), "--volumes", "0,1,2,3,9999", "--quick"
    )
    assert "500 years" in said("figure5", "--data", str(survey), "--years", "500")


def test_people_of_figure_5_have_worked_in_the_years_that_are_compared(tmp_path, survey):
    study = figure5.PairsStudy(tmp_path, settings=figure5.PairsSettings(years=3), data=survey, covariates=("year",))
    careers = study.compared()
    assert {len(years) for years in careers["year"]} == {3}
    assert all(set(held) - set(figure5.NOT_AT_WORK) for held in careers["occupation"])
    own = volume.OwnVolumeStudy(tmp_path, data=survey, resumes=survey, covariates=("year",))
    held = {label for career in study.splits()["train"]["occupation"] for label in career}
    assert own.labels() == sorted(held) and "weight" not in own.splits()["test"].column_names
