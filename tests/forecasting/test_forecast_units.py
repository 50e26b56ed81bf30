"""Months and quarters: forecasts have the numbers of the same careers in years, and the words of the unit."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from forecast_examples import LABELS, careers_of, model_and_processor

import career_hf
from career_hf import Forecast, from_frame, to_frame
from career_hf.careers import truncate
from career_hf.careers.periods import PER_YEAR, period_label, period_number
from career_hf.encoding.collating import EncodedCareers
from career_hf.encoding.processing_career import CareerProcessor
from career_hf.evaluation.report import report
from career_hf.explaining.edits import Edit, edit_careers
from career_hf.forecasting.years import levels_ahead, steps_ahead


FIRST = {"quarter": period_number("1989Q4", "quarter"), "month": period_number("1989-11", "month")}


def in_unit(careers, unit):
    """Careers whose years from 1980 on are quarters or months in turn."""
    frame = to_frame(careers)
    frame["year"] = [period_label(FIRST[unit] + year - 1980, unit) for year in frame["year"]]
    return from_frame(frame, covariates=["education"], static=["race"])


def label_of(year, unit):
    return period_label(FIRST[unit] + year - 1980, unit)


@pytest.fixture(scope="module")
def careers():
    return careers_of(people=80)


@pytest.mark.parametrize("unit", ["quarter", "month"])
@pytest.mark.parametrize("name", ["career", "markov-2", "regression"])
def test_forecasts_are_those_of_the_same_careers_in_years(careers, unit, name, tmp_path):
    yearly = model_and_processor(name, careers=truncate(careers, 1982)[0])
    same = in_unit(careers, unit)
    model, processor = model_and_processor(name, careers=truncate(same, label_of(1982, unit))[0])
    assert processor.time_unit == unit and processor.step_length == 1
    options = {"samples": 20, "unknown_levels": "missing", "trajectories": True, "exact_steps": 1}
    expected = career_hf.forecast(yearly, careers, cutoff=1982, step="interval", years=[1983, 1984], **options)
    years = [label_of(1983, unit), label_of(1984, unit)]
    result = career_hf.forecast(
        (model, processor), same, cutoff=label_of(1982, unit), step="interval", years=years, **options
    )
    assert np.array_equal(result.probability, expected.probability)
    assert (result.years - FIRST[unit] == expected.years - 1980).all() and result.labels[0].tolist() == years
    result.save(tmp_path / "forecast")
    loaded = Forecast.load(tmp_path / "forecast")
    for frame, of_years in ((loaded.to_frame(), expected.to_frame()), (loaded.top(2), expected.top(2))):
        assert list(frame.columns) == [unit if column == "year" else column for column in of_years.columns]
        assert frame[unit].tolist() == [label_of(year, unit) for year in of_years["year"]]
    # Between quarters and months nothing is left out unless one asks for it.
    assert (
        career_hf.forecast((model, processor), same, cutoff=years[0], horizon=1, **options).attrs["step"] == "interval"
    )
    assert career_hf.forecast(yearly, careers, cutoff=1983, horizon=1, **options).attrs["step"] == "observation"
    assert "time_unit" not in expected.attrs


def test_the_unit_is_in_the_checkpoint_and_careers_of_another_one_are_refused(careers, tmp_path):
    months, yearly = in_unit(careers, "month"), CareerProcessor.fit(careers)
    processor = CareerProcessor.fit(months)
    for each, unit in ((processor, "month"), (yearly, "year")):
        each.save_pretrained(tmp_path / unit)
        fields = json.loads((tmp_path / unit / "preprocessor_config.json").read_text())
        assert fields.get("time_unit", "year") == unit == CareerProcessor.from_pretrained(tmp_path / unit).time_unit
    assert "time_unit" not in fields
    # One career as people write it, under either name.
    lists = {"occupation": ["cook", "nurse"], "month": ["Nov.89", "1989-12"]}
    batch = processor(lists)
    assert processor.decode(batch["labels"]) == [["cook", "nurse"]]
    assert (
        batch["covariates"] == processor({"occupation": ["cook", "nurse"], "year": lists["month"]})["covariates"]
    ).all()
    assert processor.encode(months)[1].entries[0].unit == "person-months"
    for refused, message in (
        (lambda: processor.encode(careers), "the careers are in years, and the model was trained on months"),
        (lambda: yearly.encode(months), "the careers are in months, and the model was trained on years"),
        (lambda: processor.extend(careers), "the careers are in years"),
        (
            lambda: processor({"occupation": ["cook"], "year": [1989]}),
            "'year' has the value 1989, a year, and not a month",
        ),
        (
            lambda: processor(lists | {"month": ["1990-01", "Dec.89"]}),
            "'month' .* does not increase: sort .* by month",
        ),
        (lambda: processor(lists | {"month": ["1990-01", "soon"]}), "'month' has the value 'soon', not a month"),
        (lambda: CareerProcessor(time_unit="week"), "time_unit is 'week', but must be one of 'year'"),
    ):
        with pytest.raises(ValueError, match=message):
            refused()
    later = in_unit(careers_of(people=3, first_year=1990), "month")
    with pytest.raises(ValueError, match="month 1990-09: '1990-09' of covariate 'year' .* months, 1989-11 to 1990-03"):
        processor.encode(later)


def test_reports_and_their_figures_have_the_words_of_the_unit(careers, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra 'studies' is not installed")
    months = in_unit(careers, "month")
    model, processor = model_and_processor("career", careers=truncate(months, "1990-01")[0])
    options = {"cutoff": "1990-01", "samples": 20, "draws": 10, "unknown_levels": "missing"}
    report = career_hf.evaluate_forecast((model, processor), months, years=["1990-02", "Mar 1990"], **options)
    assert list(report.to_frame().index) == ["all", "1990-02", "1990-03"] and report.to_frame().index.name == "month"
    assert (
        set(report.tables["shares"]["month"]) == set(report.tables["calibration"]["month"]) == {"1990-02", "1990-03"}
    )
    assert (
        report.table["month"] == [label_of(1980 + n - FIRST["month"], "month") for n in report.table["year"]]
    ).all()
    assert "not observed in 1990-03" in report.ledger.dropped()
    assert [entry.step for entry in report.ledger.entries][-1] == "months to score"
    report.save(tmp_path)
    assert "year" not in pd.read_csv(tmp_path / "by_horizon.csv").columns
    report.forecast.attrs["years_placed_at"] = {FIRST["month"] + 3: FIRST["month"]}
    assert report.forecast.placed == {"1990-02": "1989-11"}
    person = report.figure("person").axes[0]
    assert person.get_xlabel() == "month" and person.get_xticklabels()[-1].get_text() == "1990-03"
    shares = report.figure("shares").axes[0]
    shares.figure.canvas.draw()
    assert shares.get_xlabel() == "month"
    ticks = [tick.get_text() for tick in shares.get_xticklabels() if tick.get_text()]
    assert ticks and all(period_label(period_number(tick, "month"), "month") == tick for tick in ticks)
    assert report.figure("calibration").axes[0].get_title().endswith("by forecast month")
    for change, message in (
        ({"cutoff": "1989-12"}, "trained on months up to 1990-01, so nothing after 1989-12 would be a forecast"),
        ({"cutoff": 1990}, "cutoff is 1990, and must be a month: months are written as in '1993-07'"),
        ({"years": ["1990Q1"]}, "years is '1990Q1', and must be a month"),
        ({"years": ["1989-12"]}, r"forecast months \['1989-12'\] must be .* from the cutoff 1990-01"),
        ({"years": ["1999-12"]}, "nobody qualifies: all .* up to 1990-01 are not observed in 1999-12"),
        ({"cutoff": "1999-12"}, "nobody is observed after 1999-12; say which months to forecast"),
    ):
        with pytest.raises(ValueError, match=message):
            career_hf.evaluate_forecast((model, processor), months, **options | change)
    with pytest.raises(ValueError, match="is observed in .*, so 1990-01 is not ahead; cut careers with truncate"):
        career_hf.forecast((model, processor), months, years=["1990-01"], unknown_levels="missing")


@pytest.mark.parametrize("unit", ["year", "quarter", "month"])
def test_age_advances_at_birthdays(unit):
    per_year, start = PER_YEAR[unit], 2000 * PER_YEAR[unit]
    birthdays = {"a": start + per_year // 3, "b": start}
    rows = [
        {"person": person, "year": period_label(start + t, unit), "occupation": LABELS[t % 2],
         "age": str(20 + (start + t - birthday) // per_year)}
        for person, birthday in birthdays.items()
        for t in range(per_year // 2 + 1 if person == "a" else 4 * per_year)
    ]  # fmt: skip
    careers = from_frame(pd.DataFrame(rows), covariates=["age"])
    processor = CareerProcessor.fit(careers, covariates=["age"])
    one = careers.select([0])
    ahead = steps_ahead(one, 2 * per_year, None, "interval", 1)
    encoded = EncodedCareers(processor.encode(one)[0])
    levels, _, carried, advanced = levels_ahead(ahead, encoded.covariates[-1:], one, processor)
    ages = [int(processor.covariate_levels[0][level]) for level in levels[:, 0]]
    assert ages == [20 + (year - birthdays["a"]) // per_year for year in ahead.year]
    assert advanced == {"age": 2 * per_year} and not carried


def test_covariates_ahead_are_read_from_tables_with_labels(careers):
    months = in_unit(careers, "month")
    checkpoint = model_and_processor("career", careers=months)
    few = truncate(months, "1990-01")[0].select(range(4))
    known = to_frame(months)
    known = known[known["person"].isin(few["person"])]
    options = {"years": ["1990-02"], "samples": 10, "unknown_levels": "missing"}
    of_careers = career_hf.forecast(checkpoint, few, covariates=months.select(range(4)), **options)
    of_table = career_hf.forecast(checkpoint, few, covariates=known.rename(columns={"month": "year"}), **options)
    of_labels = career_hf.forecast(checkpoint, few, covariates=known, **options)
    assert np.array_equal(of_careers.probability, of_table.probability)
    assert np.array_equal(of_careers.probability, of_labels.probability)


def test_transition_tables_have_labels_beside_numbers_and_edits_begin_at_a_month(careers):
    months = in_unit(careers, "month")
    checkpoint = model_and_processor("career", careers=months)
    table = career_hf.transition_table(checkpoint, months)
    assert (table["month"] == [period_label(number, "month") for number in table["year"]]).all()
    assert list(career_hf.perplexity_by(table, "month").index) == sorted(table["month"].unique())
    assert "time_unit" not in table and "month" not in career_hf.transition_table(
        model_and_processor("career", careers=careers), careers
    )
    years = from_frame(to_frame(months).assign(born="1970"), year="month", covariates=["education"], static=["born"])
    years = years.rename_column("born", "birth_year")
    for edit, first in (
        (Edit({"education": "10"}, from_year="1990-01"), "1990-01"),
        (Edit({"education": "10"}, from_age=20), "1990-01"),
    ):
        edited, ledger = edit_careers(years, edit)
        late = to_frame(edited)["month"] >= first
        assert (to_frame(edited)["education"] == "10")[late].all() and late.any() and not late.all()
        assert (to_frame(edited)["education"] == to_frame(years)["education"])[~late].all()
        assert [entry.unit for entry in ledger.entries] == ["people", "person-months"]


@pytest.mark.parametrize("unit", ["quarter", "month"])
def test_tables_by_period_have_labels(careers, unit, tmp_path):
    few = in_unit(careers, unit).select(range(12))
    labels = sorted(set(to_frame(few)[unit]))
    chain = model_and_processor("markov-1", careers=few)
    attributes = pd.DataFrame({"wage": 1.0}, index=sorted(set(to_frame(few)["occupation"])))
    for by in (unit, "year"):
        found = career_hf.exposure(chain, attributes, few, by=by, draws=5)
        assert found.by == unit and found.figure() is not None
        # Nobody goes anywhere in the first period.
        assert set(found.to_frame()[unit]) <= set(labels[1:]) and len(found.to_frame()) > 1
    ahead = career_hf.forecast(chain, few, horizon=1, samples=10)
    with pytest.raises(ValueError, match=f"by '{unit}': each {unit} of a forecast has numbers of its own as it is"):
        career_hf.exposure(ahead, attributes, by=unit)
    tables = report({"chain": [career_hf.transition_table(chain, few)]}, "chain", draws=5).tables
    assert "by_year" not in tables and tables[f"by_{unit}"][unit].tolist() == labels
    career = model_and_processor("career", careers=few)
    career_hf.save_representations(career[0], few, career[1], tmp_path)
    keys = career_hf.load_representations(tmp_path, "pandas").index.to_frame(index=False)
    assert keys.columns.tolist() == ["person", unit]
    assert keys.astype(str).equals(to_frame(few)[["person", unit]].astype(str))
