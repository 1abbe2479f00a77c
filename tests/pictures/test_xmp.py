from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_pipeline.pictures.xmp import for_upright

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "x": "adobe:ns:meta/",
}
CREATOR = "<dc:creator><rdf:Seq><rdf:li>Jürgen Müller</rdf:li></rdf:Seq></dc:creator>"


def packet(attributes="", elements=CREATOR, head=""):
    used = {prefix: uri for prefix, uri in NAMESPACES.items() if f"{prefix}:" in f"x: xmp: rdf:{attributes}{elements}"}
    stated = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in used.items())
    return (
        f'{head}<x:xmpmeta {stated}><rdf:RDF><rdf:Description rdf:about="" xmp:Rating="5" {attributes}>{elements}'
        '</rdf:Description></rdf:RDF></x:xmpmeta>\n\n<?xpacket end="w"?>'
    ).encode()


def described(content):
    root = ElementTree.fromstring(content)
    return root.find("rdf:RDF/rdf:Description", NAMESPACES)


def name(prefix, local):
    return f"{{{NAMESPACES[prefix]}}}{local}"


def test_most_packets_stay_as_they_are():
    head = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    for content in (packet(head=head), b"no packet at all", b"\xff\xfe"):
        assert for_upright(content, (8, 6)) == (content, False)


@pytest.mark.parametrize("head", ["", '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n', "\ufeff"])
def test_sizes_are_replaced_and_the_orientation_is_taken_out(head):
    attributes = 'tiff:Orientation="6" tiff:ImageWidth="2" exif:PixelXDimension="2"'
    elements = f"{CREATOR}<tiff:ImageLength>1</tiff:ImageLength><exif:PixelYDimension>1</exif:PixelYDimension>"
    changed, gain_map = for_upright(packet(attributes, elements, head), (8, 6))
    description = described(changed)
    assert description.attrib == {
        name("rdf", "about"): "",
        name("xmp", "Rating"): "5",
        name("tiff", "ImageWidth"): "8",
        name("exif", "PixelXDimension"): "8",
    }
    assert description.findtext("tiff:ImageLength", None, NAMESPACES) == "6"
    assert description.findtext("exif:PixelYDimension", None, NAMESPACES) == "6"
    assert description.findtext("dc:creator/rdf:Seq/rdf:li", None, NAMESPACES) == "Jürgen Müller"
    assert b"xmp:Rating" in changed  # programs that search for text know these prefixes only
    assert changed.startswith(b"<?xpacket begin=")
    assert not gain_map


def test_gain_maps_and_thumbnails_are_taken_out():
    elements = (
        f"{CREATOR}<Container:Directory><rdf:Seq><rdf:li/></rdf:Seq></Container:Directory>"
        "<xmp:Thumbnails><rdf:Alt/></xmp:Thumbnails>"
    )
    changed, gain_map = for_upright(packet('hdrgm:Version="1.0"', elements), (8, 6))
    assert gain_map
    assert [element.tag for element in described(changed)] == [name("dc", "creator")]
    assert name("hdrgm", "Version") not in described(changed).attrib


def test_a_packet_that_cannot_be_changed():
    assert for_upright(packet('tiff:Orientation="6"')[:-60], (8, 6)) == (None, False)
    assert for_upright(b"Orientation", (8, 6)) == (None, False)


@given(st.binary(max_size=80), st.integers(0, 700))
def test_whatever_the_bytes_are(content, position):
    whole = packet('tiff:Orientation="6"')
    for_upright(whole[:position] + content + whole[position + len(content) :], (8, 6))
