"""docs/cli.md is made of the command line, is current, and leaves nothing out."""

import inspect
from pathlib import Path

import pytest

from slacktide_cli import api, following
from slacktide_cli.errors import ExitCode
from slacktide_cli.manual import fields, page
from slacktide_cli.manual.commands import find_commands, find_variables, render_command

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()
OTHER_DOCUMENTS = {"fake-together"}  # two fields

VERBS = list(find_commands())


def test_the_page_is_current() -> None:
    assert page.render_page() == PAGE, "run `make docs`"


def test_the_page_does_not_depend_on_who_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*find_variables(), "SLACKTIDE_API_KEY"):
        monkeypatch.setenv(name, "https://CANARY")
    monkeypatch.setenv("COLUMNS", "40")
    assert page.render_page() == PAGE


def test_every_verb_document_and_table_has_its_place_once() -> None:
    assert sorted(page.find_marks("verb")) == sorted(VERBS)
    assert sorted(page.find_marks("document")) == sorted(page.DOCUMENTS)
    assert sorted(page.find_marks("table")) == sorted(fields.TABLES.values())
    assert {name.partition(" --")[0] for name in page.DOCUMENTS} == set(VERBS) - OTHER_DOCUMENTS


def test_a_mark_that_means_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = tmp_path / "page.md"
    monkeypatch.setattr(page, "TEMPLATE", template)
    for mark in ("{{nothing x}}", "{{verb nothing}}", "{{document nothing}}"):
        template.write_text(mark)
        with pytest.raises(KeyError):
            page.render_page()


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_says_what_its_exit_codes_mean_and_speaks_json(name: str) -> None:
    command = find_commands()[name]
    assert "Exit code 0: " in command.help
    assert " 2: usage" in " ".join(command.help.split())
    assert "--json" in [option for parameter in command.params for option in parameter.opts]


@pytest.mark.parametrize("name", VERBS)
def test_every_argument_and_option_is_explained(name: str) -> None:
    command = find_commands()[name]
    rows = [line for line in render_command(name, command) if line.startswith("| `")]
    assert len(rows) == len(command.params)
    for parameter, row in zip(sorted(command.params, key=lambda one: one.param_type_name), rows, strict=True):
        assert parameter.help, parameter.name
        assert parameter.help in row
        assert all(option in row for option in parameter.opts if option.startswith("-"))


def test_no_verb_takes_the_key_on_its_command_line() -> None:
    assert "SLACKTIDE_API_KEY" not in find_variables()
    assert not any("api-key" in option for command in find_commands().values() for one in command.params for option in one.opts)


def test_every_exit_code_is_explained() -> None:
    assert set(page.OUTCOMES) == set(ExitCode)


@pytest.mark.parametrize("kind", [*page.DOCUMENTS.values(), *fields.TABLES])
def test_every_field_of_a_document_is_in_its_table(kind: type) -> None:
    rows = list(fields.render_fields(kind))[2:]
    assert [row.split("`")[1] for row in rows] == list(inspect.signature(kind).parameters)


def test_the_figures_are_those_of_the_code() -> None:
    assert (api.TRIES, api.LONGEST_PAUSE, following.PATIENCE) == (4, 30, 10 * 60)
    for figure in ("tried four times", "up to 30 seconds", "waited out for 10 minutes"):
        assert figure in PAGE
