"""Public data sets and the cache they are downloaded to."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxsci.errors import InputError

_ATTEMPTS = 10  # connections in one call; what has come is kept, so the next call goes on
_BLOCK = 1 << 20  # bytes
_TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte


class RemoteFile(NamedTuple):
    """A file at a public address."""

    name: str
    url: str
    size: int  # bytes
    checksum: str  # "md5:..." or "sha256:...", as its publisher gives it


class DataSet(NamedTuple):
    """What is fetched under one name."""

    title: str
    files: tuple[RemoteFile, ...]
    license: str
    citation: str


def _zenodo(record: int, name: str, size: int, md5: str) -> RemoteFile:
    return RemoteFile(name, f"https://zenodo.org/records/{record}/files/{name}", size, f"md5:{md5}")


def _mnist(name: str, size: int, md5: str) -> RemoteFile:
    return RemoteFile(name, f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}", size, f"md5:{md5}")


def _github(repository: str, path: str, size: int, sha256: str, name: str = "") -> RemoteFile:
    """A file of a public repository at a commit: `repository` is owner/name/commit."""
    return RemoteFile(
        name or Path(path).name, f"https://raw.githubusercontent.com/{repository}/{path}", size, f"sha256:{sha256}"
    )


def _planck(name: str, size: int, sha256: str) -> RemoteFile:
    file = f"COM_PowerSpect_CMB-{name}_R3.01.txt"
    folder = "https://irsa.ipac.caltech.edu/data/Planck/release_3/ancillary-data/cosmoparams"
    return RemoteFile(file, f"{folder}/{file}", size, f"sha256:{sha256}")


_KONNO = "tomo835g/Deep-Learning-to-find-Superconductors/a35b71c6eddc6a2a5157ba4f499ff5fb247e032b"
_HEALPY = "healpy/healpy/fc67691f1870063c8b9f56abf008c8f2711e8fb0"

CATALOGUE = {
    "top-tagging": DataSet(
        "reference data set of top tagging: 2 million simulated jets at 14 TeV",
        (
            _zenodo(2603256, "train.h5", 1_038_496_555, "45663819f47c13724f67eb0fd80bfa5c"),
            _zenodo(2603256, "val.h5", 347_378_076, "dca4b7248027618f041f9baa86d360fc"),
            _zenodo(2603256, "test.h5", 347_849_376, "13163479dee30a5fe546e4536cc3d04d"),
        ),
        "CC BY 4.0",
        "G. Kasieczka, T. Plehn, J. Thompson, M. Russel, Top Quark Tagging Reference Dataset, doi:10.5281/zenodo.2603256; arXiv:1902.09914",
    ),
    "collider": DataSet(
        "muon pairs of 500 collisions at 7 TeV, recorded by CMS in 2010",
        (
            _github(
                "scikit-hep/scikit-hep-testdata/main",
                "src/skhep_testdata/data/uproot-Zmumu.root",
                178_971,
                "8290ddc1f2b1f866f30df016558936da27107f7f5b87e574c741f2baab1bad64",
            ),
        ),
        "CC0 (CMS open data)",
        "CMS Collaboration, open data of 2010",
    ),
    "sphere": DataSet(
        "the sky of WMAP, the spectrum of Planck 2018, and the relief of the Earth",
        (
            _github(
                _HEALPY,
                "test/data/wmap_band_iqumap_r9_7yr_W_v4_udgraded32.fits",
                155_520,
                "6a048d351b78064e327a05b4fc73c4cfbab159ad8e39cfd21416bb4094ce2152",
            ),
            _github(
                _HEALPY,
                "test/data/wmap_temperature_analysis_mask_r9_7yr_v4_udgraded32.fits",
                155_520,
                "dc36243f3942cb45f69f8cd5aad2a5015ff4c7170fdf54a253a2f8ec6f1b85a4",
            ),
            _planck("TT-full", 170_547, "ccf3113604020536f6f13ccf51680a7316ad0f32da558eee7f625e613bdd5522"),
            _planck("TT-binned", 7_142, "85ce6899f33994d5acd871c61cd09bc298befed29ccb043cd4f026fdda6b1f09"),
            _planck(
                "base-plikHM-TTTEEE-lowl-lowE-lensing-minimum-theory",
                205_647,
                "e4d06f6afba86ba7ed3af8b032a470fec4ed01d42c292813605971fff6e6436b",
            ),
            _github(
                "SHTOOLS/SHTOOLS/19eb6a92368b7601be9495f561b01bc2b89e8db5",
                "examples/ExampleDataFiles/srtmp300.msl",
                2_243_364,
                "e67771197c1f8b08087e6023947e0029a8653034c7950524c7f6b55a50016385",
                name="earth_srtmp300.msl",
            ),
            _github(
                "SHTOOLS/SHTOOLS/d9c5910c341e8f8a92c1288563b2335ee55ecee2",
                "examples/python/ClassInterface/topo.dat.gz",
                97_973,
                "7b31c8215035f379c8bf6c09c56171d007cbc5fa45f87ec41d2163a3ae5deb00",
                name="earth_topo_180x360.dat.gz",
            ),
        ),
        "public domain (WMAP, NASA/LAMBDA), ESA (Planck), BSD-3-Clause (SHTOOLS)",
        "N. Jarosik et al., Astrophys. J. Suppl. 192 (2011) 14; Planck Collaboration, Astron. Astrophys. 641 (2020) A5; SHTOOLS",
    ),
    "mnist": DataSet(
        "MNIST: 70,000 images of handwritten digits",
        (
            _mnist("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            _mnist("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
            _mnist("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
            _mnist("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        "CC BY-SA 3.0",
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Proc. IEEE 86 (1998) 2278; Y. LeCun and C. Cortes",
    ),
    "superconductors": DataSet(
        "SuperCon as exported and as cleaned by Stanev et al., the tested materials of Hosono's list, formulas of the COD",
        (
            _github(
                "jamesconde/superconductor-vae/046cf0cfcc06cc47454d60a508f5f1f08c931672",
                "data/raw/raw.tsv",
                1_968_352,
                "66cb67af1d1914f8f28e4aae5a0377992755c6cc166bc3f0a160f8c59cc77320",
                name="supercon_nims_raw.tsv",
            ),
            _github(
                "vstanev1/Supercon/6e56e577b2239ebb6bebdcaeefc9ba470a3d5ce5",
                "Supercon_data.csv",
                357_918,
                "b34a955cc59f7a1556bc92c4b9db559bfd634c03227b7e95337a2e5d69227dd6",
                name="stanev_Supercon_data.csv",
            ),
            _github(
                _KONNO,
                "2018/first_data/first_concat_list_dup_over_training_removed.csv",
                3_353,
                "3ec25ac4870673021eb6fde12cfc38bb01d197a09d32d247da11d0eafdafae34",
                name="konno_hosono_2018.csv",
            ),
            _github(
                _KONNO,
                "2009/cod_data/chemical_formula_sum_overlap_removed_2.csv",
                2_447_437,
                "804e8ab6b900a16889ed891ed099f1235ea1b34cf0f3c1609e50cc3f0a49c56c",
                name="konno_cod_garbage_in_2009.csv",
            ),
        ),
        "SuperCon: by NIMS, CC BY 4.0 as recorded by those who publish it; lists of Konno et al.: MIT",
        "SuperCon, National Institute for Materials Science, doi:10.48505/nims.3837; V. Stanev et al., npj Comput. Mater. 4 (2018) 29; "
        "H. Hosono et al., Sci. Technol. Adv. Mater. 16 (2015) 033503; T. Konno et al., Phys. Rev. B 103 (2021) 014509",
    ),
    "elements": DataSet(
        "properties of the chemical elements, the database of mendeleev 0.6.0",
        (
            _github(
                "lmmentel/mendeleev/v0.6.0",
                "mendeleev/elements.db",
                460_800,
                "f81cf939fd750ffd0e82d7049ca685975549c3968e07417a6a941fcd5fa51a67",
                name="mendeleev_v0.6.0_elements.db",
            ),
        ),
        "MIT",
        "L. M. Mentel, mendeleev: a Python resource for properties of chemical elements, version 0.6.0 (2014-)",
    ),
}


def cache_folder() -> Path:
    """Where data sets are kept unless a folder is named: the user's cache of this system."""
    import pooch

    return Path(pooch.os_cache("jaxsci"))


def fetch(name: str, *, folder: Path | None = None, progress: bool = True) -> list[Path]:
    """Download the files of a data set to `folder`/`name` unless they are there, and check them.

    Args:
        name: a key of `CATALOGUE`.
        folder: None: `cache_folder()`.
        progress: show a bar for each file.

    Returns:
        The paths of the files, in the order of the catalogue.

    Raises:
        InputError: there is no such data set, no network, no room on the disk, or a file is not what its publisher says.
    """
    if name not in CATALOGUE:
        raise InputError(
            f"{name}: expected the name of a data set, one of {', '.join(CATALOGUE)}; see `jaxsci data list`"
        )
    place = (folder or cache_folder()) / name
    with _bars(progress) as bar:
        return [download(file, place, bar(file)) for file in CATALOGUE[name].files]


def find(name: str, file: str, *, folder: Path | None = None) -> Path:
    """The path of a file of a data set that was fetched before.

    Args:
        name: of the data set.
        file: its name.
        folder: as given to `fetch`.

    Raises:
        InputError: it is not there.
    """
    path = (folder or cache_folder()) / name / file
    if not path.exists():
        raise InputError(
            f"{path}: expected this file, found none; get it with jaxsci data fetch {name}, or give --data"
        )
    return path


def show(folder: Path | None = None) -> None:
    """Print the catalogue: what there is, how large, under which license, how to cite it, and whether it is in the cache."""
    for name, data in CATALOGUE.items():
        place = (folder or cache_folder()) / name
        here = all((place / file.name).exists() for file in data.files)
        size = sum(file.size for file in data.files)
        print(f"{name}: {data.title}")
        print(f"    {len(data.files)} files, {size / 1e6:,.0f} MB, {data.license}; cite {data.citation}")
        print(f"    {'in' if here else 'not yet in'} {place}")


def download(file: RemoteFile, folder: Path, progress: Callable[[int], None] = lambda done: None) -> Path:
    """Download one file to `folder`, going on where an earlier attempt stopped, and check size and checksum.

    What has come lies in `folder` under the name with ".part" added; the file gets its own name when it is whole and checked.

    Args:
        file: what to download.
        folder: made if it is missing.
        progress: called with the number of bytes that have come.

    Raises:
        InputError: as in `fetch`.
    """
    target, partial = folder / file.name, folder / f"{file.name}.part"
    try:
        if target.exists():
            _verify(target, file, remedy="delete it and fetch it again")
            progress(file.size)
            return target
        folder.mkdir(parents=True, exist_ok=True)
        if _size(partial) > file.size:
            partial.unlink()
        _require_space(file, folder, file.size - _size(partial))
        _transfer_all(file, target, partial, progress)
        try:
            _verify(partial, file, remedy="it was removed; fetch it again, or tell the maintainers if this repeats")
        except InputError:
            partial.unlink()
            raise
        partial.replace(target)
    except OSError as error:
        raise InputError(
            f"{target}: expected a folder that can be written, came: {error.strerror or error}; "
            "make room or name another folder (what has come is kept)"
        ) from error
    return target


def _transfer_all(file: RemoteFile, target: Path, partial: Path, progress: Callable[[int], None]) -> None:
    """Connect until the file is whole, as long as each connection brings something."""
    for _ in range(_ATTEMPTS):
        before = _size(partial)
        if before >= file.size:
            return
        reason = _transfer(file, partial, progress)
        if _size(partial) <= before:
            break
    if _size(partial) < file.size:
        raise InputError(
            f"{file.url}: expected {file.size} bytes, came {_size(partial)}: {reason or 'the connection ended early'}; "
            f"fetch again to go on, or download this address by hand to {target}"
        )


def _transfer(file: RemoteFile, partial: Path, progress: Callable[[int], None]) -> str:
    """One connection: append to `partial`, or begin again where the server cannot go on. Returns why it ended, "" if by itself."""
    import requests
    import urllib3

    start = _size(partial)
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with requests.get(file.url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code not in (200, 206):
                return f"the server answers {response.status_code} {response.reason}"
            goes_on = response.status_code == 206
            done = start if goes_on else 0
            with partial.open("ab" if goes_on else "wb") as out:
                for block in response.raw.stream(_BLOCK, decode_content=False):  # the file as it is, gzipped or not
                    out.write(block)
                    done += len(block)
                    progress(min(done, file.size))
                    if done > file.size:  # the checksum will tell
                        break
                out.flush()
                os.fsync(out.fileno())
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        return f"no connection ({type(error).__name__})"
    return ""


def _verify(path: Path, file: RemoteFile, *, remedy: str) -> None:
    algorithm, _, expected = file.checksum.partition(":")
    size = _size(path)
    if size != file.size:
        raise InputError(f"{path}: expected {file.size} bytes, came {size}; {remedy}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    if digest != expected:
        raise InputError(f"{path}: expected {algorithm} {expected}, came {digest}; {remedy}")


def _require_space(file: RemoteFile, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: expected {needed:,} bytes free for {file.name}, came {free:,}; make room or name another folder"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def _bars(shown: bool) -> Iterator[Callable[[RemoteFile], Callable[[int], None]]]:
    """Yield the function that adds a bar for a file and returns what moves it."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), disable=not shown) as bars:

        def bar(file: RemoteFile) -> Callable[[int], None]:
            task = bars.add_task(file.name, total=file.size)
            return lambda done: bars.update(task, completed=done)

        yield bar
