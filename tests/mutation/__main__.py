"""`python tests/mutation`: how many small changes of the core its own tests notice.

    python tests/mutation --number 500 --seed 0          drawn from all core files
    python tests/mutation --file models/two_stage.py     every mutant of one file

A change that no test can notice, because the program does the same, is listed with the reason in `equivalent.toml`,
and is left out of the score. Lines of that list that fit no mutant are an error.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path


os.environ.update({"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from mutants import Mutant, mutants_of  # noqa: E402
from warm import (  # noqa: E402
    KILLED,
    ROOT,
    Verdicts,
    changed_functions,
    import_all,
    import_tests,
    reached_by,
    run_tests,
    verdict_of_import,
)


# The tests of each core file.
TESTS = tomllib.loads((HERE / "core.toml").read_text(encoding="utf-8"))
EQUIVALENT = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))


def main() -> int:
    """Prints survivors and the score of each file; the exit code is 1 below the score that is asked for."""
    parser = argparse.ArgumentParser(prog="python tests/mutation", description=__doc__)
    parser.add_argument("--file", action="append", help=f"core file, one of {', '.join(TESTS)}; all if left out")
    parser.add_argument("--number", type=int, help="number of mutants, drawn at random; all of them if left out")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument(
        "--slowest", type=float, default=3, help="processor seconds of a test above which it is left out"
    )
    parser.add_argument("--least", type=float, default=0.9, help="score that is asked for")
    chosen = parser.parse_args()
    files = chosen.file or list(TESTS)
    mutants = [mutant for file in files for mutant in mutants_of(ROOT / "career_hf" / file, file)]
    for file in files:
        names = {mutant.name for mutant in mutants if mutant.file == file}
        if strange := [name for name in EQUIVALENT.get(file, {}) if name not in names]:
            parser.error(f"equivalent.toml has '{strange[0]}', which is no mutant of {file}")
    drawn = mutants if chosen.number is None else random.Random(chosen.seed).sample(mutants, chosen.number)
    print(f"{len(drawn):,} of {len(mutants):,} mutants", flush=True)
    start = time.monotonic()
    tests = {file: [ROOT / "tests" / name for name in TESTS[file]] for file in files}
    reached = {}
    # Lines are traced from the start of a child, and nothing is slower to import under a trace.
    import_all(["torch", "transformers.modeling_utils", "datasets", "pandas", "sklearn.metrics", "hypothesis"])
    for file in files:
        reached[file] = reached_by(ROOT / "career_hf" / file, tests[file])
        if reached[file].failed:
            parser.error(f"{reached[file].failed[0]} fails on the unchanged program")
        import_all(reached[file].libraries)
    different = [mutant for mutant in drawn if mutant.name not in EQUIVALENT.get(mutant.file, {})]
    # What runs when a file is imported is changed before the package is imported here, functions afterwards.
    changed = {id(mutant): changed_functions(mutant) for mutant in different}
    killed: Counter[str] = Counter()

    def say(mutant: Mutant, result: str) -> None:
        killed[mutant.file] += result == KILLED
        if result != KILLED:
            print(f"  {result}: {mutant.file}:{mutant.lines[0]}: {mutant.name}", flush=True)

    for mutant in different:
        if changed[id(mutant)] is None:
            say(mutant, verdict_of_import(mutant, reached[mutant.file], tests[mutant.file], chosen.slowest))
    import_tests([path for file in files for path in tests[file]])
    for file in files:
        own = [
            (mutant, codes)
            for mutant in different
            if mutant.file == file and (codes := changed[id(mutant)]) is not None
        ]
        run_tests(tests[file], [Verdicts(own, reached[file], chosen.slowest, say)])
    for file in files:
        own = [mutant for mutant in drawn if mutant.file == file]
        number = sum(mutant.file == file for mutant in different)
        print(f"{file}: {_score(killed[file], number)}, {len(own) - number} equivalent")
    print(f"all: {_score(killed.total(), len(different))}, {time.monotonic() - start:.0f} s")
    return int(killed.total() < chosen.least * len(different))


def _score(killed: int, number: int) -> str:
    return f"{killed} of {number} killed" + (f" ({killed / number:.1%})" if number else "")


if __name__ == "__main__":
    raise SystemExit(main())
