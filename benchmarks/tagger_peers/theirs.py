"""The peers: EnergyFlow's Particle Flow Network and weaver's ParticleNet, their own code, called as their documentation does."""

import os

import numpy as np

from benchmarks.tagger_peers.problems import PARTICLENET, PFN, Data, Problem, Side
from jaxsci.core import Params

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
    """Weaver's ParticleNet (PyTorch) in our sizes: without what only it has, as far as its options allow."""
    import torch
    from weaver.nn.model.ParticleNet import ParticleNet

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    network = ParticleNet(
        PARTICLENET.features,
        1,
        conv_params=[(PARTICLENET.neighbors, block) for block in PARTICLENET.blocks],
        fc_params=[(width, 0.0) for width in PARTICLENET.dense],
        use_fusion=False,
        use_fts_bn=False,
        use_counts=True,
        trim=False,
    )
    update = torch.optim.Adam(network.parameters(), problem.learning_rate, eps=EPSILON, fused=True)
    loss_of = torch.nn.BCEWithLogitsLoss()

    def tensors(elements: np.ndarray, weights: np.ndarray) -> list[torch.Tensor]:
        features = torch.from_numpy(np.ascontiguousarray(np.swapaxes(elements, 1, 2)))
        return [features[:, : PARTICLENET.coordinates].contiguous(), features, torch.from_numpy(weights)[:, None]]

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

    return Side(epoch, logits, weights, network.load_state_dict, sum(leaf.numel() for leaf in network.parameters()))


PEERS = {"EnergyFlow": energyflow, "weaver": weaver}
