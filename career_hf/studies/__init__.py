"""Studies: commands that train and compare many models, cell by cell, and write tables and figures."""
