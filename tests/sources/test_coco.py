import gzip
import json
import re

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.sources.coco import read_coco
from sr_pipeline.sources.folder import split_of
from sr_pipeline.sources.parameters import CocoParameters
from sr_pipeline.sources.photograph import Selection

EVERYTHING = Selection(seed=0)


@pytest.fixture
def coco(tmp_path):
    """A COCO data set of three images that need not exist to be listed."""

    def write(split, ids):
        annotations = tmp_path / f"{split}.json"
        images = [
            {"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 480, "license": 4 + i % 2} for i in ids
        ]
        annotations.write_text(
            json.dumps(
                {
                    "images": images,
                    "licenses": [{"id": 4, "name": "Attribution License"}, {"id": 5, "name": "Share-Alike"}],
                    "categories": [{"id": 17, "name": "cat"}, {"id": 1, "name": "person"}],
                    "annotations": [
                        {"id": 9, "image_id": ids[0], "category_id": 17},
                        {"id": 10, "image_id": ids[0], "category_id": 1},
                        {"id": 11, "image_id": ids[0], "category_id": 17},
                    ],
                }
            )
        )
        (tmp_path / split).mkdir(exist_ok=True)
        return {"images": tmp_path / split, "annotations": annotations}

    return CocoParameters(train=write("train", [30, 9, 25]), val=write("val", [42]))


def test_photographs_come_by_id_with_licence_and_categories(coco):
    photographs = read_coco(coco, EVERYTHING)
    assert [(p.split, p.id) for p in photographs] == [("train", 9), ("train", 25), ("train", 30), ("val", 42)]
    assert photographs[2].categories == ("cat", "person")
    assert photographs[0].categories == ()
    assert [p.licence for p in photographs] == [
        "Share-Alike",
        "Share-Alike",
        "Attribution License",
        "Attribution License",
    ]
    assert photographs[0].file == coco.train.images / "000000000009.jpg"


def test_a_subset_of_each_split(coco):
    chosen = read_coco(coco, Selection(seed=0, max_images=2))
    assert [p.split for p in chosen] == ["train", "train", "val"]


def test_only_some_categories(coco):
    chosen = read_coco(coco.model_copy(update={"categories": ["person"]}), EVERYTHING)
    assert [p.id for p in chosen] == [30, 42]
    with pytest.raises(UserError, match=r"train\.json has no category 'pers'; did you mean 'person'"):
        read_coco(coco.model_copy(update={"categories": ["pers"]}), EVERYTHING)


def test_only_some_licences(coco):
    chosen = read_coco(coco.model_copy(update={"licences": [4]}), EVERYTHING)
    assert [p.id for p in chosen] == [30, 42]
    with pytest.raises(UserError, match=r"train\.json has no licence 9; it has \[4, 5\]"):
        read_coco(coco.model_copy(update={"licences": [9]}), EVERYTHING)
    with pytest.raises(UserError, match=r"no image of .*val\.json has one of ingest\.coco\.categories=None and"):
        read_coco(coco.model_copy(update={"licences": [5]}), EVERYTHING)


def test_names_of_2014_and_of_2017_come_from_the_json(coco):
    listed = json.loads(coco.val.annotations.read_text())
    listed["images"][0]["file_name"] = "COCO_val2014_000000000042.jpg"
    coco.val.annotations.write_text(json.dumps(listed))
    assert read_coco(coco, EVERYTHING)[-1].file == coco.val.images / "COCO_val2014_000000000042.jpg"


def test_real_coco_annotations(shared):
    folder = shared / "data/coco"
    splits = {
        split: {"images": folder / "images" / split, "annotations": folder / f"annotations/instances_{split}.json"}
        for split in ("train", "val")
    }
    photographs = read_coco(CocoParameters(**splits), EVERYTHING)
    assert len(photographs) == 443
    assert all(p.file.is_file() and p.width > 0 for p in photographs)
    assert {"person", "cat"} <= {name for p in photographs for name in p.categories}


def test_nothing_is_both_trained_on_and_held_out(coco):
    both = CocoParameters(train=coco.train, val=coco.train)
    with pytest.raises(UserError, match="image id 9 is in both"):
        read_coco(both, EVERYTHING)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', r"val\.json is not a COCO annotation file: Expecting value at line 1 column 13 \(the end of "),
        ('{"images": [{"file_name": "a', r"val\.json is not a .*: Unterminated string .* was it cut off\?"),
        ('{"images": ]}', r"val\.json is not a COCO annotation file: Expecting value at line 1 column 12;"),
        ("[]", r"val\.json is not a COCO annotation file: expected an object, got array;"),
        ("{}", r"val\.json lists no images"),
        ('{"images": null}', r"val\.json lists no images"),
        ('{"images": 5}', r"val\.json is not a COCO annotation file: images: expected a list, got int;"),
        ('{"images": [5]}', r"images\[0\]: expected an object, got int"),
        ('{"images": [{"file_name": "a.jpg"}]}', r"images\[0\]: there is no id;"),
        ('{"images": [{"id": 1}]}', r"images\[0\]: there is no file_name;"),
        ('{"images": [], "x": [' + "9" * 5000 + "]}", "lists no images"),
        ('{"images": [' + "9" * 5000 + "]}", r"val\.json is not a COCO annotation file: "),
        (b'{"images": [{"id": 1, "file_name": "caf\xe9.jpg"}]}', r'byte 39 is not UTF-8 text: .*"caf\\xe9\.jpg"'),
        (b"\xff\xfe{\0x", r"byte 4 is not UTF-16 text"),
        (b"PK\x03\x04", "it is a zip archive, which may hold several: unpack it"),
        (gzip.compress(b'{"images": []}', mtime=0)[:-9], "it is compressed by gzip, and damaged or cut off"),
    ],
)
def test_malformed_annotations(coco, content, message):
    coco.val.annotations.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_coco(coco, EVERYTHING)


@pytest.fixture
def listing(coco):
    """Photographs of ``val`` if its file has these sections on top of one image of 640x480 pixels."""

    def read(**sections):
        image = {"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}
        sections = {"images": [image], **sections}
        listed = [image | entry if isinstance(entry, dict) else entry for entry in sections["images"]]
        coco.val.annotations.write_text(json.dumps(sections | {"images": listed}))
        return [p for p in read_coco(coco, EVERYTHING) if p.split == "val"]

    return read


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"images": [{}, {"id": None}]}, r"images\[1\]\.id: expected a number or a text, got null"),
        ({"images": [{"id": True}]}, r"images\[0\]\.id: expected a number or a text, got bool"),
        ({"images": [{"id": 1.5}]}, r"images\[0\]\.id: 1\.5 is not an id"),
        ({"images": [{"id": " "}]}, r"images\[0\]\.id: an empty text is not an id"),
        (
            {"images": [{}, {"file_name": "b"}]},
            r"images\[1\]\.id: it lists two images with id 1, this one and images\[0\]",
        ),
        ({"images": [{"file_name": 5}]}, r"images\[0\]\.file_name: expected a text, got int"),
        ({"images": [{"file_name": "../a"}]}, r"images\[0\]\.file_name: '\.\./a' leads out of the folder"),
        ({"images": [{"file_name": "a\\..\\..\\b"}]}, r"images\[0\]\.file_name: .* leads out of the folder"),
        ({"images": [{"file_name": "/a.jpg"}]}, r"images\[0\]\.file_name: '/a\.jpg' leads out of the folder"),
        ({"images": [{"file_name": "C:\\a.jpg"}]}, r"images\[0\]\.file_name: .* leads out of the folder"),
        ({"images": [{"file_name": "a\0.jpg"}]}, r"images\[0\]\.file_name: 'a\\x00\.jpg' contains a NUL character"),
        ({"images": [{"file_name": ""}]}, r"images\[0\]\.file_name: '' names no file"),
        ({"images": [{"file_name": "http://host/"}]}, r"images\[0\]\.file_name: 'http://host/' names no file"),
        (
            {"images": [{"file_name": "http://host/a/1.jpg"}, {"id": 2, "file_name": "http://host/b/1.jpg"}]},
            r"images\[1\]\.file_name: this address and that of images\[0\] end in the same file name, 1\.jpg",
        ),
        ({"images": [{"width": "wide"}]}, r"images\[0\]\.width: 'wide' is not a number of pixels"),
        ({"images": [{"height": -480}]}, r"images\[0\]\.height: -480 is not a number of pixels"),
        ({"images": [{"height": [480]}]}, r"images\[0\]\.height: expected a number or a text, got array"),
        ({"images": [{"license": True}]}, r"images\[0\]\.license: True is not an id"),
        ({"images": [{"license": [1, {"id": []}]}]}, r"images\[0\]\.license: \[\] is not an id"),
        ({"licenses": 5}, r"licenses: 5 is not a list"),
        ({"licenses": [{"id": 1}, 7]}, r"licenses\[1\]: 7 is not a licence"),
        ({"licenses": [{"id": 2.5}]}, r"licenses\[0\]: 2\.5 is not an id"),
        ({"categories": [{"name": "cat"}]}, r"categories\[0\]: there is no id"),
        (
            {"categories": [{"id": 1, "name": "cat"}, {"id": "1", "name": "dog"}]},
            r"categories\[1\]\.id: two categories have the id 1, 'cat' and 'dog'",
        ),
        ({"annotations": 5}, r"annotations: expected a list, got int"),
        ({"annotations": [{"image_id": 1}, {"id": 1}]}, r"annotations\[1\]: there is no image_id"),
        ({"annotations": [None]}, r"annotations\[0\]: expected an object, got null"),
        ({"annotations": [{"image_id": 0.5}]}, r"annotations\[0\]\.image_id: 0\.5 is not an id"),
    ],
)
def test_a_value_without_a_clear_meaning_is_named_with_its_record_and_field(listing, sections, message):
    with pytest.raises(UserError, match=r"val\.json is not a COCO annotation file: " + message):
        listing(**sections)


@pytest.mark.parametrize(
    ("licenses", "stated", "meant"),
    [
        (None, 1, "unknown"),
        ([], 1, "unknown"),
        ([{"id": 1, "name": "BY"}], 1, "BY"),
        ([{"id": 1, "name": "BY"}], "1", "BY"),
        ([{"id": "1", "name": "BY"}], 1, "BY"),
        ([{"id": 1, "name": "BY"}], 2, "unknown"),
        ([{"id": 1, "name": "BY"}], None, "unknown"),
        ([{"id": 1, "name": "BY"}], "", "unknown"),
        ([{"id": 1, "name": "BY"}], [1], "BY"),
        ([{"id": 1, "name": "BY"}, {"id": 2, "name": "SA"}], [2, 1], "SA, BY"),
        ([{"id": 1, "name": "BY"}], [], "unknown"),
        ([{"id": 1, "name": "BY"}], {"id": 1}, "BY"),
        ([{"id": 1, "url": "https://by"}], 1, "https://by"),
        ([{"id": 0, "name": "", "url": ""}], 0, "unknown"),
        ([{"id": 1}], 1, "unknown"),
        ([{"id": 1, "name": None}], 1, "unknown"),
        ([{"name": "BY"}], "BY", "BY"),
        ([{"name": "BY"}], 1, "unknown"),
        (["BY", "SA"], "SA", "SA"),
        (["BY", "SA"], 1, "unknown"),
        ({"id": 1, "name": "BY"}, 1, "BY"),
        ("BY", "BY", "BY"),
        (None, "CC BY 2.0", "CC BY 2.0"),
    ],
)
def test_licences_as_people_write_them(listing, licenses, stated, meant):
    [photograph] = listing(images=[{"license": stated}], licenses=licenses)
    assert photograph.licence == meant


def test_images_under_several_licences_need_them_all(coco, listing):
    listed = [{"license": [4, 5]}, {"id": 2, "file_name": "b.jpg", "license": "5"}]
    licenses = [{"id": 4, "name": "BY"}, {"id": 5, "name": "SA"}]
    assert [p.licence for p in listing(images=listed, licenses=licenses)] == ["BY, SA", "SA"]

    def chosen(*licences):
        photographs = read_coco(coco.model_copy(update={"licences": list(licences)}), EVERYTHING)
        return [p.id for p in photographs if p.split == "val"]

    assert chosen(5) == [2]
    assert chosen(4, 5) == [1, 2]


@pytest.mark.parametrize("stated", [7, "7", "007", 7.0, " 7 "])
def test_ids_are_numbers_however_they_are_written(listing, stated):
    sections = {
        "images": [{"id": stated}],
        "categories": [{"id": "17", "name": "cat"}],
        "annotations": [{"image_id": 7, "category_id": 17.0}],
    }
    [photograph] = listing(**sections)
    assert (photograph.id, photograph.categories) == (7, ("cat",))


@pytest.mark.parametrize("stated", [2**63, 2**64 + 5, 10**30, -1, "5f2b-a1", "caf\udce9"])
def test_other_ids_become_numbers_that_the_manifest_can_hold(listing, stated):
    [photograph] = listing(
        images=[{"id": stated}],
        annotations=[{"image_id": stated, "category_id": 3}],
        categories=[{"id": 3, "name": "cat"}],
    )
    assert 0 <= photograph.id < 2**63
    assert photograph.categories == ("cat",)
    assert [p.id for p in listing(images=[{"id": stated}, {"id": 1, "file_name": "b"}])] == sorted([1, photograph.id])
    assert listing(images=[{"id": 2**63 - 1}])[0].id == 2**63 - 1


@pytest.mark.parametrize(
    ("stated", "meant", "url"),
    [
        ("below/a.jpg", "below/a.jpg", None),
        ("./below//a.jpg", "below/a.jpg", None),
        ("below\\a.jpg", "below/a.jpg", None),
        ("http://host/x/a.jpg", "a.jpg", "http://host/x/a.jpg"),
        ("https://host/x/a%20b.jpg?size=9#top", "a b.jpg", "https://host/x/a%20b.jpg?size=9#top"),
        ("s3://bucket/x/a.jpg", "a.jpg", "s3://bucket/x/a.jpg"),
        ("Nr. 5: b.jpg", "Nr. 5: b.jpg", None),
        ("ünï 日本.jpg", "ünï 日本.jpg", None),
    ],
)
def test_file_names(coco, listing, stated, meant, url):
    [photograph] = listing(images=[{"file_name": stated}])
    assert (photograph.file, photograph.url) == (coco.val.images / meant, url)
    [photograph] = listing(images=[{"file_name": stated, "coco_url": "http://images/1.jpg"}])
    assert photograph.url == "http://images/1.jpg"


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ({"width": None, "height": None}, (None, None)),
        ({"width": 0, "height": 0}, (None, None)),
        ({"width": "640", "height": 480.0}, (640, 480)),
        ({"width": 640, "height": None}, (640, None)),
    ],
)
def test_width_and_height(listing, stated, meant):
    [photograph] = listing(images=[stated])
    assert (photograph.width, photograph.height) == meant


def test_width_and_height_may_be_missing(coco):
    coco.val.annotations.write_text('{"images": [{"id": 1, "file_name": "a"}]}')
    assert read_coco(coco, EVERYTHING)[-1][3:5] == (None, None)


def test_an_image_listed_twice_counts_once(listing):
    assert len(listing(images=[{}, {"id": 2, "file_name": "b"}, {}])) == 2


def test_captions_have_no_categories(coco, listing):
    [photograph] = listing(annotations=[{"id": 1, "image_id": 1, "caption": "a cat"}])
    assert photograph.categories == ()
    with pytest.raises(UserError, match=r"val\.json has no category 'cat'; it lists no categories"):
        read_coco(coco.model_copy(update={"categories": ["cat"]}), EVERYTHING)


def test_a_category_without_a_name_goes_by_its_id(coco, listing):
    annotations = [{"image_id": 1, "category_id": 1}, {"image_id": 1, "category_id": 17}]
    [photograph] = listing(categories=[{"id": 1, "name": None}, {"id": 17, "name": "cat"}], annotations=annotations)
    assert photograph.categories == ("1", "cat")
    with pytest.raises(UserError, match=r"val\.json has no category 'person'; categories\[0\]\.name is missing there"):
        read_coco(coco.model_copy(update={"categories": ["person"]}), EVERYTHING)


def test_ids_of_annotations_may_repeat(coco, listing):
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(9)]
    annotations = [{"id": 1, "image_id": number, "category_id": number % 2} for number in range(9)]
    listing(images=images, annotations=annotations, categories=[{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}])
    chosen = read_coco(coco.model_copy(update={"categories": ["cat"]}), EVERYTHING)
    assert [p.id for p in chosen if p.split == "val"] == [0, 2, 4, 6, 8]


def test_two_categories_of_one_name_are_one(coco, listing):
    annotations = [{"image_id": image, "category_id": category} for image, category in ((1, 1), (1, 2), (2, 2))]
    images = [{}, {"id": 2, "file_name": "b.jpg"}, {"id": 3, "file_name": "c.jpg"}]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]
    photographs = listing(images=images, annotations=annotations, categories=categories)
    assert [p.categories for p in photographs] == [("cat",), ("cat",), ()]
    chosen = read_coco(coco.model_copy(update={"categories": ["cat"]}), EVERYTHING)
    assert [p.id for p in chosen if p.split == "val"] == [1, 2]


@pytest.mark.parametrize("name", ["val.json", "val.json.gz"])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_compressed_and_encoded_in_other_ways(coco, name, pack, encoding):
    file = coco.val.annotations.with_name(name)
    text = json.dumps({"images": [{"id": 1, "file_name": "ü.jpg"}]}, ensure_ascii=False)
    file.write_bytes(pack(text.encode(encoding)))
    other = coco.model_copy(update={"val": coco.val.model_copy(update={"annotations": file})})
    assert read_coco(other, EVERYTHING)[-1].file.name == "ü.jpg"


def test_what_only_python_calls_json(coco):
    coco.val.annotations.write_text(
        '{"images": [{"id": 1, "file_name": "caf\\udce9.jpg"}], "annotations": [{"image_id": 1, "area": NaN}]}'
    )
    assert read_coco(coco, EVERYTHING)[-1].file.name == "caf\udce9.jpg"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1}, {"image_id": 1, "x": %s}]}',
            "annotations[1].x",
        ),
        ('{"images": [{"id": 1, "file_name": "a]["}, {"id": 2, "license": %s}]}', "images[1].license"),
        ('{"info": %s}', "info[0][0]"),
    ],
)
def test_very_deep_json(coco, content, place):
    coco.val.annotations.write_text(content % ("[" * 100_000 + "]" * 100_000))
    with pytest.raises(UserError, match=rf"val\.json is not .*: {re.escape(place)}: brackets are nested more than 100"):
        read_coco(coco, EVERYTHING)


def test_splits_may_use_the_same_ids_for_different_images(coco, tmp_path):
    for split in ("train", "val"):
        images = [{"id": number, "file_name": f"{split}{number}.jpg"} for number in range(3)]
        getattr(coco, split).annotations.write_text(json.dumps({"images": images}))
    photographs = read_coco(coco, EVERYTHING)
    assert [(p.split, p.id) for p in photographs] == [(split, n) for split in ("train", "val") for n in range(3)]
    assert len({p.file for p in photographs}) == 6


def test_one_image_under_two_ids_is_not_trained_on_and_held_out(coco):
    listed = {"images": [{"id": 77, "file_name": "000000000042.jpg"}]}
    coco.train.annotations.write_text(json.dumps(listed))
    shared = coco.train.model_copy(update={"images": coco.val.images})
    with pytest.raises(UserError, match=r"image id 77 is in both .*000000000042\.jpg; held-out"):
        read_coco(coco.model_copy(update={"train": shared}), EVERYTHING)


@pytest.fixture
def one_file(coco):
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(500)]
    coco.train.annotations.write_text(json.dumps({"images": images}))
    coco.val.annotations.unlink()
    return coco.model_copy(update={"val_fraction": 0.2})


def test_one_file_for_all_is_divided(one_file):
    photographs = read_coco(one_file, EVERYTHING)
    splits = {p.id: p.split for p in photographs}
    assert sorted(splits) == list(range(500))
    assert sum(split == "val" for split in splits.values()) == pytest.approx(100, abs=36)  # four standard deviations
    assert photographs == sorted(photographs, key=lambda p: (p.split, p.id))
    # As a folder is divided, so that a photograph stays in its split whatever else is listed, and as what.
    assert splits == {number: split_of(f"{number}.jpg", 0.2) for number in range(500)}
    few = {p.id for p in read_coco(one_file, Selection(seed=0, max_images=7))}
    assert len(few) == 14
    more = read_coco(one_file.model_copy(update={"val_fraction": 0.4}), EVERYTHING)
    assert {n for n, split in splits.items() if split == "val"} < {p.id for p in more if p.split == "val"}


def test_a_part_that_would_be_empty(one_file):
    with pytest.raises(
        UserError, match=r"none of the 500 .*train\.json falls to split 'val'; raise ingest\.coco\.val_"
    ):
        read_coco(one_file.model_copy(update={"val_fraction": 1e-6}), EVERYTHING)
    with pytest.raises(UserError, match=r"falls to split 'train'; lower ingest\.coco\.val_fraction"):
        read_coco(one_file.model_copy(update={"val_fraction": 1 - 1e-6}), EVERYTHING)


SHARED_CASES = {
    "captions": 8,
    "cat_noname": 8,
    "cat_person_ids_restart_per_image": 80,
    "cat_two_ids_one_name": 80,
    "fn_url": 8,
    "gzip": 8,
    "lic_noname": 8,
    "lic_null": 8,
    "license_list": 8,
    "split_ids_from_0": 8,
}


@pytest.mark.parametrize(("name", "count"), SHARED_CASES.items())
def test_cases_from_public_reports(shared, name, count):
    folder = shared / "cases/pipeline/coco" / name
    splits = {
        split: {"images": shared / "data/coco/images" / split, "annotations": folder / f"{split}.json"}
        for split in ("train", "val")
    }
    parameters = CocoParameters(**splits)
    photographs = read_coco(parameters, EVERYTHING)
    assert len(photographs) == count
    assert all(p.file.is_file() for p in photographs)
    if count == 80:
        assert len(read_coco(parameters.model_copy(update={"categories": ["person"]}), EVERYTHING)) == 33


def test_missing_folder_and_file(coco, tmp_path):
    moved = coco.model_copy(update={"train": coco.train.model_copy(update={"images": tmp_path / "gone"})})
    with pytest.raises(UserError, match=r"the folder of train images is missing: .*gone; put the images there, set"):
        read_coco(moved, EVERYTHING)
    coco.val.annotations.unlink()
    with pytest.raises(UserError, match=r"the val annotation file is missing: .*val\.json"):
        read_coco(coco, EVERYTHING)
