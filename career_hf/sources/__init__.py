"""One module per raw source: each reads the source's own files and builds careers with a ledger.

* `nls`: extracts of NLS Investigator (NLSY79, NLSY97), read but not interpreted.
* `nlsy79`: careers of the NLSY79 by the paper's rules (Appendix F).
* `nlsy97`, `psid`: careers of the NLSY97 and of the PSID by the same appendix; `psid_files` reads Data Center files.
* `keane_wolpin`: careers of 1,384 young men in five states, which ship with the package.
* `spells`, `spell_careers`: dated spells to one occupation a year, on DuckDB or Spark, in memory or part by part.
* `resumes`: the rules for resumes with O*NET-SOC codes, degrees and states.
* `open_resumes`: JobHop and Karrierewege, resume sets in ESCO that anybody can load.
* `crosswalks`: Census occupation codes to occ1990dd, its titles and broad groups.
* `weighted_crosswalks`: SOC, O*NET-SOC, ISCO-08 and ESCO to occ1990dd, with weights, and crosswalks of one's own.
"""
