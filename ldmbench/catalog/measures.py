"""Measures of speed, cost and first stages, and the probes of a suite that ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ldmbench.catalog.rows import Gate, Quantity


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a suite may ask to be measured beside its metrics.

    Attributes:
        name: in a suite.
        about: what it measures.
        stage: the kind of stage that measures it.
        timed: whether the stage must time the model, beside yardsticks.
    """

    name: str
    about: str
    stage: Literal["speed", "denoiser", "reconstructions", "coding"]
    timed: bool = False

    @property
    def summary(self) -> str:
        """What it is, for lists."""
        return self.about


@dataclass(frozen=True, kw_only=True)
class Measure(Quantity):
    """A number of speed, cost or a first stage.

    Attributes:
        probe: that asks for it.
        anywhere: no device changes it; others are compared with those of the same device alone.
    """

    probe: str
    anywhere: bool = False


_TIMED = Gate(by="ratio", tolerance=0.03, limit=0.10, noise=0.005)
_COUNTED = Gate(by="exact")

# fmt: off
_PROBES = (
    Probe(name="throughput", stage="speed", timed=True,
          about="images per second, decoding included"),
    Probe(name="latency", stage="speed", timed=True,
          about="seconds for one image: median and 95th percentile"),
    Probe(name="flops", stage="speed",
          about="FLOPs per image and per training step, parameters, evaluations"),
    Probe(name="memory", stage="speed", about="peak memory while sampling"),
    Probe(name="energy", stage="speed", timed=True,
          about="joules per image, where the device tells"),
    Probe(name="device_days", stage="denoiser",
          about="training time x devices: alone, in all, and amortised"),
    Probe(name="coding", stage="coding",
          about="progressive coding: bits/dim and RMSE per timestep (arXiv:2006.11239)"),
    Probe(name="validation_loss", stage="coding",
          about="loss of the denoiser on unseen images: fixed noise, eight equidistant times"),
    Probe(name="reconstruction", stage="reconstructions",
          about="first stage: rFID, PSNR, SSIM, rate"),
)
_MEASURES = (
    Measure(name="throughput", label="Throughput", better="higher", group="speed",
            probe="throughput", gate=_TIMED, about="images per second, decoding included"),
    Measure(name="latency", label="Latency", better="lower", group="speed",
            probe="latency", gate=_TIMED, about="median time to one image"),
    Measure(name="latency_p95", label="Latency p95", better="lower", group="speed",
            probe="latency", about="time within which 95 % of single images are done"),
    Measure(name="text_seconds", label="Text", better="lower", group="speed", probe="latency",
            about="of one image of a pipeline, median: before the denoiser is first asked"),
    Measure(name="denoising_seconds", label="Denoising", better="lower", group="speed",
            probe="latency", about="of the same: from its first to its last evaluation"),
    Measure(name="decoding_seconds", label="Decoding", better="lower", group="speed",
            probe="latency", about="of the same: after its last evaluation"),
    Measure(name="encode_throughput", label="Encoding", better="higher", group="speed",
            probe="throughput", gate=_TIMED, about="images per second that a first stage encodes"),
    Measure(name="decode_throughput", label="Decoding", better="higher", group="speed",
            probe="throughput", gate=_TIMED, about="images per second that a first stage decodes"),
    Measure(name="encode_seconds", label="Encoding one", better="lower", group="speed",
            probe="latency", gate=_TIMED, about="median time to encode one image"),
    Measure(name="decode_seconds", label="Decoding one", better="lower", group="speed",
            probe="latency", gate=_TIMED, about="median time to decode one image"),
    Measure(name="encode_flops", label="FLOP/encoding", better="lower", group="speed",
            probe="flops", gate=_COUNTED, anywhere=True,
            about="floating-point operations of encoding an image, 2 per multiply-add"),
    Measure(name="decode_flops", label="FLOP/decoding", better="lower", group="speed",
            probe="flops", gate=_COUNTED, anywhere=True,
            about="floating-point operations of decoding a latent, 2 per multiply-add"),
    Measure(name="evaluations", label="Evaluations", group="speed", probe="flops",
            gate=_COUNTED, anywhere=True, about="network evaluations per image"),
    Measure(name="flops_per_image", label="FLOP/image", better="lower", group="speed",
            probe="flops", gate=_COUNTED, anywhere=True,
            about="floating-point operations per image, 2 per multiply-add"),
    Measure(name="parameters", label="Parameters", better="lower", group="speed",
            probe="flops", gate=_COUNTED, anywhere=True, about="weights that sampling needs"),
    Measure(name="autoencoder_parameters", label="Autoencoder params", better="lower",
            group="speed", probe="flops", gate=_COUNTED, anywhere=True,
            about="weights of the first stage"),
    Measure(name="peak_memory", label="Peak memory", better="lower", group="speed",
            probe="memory", gate=Gate(by="exact", tolerance=0.01),
            about="most memory in use while sampling"),
    Measure(name="energy_per_image", label="Energy/image", better="lower", group="speed",
            probe="energy", about="energy per image"),
    Measure(name="train_flops", label="Training FLOP", better="lower", group="training",
            probe="device_days", anywhere=True, about="denoiser, forward and backward"),
    Measure(name="autoencoder_train_flops", label="First-stage FLOP", group="training",
            probe="device_days", about="first stage, forward and backward"),
    Measure(name="total_train_flops", label="Total training FLOP", better="lower",
            group="training", probe="device_days",
            about="denoiser and first stage, forward and backward"),
    Measure(name="flops_per_training_step", label="FLOP/training step", better="lower",
            group="training", probe="flops", gate=_COUNTED, anywhere=True,
            about="denoiser, forward and backward, one batch"),
    Measure(name="train_steps", label="Training steps", group="training", probe="device_days",
            anywhere=True, about="optimizer steps of the denoiser"),
    Measure(name="train_images", label="Training images", group="training", probe="device_days",
            anywhere=True, about="images the denoiser saw"),
    Measure(name="train_device_days", label="Denoiser days", better="lower", group="training",
            probe="device_days", about="device-days of the denoiser alone"),
    Measure(name="autoencoder_device_days", label="Autoencoder days", group="training",
            probe="device_days", about="device-days of the first stage"),
    Measure(name="source_device_days", label="Source days", group="training",
            probe="device_days",
            about="device-days of the weights that training started from; in no sum"),
    Measure(name="total_device_days", label="Total days", better="lower", group="training",
            probe="device_days", about="device-days of denoiser and first stage"),
    Measure(name="amortised_device_days", label="Amortised days", better="lower",
            group="training", probe="device_days",
            about="denoiser, and the first stage shared among its models"),
    Measure(name="v100_days", label="V100 days", better="lower", group="training",
            probe="device_days",
            about="total device-days in V100s, by the stated factor (A100: 2.2)"),
    Measure(name="cost", label="Cost", better="lower", group="training", probe="device_days",
            about="total device time at the stated price"),
    Measure(name="train_throughput", label="Training speed", better="higher", group="training",
            probe="device_days", about="images per second of training, checkpoints included"),
    Measure(name="train_utilisation", label="Utilisation", better="higher", group="training",
            probe="device_days",
            about="FLOP/s of training, as a share of those of a matrix product in its precision"),
    Measure(name="train_memory", label="Training memory", better="lower", group="training",
            probe="device_days",
            about="bytes: the most of tensors on a GPU, of the process on a processor"),
    *(
        Measure(name=f"train_share_{part}", label=f"Time: {part}", group="training",
                probe="device_days", about=f"share of the time of training that {what} took")
        for part, what in (
            ("data", "reading and drawing a batch"), ("network", "forward and backward passes"),
            ("optimiser", "clipping, AdamW and the average"), ("other", "all else"),
        )
    ),
    Measure(name="validation_loss", label="Validation loss", better="lower", ranked=False,
            group="training", probe="validation_loss", anywhere=True,
            about="loss of training on unseen images, at fixed noise and eight equidistant times;"
            " compare it between models of one first stage and objective"),
    Measure(name="perceptual_distance", label="Perceptual distance", better="lower",
            group="first stage", probe="reconstruction", anywhere=True,
            gate=Gate(tolerance=0.03, limit=0.10, noise=0.005),
            about="perceptual distance of reconstructions"),
    Measure(name="rate", label="Rate", better="lower", group="first stage",
            probe="reconstruction", anywhere=True,
            gate=Gate(tolerance=0.01, limit=0.05, noise=0.002),
            about="bits of the latent per pixel of the image"),
    Measure(name="code_entropy", label="Code entropy", better="lower", group="first stage",
            probe="reconstruction", anywhere=True, about="empirical entropy of the VQ codes"),
    Measure(name="codebook_use", label="Codebook use", better="higher", group="first stage",
            probe="reconstruction", anywhere=True,
            about="share of the VQ codes that reconstructions use"),
    Measure(name="tokens", label="Tokens", better="lower", ranked=False, group="first stage",
            probe="reconstruction", anywhere=True,
            about="positions of a latent, height times width"),
    Measure(name="latent_channels", label="Channels", ranked=False, group="first stage",
            probe="reconstruction", anywhere=True, about="channels of a latent"),
    Measure(name="latent_mean", label="Latent mean", group="first stage", ranked=False,
            probe="reconstruction", anywhere=True,
            about="mean over all values of latents, without their scale"),
    Measure(name="latent_std", label="Latent std", group="first stage", ranked=False,
            probe="reconstruction", anywhere=True,
            about="standard deviation over all values of latents, without their scale"),
    Measure(name="latent_std_smallest", label="Smallest std", group="first stage", ranked=False,
            probe="reconstruction", anywhere=True,
            about="standard deviation of the channel in which it is smallest"),
    Measure(name="latent_std_largest", label="Largest std", group="first stage", ranked=False,
            probe="reconstruction", anywhere=True,
            about="standard deviation of the channel in which it is largest"),
    Measure(name="latent_high_frequency", label="High frequencies", group="first stage",
            ranked=False, foretells=True, probe="reconstruction", anywhere=True,
            about="share of the power of latents in the upper half of their frequencies, without"
            " the mean (arXiv:2502.14831); white noise has about a half"),
    Measure(name="latent_slope", label="Spectral slope", group="first stage", ranked=False,
            probe="reconstruction", anywhere=True,
            about="of log power of latents over log frequency; white noise has 0"),
    Measure(name="latent_scale", label="Latent scale", group="first stage",
            probe="reconstruction", anywhere=True,
            about="factor that brings latents to unit variance"),
    Measure(name="coding_rate", label="Coding rate", better="lower", ranked=False, group="other",
            probe="coding", anywhere=True, gate=Gate(tolerance=0.02, limit=0.10, noise=0.005),
            about="progressive coding of unseen images down to t = 0, in bits per dimension of the"
            " image; compare it between models of one first stage"),
    Measure(name="yardstick", label="Yardstick", group="other", probe="throughput",
            about="a fixed workload timed beside the measurements: how fast the machine was"),
)
# fmt: on
PROBES: dict[str, Probe] = {row.name: row for row in _PROBES}
MEASURES: dict[str, Measure] = {row.name: row for row in _MEASURES}
