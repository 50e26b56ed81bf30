"""Dataset cards: what the Hub reads of them, what people read, and what a checkpoint can keep."""

from __future__ import annotations

import pytest
from huggingface_hub import DatasetCard

from career_hf.careers import split_careers, split_manifest
from career_hf.careers.dataset_card import write_card
from career_hf.careers.describing import describe
from career_hf.careers.ledger import Ledger
from career_hf.careers.provenance import SOURCES, Source, source_of


@pytest.fixture
def ledger():
    ledger = Ledger()
    ledger.record("read | spells", "spells", 9, 6, {"start <19x0> is no date": 3}, {"*cut*": 1}, "future")
    ledger.note("not read:\nstart `19x0`")
    return ledger


def write(folder, careers, ledger, source):
    splits = split_careers(careers)
    settings = {"rule": "paper", "as_of": "2020-`12`"}
    manifest, description = split_manifest(splits), describe(careers)
    return write_card(
        folder,
        source,
        splits=splits,
        ledger=ledger,
        description=description,
        manifest=manifest,
        settings=settings,
    )


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_the_hub_reads_the_metadata_and_a_checkpoint_can_keep_them(tmp_path, careers, ledger, source):
    write(tmp_path, careers, ledger, source)
    card = DatasetCard.load(tmp_path / "README.md")
    assert card.data.license == source.license and card.data.pretty_name == source.title
    assert card.data.size_categories == ["n<1K"]
    record = source_of(tmp_path)
    assert record == source.record
    assert record["source"] == source.name and record["redistribution"] == source.redistribution
    # "other" is the Hub's word, and says nothing to whoever reads the checkpoint.
    assert record["license"] != "other"
    assert source.terms in card.text and source.provenance in card.text


def test_the_card_counts_what_there_is_and_what_was_dropped(tmp_path, careers, ledger):
    text = write(tmp_path, careers, ledger, SOURCES["spells"]).text
    for name, value in {"people": "3", "person-years": "8", "first year": "1990"}.items():
        assert f"| {name} | {value} |" in text
    assert "| region | list of string |" in text and "| log\\_wage | list of double |" in text
    reasons = r"3 dropped: start \<19x0> is no date<br>1 altered: \*cut\*"
    assert rf"| read \| spells | spells | 9 | 6 | {reasons} | future |" in text
    assert "* not read: start \\`19x0\\`\n" in text
    assert "* rule: `paper`\n* as_of: `2020-'12'`\n" in text


def test_every_table_of_the_card_has_one_number_of_cells(tmp_path, careers, ledger):
    text = write(tmp_path, careers, ledger, SOURCES["nlsy79"]).text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for rows in tables:
        assert len({row.replace("\\|", "").count("|") for row in rows}) == 1 and rows[1].strip("|-") == ""


def test_only_what_may_be_passed_on_is_called_allowed():
    allowed = {name for name, source in SOURCES.items() if source.redistribution.startswith("allowed")}
    assert allowed == {
        "cps",
        "cps-flows",
        "decorte",
        "jobhop",
        "keane-wolpin",
        "onet-related",
        "simulated",
        "simulated-resumes",
    }
    assert SOURCES["psid"].redistribution == "forbidden"


def test_a_folder_without_a_card_of_ours_says_unknown(tmp_path):
    unknown = dict.fromkeys(["source", "license", "redistribution"], "unknown")
    assert source_of(tmp_path) == unknown
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n# Somebody's data\n", encoding="utf-8")
    assert source_of(tmp_path) == unknown | {"license": "mit"}
    (tmp_path / "README.md").write_text("---\ncareer_hf:\n  redistribution: fine\n---\n", encoding="utf-8")
    with pytest.raises(ValueError, match="redistribution 'fine' is none of"):
        source_of(tmp_path)


def test_a_source_of_ones_own_has_a_card_too(tmp_path, careers, ledger):
    register = Source(
        "register", "A register", "other", "forbidden", "A ministry.", "Ask it.", license_name="Contract 7"
    )
    write(tmp_path, careers, ledger, register)
    assert source_of(tmp_path) == {"source": "register", "license": "contract-7", "redistribution": "forbidden"}
