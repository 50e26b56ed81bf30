"""The paper's tables and figures, each a study that trains and compares many models cell by cell."""
