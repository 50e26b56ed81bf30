"""The one rule by which a value becomes a label or an identifier, wherever a table comes from.

* A whole number is written without a point: 12, 12.0, "12.0" and a decimal 12.00 are all "12".
* Other numbers are written as Arrow writes them: 12.5 is "12.5", and 0.00001 is "0.00001".
* Text stays as it is, without blanks around it, so that "007" and "2353.10" are codes of their own; only a text that
  is a whole number with zeros behind the point, as pandas writes columns with missing values, loses these.
* Null, NaN and empty text are missing.

`label_of` is the rule for one value, and `labels_of` for a pandas column; `careers.columns.read_labels` and
`sources.spell_years` apply it to columns in Arrow and in databases, and tests compare them.
"""

from __future__ import annotations

import re
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa


# Text that is a whole number with zeros behind the point, in the syntax of Python, Arrow and databases.
WHOLE_WITH_POINT = r"^(-?[0-9]+)\.0+$"
# From here on a float does not tell one whole number from the next.
LARGEST_EXACT = 2.0**53
TOO_LARGE = "numbers of more than 15 digits lose their last digits as floats: read the column as text or whole numbers"


def label_of(value: Any) -> str | None:
    """The label of one value; None if it is missing.

    Args:
        value: A text, a number, or anything that prints in one word, such as a date or a period.

    Raises:
        TypeError: If the value holds several (a list, a dict, bytes).
        ValueError: If it is a float too large to be told from the next whole number.
    """
    if value is None or value != value or type(value).__name__ in ("NAType", "NaTType"):
        return None
    # pandas.read_stata(convert_missing=True) makes these of Stata's ".", ".a" and so on.
    if type(value).__name__ == "StataMissingValue":
        return None
    if hasattr(value, "dtype") and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bytes | bytearray) or (hasattr(value, "__len__") and not isinstance(value, str)):
        raise TypeError(f"{value!r} is not a label")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Decimal):
        text = format(value, "f")
        return label_of(text.rstrip("0").rstrip(".") if "." in text else text)
    if isinstance(value, Real):
        number = float(value)
        if not number.is_integer():
            return pa.scalar(number).cast(pa.string()).as_py()
        if abs(number) >= LARGEST_EXACT:
            raise ValueError(f"{number!r} is not a label: {TOO_LARGE}")
        return str(int(number))
    return re.sub(WHOLE_WITH_POINT, r"\1", str(value).strip()) or None


def labels_of(column: pd.Series) -> pd.Series:
    """The labels of a pandas column as objects, None where missing, with the column's index and name.

    Raises:
        ValueError: If a value has no label, as `label_of` says; the message names the column.
    """
    try:
        places, distinct = pd.factorize(column)
        labels = np.array([*(label_of(value) for value in distinct), None], dtype=object)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column '{column.name}' cannot be read as labels: {error}") from error
    # The place of a missing value is -1, the last.
    return pd.Series(labels[places], index=column.index, name=column.name, dtype=object)
