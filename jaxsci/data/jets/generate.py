"""Many jets on many cores: the same ones whatever the number of processes, and after an interruption too.

The jets are made in chunks of fixed size, each with its own seed. A finished chunk is a file in the folder `<out>.parts`; when all
are there they are joined into `<out>` and the folder is removed. An interrupted generation, started again, makes the missing chunks only.
"""

import contextlib
import errno
import functools
import importlib.metadata
import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxsci
from jaxsci.data.jets import compact as compact_format
from jaxsci.data.jets import detector as detector_simulation
from jaxsci.data.jets import pythia
from jaxsci.data.reading import reading
from jaxsci.errors import InputError
from jaxsci.files import replacing, unfailing

__all__ = ["generate_jets"]

FORMAT = "jaxsci jets"
VERSION = 1

_CHUNK = 500  # jets, half of them tops: about 5 seconds on one core
_PYTHIA_SEEDS = 900_000_000  # Pythia takes 1 to this


class _Chunk(NamedTuple):
    number: int
    rows: int
    seed: int
    detector: bool
    path: Path
    settings: str  # what must agree when an interrupted generation is resumed


def generate_jets(
    out: Path,
    *,
    n: int,
    seed: int,
    detector: bool = False,
    processes: int | None = None,
    compact: bool = False,
    progress: bool = True,
) -> None:
    """Generate `n` jets, half of them tops, shuffled, and write them to `out`.

    The file (HDF5) holds `constituents`, float32 [n, 200, 4], (E, px, py, pz) in GeV, hardest first, padded with zeros; `labels`, uint8
    [n], 1 for top and 0 for QCD; `top`, float32 [n, 4], the momentum of the top quark in the jet at its decay, as Pythia has it (zeros for
    QCD; not in the small format); and as attributes the command, the seed, the versions and the cuts. See `jaxsci.data.jets.pythia` for the
    physics.

    Args:
        out: the file to write, replaced if it exists.
        n: number of jets, even.
        seed: whole number of at least 0; the same seed gives the same jets whatever the number of processes.
        detector: pass the particles through the fast detector of `jaxsci.data.jets.detector` before clustering.
        processes: number of worker processes; None: one a core.
        compact: write the small format of `jaxsci.data.jets.compact` instead.
        progress: show a bar with the time left.

    Raises:
        InputError: an argument is out of range, a needed package is missing, the folder of parts comes from other settings, or the
            disk cannot be written. Finished chunks stay and are used by the next call.
    """
    out = Path(out)
    if n < 2 or n % 2:
        raise InputError(f"--n: expected an even number of jets, at least 2, got {n}; half are tops, half QCD")
    if seed < 0:
        raise InputError(f"--seed: expected a whole number of at least 0, got {seed}")
    if processes is not None and processes < 1:
        raise InputError(f"--processes: expected at least 1, got {processes}; leave it out to use every core")
    pythia.require_packages()
    attributes = _attributes(n, seed, detector, compact)
    try:
        chunks = _chunks(out, n, seed, detector)
        _parts_folder(out).mkdir(parents=True, exist_ok=True)  # a place that cannot be written shows at once
        _make_parts(chunks, processes or os.cpu_count() or 1, progress)
        _join(out, chunks, attributes, compact)
    except OSError as error:
        reason = " ".join((error.strerror or str(error)).split())
        raise InputError(
            f"{out}: expected a folder that can be written, found: {reason}; make room or choose another --out "
            "(finished chunks are kept for the next try)"
        ) from error
    shutil.rmtree(_parts_folder(out))


def _parts_folder(out: Path) -> Path:
    return out.with_name(out.name + ".parts")


def _chunks(out: Path, n: int, seed: int, detector: bool) -> list[_Chunk]:
    sizes = [min(_CHUNK, n - start) for start in range(0, n, _CHUNK)]
    settings = json.dumps({"seed": seed, "detector": detector, **_physics(detector)}, sort_keys=True)
    folder = _parts_folder(out)
    return [
        _Chunk(number, rows, seed, detector, folder / f"{number:06d}.h5", settings) for number, rows in enumerate(sizes)
    ]


def _is_finished(chunk: _Chunk) -> bool:
    """Whether the chunk's file is there; one that was made with other settings is refused."""
    import h5py

    if not chunk.path.exists():
        return False
    with reading(chunk.path, "a chunk of jets"), h5py.File(chunk.path, "r") as file:
        if file.attrs.get("settings") == chunk.settings and file.attrs.get("rows") == chunk.rows:
            return True
    raise InputError(
        f"{chunk.path}: expected a chunk of {chunk.rows} jets made with this command's seed, detector, cuts and versions, found "
        f"another; finish that generation, remove the folder {chunk.path.parent} or choose another --out"
    )


def _make_parts(chunks: list[_Chunk], processes: int, progress: bool) -> None:
    """Make the chunks that are missing; on any error, Ctrl-C included, the workers end at once."""
    missing = [chunk for chunk in chunks if not _is_finished(chunk)]
    if not missing:
        return
    # A forked worker would hold copies of JAX's threads in an unknown state, where JAX runs.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with (
        _progress(chunks, missing, progress) as advance,
        ProcessPoolExecutor(min(processes, len(missing)), context, _start_worker) as pool,
    ):
        try:
            futures = [pool.submit(_make_part, chunk) for chunk in missing]
            for future in as_completed(futures):
                advance(future.result())
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            if isinstance(error, BrokenProcessPool):
                raise InputError(
                    "jets: expected every worker to finish, found one killed (out of memory?); run the same command again, "
                    "with fewer --processes if it recurs: finished chunks are kept"
                ) from error
            raise


@contextlib.contextmanager
def _progress(chunks: list[_Chunk], missing: list[_Chunk], progress: bool) -> Iterator[Callable[[int], None]]:
    """A bar over the jets, on the error stream; yields the function that moves it on."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    jets, jets_to_make = (sum(chunk.rows for chunk in group) for group in (chunks, missing))
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("jets", total=jets, completed=jets - jets_to_make)
        yield lambda rows: bar.advance(task, rows)


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which ends the workers, and end when the parent is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def _make_part(chunk: _Chunk) -> int:
    """Make one chunk and write its file; the number of jets."""
    import h5py

    classes = [_one_class(chunk, label) for label in (pythia.TOP, pythia.QCD)]
    jets, top = (np.concatenate(parts) for parts in zip(*classes, strict=True))
    labels = np.repeat(np.array([pythia.TOP, pythia.QCD], np.uint8), chunk.rows // 2)
    order = np.random.default_rng([chunk.seed, chunk.number]).permutation(chunk.rows)
    buffer = io.BytesIO()  # on a full disk h5py's own writing ends in a noise of errors
    with h5py.File(buffer, "w") as file:
        file.attrs.update(settings=chunk.settings, rows=chunk.rows)
        file.create_dataset(
            "constituents", data=jets[order], chunks=True, compression="gzip", compression_opts=1, shuffle=True
        )
        file.create_dataset("labels", data=labels[order])
        file.create_dataset("top", data=top[order])
    with replacing(chunk.path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    return chunk.rows


def _one_class(chunk: _Chunk, label: int) -> pythia.Jets:
    detector = None
    if chunk.detector:
        rng = np.random.default_rng([chunk.seed, chunk.number, label])
        detector = functools.partial(detector_simulation.simulate, rng=rng)
    return pythia.sample_jets(label, chunk.rows // 2, _pythia_seed(chunk, label), detector=detector)


def _pythia_seed(chunk: _Chunk, label: int) -> int:
    # Consecutive seeds from a start that hashes the user's: no two chunks of a generation share one.
    start = int(np.random.SeedSequence(chunk.seed).generate_state(1, np.uint64)[0])
    return (start + 2 * chunk.number + label) % _PYTHIA_SEEDS + 1


def _join(out: Path, chunks: list[_Chunk], attributes: dict[str, Any], compact: bool) -> None:
    import h5py

    if compact:
        parts = [_read_part(chunk) for chunk in chunks]
        constituents, labels, _ = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        compact_format.write(out, constituents, labels, attributes)
        return
    needed = sum(chunk.path.stat().st_size for chunk in chunks)  # more than the joined file, which is better compressed
    if shutil.disk_usage(out.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    n = sum(chunk.rows for chunk in chunks)
    with replacing(out) as temporary, unfailing(temporary) as target, h5py.File(target, "w") as file:
        file.attrs.update(attributes, format=FORMAT, format_version=VERSION)
        constituents = file.create_dataset(
            "constituents", (n, pythia.MAX_CONSTITUENTS, 4), "f4", chunks=True, compression="gzip", shuffle=True
        )
        labels = file.create_dataset("labels", (n,), "u1")
        top = file.create_dataset("top", (n, 4), "f4")
        start = 0
        for chunk in chunks:
            rows = slice(start, start + chunk.rows)
            constituents[rows], labels[rows], top[rows] = _read_part(chunk)
            start += chunk.rows


def _read_part(chunk: _Chunk) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Constituents, labels, and the top quark in each jet."""
    import h5py

    with h5py.File(chunk.path, "r") as file:
        return file["constituents"][()], file["labels"][()], file["top"][()]


def _physics(detector: bool) -> dict[str, Any]:
    """What the jets depend on besides the seed: cuts and versions."""
    settings: dict[str, Any] = {
        "process": "pp -> t tbar, both hadronic (label 1); pp -> QCD dijets (label 0)",
        "beam_energy_GeV": pythia.BEAM_ENERGY,
        "jet_algorithm": "anti-kT",
        "jet_radius": pythia.RADIUS,
        "jet_pt_min_GeV": pythia.PT_RANGE[0],
        "jet_pt_max_GeV": pythia.PT_RANGE[1],
        "jet_abs_eta_max": pythia.ETA_MAX,
        "particle_abs_eta_max": pythia.PARTICLE_ETA_MAX,
        "particle_pt_min_GeV": pythia.PARTICLE_PT_MIN,
        "pt_hat_min_GeV": pythia.PT_HAT_MIN,
        "parton_jet_pt_min_GeV": pythia.PARTON_JET_PT_MIN,
        "chunk": _CHUNK,
        "top": "momentum (E, px, py, pz) in GeV of the top quark in the jet, at its decay",
        "jaxsci_version": jaxsci.__version__,
    }
    settings |= {f"{name}_version": importlib.metadata.version(name) for name in ("pythia8mc", "fastjet")}
    return settings | (detector_simulation.settings() if detector else {})


def _attributes(n: int, seed: int, detector: bool, compact: bool) -> dict[str, Any]:
    """What the file says of itself."""
    flags = " --detector" * detector + " --compact" * compact
    return {
        "command": f"jaxsci data generate jets --n {n} --seed {seed}{flags}",
        "simulated": True,
        "seed": seed,
        "detector": detector,
        **_physics(detector),
    }
