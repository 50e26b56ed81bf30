"""One function per raw source, which prepares careers with a ledger: split, described, ready to save.

* `nlsy79`, `nlsy97`, `psid`: the surveys, by the paper's rules (Appendix F); `nls` and `psid_files` read their files.
* `keane_wolpin`: careers of 1,384 young men in five states, which ship with the package.
* `person_years`: a table with a row per person and year already.
* `spells`: dated spells to one occupation a year, on DuckDB or Spark, in memory or part by part.
* `resumes`: dated jobs with O*NET-SOC codes, degrees and states.
* `jobhop`, `karrierewege`: resume sets in ESCO that anybody can load.

`__init__.pyi` lists the public names; each is imported when it is first used.
"""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
