"""Reading NLS Investigator extracts: joins, names, missing codes, and damaged files."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest

from career_hf.sources import nls


CSV = '"R0000100","R0216700","R0263400"\n1,12,-4\n2,9,305\n3,-5,-5\n'
SDF = """

Reference
Number     Year  Variable Description             Question Name
---------------------------------------------------------------
R00001.00  1979  IDENTIFICATION CODE              CASEID
R02167.00  1979  HIGHEST GRADE COMPLETED AS OF MAY 1 SURVEY YEAR (UNREVISED) HGC
R02634.00  1980  OCCUPATION AT CURRENT JOB (70 CENSUS 3 DIGIT)  CPSOCC70
"""
CDB = """R00001.00    [CASEID]                                       Survey Year: 1979
  PRIMARY VARIABLE

TOTAL =========>   {people}   VALID SKIP(-4)       0     NON-INTERVIEW(-5)       0
--------------------------------------------------------------------------------
R02167.00    [HGC]                                          Survey Year: 1979
"""


def write(folder, name="extract", csv=CSV, sdf=SDF):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.csv").write_text(csv)
    if sdf:
        (folder / f"{name}.sdf").write_text(sdf)
    return folder / f"{name}.csv"


def test_a_variable_is_found_by_question_name_and_year_even_where_the_label_runs_into_the_name(tmp_path):
    extract = nls.read_extract(write(tmp_path))
    assert extract.variable("HGC", 1979).to_dict() == {1: 12, 2: 9, 3: -5}


def test_question_names_match_whatever_separator_and_case_they_are_written_with(tmp_path):
    sdf = "R02157.00  1979    WEEKS WORKED *KEY*      WKSWK-PCY\n"
    extract = nls.read_extract(write(tmp_path, csv="R0000100,R0215700\n1,52\n", sdf=sdf))
    assert extract.variable("wkswk_pcy", 1979).to_dict() == {1: 52}


def test_the_codebook_names_variables_that_no_sdf_describes(tmp_path):
    path = write(tmp_path, sdf=None)
    path.with_suffix(".cdb").write_text(CDB.format(people=3))
    assert nls.read_extract(path).variable("HGC", 1979)[1] == 12


def test_without_descriptions_the_reference_number_decides_in_either_form(tmp_path):
    extract = nls.read_extract(write(tmp_path, sdf=None))
    assert extract.variable("HGC", 1979, "R02167.00").equals(extract.variable("HGC", 1979, "R0216700"))


def test_the_name_decides_before_the_reference_number(tmp_path):
    extract = nls.read_extract(write(tmp_path))
    assert extract.variable("HGC", 1979, "R0263400")[1] == 12


def test_a_dat_file_takes_its_columns_from_the_tagset(tmp_path):
    path = write(tmp_path)
    csv = nls.read_extract(path).tables["extract.csv"]
    path.unlink()
    (tmp_path / "extract.dat").write_text("1 12 -4\n2  9 305\n3 -5 -5\n")
    (tmp_path / "extract.NLSY79").write_text("R0000100\nR0216700\nR0263400\n")
    pd.testing.assert_frame_equal(nls.read_extract(tmp_path / "extract.dat").tables["extract.dat"], csv)


def test_a_dat_file_without_tagset_is_an_error_that_names_it(tmp_path):
    (tmp_path / "extract.dat").write_text("1 12\n")
    with pytest.raises(ValueError, match=r"extract.dat has no header.*extract.NLSY79"):
        nls.read_extract(tmp_path / "extract.dat")


def test_missing_codes_are_kept_apart():
    raw = pd.Series([7, -1, -2, -3, -4, -5, -7, None], dtype="Int64")
    values, reasons = nls.split_missing(raw)
    assert values.notna().tolist() == [True] + [False] * 7
    assert reasons.tolist()[1:] == [
        "refused",
        "don't know",
        "invalid skip",
        "valid skip",
        "not interviewed",
        "code -7",
        "not in the extract",
    ]
    assert pd.isna(reasons[0])


def test_extracts_of_a_folder_are_joined_on_the_person_and_subfolders_count(tmp_path):
    write(tmp_path)
    write(tmp_path / "more", csv="R0000100,R0214800\n4,2\n1,1\n", sdf=None)
    extract = nls.read_folder(tmp_path)
    assert extract.people.tolist() == [1, 2, 3, 4]
    assert extract.variable("SAMPLE_SEX", reference="R0214800").to_dict() == {4: 2, 1: 1}


def test_the_file_with_most_people_is_used_where_two_hold_a_variable(tmp_path):
    write(tmp_path, "small", csv="R0000100,R0216700\n1,12\n", sdf=None)
    write(tmp_path, "wide")
    assert len(nls.read_folder(tmp_path).variable("HGC", 1979)) == 3


def test_a_few_differing_cells_are_noted_with_person_and_values(tmp_path):
    people = range(1, 301)
    write(tmp_path, "a", csv="R0000100,R0216700\n" + "".join(f"{p},12\n" for p in people))
    write(tmp_path, "b", csv="R0000100,R0216700\n" + "".join(f"{p},{11 if p == 7 else 12}\n" for p in people))
    extract = nls.read_folder(tmp_path)
    assert extract.variable("HGC", 1979)[7] == 12
    assert any("R0216700 differs" in note and "person 7: 12 and 11" in note for note in extract.notes)


def test_files_that_disagree_widely_are_an_error(tmp_path):
    write(tmp_path, "a", csv="R0000100,R0216700\n1,12\n2,9\n3,10\n")
    write(tmp_path, "b", csv="R0000100,R0216700\n1,9\n2,12\n3,10\n")
    with pytest.raises(ValueError, match=r"R0216700 differs between a.csv and b.csv for 2 of 3.*person 1: 12 and 9"):
        nls.read_folder(tmp_path)


def test_tidy_tables_in_the_folder_are_skipped_and_noted(tmp_path):
    write(tmp_path)
    (tmp_path / "tidy.csv").write_text("R0000100,1982,1983\n1,-5,-5\n")
    extract = nls.read_folder(tmp_path)
    assert list(extract.tables) == ["extract.csv"]
    assert any("skipped" in note and "tidy.csv" in note for note in extract.notes)


def test_a_folder_without_extract_is_an_error_that_names_what_was_skipped(tmp_path):
    (tmp_path / "tidy.csv").write_text("person,age\n1,20\n")
    with pytest.raises(ValueError, match=r"no NLS Investigator data file.*tidy.csv"):
        nls.read_folder(tmp_path)


def test_a_tidy_table_read_on_its_own_is_an_error(tmp_path):
    path = write(tmp_path, csv="person,age\n1,20\n")
    with pytest.raises(ValueError, match="extract.csv is not an NLS Investigator extract"):
        nls.read_extract(path)


def test_all_missing_variables_are_listed_with_name_year_reference_and_where_to_tick_them(tmp_path):
    extract = nls.read_extract(write(tmp_path))
    wanted = [("ESR_COL", 1980, "R0406301"), ("HGC", 1979, "R0216700"), ("SAMPLE_SEX", None, None)]
    with pytest.raises(ValueError) as error:
        extract.require(wanted)
    message = str(error.value)
    assert "2 variable(s)" in message and "HGC" not in message
    assert "ESR_COL, survey year 1980, reference number R04063.01" in message
    assert "SAMPLE_SEX, asked once" in message and "NLS Investigator" in message


def test_a_name_that_fits_several_years_asks_for_the_year(tmp_path):
    sdf = "R00001.00  1979  ID  CASEID\nR02167.00  1979  GRADE  HGC\nR02634.00  1980  GRADE  HGC\n"
    extract = nls.read_extract(write(tmp_path, sdf=sdf))
    with pytest.raises(ValueError, match=r"HGC of year None fits several variables.*R0216700.*R0263400"):
        extract.variable("HGC")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CSV.encode()[:-6], r"extract.csv cannot be read .*truncated download.*Row #4: Expected 3 columns, got 2"),
        (CSV.replace(",", ";").encode(), "extract.csv is not separated by commas"),
        (b"\xef\xbb\xbf" + CSV.encode(), "extract.csv starts with a byte order mark"),
        (CSV.encode("utf-16"), "extract.csv starts with a byte order mark"),
        (CSV.replace("305", "30\xe9").encode("latin-1"), "extract.csv is not UTF-8 text: byte 0xe9 in line 3"),
        ((CSV + "2,10,305\n").encode(), r"extract.csv has person 2 more than once \(lines \[3, 5\]\)"),
        (CSV.replace("305", "305.5").encode(), r"cannot be read.*Row #3.*'305.5'"),
        (b"", "is not an NLS Investigator extract|no NLS Investigator data file"),
        (CSV.splitlines()[0].encode(), "extract.csv has a header and no people.*export it again"),
        (CSV.replace("305", "nurse").encode(), r"cannot be read.*Row #3.*'nurse'"),
        (CSV.replace("305", "").encode(), "empty cell in column R0263400, line 3"),
        (CSV.replace("R0263400", "R0216700").encode(), "column R0216700 twice"),
        (CSV.replace("R0000100", "R0173600").encode(), "has no column R0000100.*tick R00001.00"),
    ],
    ids="truncated semicolons bom utf16 latin1 twice fraction nothing header text empty column-twice nobody".split(),
)
@pytest.mark.parametrize("read", [nls.read_extract, lambda path: nls.read_folder(path.parent)], ids=["file", "folder"])
def test_a_damaged_file_is_an_error_that_names_the_place(tmp_path, content, message, read):
    path = write(tmp_path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_fewer_people_than_the_codebook_counts_are_noted(tmp_path):
    path = write(tmp_path)
    path.with_suffix(".cdb").write_text(CDB.format(people=12686))
    assert any("3 people, its codebook counts 12686" in note for note in nls.read_extract(path).notes)


def test_files_of_two_cohorts_are_not_joined(tmp_path):
    write(tmp_path)
    write(tmp_path / "y97", csv="R0000100,R0536300\n1,2\n", sdf="R00001.00  1997  PUBID  PUBID\n")
    with pytest.raises(ValueError, match=r"\['CASEID', 'PUBID'\].*different NLS cohorts"):
        nls.read_folder(tmp_path)


def test_a_malformed_reference_number_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="'R21' is not an NLS reference number"):
        nls.read_extract(write(tmp_path)).variable("HGC", 1979, "R21")


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        nls.read_folder(tmp_path / "nowhere")


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        nls.read_extract(tmp_path / "nowhere.csv")


def test_real_extracts_alternate_grade_and_enrollment_and_are_told_apart_by_name(shared):
    extract = nls.read_folder(shared / "data/nlsy79_ekw")
    for year in (1979, 1980, 2006):
        assert extract.variable("HGC", year).max() >= 18
        assert set(extract.variable("ENROLLMT", year)) <= {-5, -3, 1, 2, 3, 4}


def test_the_wide_real_extract_of_686_people_does_not_break_the_join(shared):
    extract = nls.read_folder(shared / "data/nlsy79_ekw")
    assert len(extract.people) == 12_686
    assert len(extract.variable("CPSOCC70", 1981)) == 686
    assert sum("skipped" in note for note in extract.notes) == 1


def test_only_the_wanted_columns_reach_memory_whatever_the_form_of_the_file(tmp_path):
    """A full file of the agency has tens of thousands of columns; 20 of 4,000 here, so a tenth is a generous bound."""
    columns, people = 4_000, 200
    references = ["R0000100", *(f"R1{n:06d}" for n in range(1, columns))]
    rows = [[person, *((person * n) % 90 for n in range(1, columns))] for person in range(1, people + 1)]
    (tmp_path / "x.csv").write_text(
        ",".join(f'"{r}"' for r in references) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    )
    (tmp_path / "y").mkdir()
    (tmp_path / "y/x.dat").write_text("".join(" ".join(map(str, row)) + " \r\n" for row in rows))
    (tmp_path / "y/x.NLSY79").write_text("\n".join(references))
    names = [f"{r[:6]}.{r[6:]}    [JOB_{n:04d}]      Survey Year: 1990\n" for n, r in enumerate(references[1:], 1)]
    for place in (tmp_path, tmp_path / "y"):
        (place / "x.cdb").write_text("R00001.00    [CASEID]    Survey Year: 1979\n" + "".join(names))
    wanted = nls.Wanted(r"JOB_00[01]\d", {"R1003999"})
    for file in (tmp_path / "x.csv", tmp_path / "y/x.dat"):
        before = pa.total_allocated_bytes()
        extract = nls.read_extract(file, wanted)
        (table,) = extract.tables.values()
        assert table.columns.tolist() == [*references[1:20], "R1003999"]
        assert pa.total_allocated_bytes() - before + table.memory_usage().sum() < columns * people * 8 / 10
        assert extract.variable("JOB_0007").tolist() == [row[7] for row in rows]
        with pytest.raises(ValueError, match="holds R1000020, but it was not read: name it in wanted="):
            extract.has("JOB_0020")
        with pytest.raises(ValueError, match="was not read"):
            extract.matching("JOB_002.")
        assert not extract.has("JOB_9999")


def test_a_csv_with_question_names_is_read_in_the_order_of_its_sdf(tmp_path):
    """One name stands for an item of two years; another order than the .sdf's, and it is not known which is which."""
    sdf = SDF.replace("CPSOCC70", "HGC")
    extract = nls.read_extract(write(tmp_path, csv="CASEID,HGC,HGC\n1,12,-4\n2,9,305\n", sdf=sdf))
    assert extract.variable("HGC", 1980).to_dict() == {1: -4, 2: 305}
    path = write(tmp_path, "other", csv="HGC,CASEID,HGC\n12,1,-4\n", sdf=sdf)
    with pytest.raises(ValueError, match="is not an NLS Investigator extract"):
        nls.read_extract(path)
    assert "other.csv" in nls.read_folder(tmp_path).notes[0]
