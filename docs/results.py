"""A hook of mkdocs: pages show the results of `examples/replication`, which lie beside the studies that make them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


RESULTS = Path("examples", "replication", "results")


def on_files(files: Files, config: Any) -> Files:
    root = Path(config.config_file_path).parent
    for path in sorted((root / RESULTS).rglob("*")):
        if path.is_file():
            at = (Path("results") / path.relative_to(root / RESULTS)).as_posix()
            files.append(File.generated(config, at, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    # On disk and on GitHub a page links to files above `docs`, which the site has beside its pages.
    return re.sub(rf"\]\((\.\./(?:\.\./)*)\.\./{RESULTS.as_posix()}/", r"](\1results/", markdown)
