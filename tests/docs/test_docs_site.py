"""The documentation site builds without a warning and without the network, and shows everything that there is."""

from __future__ import annotations

import inspect
import re
import socket
from html import unescape
from pathlib import Path

import pytest
from typer.main import get_command

import career_hf
from career_hf.cli.app import app


for needed in ("material", "mkdocstrings_handlers.python"):
    pytest.importorskip(needed, reason="the extra 'docs' is not installed")

import griffe  # noqa: E402
from mkdocs.commands.build import build  # noqa: E402
from mkdocs.config import load_config  # noqa: E402


ROOT = Path(__file__).parents[2]
API = sorted((ROOT / "docs" / "reference" / "api").glob("*.md"))
# Names in these are public too.
NAMESPACES = ("careers", "figures", "occupations", "rivals", "simulation", "sources", "wages")
# Arguments that Transformers hands to a pipeline by name.
OF_PIPELINES = {"top_k", "batch_size", "num_workers", "device"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly: a broken link, image or heading, or a page outside the menu, is an error, and so is
    every connection to another machine."""
    folder = tmp_path_factory.mktemp("site")

    def refuse(*arguments):
        raise AssertionError(f"the site asks the network: {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
        config.plugins.on_shutdown()
    return folder


def pages(site):
    return {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def article(page):
    return page[page.index("<article") : page.index("</article>")]


def test_nothing_is_fetched_from_elsewhere(site):
    for name, page in pages(site).items():
        assert not re.findall(r'(?:src|srcset)="(?:https?:)?//[^"]*"|<link[^>]*href="(?:https?:)?//[^"]*"', page), name
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//|@import", style.read_text(encoding="utf-8")), style


def test_no_markdown_is_left_in_the_pages(site):
    # GitHub begins a list or a table without an empty line before it; the site does not.
    for name, page in pages(site).items():
        if name != "404.html":
            for paragraph in re.findall(r"<p>(.*?)</p>", article(page), flags=re.DOTALL):
                text = re.sub(r"<code>.*?</code>", "", paragraph, flags=re.DOTALL)
                assert not re.search(
                    r"^\s*([*-] |\d+\. |\|)|```|\]\(|\]\[|\[<code|--8<--|:::", text, flags=re.MULTILINE
                ), f"{name}: {unescape(text)[:300]}"


def test_every_command_and_option_is_on_the_page_about_commands(site):
    text = unescape(re.sub(r"<[^>]+>", "", article(pages(site)["reference/command_line.html"])))

    def look_for(command, name):
        for parameter in command.params:
            assert all(option in text for option in parameter.opts if option.startswith("--")), (name, parameter.opts)
        for child, one in getattr(command, "commands", {}).items():
            assert f"{name} {child}" in text
            assert inspect.cleandoc(one.help).split("\n\n")[0].replace("\n", " ") in text.replace("\n", " ")
            look_for(one, f"{name} {child}")

    look_for(get_command(app), "career-hf")


def test_public_names_are_in_the_reference(site):
    text = "".join(page for name, page in pages(site).items() if name.startswith("reference/api/"))
    namespaces = [career_hf, *(getattr(career_hf, name) for name in NAMESPACES)]
    values = [getattr(room, name) for room in namespaces for name in room.__all__]
    places = [
        f"{value.__module__}.{value.__name__}"
        for value in values
        if inspect.isclass(value) or inspect.isfunction(value)
    ]
    assert len(places) > 100
    assert not [place for place in places if f'id="{place}"' not in text]


def test_every_module_with_public_functions_is_in_the_reference():
    def modules(package):
        for member in package.members.values():
            if not member.is_alias and member.is_module:
                yield member
                yield from modules(member)

    package = griffe.load("career_hf", search_paths=[str(ROOT)])
    listed = {f"career_hf.{name}" for page in API for name in listed_modules(page)}
    public = {
        module.path
        for module in modules(package)
        if any(
            not one.is_alias and not one.name.startswith("_") and (one.is_function or one.is_class)
            for one in module.members.values()
        )
    }
    commands = {path for path in public if path.startswith("career_hf.cli.")}  # these are on the page about commands
    assert public - commands - {"career_hf.readable_values"} <= listed


def listed_modules(page):
    return re.findall(r"^::: career_hf\.(\S+)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


def documented():
    """Every function and class of the modules that the API pages name."""
    package = griffe.load("career_hf", search_paths=[str(ROOT)])
    for page in API:
        for name in listed_modules(page):
            todo = list(package[name].members.values())
            while todo:
                one = todo.pop()
                if not one.is_alias and not one.name.startswith("_") and (one.is_function or one.is_class):
                    yield one
                    todo += one.members.values()


def test_docstrings_describe_arguments_that_there_are():
    wrong = []
    for one in documented():
        if one.docstring is None:
            continue
        signature = {p.name.lstrip("*") for p in one.parameters}
        if one.is_class and "__init__" in one.all_members and not one.all_members["__init__"].is_alias:
            signature |= {p.name for p in one.all_members["__init__"].parameters}
        if one.is_class:
            signature |= OF_PIPELINES if one.name.endswith("Pipeline") else set()
            signature |= {name for name, member in one.all_members.items() if member.is_attribute}
        for section in one.docstring.parse("google", warnings=False):
            if section.kind.value == "parameters":
                names = [name.strip("* ") for entry in section.value for name in entry.name.split(",")]
                wrong += [f"{one.canonical_path}: {name}" for name in names if name not in signature]
    assert not wrong, "\n".join(wrong)
