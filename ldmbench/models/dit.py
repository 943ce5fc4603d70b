"""Diffusion transformers (DiT, arXiv:2212.09748) as they are trained here.

The network is diffusers' DiTTransformer2DModel, with what its authors' code has and that class has
not: one table of times and labels in place of one in every block, weights that begin as the paper's
do (adaLN-zero), and labels that only the training drops. It is written as diffusers' own class and
read back by `shared`.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiTTransformer2DModel
from torch import Tensor, nn

from ldmbench.errors import InputError
from ldmbench.schema.models import DenoiserParams

__all__ = ["SharedDiT", "build_dit", "shared"]

_TABLE = "norm1.emb."
"""Of times and labels, in every block of diffusers' class."""


class SharedDiT(DiTTransformer2DModel):  # type: ignore[misc]
    """`DiTTransformer2DModel` whose blocks share one table of times and labels, as the paper's do.

    It returns what diffusers' class returns of the same weights; the table is evaluated once, and
    no label is dropped in training.

    Args:
        config: arguments of `DiTTransformer2DModel`.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self.embedding = self.transformer_blocks[0].norm1.emb
        self.embedding.class_embedder.dropout_prob = 0.0  # torch's global generator would drop
        for block in self.transformer_blocks:
            block.norm1.emb = _Embedded()

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        class_labels: Tensor | None = None,
        cross_attention_kwargs: dict[str, Any] | None = None,
        return_dict: bool = True,
    ) -> Any:
        """Return what the network predicts.

        Args:
            hidden_states: noisy latents, (N, C, h, w) float; the patch divides h = w.
            timestep: (N,), numbers in [0, T).
            class_labels: (N,) int64, the last row of the table being no class; None is class 0,
                the one class of a network without a condition.
            cross_attention_kwargs: of attention processors.
            return_dict: whether to return diffusers' dataclass, or a tuple of one.
        """
        if class_labels is None:
            class_labels = torch.zeros(
                len(hidden_states), dtype=torch.int64, device=hidden_states.device
            )
        embedded = self.embedding(timestep, class_labels, hidden_dtype=hidden_states.dtype)
        return super().forward(
            hidden_states, embedded, class_labels, cross_attention_kwargs, return_dict
        )

    def untied(self) -> DiTTransformer2DModel:
        """Return diffusers' own network of the same weights, with a table in each block."""
        with torch.device("meta"):
            made = DiTTransformer2DModel(**self.config)
        weights = self.state_dict()
        table = {n: t for n, t in weights.items() if n.startswith("embedding.")}
        whole = {n: t for n, t in weights.items() if n not in table}
        for i in range(len(self.transformer_blocks)):
            place = f"transformer_blocks.{i}.{_TABLE}"
            whole |= {place + n.removeprefix("embedding."): t.clone() for n, t in table.items()}
        made.load_state_dict(whole, assign=True)
        made.pos_embed.pos_embed = self.pos_embed.pos_embed
        return made.eval().requires_grad_(False)


class _Embedded(nn.Module):
    """In place of a block's table: the vectors come as they are, in place of the times."""

    def forward(
        self, timestep: Tensor, class_labels: Tensor, hidden_dtype: torch.dtype | None = None
    ) -> Tensor:
        return timestep


def shared(network: DiTTransformer2DModel) -> SharedDiT:
    """Return the network with one table of times and labels, of one whose blocks have the same.

    Raises:
        InputError: the tables differ, as those of a network that was trained without sharing.
    """
    weights = network.state_dict()
    first = {n: t for n, t in weights.items() if n.startswith(f"transformer_blocks.0.{_TABLE}")}
    names = [n.removeprefix("transformer_blocks.0.") for n in first]
    tables = {n for n in weights if f".{_TABLE}" in n}
    for i in range(1, int(network.config.num_layers)):
        for name, (_, wanted) in zip(names, first.items(), strict=True):
            if not torch.equal(weights[f"transformer_blocks.{i}.{name}"], wanted):
                raise InputError(
                    f"transformer_blocks.{i}.{name} differs from block 0, but ldmbench.json says"
                    " that all blocks share one table (shared_table); set it to false to load"
                    " each block's own"
                )
    with torch.device("meta"):
        made = SharedDiT(**network.config)
    kept = {n: t for n, t in weights.items() if n not in tables}
    one = {n.replace(f"transformer_blocks.0.{_TABLE}", "embedding."): t for n, t in first.items()}
    made.load_state_dict(kept | one, assign=True)
    made.pos_embed.pos_embed = network.pos_embed.pos_embed
    made.eval().requires_grad_(False)
    return made


def build_dit(params: DenoiserParams, *, channels: int, side: int, classes: int) -> SharedDiT:
    """Return a network with fresh weights, which returns 0 for every input (adaLN-zero).

    Args:
        params: patch, depth, width, heads and dropout.
        channels: of a latent, in and out.
        side: h = w of a latent.
        classes: number of classes, the last row of the table being no class; without a condition
            0, which is a table of one class.

    Raises:
        InputError: the patch does not divide the latent.
    """
    if side % params.patch:
        raise InputError(
            f"denoiser.patch is {params.patch}, which does not divide a latent of {side} x {side}"
        )
    heads = params.heads or _heads(params.width)
    if params.width % heads:
        raise InputError(
            f"denoiser.heads is {heads}, which does not divide the width {params.width}"
        )
    made = SharedDiT(
        num_attention_heads=heads,
        attention_head_dim=params.width // heads,
        in_channels=channels,
        out_channels=channels,
        num_layers=params.depth,
        sample_size=side,
        patch_size=params.patch,
        num_embeds_ada_norm=max(1, classes),
        dropout=params.dropout,
        norm_eps=1e-6,  # of all norms in the authors' code
    )
    _initialise(made)
    return made


def _heads(width: int) -> int:
    """Return heads of about 64 channels, as those of DiT-S, -B and -L."""
    most = max(1, width // 64)
    return next(heads for heads in range(most, 0, -1) if width % heads == 0)


@torch.no_grad()
def _initialise(network: SharedDiT) -> None:
    """Let weights begin as `initialize_weights` of the authors' models.py lets them.

    Xavier uniform everywhere, biases 0; times and labels N(0, 0.02^2); modulations and the last
    layer 0. Their q, k and v are one matrix of 4 x width in and out together, ours three, which
    take its bound. Positions are sines and cosines, which diffusers' class has.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    patches = network.pos_embed.proj
    nn.init.xavier_uniform_(patches.weight.view(len(patches.weight), -1))
    nn.init.zeros_(patches.bias)
    times, labels = network.embedding.timestep_embedder, network.embedding.class_embedder
    for table in (times.linear_1, times.linear_2, labels.embedding_table):
        nn.init.normal_(table.weight, std=0.02)
    for block in network.transformer_blocks:
        for part in (block.attn1.to_q, block.attn1.to_k, block.attn1.to_v):
            nn.init.xavier_uniform_(part.weight, gain=0.5**0.5)
        nn.init.zeros_(block.norm1.linear.weight)
    for last in (network.proj_out_1, network.proj_out_2):
        nn.init.zeros_(last.weight)
