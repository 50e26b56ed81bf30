"""A whole project: from a long table to splits, training, a comparison, a forecast, wages and a model card.

Copy it, and put your own table in the place of the one that ships with the package.
"""

from pathlib import Path

import career_hf


folder = Path("runs/own_panel")

# A long table has one row per person and year. Yours may be `pandas.read_csv("panel.csv")`.
frame = career_hf.to_frame(career_hf.sources.keane_wolpin().careers)
print(frame.head(3).to_string(index=False))

careers = career_hf.from_frame(
    frame, person="person", year="year", occupation="occupation", covariates=["schooling"], outcomes=["log_wage"]
)
splits = career_hf.split_careers(careers)  # 70/10/20 by a hash of the person
career_hf.save_careers(splits, folder / "careers")

# CAREER and two rivals, with the same budget and scored on the same rows. The budget here is small: it takes minutes.
comparison = career_hf.compare(
    splits,
    models=["career", "bag-of-jobs", "markov-2"],
    covariates=["year", "schooling"],
    trials=2,
    seeds=1,
    tokens_per_batch=2_000,
    max_steps=300,
    output=folder / "comparison",
)
print(comparison)
comparison.figure().savefig(folder / "comparison.png")

# One CAREER to keep, with its model card. Its settings follow from the size of the panel.
career = career_hf.train(folder / "careers", covariates=["year", "schooling"], output=folder / "career")
print(career.plan)
forecast = career_hf.forecast(career, splits["test"].select(range(3)), horizon=5)
print(forecast.top(2).to_string(index=False))
forecast.figure().savefig(folder / "forecast.png")

print(career_hf.wages.regress(splits, career))
