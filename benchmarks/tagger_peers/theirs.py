"""The peers: EnergyFlow's Particle Flow Network and weaver's ParticleNet, their own code, called as their documentation does."""

import os
from functools import partial
from typing import Any

import numpy as np

from benchmarks.tagger_peers.problems import PARTICLENET, PFN, Data, Problem, Side
from jaxsci.core import Params, StatefulModel

EPSILON = 1e-8  # of Adam, as ours
PREDICTED = 1000  # jets at a time


def energyflow(problem: Problem, data: Data, seed: int, threads: int) -> Side:
    """EnergyFlow's PFN (TensorFlow) with one output, whose loss is computed from the log odds as ours is."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow
    import tf_keras
    from energyflow.archs import PFN as Network

    threading = tensorflow.config.threading
    if threading.get_intra_op_parallelism_threads() != threads:  # once, before it starts its threads
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(threads)
    tf_keras.utils.set_random_seed(seed)
    network = Network(
        input_dim=PFN.features,
        Phi_sizes=PFN.phi,
        F_sizes=PFN.rho,
        output_dim=1,
        output_act="linear",
        loss=tf_keras.losses.BinaryCrossentropy(from_logits=True),
        optimizer=tf_keras.optimizers.Adam(problem.learning_rate, epsilon=EPSILON),
        metrics=[],
        summary=False,
    )
    x, asked = np.asarray(data.x.elements), np.asarray(data.asked.elements)

    def epoch(order: np.ndarray) -> float:
        rows = {"batch_size": problem.batch_size, "epochs": 1, "shuffle": False, "verbose": 0}
        return float(network.fit(x[order], data.y[order], **rows).history["loss"][0])

    def logits(jets: slice) -> np.ndarray:
        answers: np.ndarray = network.predict(asked[jets], batch_size=PREDICTED, verbose=0)
        return answers[:, 0]

    def as_ours() -> Params:
        kernels, biases = network.model.get_weights()[::2], network.model.get_weights()[1::2]
        layers = [{"kernel": kernel, "bias": bias} for kernel, bias in zip(kernels, biases, strict=True)]
        first, last = layers[: len(PFN.phi)], layers[len(PFN.phi) :]
        return {"phi": _stack(first), "rho": _stack(last)}

    model = network.model
    return Side(epoch, logits, model.get_weights, model.set_weights, model.count_params(), as_ours)


def _stack(layers: list[Params]) -> Params:
    return {f"layer_{i}": layer for i, layer in enumerate(layers)}


def weaver(problem: Problem, data: Data, seed: int, threads: int) -> Side:
    """Weaver's ParticleNet (PyTorch) in our sizes."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    network = weaver_network()
    update = torch.optim.Adam(network.parameters(), problem.learning_rate, eps=EPSILON, fused=True)
    loss_of = torch.nn.BCEWithLogitsLoss()
    x, y = tensors(*map(np.asarray, data.x)), torch.from_numpy(data.y)
    asked = tensors(*map(np.asarray, data.asked))

    def epoch(order: np.ndarray) -> float:
        network.train()
        total = 0.0
        for rows in torch.from_numpy(order).split(problem.batch_size):
            update.zero_grad(set_to_none=True)
            loss = loss_of(network(*(leaf[rows] for leaf in x))[:, 0], y[rows])
            loss.backward()
            update.step()
            total += loss.item() * len(rows)
        return total / len(order)

    def logits(jets: slice) -> np.ndarray:
        network.eval()
        with torch.inference_mode():
            parts = zip(*(leaf[jets].split(PREDICTED) for leaf in asked), strict=True)
            answers: np.ndarray = torch.cat([network(*part)[:, 0] for part in parts]).numpy()
            return answers

    def weights() -> dict[str, torch.Tensor]:
        return {name: leaf.clone() for name, leaf in network.state_dict().items()}

    number = sum(leaf.numel() for leaf in network.parameters())
    as_ours = partial(particlenet_as_ours, network) if isinstance(problem.model, StatefulModel) else None
    return Side(epoch, logits, weights, network.load_state_dict, number, as_ours)


def weaver_network() -> Any:
    """Weaver's ParticleNet without what only it has, as far as its options allow."""
    from weaver.nn.model.ParticleNet import ParticleNet

    return ParticleNet(
        PARTICLENET.features,
        1,
        conv_params=[(PARTICLENET.neighbors, block) for block in PARTICLENET.blocks],
        fc_params=[(width, 0.0) for width in PARTICLENET.dense],
        use_fusion=False,
        use_fts_bn=False,
        use_counts=True,
        trim=False,
    )


def tensors(elements: np.ndarray, weights: np.ndarray) -> list[Any]:
    """What weaver's network is called with: where particles lie, their features, and which of them exist."""
    import torch

    features = torch.from_numpy(np.ascontiguousarray(np.swapaxes(elements, 1, 2)))
    return [features[:, : PARTICLENET.coordinates].contiguous(), features, torch.from_numpy(weights)[:, None]]


def particlenet_as_ours(network: Any) -> Params:
    """The weights and running means of weaver's ParticleNet as the variables of ours with batch normalization."""
    held = {name: leaf.numpy().copy() for name, leaf in network.state_dict().items()}

    def affine(name: str) -> Params:
        kernel = {"kernel": np.moveaxis(held[f"{name}.weight"].reshape(held[f"{name}.weight"].shape[:2]), 0, 1)}
        return {**kernel, "bias": held[f"{name}.bias"]} if f"{name}.bias" in held else kernel

    params: dict[str, Any] = {"dense": {f"layer_{i}": affine(f"fc.{name}") for i, name in enumerate(("0.0", "1"))}}
    state: dict[str, Any] = {}
    for i, widths in enumerate(PARTICLENET.blocks):
        block = f"edge_convs.{i}"
        norms = {f"norm_{j}": f"{block}.bns.{j}" for j in range(len(widths))} | {
            f"norm_{len(widths)}": f"{block}.sc_bn"
        }
        params[f"block_{i}"] = {
            "shortcut": affine(f"{block}.sc"),
            **{f"layer_{j}": affine(f"{block}.convs.{j}") for j in range(len(widths))},
            **{
                name: {"kernel": held[f"{norm}.weight"] - 1, "bias": held[f"{norm}.bias"]}
                for name, norm in norms.items()
            },
        }
        state[f"block_{i}"] = {
            name: {"mean": held[f"{norm}.running_mean"], "variance": held[f"{norm}.running_var"]}
            for name, norm in norms.items()
        }
    return {"params": params, "state": state}


PEERS = {"EnergyFlow": energyflow, "weaver": weaver}
