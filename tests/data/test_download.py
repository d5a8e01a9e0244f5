"""The download cache against a server on this machine."""

import hashlib
import http.server
import os
import re
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from jaxsci.data import download
from jaxsci.data.download import DataSet, RemoteFile
from jaxsci.errors import InputError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT at every address; notes the ranges asked for."""

    daemon_threads = True
    ranges_allowed = True
    content = CONTENT
    break_after: list[int]  # bytes after which successive connections break
    status = 200

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.break_after = [], []

    def file(self, **changes):
        digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
        url = f"http://127.0.0.1:{self.server_port}/data.bin"
        return RemoteFile("data.bin", url, len(CONTENT), f"md5:{digest}")._replace(**changes)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges_allowed else 0
        body = self.server.content[start:]
        self.send_response(206 if start else self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.break_after.pop(0)] if self.server.break_after else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_comes_whole_and_is_not_fetched_twice(server, tmp_path):
    seen = []
    path = download.download(server.file(), tmp_path / "new" / "folder", seen.append)
    assert path == tmp_path / "new" / "folder" / "data.bin"
    assert path.read_bytes() == CONTENT
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)
    download.download(server.file(), path.parent)
    assert server.asked == [None]
    assert [p.name for p in path.parent.iterdir()] == ["data.bin"]


def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path):
    server.break_after = [1_000_000, 500_000]
    assert download.download(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_later_call_goes_on_where_the_first_stopped(server, tmp_path):
    server.break_after = [1_000_000, 0]
    with pytest.raises(InputError, match=r"expected 3000000 bytes, got 1000000: .*fetch again to continue"):
        download.download(server.file(), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:1_000_000]
    assert not (tmp_path / "data.bin").exists()
    server.asked.clear()
    assert download.download(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000000-"]


def test_a_server_without_ranges_begins_again(server, tmp_path):
    server.ranges_allowed = False
    server.break_after = [1_000_000]
    assert download.download(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1000000-"]


def test_a_whole_part_left_by_a_crash_is_only_checked(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert download.download(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.asked == []


def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"more")
    assert download.download(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_wrong_checksum_removes_the_file(server, tmp_path):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(InputError, match=r"expected md5 .*, got .*; it was removed"):
        download.download(server.file(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_sha256_is_checked_too(server, tmp_path):
    good = server.file(checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    assert download.download(good, tmp_path).read_bytes() == CONTENT
    with pytest.raises(InputError, match="expected sha256 00, got"):
        download.download(good._replace(checksum="sha256:00"), tmp_path)


def test_a_server_that_sends_too_much_is_refused(server, tmp_path):
    server.content = CONTENT + b"more"
    with pytest.raises(InputError, match="expected 3000000 bytes, got 3000004; it was removed"):
        download.download(server.file(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_cache_that_is_another_is_left_alone_and_named(server, tmp_path):
    (tmp_path / "data.bin").write_bytes(b"my own")
    with pytest.raises(InputError, match=r"data\.bin: expected 3000000 bytes, got 6; delete it"):
        download.download(server.file(), tmp_path)
    assert (tmp_path / "data.bin").read_bytes() == b"my own"
    assert server.asked == []


def test_an_error_of_the_server_is_told(server, tmp_path):
    server.status = 404
    with pytest.raises(InputError, match=r"the server answers 404 Not Found; .*by hand to"):
        download.download(server.file(), tmp_path)


def test_no_network_names_the_address_and_the_place(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/data.bin"
        with pytest.raises(InputError) as caught:
            download.download(RemoteFile("data.bin", url, 10, "md5:0"), tmp_path)
    assert url in str(caught.value)
    assert f"by hand to {tmp_path / 'data.bin'}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_told_before_the_transfer(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1_000}))
    with pytest.raises(InputError, match=r"expected 3,000,000 bytes free for data\.bin, got 1,000; make room"):
        download.download(server.file(), tmp_path)
    assert server.asked == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_disk_that_fills_up_is_told(server, tmp_path):
    (tmp_path / "data.bin.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match="No space left on device; make room"):
        download.download(server.file(), tmp_path)
    assert not (tmp_path / "data.bin").exists()


def test_a_folder_that_cannot_be_made_is_told(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a folder that can be written, got: Not a directory"):
        download.download(server.file(), tmp_path / "file" / "cache")


def test_fetch_gives_all_files_of_a_data_set(server, tmp_path, monkeypatch, capsys):
    files = tuple(server.file(name=name) for name in ("a.bin", "b.bin"))
    monkeypatch.setitem(download.CATALOGUE, "two", DataSet("two files", files, "CC0", "nobody"))
    for progress in (True, False):
        paths = download.fetch("two", folder=tmp_path, progress=progress)
        assert paths == [tmp_path / "two" / "a.bin", tmp_path / "two" / "b.bin"]
        assert all(path.read_bytes() == CONTENT for path in paths)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert ("a.bin" in captured.err) == progress
    assert len(server.asked) == 2


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="one of top-tagging, collider, sphere, mnist, superconductors, elements"):
        download.fetch("quarks")


def test_the_catalogue_is_complete_and_printable(tmp_path, capsys):
    for data in download.CATALOGUE.values():
        assert data.license
        assert data.citation
        for file in data.files:
            assert file.url.startswith("https://")
            assert Path(file.url).suffix == Path(file.name).suffix
            algorithm, digest = file.checksum.split(":")
            assert len(digest) == 2 * hashlib.new(algorithm).digest_size
    download.show(tmp_path)
    out = capsys.readouterr().out
    assert "top-tagging" in out
    assert "CC BY 4.0" in out
    assert "3 files, 1,734 MB" in out
    assert f"not yet in {tmp_path / 'top-tagging'}" in out


def test_addresses_in_repositories_name_a_commit_or_a_release():
    """A branch moves on, and with it what is downloaded."""
    urls = [file.url for data in download.CATALOGUE.values() for file in data.files]
    revisions = [url.split("/")[5] for url in urls if url.startswith("https://raw.githubusercontent.com/")]
    assert len(revisions) >= 10
    assert all(re.fullmatch(r"[0-9a-f]{40}|v\d+(\.\d+)+", revision) for revision in revisions)
