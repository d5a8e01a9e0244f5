"""Run by `test_sharded_steps.py` in a process of four CPU devices: NAME PARAMETERS, and KIND COUNT BYTES of every kind of collective."""

import sys

import jax
import jax.export

jax.config.update("jax_num_cpu_devices", 4)

from benchmarks.scaling.collectives import exchanged  # noqa: E402
from jaxsci.runs.task import silent  # noqa: E402
from jaxsci.tasks.top_tagging import jobs, samples  # noqa: E402
from jaxsci.tasks.top_tagging.options import Options  # noqa: E402
from jaxsci.training import device_mesh, fit_programs  # noqa: E402

for name in sys.argv[1:]:
    job = jobs.prepare(Options(tagger=name, max_jets=60, batch_size=24), silent)
    inputs, labels = jobs.make_inputs(job.tagger, job.sample, silent), samples.labels_of(job.sample)
    train, validation, _ = (jobs.as_batch(inputs, labels, part) for part in job.splits)
    recipe, settings = jobs.make_recipe(job)
    recipe = recipe._replace(microbatches=1)  # of which every one would be traced and lowered alike
    program, _ = fit_programs(
        recipe, train, validation, key=jax.random.key(0), settings=settings, mesh=device_mesh(data=4)
    )
    exported = jax.export.export(program.function, platforms=("cuda", "tpu"))(*program.arguments)
    assert exported.nr_devices == 4
    parameters = sum(leaf.size for leaf in jax.tree.leaves(program.arguments[0].train.params))
    found = exchanged(exported.mlir_module())
    print(name, parameters, *(item for kind, (count, size) in found.items() for item in (kind, count, size)))
