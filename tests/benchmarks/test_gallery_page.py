from __future__ import annotations

import re

from benchmarks import gallery_page
from benchmarks.front_page import PUBLISHED, SELECTION
from benchmarks.markup import between_markers
from lesa_framework.measure.results_file import read_results

PAGE = gallery_page.PAGE.read_text("utf-8")


def test_the_page_and_its_pictures_are_those_of_the_committed_results():
    selection, published = read_results(SELECTION), read_results(PUBLISHED)
    assert between_markers(PAGE, gallery_page.page(selection, published)) == PAGE, "run -m benchmarks.gallery_page"
    written = {path.name: path.read_bytes() for path in gallery_page.PICTURES.iterdir()}
    made = gallery_page.pictures(selection, published)
    assert set(written) == set(made)
    stills = [name for name in made if not name.startswith("hunyuan")]  # the others are encoded anew
    assert [name for name in stills if written[name] != made[name]] == []


def test_every_picture_of_the_page_has_words_and_is_there():
    found = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", PAGE)
    assert len(found) == 3 * 3 * 6
    assert all(said for said, _ in found)
    assert all((gallery_page.PAGE.parent / path).is_file() for _, path in found)
