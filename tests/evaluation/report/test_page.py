"""The page of a report: its content, its safety, and that it needs no other file."""

import base64
import io
import re
from pathlib import Path

import pytest
from fake_source import FakeSource
from made_up import Element, parsed, result_of, scored, written
from PIL import Image

from cosseg_jax.data.eval_groups import Grouping, fives
from cosseg_jax.evaluation.metrics import Scores
from cosseg_jax.evaluation.report.page import sortable
from cosseg_jax.evaluation.report.panels import BOX, PANELS
from cosseg_jax.evaluation.report.writer import Report
from cosseg_jax.evaluation.results import PJ, Spread, Summary

# images 0 to 6 show class a, 7 and 8 class b: three groups of 5, 2 (completed) and 2
SOURCE = FakeSource([(0,)] * 7 + [(1,)] * 2, categories=2)
JACCARDS = [10.0, 70.0, 30.0, 61.25, 50.0, 0.0, None, 99.0, 40.0]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("report"), SOURCE, JACCARDS)


@pytest.fixture(scope="module")
def root(page: str) -> Element:
    return parsed(page)


def names(figures: list[Element]) -> list[str]:
    """The names of the images in figures, from their captions."""
    return [re.search(r"photo\d+", photo.text).group() for photo in figures]  # type: ignore[union-attr]


def section(root: Element, name: str) -> Element:
    (found,) = root.all("section", id=name)
    return found


def test_every_image_is_shown_once_in_its_group(root: Element):
    groups = root.all("section", class_="group")
    expected = [[f"photo{i:03d}" for i in of] for of in ((0, 1, 2, 3, 4), (5, 6), (7, 8))]
    assert [names(group.all("figure")) for group in groups] == expected
    assert [group.all("h3")[0].text for group in groups] == ["a group 1", "a group 2", "b group 1"]


def test_an_image_has_its_scores_by_every_protocol(root: Element):
    (photo,) = root.all("figure", id="photo-4")
    assert "original J 61.2 P 90.0" in photo.text
    assert "ssnm J 60.2 P 80.0" in photo.text
    assert photo.attributes["data-scores"] == "61.2500,90.0000,60.2500,80.0000"


def test_a_group_has_the_mean_of_the_defined_scores(root: Element):
    first, second, _ = root.all("section", class_="group")
    assert "original J 44.2 P 90.0" in first.all("p", class_="figures")[0].text
    assert "original J 0.0 P 90.0" in second.all("p", class_="figures")[0].text


def test_best_and_worst_come_first_and_have_a_J(root: Element):
    order = [7, 1, 3, 4, 8, 2, 0, 5]  # by decreasing J; image 6 has none
    assert names(section(root, "best").all("figure")) == [f"photo{i:03d}" for i in order[:6]]
    assert names(section(root, "worst").all("figure")) == [f"photo{i:03d}" for i in order[::-1][:6]]
    ids = [one.attributes["id"] for one in root.all("section") if "id" in one.attributes]
    assert ids.index("best") < ids.index("worst") < ids.index("list")


def test_an_image_without_a_J_has_a_dash_and_no_rank(root: Element):
    (photo,) = root.all("figure", id="photo-7")
    assert "original J - P 90.0" in photo.text
    assert photo.attributes["data-scores"].startswith(",90.0000,")


def test_sortable_scores_match_the_choices_of_the_script(root: Element):
    (select,) = root.all("select", name="score")
    choices = {option.attributes["value"]: option.text for option in select.all("option")}
    assert choices == {"0": "original J", "1": "original P", "2": "ssnm J", "3": "ssnm P"}
    scores = {"original": Scores(1.0, 2.0), "ssnm": Scores(3.0, None)}
    assert sortable(scores) == "2.0000,1.0000,,3.0000"


def test_classes_can_be_chosen_in_their_order(root: Element):
    (select,) = root.all("select", name="only")
    assert [option.text for option in select.all("option")] == ["all", "a", "b"]


def test_images_that_complete_a_group_are_named_and_linked_but_not_shown(root: Element):
    _, second, _ = root.all("section", class_="group")
    (completed,) = second.all("p", class_="completed")
    assert completed.text.startswith(
        "Segmented together with photo000 , photo001 , photo002 , which complete"
    )
    links = [link.attributes["href"] for link in completed.all("a")]
    assert links == ["#photo-1", "#photo-2", "#photo-3"]


def test_every_link_within_the_page_has_a_target(root: Element):
    ids = [one.attributes["id"] for one in root.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    targets = [link.attributes["href"] for link in root.all("a")]
    within = [target[1:] for target in targets if target.startswith("#")]
    assert len(within) > 20
    assert set(within) <= set(ids)


def test_nothing_is_loaded_from_elsewhere(page: str, root: Element):
    assert all(i.attributes["src"].startswith("data:image/jpeg;base64,") for i in root.all("img"))
    assert not root.all("link")
    assert [one.attributes for one in root.all("script")] == [{}]
    assert not re.search(r"https?:|@import|url\(|src=\"(?!data:)", page)
    outside = [a.attributes["href"] for a in root.all("a") if a.attributes["href"][0] != "#"]
    assert all(re.fullmatch(r"sheets/\w+\.png", target) for target in outside)


def test_images_have_the_announced_size_and_fit_the_box(root: Element):
    for image in root.all("img"):
        content = base64.b64decode(image.attributes["src"].partition(",")[2])
        with Image.open(io.BytesIO(content)) as opened:
            announced = int(image.attributes["width"]), int(image.attributes["height"])
            assert opened.size == announced
            assert opened.width <= BOX[1]
            assert opened.height <= BOX[0]


def test_images_have_alternative_texts(root: Element):
    (photo,) = root.all("figure", id="photo-8")
    assert [image.attributes["alt"] for image in photo.all("img")] == [
        "Photo photo007",
        "Spatial prior S of photo007",
        "Predicted mask of photo007",
        "True mask of b in photo007",
    ]
    assert len(photo.all("img")) == len(PANELS)


def test_an_image_without_the_object_is_marked(tmp_path: Path):
    source = FakeSource([(0,)], categories=1)
    (group,) = fives(source)
    report = Report(tmp_path, source, [group])
    mask = source[0].masks
    report(scored(source, group, 0, None, masks=mask & False))
    report.write(result_of(source))
    (photo,) = parsed((tmp_path / "index.html").read_text()).all("figure", id="photo-1")
    assert photo.all("em")[0].text == "no object"
    assert photo.all("img")[3].attributes["alt"] == "No a in photo000"


def test_an_object_under_void_is_no_object(tmp_path: Path):
    source = FakeSource([(0,)], categories=1)
    (group,) = fives(source)
    report = Report(tmp_path, source, [group])
    report(scored(source, group, 0, None, void=source[0].masks[0]))
    report.write(result_of(source))
    assert "no object</em>\n" in (tmp_path / "index.html").read_text()


def test_a_page_without_any_J_has_no_best(tmp_path: Path):
    source = FakeSource([(0,)] * 2, categories=1)
    root = parsed(written(tmp_path, source, [None, None]))
    assert not section(root, "best").all("figure")
    assert "there are none" in section(root, "worst").text


def test_names_are_escaped(tmp_path: Path):
    source = FakeSource([(0,)], categories=1)
    source.categories = ("<b>&'\"",)
    source.names = ["x</figure><script>alert(1)</script>"]
    page = written(tmp_path, source, [5.0], checkpoint="runs/<i>", differences=("a < b",))
    root = parsed(page)
    assert root.all("select", name="only")[0].all("option")[1].text == "<b>&'\""
    (photo,) = root.all("figure", id="photo-1")
    assert photo.attributes["data-class"] == "<b>&'\""
    assert photo.attributes["data-name"] == source.names[0]
    assert source.names[0] in photo.text
    assert root.all("code")[0].text == "runs/<i>"
    assert "a < b" in section(root, "summary").text
    assert len(root.all("script")) == 1


def test_bars_are_as_long_as_the_scores(root: Element):
    (table,) = root.all("table", class_="bars")
    rows = [row for row in table.all("tr") if row.all("th", scope="row")]
    assert [row.all("th")[0].text for row in rows] == ["average", "a", "b"]
    assert [cell.text for cell in rows[2].all("td")] == ["90.0", "51.0", "90.0", "51.0"]
    for cell in (cell for row in rows for cell in row.all("td")):
        assert cell.attributes["style"] == f"--value: {cell.text}"
    assert [cell.attributes["class"] for cell in rows[0].all("td")] == ["P", "J", "P", "J"]


def test_the_summary_has_protocols_and_group_dependence(root: Element):
    text = section(root, "summary").text
    assert "P is pixel accuracy, J is IoU (Jaccard)" in text
    assert "original 90.0 50.5 own size" in text
    assert "ssnm 80.0 49.5 224 x 224" in text
    assert "foreign_P 77.7" in text
    assert "runs/one/export" in root.text
    assert "differs" not in text


def test_the_papers_table_is_shown_for_its_data_sets(tmp_path: Path):
    page = written(tmp_path, SOURCE, JACCARDS, dataset="internet")
    (table,) = parsed(page).all("details")
    assert "this checkpoint, original" in table.text
    assert "misprint" in table.text


def test_random_partitions_show_the_first_one_and_the_spread(tmp_path: Path):
    spread = Spread(50.0, 1.5, (48.5, 51.5))
    page = written(
        tmp_path,
        SOURCE,
        JACCARDS,
        grouping=Grouping("random", 2),
        protocols={
            name: Summary(90.0, spread, {"a": PJ(90.0, spread)}) for name in ("original", "ssnm")
        },
    )
    root = parsed(page)
    assert "over 2 partitions; the photos and groups are those of the first" in root.text
    (table,) = root.all("table", class_="bars")
    cell = table.all("td", class_="J")[0]
    assert (cell.text, cell.attributes["style"]) == ("50.0 ± 1.5", "--value: 50.0")
