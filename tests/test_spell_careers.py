"""Spells to careers: files of every kind, in memory and in parts, stopped and started again."""

from __future__ import annotations

import pytest
from spell_examples import AS_OF, RULES, many_spells, table

from career_hf.career_columns import career_table
from career_hf.careers import from_frame, validate
from career_hf.sources import spell_careers
from career_hf.sources.spell_careers import load_written_careers, spells_to_careers, write_careers
from career_hf.sources.spells import SpellRules, spells_to_years


pytest.importorskip("ibis", reason="the extra 'spells' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ibis")

ROWS = [row for row in many_spells(60, seed=2) if row[0] is not None]
PART = -(-len(ROWS) // 3)


@pytest.fixture(scope="module")
def careers():
    return career_table(spells_to_careers(table(ROWS), RULES)[0])


def test_careers_are_valid_and_those_of_from_frame(careers):
    years, _ = spells_to_years(table(ROWS), RULES)
    expected = from_frame(years.to_pandas(), covariates=["firm", "degree"], static=["state"])
    validate(expected)
    assert career_table(expected).equals(careers)


def csv(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_files_and_frames_of_every_kind_give_the_same_careers(careers, tmp_path):
    frame = table(ROWS).to_pandas()
    polars = pytest.importorskip("polars")
    frame.to_csv(tmp_path / "spells.csv", index=False)
    frame.to_csv(tmp_path / "spells.csv.gz", index=False, sep=";", encoding="utf-8-sig")  # with a byte order mark
    frame.to_parquet(tmp_path / "spells.parquet")
    for spells in (frame, polars.from_pandas(frame), *tmp_path.glob("spells*")):
        assert career_table(spells_to_careers(spells, RULES)[0]).equals(careers), spells


def test_identifiers_in_csv_files_keep_their_zeros(tmp_path):
    path = csv(tmp_path / "spells.csv", "person,occupation,start,end\n007,0110,2001,2001\n7,0110,2001,2001\n")
    careers, _ = spells_to_careers(path)
    assert careers["person"][:] == ["007", "7"] and careers["occupation"][:] == [["0110"], ["0110"]]


GOOD = "person,occupation,start,end\n" + "".join(f"p{i},cook,2001,2002\n" for i in range(50))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("truncated.csv", GOOD + "p50,co", "truncated.csv cannot be read"),
        ("delimiter.csv", GOOD.replace(",", "~"), "not in the table of spells"),
        ("latin.csv", GOOD + "p50,Köchin,2001,2002\n", "latin.csv cannot be read"),
        ("no.parquet", "nothing", "no.parquet cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_errors_that_name_them(tmp_path, name, content, message):
    path = csv(tmp_path / name, content, "latin-1")
    with pytest.raises(ValueError, match=message):
        spells_to_years(path)
    with pytest.raises(ValueError, match=message):
        write_careers(path, tmp_path / "careers")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_careers_written_in_parts_are_those_made_in_memory(careers, tmp_path, kind):
    path = tmp_path / f"spells.{kind}"
    table(ROWS).to_pandas().to_parquet(path) if kind == "parquet" else table(ROWS).to_pandas().to_csv(
        path, index=False
    )
    ledger = write_careers(path, tmp_path / "out", RULES, spells_per_part=PART)
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == 3
    written = load_written_careers(tmp_path / "out")
    validate(written)
    assert written["person"][:] == sorted(written["person"][:])
    assert career_table(written).sort_by("person").equals(careers.sort_by("person"))
    assert ledger.to_dict() == spells_to_years(path, RULES)[1].to_dict()


def test_what_was_stopped_goes_on_and_leaves_nothing_unfinished(careers, tmp_path, monkeypatch):
    path, out = tmp_path / "spells.parquet", tmp_path / "out"
    table(ROWS).to_pandas().to_parquet(path)
    monkeypatch.setattr(spell_careers, "YEARS_AT_ONCE", 50)
    in_second_part = []

    def stopped(*arguments, **settings):
        in_second_part.extend(out.glob("part-*.parquet"))
        if len(in_second_part) == 2:
            raise KeyboardInterrupt
        return from_frame(*arguments, **settings)

    monkeypatch.setattr(spell_careers, "from_frame", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_careers(path, out, RULES, spells_per_part=PART)
    first = out / "part-00000.parquet"
    written = first.stat().st_mtime_ns
    assert list(out.glob("part-*.parquet")) == [first]
    assert not (out / ".spill").exists() and not (out / "ledger.json").exists()
    with pytest.raises(ValueError, match="lacks 2 of 3 parts, first part-00001.parquet"):
        load_written_careers(out)
    monkeypatch.setattr(spell_careers, "from_frame", from_frame)
    # The parts are those of the first call, whatever the second asks for.
    ledger = write_careers(path, out, RULES, spells_per_part=1_000_000)
    assert ledger.to_dict() == spells_to_years(path, RULES)[1].to_dict()
    assert first.stat().st_mtime_ns == written and not list(out.glob(".*"))
    assert career_table(load_written_careers(out)).sort_by("person").equals(careers.sort_by("person"))
    with pytest.raises(ValueError, match="other spells or rules"):
        write_careers(path, out, SpellRules(as_of=AS_OF))
    table(ROWS[1:]).to_pandas().to_parquet(path)
    with pytest.raises(ValueError, match="other spells or rules"):
        write_careers(path, out, RULES)
