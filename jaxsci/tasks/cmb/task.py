"""The cosmic microwave background as a sum of spherical harmonics, and by a dense network beside it."""

import time
from math import isqrt
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxsci import healpix
from jaxsci.core import Array, Batch
from jaxsci.data.sphere import sky
from jaxsci.data.sphere.polarization import read_polarization
from jaxsci.errors import InputError
from jaxsci.fitting import LinearFit, require_determined
from jaxsci.losses import objective, squared_error
from jaxsci.models import dense, heads
from jaxsci.ops.sphere import real_degrees
from jaxsci.runs import folder as runs
from jaxsci.runs import weights
from jaxsci.runs.task import Find, OnProgress, Session, Task
from jaxsci.tasks.cmb import evaluation, peaks, polarization, prior, sky_fit
from jaxsci.tasks.cmb import report as cmb_report
from jaxsci.tasks.cmb.misfit import cross_notes, error_scale
from jaxsci.tasks.cmb.options import Options
from jaxsci.training import Recipe, Settings, adamw, predict, steps_per_epoch, warmup_cosine
from jaxsci.training import fit as train

NAME = "cmb"
LARGEST_NSIDE = 32  # the design matrix of a finer map does not fit into memory
FRACTIONS = (0.7, 0.1, 0.2)  # of the pixels, for the comparison with a network: training, validation, test


def fit(options: Options, session: Session) -> Path:
    """Fit the sky and its spectrum and write the run folder with its report.

    Returns:
        The run folder.

    Raises:
        InputError: a file or an option cannot be used, or the pixels do not determine a coefficient; no run folder is left behind.
    """
    with jax.enable_x64(True):
        return _fit(options, find_files(options, session.find), session)


class Files(NamedTuple):
    """What is read."""

    sky: Path
    mask: Path | None
    unit: str | None  # of the map
    sign: Literal["file", "COSMO", "IAU", "none"]  # of U, as the option `polarization` has it
    planck: "Planck | None"  # None: the prior is the spectrum of the map


class Planck(NamedTuple):
    """The tables of Planck 2018."""

    theory: Path  # the best fit, as a prior
    measured: Path  # the spectrum, for the acoustic peaks


def find_files(options: Options, find: Find) -> Files:
    """The user's own map, or that of the data set with its mask and the unit that its file does not say; the tables where asked for."""
    name = "COM_PowerSpect_CMB-{}_R3.01.txt".format
    planck = None
    if options.prior == "planck":
        best = find("sphere", name("base-plikHM-TTTEEE-lowl-lowE-lensing-minimum-theory"))
        planck = Planck(best, find("sphere", name("TT-full")))
    elif options.polarization in ("COSMO", "IAU"):
        raise InputError(
            "--polarization: expected no sign of U without the best fit of Planck, from which TE, EE and BB have their errors, got "
            f"{options.polarization}; leave it out, or add --theory planck"
        )
    if options.data is not None:
        return Files(options.data, options.mask, options.unit, options.polarization, planck)
    mask = options.mask or find("sphere", "wmap_temperature_analysis_mask_r9_7yr_v4_udgraded32.fits")
    # The maps of WMAP have the sign of HEALPix (lambda.gsfc.nasa.gov/product/about/pol_convention.html).
    sign = "COSMO" if options.polarization == "file" else options.polarization
    return Files(find("sphere", "wmap_band_iqumap_r9_7yr_W_v4_udgraded32.fits"), mask, "mK", sign, planck)


def _fit(options: Options, files: Files, session: Session) -> Path:
    progress, started = session.progress, time.monotonic()
    progress("reading the sky", 0.0, "")
    seen = read(options, files)
    alone = options.column is not None or options.cross is not None  # the temperature
    polarized = None if alone or files.planck is None else read_polarized(files, seen)
    progress("reading the sky", 1.0, f"nside {seen.nside}, {seen.keep.mean():.0%} of the sky")
    unread = files.planck is None and not alone and files.sign != "none"
    for note in [*cross_notes(seen), *(polarization.left_out(files.sky) if unread else ())]:
        progress("reading the sky", 1.0, note)
    if files.planck is None:
        progress("prior", 0.0, "")
        theory = prior.of_map(seen, prior.key_of(options.seed))
        progress("prior", 1.0, "the spectrum of this map")
    else:
        theory = prior.of_planck(files.planck.theory, seen.nside)
    progress("coefficients", 0.0, "")
    fitted = sky_fit.coefficients(seen, theory, options.lmax, options.free)
    pairs = zip(*real_degrees(options.lmax), strict=True)
    require_determined(fitted, [f"a_{degree},{order}" for degree, order in pairs])
    progress("coefficients", 1.0, f"{fitted.inflation.size:,}, χ²/dof {float(fitted.chi2 / fitted.dof):.2f}")
    if error_scale(float(fitted.chi2), float(fitted.dof)) > 1:
        words = "the fit does not describe this sky, and the errors are multiplied by the root of χ²/dof; is the Galaxy masked?"
        progress("coefficients", 1.0, f"warning: {words}")
    powers = sky_fit.bandpowers(
        seen,
        theory,
        options.simulations,
        jax.random.key(options.seed),
        progress=lambda part: progress("power spectrum", part, ""),
    )
    crossed = {}
    if polarized is not None and files.planck is not None:
        progress("polarization", 0.0, "")
        of_all = polarization.Theory(prior.powers_of(files.planck.theory, seen.nside), theory.window)
        key = jax.random.fold_in(jax.random.key(options.seed), 2)
        crossed = polarization.bandpowers(polarized, of_all, options.simulations, key)
        progress("polarization", 1.0, f"{', '.join(crossed)} on {polarized.keep.mean():.0%} of the sky")
    best, planck, found = prior.table_of(theory), None, []
    if files.planck is not None:
        progress("acoustic peaks", 0.0, "")
        planck, best = sky.read_spectrum(files.planck.measured), sky.read_spectrum(files.planck.theory)
        found = peaks.of_spectrum(planck, best)
        progress("acoustic peaks", 1.0, f"the first at {found[0].place:.1f} ± {found[0].place_error:.1f}")
    rivals = compare(options, seen, theory, progress) if options.model == "dense" else {}
    with runs.whole_folder(session, NAME, options.model) as folder:
        chosen = {"parameters": int(fitted.inflation.size), "seconds": round(time.monotonic() - started, 1)}
        runs.write_config(folder, NAME, options, describe(files, seen), chosen)
        result = evaluation.measured(options, seen, fitted, powers, found, rivals)
        result |= evaluation.of_polarization(polarized, crossed)
        runs.write_record(folder / "evaluation.json", result)
        progress("writing the report", 0.0, "")
        pictures = cmb_report.Pictures(
            seen,
            whole(seen, seen.values),
            synthesis(options, seen, theory, fitted),
            powers,
            crossed,
            planck,
            best,
            rivals,
        )
        cmb_report.write(folder, result, pictures)
        progress("writing the report", 1.0, "")
    return folder


def read(options: Options, files: Files) -> sky_fit.Sky:
    """Read map and mask, in microkelvin, degraded to an nside this task can hold."""
    runs.require_positive(options, "lmax", "simulations", "noise", "epochs")
    paths = [files.sky, *([] if options.cross is None else [options.cross])]
    name = options.column or "0"
    column = int(name) if name.isdigit() else name
    found = [sky.read_map(path, column=column) for path in paths]
    nside = max(n for n in range(1, LARGEST_NSIDE + 1) if found[0].nside % n == 0)
    if found[-1].nside % nside or len({one.frame for one in found} - {""}) > 1:
        got = f"{found[-1].nside} and {found[-1].frame or 'none'}"
        raise InputError(
            f"{paths[-1]}: expected an nside that {nside} divides, and one COORDSYS, got {got}; make the maps alike"
        )
    every = [_degraded(*read_map, files, nside) for read_map in zip(found, paths, strict=True)]
    values = every[0]
    keep: np.ndarray = np.isfinite(np.stack(every)).all(axis=0)
    if not keep.any():
        raise InputError(
            f"{paths[-1]}: expected pixels with values{' in both maps' * (len(every) > 1)}, got none but UNSEEN and NaN; check the mask"
        )
    if len(every) > 1 and np.array_equal(every[0][keep], every[1][keep]):
        raise InputError(
            f"{options.cross}: expected a second map with noise of its own, got the first again; leave it out"
        )
    if options.lmax > 2 * nside:
        raise InputError(
            f"--lmax: expected at most 2 nside = {2 * nside} for nside {nside}, got {options.lmax}; lower it"
        )
    if not 1 <= options.free <= options.lmax or options.simulations < 2:
        raise InputError(
            f"--free and --simulations: expected 1 to --lmax, and 2 or more, got {options.free} and {options.simulations}"
        )
    return sky_fit.Sky(nside, keep, values[keep], options.noise, every[1][keep] if len(every) > 1 else None)


def _degraded(read_map: sky.SkyMap, path: Path, files: Files, nside: int) -> np.ndarray:
    """A map in microkelvin on pixels of this nside, NaN where masked."""
    values = sky.in_microkelvin(read_map, path, files.unit)
    if files.mask is not None:
        values = np.where(sky.read_mask(files.mask, read_map.nside, read_map.frame), values, np.nan)
    sky.require_measured(path, values)
    return sky.degrade(values, nside)


def read_polarized(files: Files, seen: sky_fit.Sky) -> polarization.Polarized | None:
    """T, Q and U where the file has them, in microkelvin, on the pixels that T has and Q and U as well."""
    if files.sign == "none":
        return None
    found = read_polarization(files.sky, None if files.sign == "file" else files.sign)
    if found is None:
        return None
    maps = np.stack([whole(seen, seen.values), *(_degraded(one, files.sky, files, seen.nside) for one in found)])
    keep: np.ndarray = np.isfinite(maps).all(axis=0)
    if not keep.any():
        raise InputError(f"{files.sky}: expected Q and U where there is a temperature, got none; --polarization none")
    noise = (seen.noise, float(np.sqrt(2)) * seen.noise)  # as of detectors that see I and Q, or I and U, at once
    return polarization.Polarized(seen.nside, keep, np.where(keep, maps, 0.0), noise)


def synthesis(options: Options, seen: sky_fit.Sky, theory: sky_fit.Theory, fitted: LinearFit) -> np.ndarray:
    """The fitted sky, with the smoothing of the pixels, without monopole and dipole, on all pixels of the sphere."""
    without = np.where(real_degrees(options.lmax)[0] > 1, np.asarray(fitted.params["coefficients"]), 0)
    return smoothed(seen, theory, jnp.asarray(without))


def smoothed(seen: sky_fit.Sky, theory: sky_fit.Theory, amplitudes: Array) -> np.ndarray:
    """The sky with these coefficients on all pixels of the sphere, averaged over each."""
    degree = real_degrees(isqrt(amplitudes.size) - 1)[0]
    return np.asarray(sky_fit.maps((amplitudes * jnp.asarray(theory.window[degree]))[None], seen.nside)[0])


def whole(seen: sky_fit.Sky, values: np.ndarray) -> np.ndarray:
    """Values of the pixels used on the whole sphere, NaN elsewhere."""
    result = np.full(seen.keep.size, np.nan)
    result[seen.keep] = values
    return result


def compare(
    options: Options, seen: sky_fit.Sky, theory: sky_fit.Theory, progress: OnProgress
) -> dict[str, cmb_report.Rival]:
    """Harmonics and a dense network, fitted to the same pixels and tested on the same others."""
    order = np.random.default_rng(options.seed).permutation(len(seen.values))
    ends = np.round(np.cumsum(FRACTIONS) * len(order)).astype(int)
    training, validation, test = np.split(order, ends[:2])
    used = np.flatnonzero(seen.keep)
    both = np.concatenate([training, validation])  # the harmonics make no choice by the validation part
    keep = np.zeros_like(seen.keep)
    keep[used[both]] = True
    part = seen._replace(keep=keep, values=whole(seen, seen.values)[keep])
    fitted = sky_fit.coefficients(part, theory, options.lmax, 1)
    amplitudes = fitted.params["coefficients"]
    maps, parameters = {"harmonics": smoothed(seen, theory, amplitudes)}, {"harmonics": amplitudes.size}
    with jax.enable_x64(False):
        maps["dense"], parameters["dense"] = train_dense(options, seen, (training, validation), progress)
    return {
        name: cmb_report.Rival(parameters[name], *error_on(maps[name][used[test]], seen.values[test]), maps[name])
        for name in maps
    }


def error_on(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Root mean squared error, and the standard error of that from the scatter of the squares."""
    squares = (prediction - truth) ** 2
    root = float(np.sqrt(squares.mean()))
    return root, float(squares.std(ddof=1) / np.sqrt(len(squares)) / (2 * root))


def train_dense(
    options: Options,
    seen: sky_fit.Sky,
    parts: tuple[np.ndarray, np.ndarray],
    progress: OnProgress,
) -> tuple[np.ndarray, int]:
    """A dense network of the direction, trained to the pixels; its map on the whole sphere and its number of parameters."""
    model = heads.scalar(dense.model(dense.Config(inputs=3, hidden=(128, 128, 128))))
    directions = seen.directions.astype(np.float32)
    mean, scale = (float(f(seen.values[parts[0]])) for f in (np.mean, np.std))
    y = ((seen.values - mean) / scale).astype(np.float32)
    batches = [Batch(directions[rows], jnp.asarray(y[rows]), jnp.ones(len(rows), jnp.float32)) for rows in parts]
    settings = Settings(epochs=options.epochs, batch_size=128)
    steps = settings.epochs * steps_per_epoch(len(parts[0]), settings.batch_size)
    recipe = Recipe(
        model, objective(model.apply, squared_error), adamw(3e-3, schedule=warmup_cosine(steps), weight_decay=1e-3)
    )
    result = train(
        recipe,
        batches[0],
        batches[1],
        key=jax.random.key(options.seed),
        settings=settings,
        progress=lambda p: progress("dense network", (p.epoch - 1 + p.fraction) / options.epochs, f"epoch {p.epoch}"),
    )
    outputs = predict(model.apply, result.params, healpix.vectors(seen.nside).astype(np.float32))
    return mean + scale * outputs.astype(np.float64), sum(leaf.size for leaf in jax.tree.leaves(result.params))


def describe(files: Files, seen: sky_fit.Sky) -> dict[str, Any]:
    """What the sky of a run is: its file, the number of its pixels, and a digest of their places and values."""
    arrays = [seen.keep, seen.values, *([] if seen.second is None else [seen.second])]
    return {"file": str(files.sky), "pixels": len(seen.values), "digest": weights.digest(*arrays)}


TASK = Task(NAME, fit, headline=("chi2", "dof", "sky_fraction"))
