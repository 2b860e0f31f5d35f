"""Sources: what each makes of the files of its kind, and of files that are broken."""

from __future__ import annotations

import gzip
import json
import lzma
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from progressgym.corpora.documents import Document, Part, SetAside, Source
from progressgym.corpora.sources import json_lines, reading
from progressgym.corpora.sources.histtext import from_histtext, to_histtext
from progressgym.corpora.sources.imprint import (
    doubt_of,
    is_translation,
    last_year,
    read_imprint,
    without_dates,
)
from progressgym.corpora.sources.languages import language_code, original_of
from progressgym.corpora.sources.reading import UnreadableError, decode, read_date

from progressgym import registry
from progressgym.errors import UsageError

REAL = Path(__file__).resolve().parents[1] / ".." / "shared" / "corpora"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real texts are not here: shared/")
HEADER = "file,source,source_id,title,author,creation_year,original_language,translation_year,genre"
TEI = '<TEI xmlns="http://www.tei-c.org/ns/1.0">'


def open_source(name: str, place: Path | str) -> Source:
    return registry.find("source", name)(str(place))


def read_all(name: str, place: Path | str) -> list[Document | SetAside]:
    source = open_source(name, place)
    return [found for part in source.parts() for found in source.read(part)]


def one(name: str, place: Path | str) -> Document:
    (found,) = read_all(name, place)
    assert isinstance(found, Document), found
    return found


def reason(name: str, place: Path | str) -> str:
    (found,) = read_all(name, place)
    assert isinstance(found, SetAside), found
    assert found.name
    return found.reason


def catalogue(folder: Path, *lines: str, header: str = HEADER) -> Path:
    (folder / "catalog.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return folder


def tei(
    body: str,
    date: str = "1612.",
    edition: str = "1612",
    title: str = "A book",
    author: str = "",
    front: str = "",
    back: str = "",
    doctype: str = "",
    note: str = "",
) -> str:
    """A TEI document as the Text Creation Partnership makes them."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>{doctype}{TEI}<teiHeader><fileDesc>
    <titleStmt><title>{title}</title><author>{author}</author></titleStmt>
    <editionStmt><edition><date>{edition}</date></edition></editionStmt>
    <publicationStmt><publisher>Text Creation Partnership</publisher>
    <date when="2011-04">2011-04 (EEBO-TCP Phase 2).</date><idno type="DLPS">A00001</idno>
    <availability><p>under CC0 1.0</p></availability></publicationStmt>
    <sourceDesc><biblFull><titleStmt><title>{title}</title></titleStmt>
    <publicationStmt><publisher>Printed by X</publisher><date>{date}</date></publicationStmt>
    <notesStmt><note>{note}</note></notesStmt></biblFull></sourceDesc></fileDesc>
    <profileDesc><langUsage><language ident="eng">eng</language></langUsage></profileDesc>
    </teiHeader><text xml:lang="eng"><front>{front}</front><body>{body}</body>
    <back>{back}</back></text></TEI>"""


def tei_text(folder: Path, body: str, **more: str) -> str:
    (folder / "A00001.xml").write_text(tei(body, **more), encoding="utf-8")
    return one("tei", folder).text


# Reading files


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("naïve".encode(), "naïve"),
        ("naïve".encode("utf-8-sig"), "naïve"),
        ("naïve".encode("utf-16"), "naïve"),
        ("naïve — “so”".encode("cp1252"), "naïve — “so”"),
        ("æøå æøå æøå".encode() + b"\xff", "æøå æøå æøå\ufffd"),
        (b"a\r\nb\rc", "a\nb\nc"),
    ],
)
def test_text_is_decoded_by_what_most_of_its_bytes_say(data: bytes, text: str) -> None:
    assert decode(data) == text


def test_a_picture_is_no_text() -> None:
    with pytest.raises(UnreadableError, match="control characters"):
        decode(random.Random(1).randbytes(5000))


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("1998-05-04", 1998),
        ("01-23-1997", 1997),
        ("1975", 1975),
        ("2003-07-01T12:00:00Z", 2003),
        ("May 4, 1998", 1998),
        ("4 May 1998", 1998),
        ("[NA]", None),
        ("", None),
        ("04/05/98", None),
        ("c. 1998", None),
        ("1998-1999", None),
        ("19980504", None),
    ],
)
def test_a_date_has_a_year_if_there_is_no_doubt(text: str, year: int | None) -> None:
    assert read_date(text) == year


# Catalogue


def test_a_catalogue_tells_kinds_and_years(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("Plain words.")
    (tmp_path / "g.txt").write_text("*** START OF THE PROJECT GUTENBERG EBOOK X ***\nWords.")
    catalogue(
        tmp_path,
        "plain.txt,test,1,T,A,1400,la,1900,law",
        "g.txt,test,2,T,A,1500,en,,law",
    )
    plain, gutenberg = read_all("catalog", tmp_path)
    assert isinstance(plain, Document)
    assert isinstance(gutenberg, Document)
    assert (plain.kind, plain.creation_year, plain.translation_year) == ("plain", 1400, 1900)
    assert (plain.original_language, plain.genre, plain.name) == ("la", "law", "test/1")
    assert (gutenberg.kind, gutenberg.translation_year) == ("gutenberg", None)


def test_wrong_lines_are_reported_with_their_number_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    (folder / "link.txt").symlink_to(outside)
    (folder / "good.txt").write_text("Good words.")
    (folder / "empty.txt").write_text("")
    catalogue(
        folder,
        "missing.txt,s,1,T,A,1400,en,,x",
        "../secret.txt,s,2,T,A,1400,en,,x",
        f"{outside},s,3,T,A,1400,en,,x",
        "link.txt,s,4,T,A,1400,en,,x",
        "good.txt,s,5,T,A,1400,en,,x",
        "good.txt,s,6,T,A,1400,en,,x",
        "empty.txt,s,7,T,A,1400,en,,x",
    )
    found = read_all("catalog", folder)
    assert [f.source_id for f in found if isinstance(f, Document)] == ["5"]
    aside = {f.name: f for f in found if isinstance(f, SetAside)}
    assert sorted(aside) == [f"catalog.csv, line {n}" for n in (2, 3, 4, 5, 7, 8)]
    assert {f.kind for f in aside.values()} == {"broken"}
    assert "no such file" in aside["catalog.csv, line 2"].reason
    assert "leads out" in aside["catalog.csv, line 5"].reason
    assert "line 6 names" in aside["catalog.csv, line 7"].reason
    assert "empty" in aside["catalog.csv, line 8"].reason
    assert not any(getattr(f, "text", "") == "secret" for f in found)


@pytest.mark.parametrize("year", ["c. 1450?", "", "145-", "MCD"])
def test_a_year_that_is_a_guess_is_quoted(tmp_path: Path, year: str) -> None:
    (tmp_path / "a.txt").write_text("Words.")
    catalogue(tmp_path, f"a.txt,s,1,T,A,{year},en,,x")
    (found,) = read_all("catalog", tmp_path)
    assert isinstance(found, SetAside)
    assert (found.kind, found.name) == ("undated", "catalog.csv, line 2")
    assert repr(year) in found.reason


def test_a_folder_without_a_whole_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no catalog\.csv"):
        open_source("catalog", tmp_path).parts()
    catalogue(tmp_path, header="file,title")
    with pytest.raises(UsageError, match="missing source, source_id"):
        open_source("catalog", tmp_path).parts()


def test_the_catalogue_wins_over_a_tei_header_and_other_tei_files_are_read(tmp_path: Path) -> None:
    book = tei("<p>Of vertue.</p>", title="Translated out of French")
    (tmp_path / "a.xml").write_text(book)
    (tmp_path / "b.xml").write_text(book)
    (tmp_path / "c.xml").write_text(book)
    catalogue(tmp_path, "a.xml,,,Virtue,,1598,fr,1612,x", "c.xml,,,,,c. 1600,,,x")
    first, guess, unnamed = read_all("catalog", tmp_path)
    assert isinstance(first, Document)
    assert isinstance(unnamed, Document)
    assert isinstance(guess, SetAside)
    assert guess.kind == "undated"
    assert (first.title, first.creation_year, first.doubt) == ("Virtue", 1598, "")
    assert (first.source, first.kind, first.licence) == ("EEBO-TCP", "tei", "CC0-1.0")
    assert unnamed.creation_year is None


def test_a_changed_line_of_the_catalogue_is_a_changed_part(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Words.")
    before = open_source("catalog", catalogue(tmp_path, "a.txt,s,1,T,A,1400,en,,x")).parts()
    catalogue(tmp_path, "b.txt,s,1,T,A,1400,en,,x", "a.txt,s,1,T,A,1400,en,,x")
    moved = open_source("catalog", tmp_path).parts()
    catalogue(tmp_path, "a.txt,s,1,T,A,1700,en,,x", "b.txt,s,1,T,A,1400,en,,x")
    changed = open_source("catalog", tmp_path).parts()
    assert before[0].fingerprint() == moved[1].fingerprint() != changed[0].fingerprint()


# Project Gutenberg


def test_gutenberg_tells_who_and_what_but_not_when(tmp_path: Path) -> None:
    (tmp_path / "pg77.txt").write_text(
        "The Project Gutenberg EBook of X, by Y\n\nTitle: The House\n  of Seven\n\n"
        "Author: Nathaniel Hawthorne, 1804-1864\n\nRelease Date: May 1, 2006 [EBook #77]\n\n"
        "Language: English\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\nHalf-way down."
    )
    found = one("gutenberg", tmp_path)
    assert (found.source_id, found.title, found.language) == ("77", "The House of Seven", "en")
    assert found.creation_year is None
    assert found.doubt
    (tmp_path / "metadata.csv").write_text("id,creation_year,genre\n77,1851,fiction\n")
    dated = one("gutenberg", tmp_path)
    assert (dated.creation_year, dated.genre, dated.doubt) == (1851, "fiction", "")
    (tmp_path / "metadata.csv").write_text("id,creation_year\n77,ca. 1851\n")
    assert "'ca. 1851'" in reason("gutenberg", tmp_path)


def test_a_book_in_several_encodings_is_one_book(tmp_path: Path) -> None:
    for name in ("12.txt", "12-0.txt", "12-8.txt", "13.txt"):
        (tmp_path / name).write_text("Project Gutenberg's Alice, by Lewis Carroll\n")
    parts = open_source("gutenberg", tmp_path).parts()
    assert [part.name for part in parts] == ["12-0.txt", "13.txt"]
    documents = read_all("gutenberg", tmp_path)
    assert [d.author for d in documents if isinstance(d, Document)] == ["Lewis Carroll"] * 2


# TEI: letters and blocks


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>Treaſure</p>", "Treasure"),
        ('<p>ver<g ref="char:EOLhyphen"/>\n<pb n="2"/>\ntue, e<g ref="char:EOLunhyphen"/>ſtate</p>',
         "vertue, estate"),
        ("<p>per∣forme and ver-<lb/>tue and <lb/>line</p>", "performe and vertue and line"),
        ('<p><seg rend="decorInit">R</seg>Ight Honorable</p>', "Right Honorable"),
        ('<p><seg rend="decorInit">N</seg>ATURE is</p>', "Nature is"),
        ('<p><seg rend="decorInit">I</seg> Say so</p>', "I Say so"),
        ('<p><seg rend="decorInit">A</seg> Great man</p>', "A Great man"),
        ("<p>WHen and <hi>T</hi>HE</p>", "When and THE"),
        ('<p><seg rend="decorInit">I</seg> N the</p>', "In the"),
        ("<p><hi>T</hi>HE end</p>", "The end"),
        ("<p>XII of them</p>", "XII of them"),
        ("<p>Paul speaketh, * Let vs eate ........ </p>", "Paul speaketh, Let vs eate"),
        ("<p>VVherefore vvords</p>", "Wherefore words"),
        ('<p>the<g ref="char:cmbAbbrStroke">\u0304</g> who serve them</p>', "them who serve them"),
        ('<p>vpo<g ref="char:cmbAbbrStroke">\u0304</g> and cōmō</p>', "vpon and common"),
        ('<p>M<hi rend="sup">r</hi> X, y<hi rend="sup">e</hi> King</p>', "Mr X, the King"),
        ('<p>vtriuſ<expan>\n<am>\n<g ref="char:abque"/>\n</am>\n<ex>que</ex>\n</expan>iuris</p>',
         "vtriusque iuris"),
        ("<p>a <choice><sic>hte</sic><corr>the</corr></choice>"
         "<choice><orig>, loue</orig><reg>love</reg></choice></p>", "a the, loue"),
        ('<p>word <foreign xml:lang="lat">fiat lux</foreign> kept</p>', "word fiat lux kept"),
        ('<p>Law<note place="margin">In the margin</note>s<fw>12</fw></p>', "Laws"),
        ('<p>so<g ref="char:punc">▪</g> full <g ref="char:V">Ʋ</g>ertue</p>', "so full Vertue"),
        ("<p>x</p><figure><figDesc>device</figDesc></figure><trailer>FINIS.</trailer>", "x"),
        ("<p>x</p><!-- no --><?no no?><table><row><cell>1</cell></row></table>", "x"),
    ],
)  # fmt: skip
def test_letters_are_written_as_we_would(tmp_path: Path, body: str, text: str) -> None:
    assert tei_text(tmp_path, body) == text


def test_blocks_and_lines(tmp_path: Path) -> None:
    body = """<div><head>BOOK I.</head><lg>
        <l>One</l>
        <pb/> <l>Two</l></lg>
        <lg><l>Three</l></lg>
        <p>He saith, <q><l>Four</l> <l>Five</l></q> and goes on.</p>
        <list><item>First;</item><item>Second.</item></list></div>"""
    assert tei_text(tmp_path, body) == (
        "BOOK I.\n\nOne\nTwo\n\nThree\n\nHe saith,\n\nFour\nFive\n\nand goes on.\n\nFirst;\nSecond."
    )


def test_a_word_is_restored_where_one_fits_and_left_out_otherwise(tmp_path: Path) -> None:
    one_letter = '<gap reason="illegible" extent="1 letter"><desc>•</desc></gap>'
    a_word = '<gap reason="illegible" extent="1 word"><desc>〈◊〉</desc></gap>'
    greek = '<gap reason="foreign"><desc>〈 in non-Latin alphabet 〉</desc></gap>'
    body = f"""<p>A woman of vertue, and a man of vertue, in times of war.</p>
        <p>His ver{one_letter}ue, when he had seen w{one_letter}r, {a_word} was ({greek}) great,
        said the wom{one_letter}n of the town and he to them.</p>"""
    _, second = tei_text(tmp_path, body).split("\n\n")
    assert second == "His vertue, when he had seen, was great, said the of the town and he to them."


def test_a_line_that_can_hardly_be_read_is_left_out(tmp_path: Path) -> None:
    gap = '<gap reason="illegible" extent="1+ letters"><desc>•…</desc></gap>'
    lines = f"<lg><l>Of mans first</l><l>Things {gap}x yet {gap}y</l><l>disobedience</l></lg>"
    assert tei_text(tmp_path, lines) == "Of mans first\ndisobedience"


def test_only_the_author_is_heard(tmp_path: Path) -> None:
    front = """<div type="title_page"><p>Printed by X</p></div>
        <div type="dedication"><p>To my lord.</p></div>
        <div type="printer_to_the_reader"><p>Buy it.</p></div>
        <div type="to_the_reader"><p>Reader.</p></div>
        <div type="table_of_contents"><list><item>Chap. 1</item></list></div>
        <div type="license"><p>Imprimatur.</p></div>"""
    body = """<div1 type="book"><p>The book.</p></div1>
        <div type="book" xml:lang="lat"><p>Liber.</p></div>"""
    back = """<div type="conclusion"><p>The end.</p></div><div type="index"><p>Vertue 3</p></div>
        <div type="errata"><p>for x read y</p></div><div type="advertisement"><p>Pills.</p></div>"""
    text = tei_text(tmp_path, body, front=front, back=back)
    assert text == "To my lord.\n\nReader.\n\nThe book.\n\nThe end."


def test_a_latin_book_is_whole_and_says_that_it_is_latin(tmp_path: Path) -> None:
    book = tei('<div xml:lang="lat"><p>Liber.</p></div>').replace("eng", "lat")
    (tmp_path / "a.xml").write_text(book)
    found = one("tei", tmp_path)
    assert (found.text, found.language) == ("Liber.", "la")


# TEI: what is known


@pytest.mark.parametrize(
    ("more", "year", "doubt"),
    [
        ({}, 1612, ""),
        ({"date": "[1612]"}, 1612, ""),
        ({"date": "Anno 1612."}, 1612, ""),
        ({"date": "", "edition": "1612"}, 1612, ""),
        ({"date": "1612?"}, None, "'1612?'"),
        ({"date": "MDCXII"}, None, "'MDCXII'"),
        ({"date": "1610-1612."}, None, "1610-1612"),
        ({"date": "between 1610 and 1612"}, None, "between"),
        ({"date": "1641 [i.e. 1642]"}, None, "i.e."),
        ({"date": "1612.", "edition": "1598"}, None, "two dates"),
        ({"date": "1612.", "edition": "1613"}, 1612, ""),
        ({"author": "Jewell, William, 1560-1602."}, 1612, ""),
        ({"author": "Jewell, William, 1560-1601."}, None, "long after"),
        ({"author": "Aristotle, 384-322 B.C."}, None, "long after"),
        ({"author": "Jewell, William, fl. 1590."}, 1612, ""),
        ({"note": "First published in 1590."}, None, "a note says"),
        ({"note": "First published in 1612."}, 1612, ""),
    ],
)
def test_a_year_is_one_that_a_historian_would_accept(
    tmp_path: Path, more: dict[str, str], year: int | None, doubt: str
) -> None:
    (tmp_path / "a.xml").write_text(tei("<p>Words.</p>", **more))
    found = one("tei", tmp_path)
    assert found.creation_year == year
    assert doubt in found.doubt
    assert bool(found.doubt) == (year is None)


@pytest.mark.parametrize(
    "title",
    [
        "Translated out of French",
        "Now Englished by W. J.",
        "Newly tra[n]slated",
        "done into English",
    ],
)
def test_a_translation_is_of_its_own_year_only(tmp_path: Path, title: str) -> None:
    (tmp_path / "a.xml").write_text(tei("<p>Words.</p>", title=title))
    found = one("tei", tmp_path)
    assert (found.creation_year, found.translation_year) == (None, 1612)
    assert "translation" in found.doubt


def test_names_and_years_of_headings() -> None:
    assert without_dates("Hobbes, Thomas, 1588-1679.") == "Hobbes, Thomas"
    assert without_dates("Jewell, William, b. 1585 or 6.") == "Jewell, William"
    assert without_dates("Misselden, Edward, fl. 1608-1654.") == "Misselden, Edward"
    assert without_dates("R. H.") == "R. H."
    assert last_year("Hobbes, Thomas, 1588-1679.") == 1679
    assert last_year("X, d. 1602") == 1602
    assert last_year("Jewell, William, b. 1585 or 6.") is None
    assert last_year("Living, Author, 1950-") is None
    assert last_year("Anonymous") is None
    assert not is_translation("Of the state of the church")
    assert original_of("Translated out of the French tongue") == "fr"
    assert read_imprint("Printed in the yeare 1641.") == 1641
    assert doubt_of(1623, "The circle of commerce", ["Misselden, Edward, fl. 1608-1654."]) == ""
    assert [language_code(w) for w in ("eng", "English", "en-GB", "xx", "")] == [
        "en", "en", "en", "xx", "",
    ]  # fmt: skip


def test_the_older_format_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "A00002.xml").write_text(
        '<!DOCTYPE ETS SYSTEM "eebo.dtd"><ETS><EEBO><IDG ID="A00002"/><TEXT LANG="eng"><BODY>'
        '<DIV1 TYPE="book"><PB N="1"/><P>Ver&hyphen;tue, ver∣tue and <HI>per</HI>forme.'
        '<NOTE PLACE="marg">no</NOTE></P></DIV1></BODY></TEXT></EEBO></ETS>'
    )
    (tmp_path / "A00002.hdr").write_text(
        "<HEADER><FILEDESC><TITLESTMT><TITLE>Of vertue</TITLE></TITLESTMT><SOURCEDESC><BIBLFULL>"
        "<PUBLICATIONSTMT><DATE>1590.</DATE></PUBLICATIONSTMT></BIBLFULL></SOURCEDESC></FILEDESC>"
        "</HEADER>"
    )
    found = one("tei", tmp_path)
    assert (found.text, found.title) == ("Ver-tue, vertue and performe.", "Of vertue")
    assert (found.creation_year, found.source_id) == (1590, "A00002")


BOMB = "<!DOCTYPE TEI [<!ENTITY a 'aaaaaaaaaaaaaaaaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"
OUTSIDE = "<!DOCTYPE TEI [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (tei("<p>&b;</p>", doctype=BOMB).encode(), "refused"),
        (tei("<p>&a;</p>", doctype=OUTSIDE).encode(), "refused"),
        (tei("<p>cut off</p>").encode()[:-40], "broken XML"),
        (b"", "empty"),
        (b"\0" * 500, "broken XML"),
        (b"<html><p>no</p></html>", "no <text>"),
        (tei("<p> </p>").encode(), "nothing in it"),
        (TEI.encode() + b"<a>" * 400, "broken XML"),
    ],
)
def test_a_bad_xml_file_is_reported(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "a.xml").write_bytes(data)
    assert why in reason("tei", tmp_path)


def test_an_entity_for_a_letter_is_read(tmp_path: Path) -> None:
    doctype = "<!DOCTYPE TEI [<!ENTITY eacute '\u00e9'>]>"
    assert tei_text(tmp_path, "<p>caf&eacute; &amp; on</p>", doctype=doctype) == "café & on"


# The Internet Archive


def archive_item(folder: Path, **fields: str) -> Path:
    (folder / "book_djvu.txt").write_text("A page.\n\fAnother.")
    known = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    (folder / "book_meta.xml").write_text(f"<metadata>{known}</metadata>")
    return folder


def test_a_scan_is_dated_by_its_sidecar(tmp_path: Path) -> None:
    archive_item(
        tmp_path, title="On", creator="Mill, J. S., 1806-1873", date="1859", language="eng"
    )
    found = one("archive", tmp_path)
    assert (found.creation_year, found.language, found.kind) == (1859, "en", "ocr")
    assert (found.author, found.text) == ("Mill, J. S.", "A page.\n\fAnother.")
    archive_item(tmp_path, title="On", creator="Mill, J. S., 1806-1873", date="1901")
    assert "long after" in one("archive", tmp_path).doubt
    archive_item(tmp_path, title="On", date="c1859")
    assert "'c1859'" in one("archive", tmp_path).doubt
    (tmp_path / "book_meta.xml").unlink()
    assert one("archive", tmp_path).creation_year is None


def test_the_text_of_the_archives_xml(tmp_path: Path) -> None:
    def line(text: str) -> str:
        letters = "".join(f"<charParams>{c}</charParams>\n" for c in text)
        return f"<line><formatting>{letters}</formatting></line>"

    page = f"<page><block><text><par>{line('Two li-')}{line('nes')}</par></text></block></page>"
    xml = f'<document xmlns="http://abbyy.com/x">{page * 2}</document>'.encode()
    (tmp_path / "b_abbyy.gz").write_bytes(gzip.compress(xml))
    assert one("archive", tmp_path).text == "Two li-\nnes\n\n\fTwo li-\nnes"
    (tmp_path / "b_abbyy.gz").write_bytes(gzip.compress(xml)[:-30])
    assert "cut off" in reason("archive", tmp_path)
    (tmp_path / "b_djvu.txt").write_text("the text comes first")
    assert one("archive", tmp_path).text == "the text comes first"


# Pile of Law


def law(
    text: object = "Words.", created: str = "1998-05-04", downloaded: str = "10-27-2021"
) -> str:
    entry = {"text": text, "created_timestamp": created, "downloaded_timestamp": downloaded}
    return json.dumps(entry | {"url": "https://x"}) + "\n"


def test_a_legal_text_is_dated_by_its_creation_only(tmp_path: Path) -> None:
    lines = [law(), law(created="[NA]"), law(created="10-27-2021"), law(created="")]
    (tmp_path / "train.scotus.jsonl").write_text("".join(lines))
    found = read_all("pile-of-law", tmp_path)
    assert [d.creation_year for d in found if isinstance(d, Document)] == [1998, None, None, None]
    assert isinstance(found[0], Document)
    assert (found[0].genre, found[0].extra) == ("scotus", {"url": "https://x"})


def test_broken_lines_are_named_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{oops\n" + law().encode() + b"[1]\n" + law(None).encode())
    broken, good, no_object, no_text = read_all("pile-of-law", tmp_path)
    assert isinstance(good, Document)
    at = 6 + len(law())
    for found, place in ((broken, 0), (no_object, at), (no_text, at + 4)):
        assert isinstance(found, SetAside)
        assert found.name == f"a.jsonl:{place}"


@pytest.mark.parametrize("size", [1, 7, 50, 131, 4000])
def test_parts_of_a_file_have_each_line_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(json_lines, "PART_BYTES", size)
    (tmp_path / "a.jsonl").write_text("".join(law(f"Text {i}" + "x" * i) for i in range(20)))
    found = read_all("pile-of-law", tmp_path)
    numbers = [int(d.text.split()[1].strip("x")) for d in found if isinstance(d, Document)]
    assert numbers == list(range(20))


def test_packed_and_cut_off_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(law().encode()))
    assert one("pile-of-law", tmp_path).creation_year == 1998
    many = "".join(law("".join(random.Random(i).choices("abc ", k=500))) for i in range(50))
    (tmp_path / "a.jsonl.xz").unlink()
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(many.encode())[:-2000])
    *good, last = read_all("pile-of-law", tmp_path)
    assert good
    assert isinstance(last, SetAside)
    assert "cut off" in last.reason


def test_what_is_larger_than_any_book_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGEST", 1000)
    (tmp_path / "a.jsonl").write_text(law() + law("x" * 5_000_000) + law())
    first, large, second = read_all("pile-of-law", tmp_path)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert isinstance(large, SetAside)
    assert "larger than any book" in large.reason
    (tmp_path / "b_djvu.txt").write_text("x" * 2000)
    assert "larger than any book" in reason("archive", tmp_path)


# HistText

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5),
    lambda some: (
        st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some, max_size=3)
    ),
    max_leaves=5,
)
_known = (
    "title author language culture source_document source_dataset_detailed translation_year genre"
)
_entries = st.fixed_dictionaries(
    {"content": st.text(min_size=1).filter(str.strip) | st.lists(st.text(), min_size=1)},
    optional={
        "creation_year": st.integers(1000, 2100) | _json,
        "source_dataset": st.text(max_size=8) | _json,
        "creation_year_earliest": st.integers(1000, 2100) | st.lists(st.integers(1000, 2100)),
        "creation_year_latest": st.integers(1000, 2100),
        "language": st.sampled_from(["English", "english", "en", "Latin", "Martian", ""]),
        "more": _json,
    }
    | {name: st.text(max_size=5) | _json for name in _known.split() if name != "language"},
)


@given(_entries)
@settings(max_examples=300, deadline=None)
def test_an_entry_comes_back_just_as_it_was(entry: dict[str, object]) -> None:
    found = from_histtext(entry, "C013/Y01206.json#0", "C013/Y01206.json")
    if isinstance(found, Document):
        again = to_histtext(found)
        assert json.dumps(again, sort_keys=True) == json.dumps(entry, sort_keys=True)
    else:
        assert not "".join(entry["content"]).strip()  # type: ignore[arg-type]


def histtext(folder: Path, entries: object, name: str = "C013/Y01206.json") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries), encoding="utf-8")
    return folder


ENTRY = {
    "content": "Words.",
    "creation_year": 1206,
    "source_dataset": "EEBO",
    "language": "English",
}


def test_histtext_fields(tmp_path: Path) -> None:
    found = one(
        "histtext", histtext(tmp_path, [ENTRY | {"content": ["One.", "Two."], "culture": 1}])
    )
    assert (found.text, found.kind, found.language) == ("One.\n\nTwo.", "clean", "en")
    assert (found.name, found.creation_year) == ("EEBO/C013/Y01206.json#0", 1206)
    assert found.extra["culture"] == 1


@pytest.mark.parametrize(
    ("more", "file", "doubt"),
    [
        ({"creation_year": 1207}, "C013/Y01206.json", "the file's year"),
        ({}, "C015/Y01206.json", "century"),
        ({"creation_year": 1300}, "C013/Y01300.json", ""),
        ({"creation_year": 1300}, "C014/Y01300.json", ""),
        (
            {"creation_year_earliest": 1150, "creation_year_latest": 1250},
            "C013/Y01206.json",
            "from",
        ),
        ({"creation_year_earliest": [1200, 1204]}, "C013/Y01206.json", ""),
        ({"creation_year_latest": 1205}, "C013/Y01206.json", "from"),
        ({"creation_year": "1206?"}, "x.json", "'1206?'"),
    ],
)
def test_years_that_contradict_each_other(
    tmp_path: Path, more: dict[str, object], file: str, doubt: str
) -> None:
    found = one("histtext", histtext(tmp_path, [ENTRY | more], file))
    assert doubt in found.doubt
    assert (found.creation_year is None) == bool(doubt)
    assert to_histtext(found) == ENTRY | more


def test_a_broken_list_is_read_up_to_where_it_breaks(tmp_path: Path) -> None:
    path = histtext(tmp_path, [ENTRY, 7, ENTRY | {"content": " "}, ENTRY]) / "C013/Y01206.json"
    kinds = [type(found).__name__ for found in read_all("histtext", tmp_path)]
    assert kinds == ["Document", "SetAside", "SetAside", "Document"]
    path.write_bytes(path.read_bytes()[:-30])
    *_, last = read_all("histtext", tmp_path)
    assert isinstance(last, SetAside)
    assert last.name == "C013/Y01206.json#3"
    path.write_text('{"no": "list"}')
    assert "expected a JSON list" in reason("histtext", tmp_path)
    path.write_text("")
    assert "empty" in reason("histtext", tmp_path)


def test_documents_of_other_sources_become_entries() -> None:
    made = to_histtext(Document("EEBO-TCP", "A1", "T", "A", 1612, "Words.", language="en"))
    assert made == {
        "content": "Words.", "creation_year": 1612, "source_dataset": "EEBO-TCP",
        "source_document": "A1", "title": "T", "author": "A", "language": "English",
    }  # fmt: skip


# The Hugging Face hub's layout


def test_a_folder_as_on_the_hub(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = [{"text": "Words.", "year": 1850, "title": "T", "words": 1}, {"text": "", "year": 1}]
    pq.write_table(pa.Table.from_pylist(rows), data / "train-00000-of-00002.parquet")
    rows = [{"Text": "More.", "date": "1851-02-03", "author": ["A", "B"], "lang": "eng"}]
    pq.write_table(pa.Table.from_pylist(rows), data / "train-00001-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(rows), data / "test-00000-of-00001.parquet")
    first, empty, second = read_all("huggingface", f"{tmp_path}#train")
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert isinstance(empty, SetAside)
    assert (first.creation_year, first.title, first.extra) == (1850, "T", {"words": 1})
    assert (second.creation_year, second.author, second.language) == (1851, "A; B", "en")
    assert second.kind == "plain"
    assert len(open_source("huggingface", tmp_path).parts()) == 3
    with pytest.raises(UsageError, match="no split 'dev'"):
        open_source("huggingface", f"{tmp_path}#dev").parts()


def test_histtext_as_on_the_hub_has_columns_that_differ(tmp_path: Path) -> None:
    histtext(tmp_path, [ENTRY, ENTRY | {"title": "T"}])
    histtext(tmp_path, [ENTRY | {"creation_year": 1306, "culture": "English"}], "C014/Y01306.json")
    found = read_all("huggingface", tmp_path)
    assert [d.creation_year for d in found if isinstance(d, Document)] == [1206, 1206, 1306]
    assert all(isinstance(d, Document) and d.kind == "clean" for d in found)


def test_lines_as_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": "Words.", "year": "1850"}\n{oops\n')
    good, broken = read_all("huggingface", tmp_path)
    assert isinstance(good, Document)
    assert good.creation_year == 1850
    assert isinstance(broken, SetAside)


# All of them


def test_kinds_of_folders_are_recognised(tmp_path: Path) -> None:
    def folder(name: str, file: str, text: str) -> Path:
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path / name

    folders = {
        "catalog": folder("catalog", "catalog.csv", HEADER),
        "tei": folder("tei", "A1.xml", tei("<p>x</p>")),
        "archive": folder("archive", "x_djvu.txt", "x"),
        "pile-of-law": folder("law", "x.jsonl", law()),
        "histtext": folder("hist", "C013/Y01206.json", "[]"),
        "gutenberg": folder("pg", "1.txt", "The Project Gutenberg EBook of X, by Y"),
        "": folder("none", "a.txt", "Just words."),
    }
    kinds = ("archive", "catalog", "gutenberg", "histtext", "pile-of-law", "tei")
    for expected, path in folders.items():
        sure = [k for k in kinds if registry.find("source", k).recognises(path)]  # type: ignore[attr-defined]
        assert sure == ([expected] if expected else [])


@pytest.mark.parametrize(
    "name", ["archive", "catalog", "gutenberg", "histtext", "huggingface", "pile-of-law", "tei"]
)
def test_a_place_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        open_source(name, tmp_path / "nowhere").parts()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("archive", "a_djvu.txt"),
        ("archive", "a_abbyy.gz"),
        ("archive", "a_abbyy.xml"),
        ("gutenberg", "1.txt"),
        ("histtext", "a.json"),
        ("huggingface", "a.parquet"),
        ("huggingface", "a.json"),
        ("pile-of-law", "a.jsonl"),
        ("pile-of-law", "a.jsonl.gz"),
        ("tei", "a.xml"),
    ],
)
@pytest.mark.parametrize("data", [b"", b"\0" * 3000, random.Random(2).randbytes(3000)])
def test_garbage_is_reported_and_never_raised(
    tmp_path: Path, name: str, file: str, data: bytes
) -> None:
    (tmp_path / file).write_bytes(data)
    found = read_all(name, tmp_path)
    assert found
    assert all(isinstance(f, SetAside) and f.kind == "broken" and f.reason for f in found)


def test_a_file_that_vanishes_is_reported(tmp_path: Path) -> None:
    part = Part("a.xml", tmp_path / "a.xml")
    (found,) = open_source("tei", tmp_path).read(part)
    assert isinstance(found, SetAside)
    assert "cannot be read" in found.reason


# Real texts


@needs_real
def test_the_real_catalogue_is_read_whole() -> None:
    source = open_source("catalog", REAL)
    parts = source.parts()
    assert len({part.name for part in parts}) == len(parts)
    assert sum(part.name.startswith("eebo/") for part in parts) == 5
    lines = (REAL / "catalog.csv").read_text(encoding="utf-8").splitlines()
    assert len(parts) == len(lines) - 1 + 5
    for part in parts[:3]:
        (found,) = source.read(part)
        assert isinstance(found, Document)
        assert found.kind == "gutenberg"


@needs_real
def test_the_real_eebo_texts() -> None:
    found = {d.source_id: d for d in read_all("tei", REAL / "eebo") if isinstance(d, Document)}
    years = {key: (d.creation_year, d.translation_year) for key, d in found.items()}
    assert years == {
        "A04486": (None, 1612),
        "A07594": (1623, None),
        "A19476": (1607, None),
        "A43998": (1651, None),
        "A50919": (1667, None),
    }
    assert found["A43998"].author == "Hobbes, Thomas"
    assert all(d.licence == "CC0-1.0" and d.language == "en" for d in found.values())
    for document in found.values():
        assert not set(document.text) & set("ſ•◊〈▪∣\u0304\ue001\ue002\ue003\ue005\ue007")
    assert found["A50919"].text.startswith(
        "PARADISE LOST.\n\nBOOK I.\n\nOf Mans First Disobedience, and the Fruit\nOf that Forbidden"
    )
    leviathan = found["A43998"].text
    assert "Nature (the Art whereby God hath made and governes the World)" in leviathan
    assert "solitary, poore, nasty, brutish, and short" in leviathan
    assert "Errata" not in leviathan
    assert "The Contents of the Chapters" not in leviathan
    assert leviathan.endswith("is to all men welcome.")  # his Review and Conclusion is in <back>
