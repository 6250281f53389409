"""Fetching the files of a card: cached, interrupted, corrupted, offline."""

import hashlib
import io
import logging
import re
import shutil
import socket
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from registry_card import GOOD

import pathwayae as pae
from pathwayae.datasets import _registry

CONTENT = b"SET\tdescription\tCD3D\tCD3E\n" * 40_000  # 1 MB: more than a socket buffers
SHA256 = hashlib.sha256(CONTENT).hexdigest()

# pooch leaves the answers of failed downloads to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Server(ThreadingHTTPServer):
    """Answers by path: whole, half, other or no content; remembers what was asked."""

    daemon_threads = True
    moods: dict[str, str]
    asked: list[str]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        mood = self.server.moods.get(self.path, "whole")
        if mood == "missing" or not self.headers["User-Agent"].startswith("pathwayae/"):
            self.send_error(404 if mood == "missing" else 403)
            return
        if mood.startswith("to "):
            self.send_response(302)
            self.send_header("Location", mood[3:])
            self.end_headers()
            return
        body = {
            "page": b"<!DOCTYPE html>",
            "words": b"no table",
            "bomb": bomb(),
            "other": CONTENT[:-1] + b"x",
            "zip": zipped(),
        }.get(mood, CONTENT)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if mood == "half" else body)

    def log_message(self, *_):
        pass


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("sets.gmt", CONTENT)
    return stream.getvalue()


def bomb():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("sets.gmt", b"\0" * 10**6)
    return stream.getvalue()


@pytest.fixture
def server():
    with Server(("127.0.0.1", 0), Handler) as running:
        running.moods, running.asked = {}, []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Registry, cache and data folder of the test; a function that writes cards."""
    (tmp_path / "registry").mkdir()
    monkeypatch.setattr(_registry, "folder", lambda: tmp_path / "registry")
    monkeypatch.setenv("PATHWAYAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PATHWAYAE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def card(places, *files, extra=""):
    text = GOOD + extra
    for file in files:
        text += "[[files]]\n" + "".join(f"{key} = {value}\n" for key, value in file.items())
    (places / "registry" / "sets.toml").write_text(text)


def entry(url, sha256=SHA256, name="sets.gmt", **more):
    hashes = {"sha256": f'"{sha256}"'} if sha256 else {}
    return {"name": f'"{name}"', "url": f'"{url}/{name}"'} | hashes | more


def fetch(**arguments):
    return pae.datasets.fetch("sets", progress=False, **arguments)


def left(places):
    return sorted(str(path.relative_to(places / "cache")) for path in (places / "cache").rglob("*"))


def test_a_file_is_downloaded_once_and_kept(places, server, caplog):
    card(places, entry(server.url))
    assert pae.datasets.list().loc["sets", "where"] == "remote"
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        path = fetch()
    assert path == places / "cache" / "sets" / "sets.gmt"
    assert path.read_bytes() == CONTENT
    assert f"{SHA256}, verified" in caplog.text
    assert fetch() == path
    assert fetch(update=True) == path  # verified: nothing newer can be right
    assert server.asked == ["/sets.gmt"]
    assert left(places) == ["sets", "sets/sets.gmt"]
    assert pae.datasets.list().loc["sets", "where"] == "cached"


def test_the_progress_bar_goes_to_stderr_and_can_be_left_out(places, server, watched, capsys):
    card(places, entry(server.url))
    path = pae.datasets.fetch("sets")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sets.gmt: 100%" in captured.err
    path.unlink()
    fetch()
    assert capsys.readouterr() == ("", "")


def test_several_files_come_as_a_dict_and_only_missing_ones_are_asked_for(places, server):
    card(places, entry(server.url), entry(server.url, name="names.txt"))
    paths = fetch()
    assert {name: path.name for name, path in paths.items()} == {"sets.gmt": "sets.gmt", "names.txt": "names.txt"}
    paths["names.txt"].unlink()
    assert fetch() == paths
    assert server.asked == ["/sets.gmt", "/names.txt", "/names.txt"]


def test_an_interrupted_download_leaves_nothing_and_the_next_one_starts_afresh(places, server):
    for sha256 in (SHA256, None):
        card(places, entry(server.url, sha256))
        server.moods["/sets.gmt"] = "half"
        with pytest.raises(ConnectionError, match="broke off") as caught:
            fetch()
        assert f"{server.url}/sets.gmt" in str(caught.value)
        assert left(places) == []
        server.moods.clear()
        assert fetch().read_bytes() == CONTENT
        shutil.rmtree(places / "cache")


def test_a_short_file_is_noticed_where_the_library_takes_it_for_whole(places, server, monkeypatch):
    import pooch

    def short(downloader, url, path, _):  # as with urllib3 before 2.0
        downloader.progressbar.total = len(CONTENT)
        path.write_bytes(CONTENT[:100])

    card(places, entry(server.url, None))
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", short)
    with pytest.raises(ConnectionError, match="100 of 1,040,000 bytes came"):
        fetch()
    assert left(places) == []


def test_a_wrong_hash_removes_the_file_and_shows_both(places, server):
    card(places, entry(server.url))
    server.moods["/sets.gmt"] = "other"
    with pytest.raises(ValueError, match="the file was removed") as caught:
        fetch()
    wrong = hashlib.sha256(CONTENT[:-1] + b"x").hexdigest()
    assert {SHA256, wrong} <= set(re.findall(r"[0-9a-f]{64}", str(caught.value)))
    assert f"{server.url}/sets.gmt" in str(caught.value)
    assert left(places) == []
    server.moods.clear()
    assert fetch().read_bytes() == CONTENT


def test_a_mirror_steps_in(places, server):
    for mood in ["other", "half", "missing"]:
        card(places, entry(server.url, mirrors=f'["{server.url}/mirror.gmt"]'))
        server.moods["/sets.gmt"] = mood
        assert fetch().read_bytes() == CONTENT
        assert server.asked == ["/sets.gmt", "/mirror.gmt"]
        server.moods["/mirror.gmt"] = "missing"
        fetch().unlink()
        error = ValueError if mood == "other" else ConnectionError
        with pytest.raises(error, match="mirror.gmt: the server answered 404"):
            fetch()
        server.moods.clear()
        server.asked.clear()


def test_offline_says_what_to_get_and_where_to_put_it(places, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    card(places, entry(url))
    with pytest.raises(ConnectionError, match="no connection") as caught:
        fetch()
    cached = places / "cache" / "sets" / "sets.gmt"
    for part in (f"{url}/sets.gmt", str(cached), "$PATHWAYAE_DATA", SHA256):
        assert part in str(caught.value)
    assert left(places) == []
    # Doing as told works, in either place.
    cached.parent.mkdir()
    cached.write_bytes(CONTENT)
    assert fetch() == cached
    cached.unlink()
    (places / "mine").mkdir()
    (places / "mine" / "sets.gmt").write_bytes(CONTENT)
    monkeypatch.setenv("PATHWAYAE_DATA", str(places / "mine"))
    assert fetch() == places / "mine" / "sets.gmt"


def test_a_damaged_file_in_the_cache_is_replaced(places, server):
    card(places, entry(server.url))
    fetch().write_bytes(CONTENT[:-5])
    with pytest.warns(pae.DataWarning, match="is passed over") as caught:
        assert fetch().read_bytes() == CONTENT
    assert caught[0].filename == __file__
    assert left(places) == ["sets", "sets/sets.gmt"]


def test_rolling_files_are_kept_until_asked_for_anew(places, server, caplog):
    card(places, entry(server.url, None, rolling="true"))
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        path = fetch()
    assert "rolling, not verified" in caplog.text
    path.write_bytes(b"older")
    assert fetch().read_bytes() == b"older"
    server.moods["/sets.gmt"] = "half"
    with pytest.raises(ConnectionError):
        fetch(update=True)
    assert path.read_bytes() == b"older"
    server.moods.clear()
    assert fetch(update=True).read_bytes() == CONTENT


def test_a_member_is_taken_out_of_its_archive(places, server):
    card(places, entry(server.url, member='"sets.gmt"'))
    server.moods["/sets.gmt"] = "zip"
    assert fetch().read_bytes() == CONTENT
    assert left(places) == ["sets", "sets/sets.gmt"]
    fetch().unlink()
    server.moods.clear()
    with pytest.raises(ValueError, match="not a zip archive with sets.gmt"):
        fetch()
    assert left(places) == ["sets"]


def test_a_file_in_the_data_folder_is_used_when_its_hash_is_right(places, server, monkeypatch):
    other, data = hashlib.sha256(b"other bytes").hexdigest(), places / "data"
    card(places, entry(server.url, copies=f'[{{ name = "old.gmt", sha256 = "{other}" }}]'))
    monkeypatch.setenv("PATHWAYAE_DATA", str(data))
    for folder in [".", "genesets"]:
        (data / folder).mkdir(parents=True)
        (data / folder / "sets.gmt").write_bytes(b"wrong")
        with pytest.warns(pae.DataWarning, match="is passed over") as caught:
            path = fetch()
        assert path == places / "cache" / "sets" / "sets.gmt"
        assert {SHA256, hashlib.sha256(b"wrong").hexdigest()} == set(re.findall("[0-9a-f]{64}", str(caught[0].message)))
        (data / folder / "sets.gmt").write_bytes(CONTENT)
        assert fetch() == data / folder / "sets.gmt"
        (data / folder / "sets.gmt").rename(data / folder / "old.gmt")
        with pytest.warns(pae.DataWarning, match="old.gmt is passed over"):
            fetch()
        (data / folder / "old.gmt").write_bytes(b"other bytes")
        assert fetch() == data / folder / "old.gmt"
        assert pae.datasets.list().loc["sets", "where"] == "local"
        assert server.asked == ["/sets.gmt"]
        server.asked.clear()
        shutil.rmtree(places / "cache")
        shutil.rmtree(data)


def test_a_file_without_a_published_hash_may_lie_in_the_data_folder(places, server, monkeypatch):
    card(places, entry(server.url, None, rolling="true"))
    (places / "sets.gmt").write_bytes(b"mine")
    monkeypatch.setenv("PATHWAYAE_DATA", str(places))
    assert fetch(update=True) == places / "sets.gmt"
    assert server.asked == []


def test_a_data_folder_that_is_none_is_said(places, server, monkeypatch):
    card(places, entry(server.url))
    monkeypatch.setenv("PATHWAYAE_DATA", str(places / "nowhere"))
    with pytest.warns(pae.DataWarning, match="PATHWAYAE_DATA=.*nowhere.* is not a folder"):
        fetch()


def test_a_cache_that_cannot_be_written_is_named(places, server):
    card(places, entry(server.url))
    (places / "cache").write_text("a file in place of the folder")
    with pytest.raises(PermissionError, match="PATHWAYAE_CACHE") as caught:
        fetch()
    assert str(places / "cache") in str(caught.value)
    assert server.asked == []


def test_a_full_disk_leaves_nothing(places, server, monkeypatch):
    card(places, entry(server.url))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        fetch()
    assert left(places) == ["sets"]


def test_what_can_be_had_by_hand_only_says_how(places, monkeypatch):
    file = {"name": '"sets.gmt"', "sha256": f'"{SHA256}"'}
    card(places, file, extra='by_hand = "Ask the authors."\n')
    with pytest.raises(FileNotFoundError, match="sets: Ask the authors") as caught:
        fetch()
    assert all(part in str(caught.value) for part in (str(places / "cache"), "$PATHWAYAE_DATA", SHA256))
    assert pae.datasets.list().loc["sets", "where"] == "by hand"
    (places / "sets.gmt").write_bytes(CONTENT)
    monkeypatch.setenv("PATHWAYAE_DATA", str(places))
    assert fetch() == places / "sets.gmt"


def test_embedded_files_need_no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("PATHWAYAE_CACHE", str(tmp_path / "cache"))
    assert len(pae.gs.read_gmt(pae.datasets.fetch("immune_pbmc"))) == 29
    assert pae.datasets.fetch("pbmc68k_reduced").is_file()
    assert not (tmp_path / "cache").exists()
    monkeypatch.delenv("PATHWAYAE_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="kegg"):
        pae.datasets.fetch("kegg")


@pytest.mark.real
def test_real_files_are_found_by_name_and_hash(real_data, monkeypatch, tmp_path):
    monkeypatch.setenv("PATHWAYAE_DATA", str(real_data))
    monkeypatch.setenv("PATHWAYAE_CACHE", str(tmp_path))
    assert pae.datasets.fetch("hallmark_human") == real_data / "genesets" / "h.all.v7.5.1.symbols.gmt"
    assert len(pae.datasets.fetch("reactome")) == 3
    where = pae.datasets.list()["where"]
    assert set(where[["hallmark_mouse", "reactome", "pbmc3k", "kang_ifnb_2000", "kegg"]]) == {"local"}
    assert where["kang_ifnb"] == "remote"


def test_redirects_off_https_are_not_followed(places, server):
    card(places, entry(server.url))
    server.moods["/sets.gmt"] = "to http://example.invalid/sets.gmt"
    with pytest.raises(ValueError, match=r"http://example.invalid/sets.gmt, which is not https"):
        fetch()
    assert left(places) == []


@pytest.mark.parametrize("url", ["http://example.org", "ftp://example.org", "file:///etc", "http://localhost.evil.org"])
def test_cards_with_other_addresses_than_https_are_refused(places, url):
    card(places, entry(url))
    with pytest.raises(ValueError, match="is not an address of https"):
        fetch()


@pytest.mark.parametrize(
    ("mood", "told"), [("page", "what came is a web page"), ("words", "what came is no .gmt file")]
)
def test_without_a_hash_the_format_is_looked_at(places, server, mood, told):
    card(places, entry(server.url, None))
    server.moods["/sets.gmt"] = mood
    with pytest.raises(ValueError, match=told):
        fetch()
    assert left(places) == []


def test_a_file_without_a_hash_is_warned_of(places, server, caplog):
    card(places, entry(server.url, None))
    fetch()
    (record,) = [one for one in caplog.records if "downloaded" in one.getMessage()]
    assert record.levelname == "WARNING"
    assert "no hash published, not verified" in record.getMessage()


def test_an_archive_that_expands_beyond_measure_is_refused(places, server):
    card(places, entry(server.url, None, member='"sets.gmt"'))
    server.moods["/sets.gmt"] = "bomb"
    with pytest.raises(ValueError, match="1,000,000 bytes unpacked"):
        fetch()
    assert left(places) == []
