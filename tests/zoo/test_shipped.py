"""The records that come with the project are whole, as accurate as stated, and small."""

import pytest

from tinycnn import zoo
from tinycnn.zoo import page, record

KIBIBYTES = 1024


def test_the_records_are_whole_and_the_zoo_is_small():
    for name in zoo.names():
        record.check(zoo.FOLDER / name)
    assert sum(path.stat().st_size for path in zoo.FOLDER.rglob("*") if path.is_file()) < KIBIBYTES * 1024


def test_the_page_has_the_network_of_every_record_of_digits():
    for name in zoo.names():
        if record.card(zoo.FOLDER / name)["data"]["name"] in page.DIGITS:
            program = (zoo.FOLDER / name / record.PROGRAM).read_text(encoding="ascii")
            assert f'"program":{program}' in (zoo.FOLDER / page.NAME).read_text(encoding="utf-8"), name


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.names())
def test_every_file_is_as_accurate_as_its_card_states(name):
    assert record.verify(zoo.FOLDER / name)
