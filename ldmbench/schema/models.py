"""Models: autoencoders, denoisers, budgets, and how a suite names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ldmbench.catalog.tasks import TASKS, ConditionInput
from ldmbench.schema.base import AXIS, Fraction, Noun, Positive
from ldmbench.schema.data import Resize
from ldmbench.schema.networks import Network, Objective, PresetName, preset_fields
from ldmbench.schema.optimisation import Optimised

Downsampling = Literal[1, 2, 4, 8, 16, 32, 64, 128]
Mask = Literal["center", "boxes", "thin", "medium", "thick"]
if TYPE_CHECKING:
    Conditioning = str
else:
    Conditioning = Literal[tuple(TASKS)]
Latents = Literal["sample", "mode"]
if TYPE_CHECKING:
    AloneKind = Literal["first_stage"]
else:
    AloneKind = Literal["first_stage", "ldm"]  # the second, with `denoiser: null`, is read as it
OPEN_CLIP = "open_clip"
"""The vocabulary that open_clip's wheel ships."""

CAPTION_TOKENS = 32
"""Words of a caption, and its end, that a caption encoder trained here reads."""


class Budget(Noun):
    """How long to train; exactly one field is set.

    `flops` counts the denoiser's forward and backward pass (3 x forward, 2 per multiply-add).
    """

    steps: Annotated[int | None, AXIS, Positive] = None
    images: Annotated[int | None, AXIS, Positive] = None
    flops: Annotated[float | None, AXIS, Positive] = None
    device_minutes: Annotated[float | None, AXIS, Positive] = None

    @model_validator(mode="after")
    def _one_is_set(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"state exactly one of {', '.join(type(self).model_fields)}")
        value = getattr(self, given[0])
        if isinstance(value, tuple) and None in value:
            raise ValueError(f"found null among the values of {given[0]}; write a number for each")
        return self


class AutoencoderParams(Optimised):
    """A first stage (arXiv:2112.10752, section 3.1); f = 1 is the identity."""

    FIRST: ClassVar[str] = (
        "f regularization weights channels multipliers blocks latent_channels codebook "
        "attention kl_weight perceptual_weight adversarial_weight adversarial_start budget "
        "batch learning_rate decay train_seed"
    )

    f: Annotated[Downsampling, AXIS] = Field(default=4, description="downsampling factor")
    regularization: Annotated[Literal["kl", "vq"], AXIS] = "kl"
    weights: Literal["shipped"] | None = Field(
        default=None, description="shipped: one that comes with ldmbench, in place of training"
    )
    channels: Annotated[int, AXIS, Field(ge=8, multiple_of=8)] = 32
    multipliers: tuple[Annotated[int, Positive], ...] | None = Field(
        default=None, description="width per level; chosen by f when unset"
    )
    blocks: Annotated[int, Field(ge=1, le=4)] = 1
    latent_channels: Annotated[int | None, AXIS, Positive] = Field(
        default=None, description="chosen by f when unset"
    )
    codebook: Annotated[int, AXIS, Field(ge=2)] = Field(default=1024, description="codes of a VQ")
    attention: bool = Field(default=False, description="self-attention in the middle block")
    kl_weight: Annotated[float, AXIS, Field(ge=0)] = 1e-6
    perceptual_weight: Annotated[float, AXIS, Field(ge=0)] = 1.0
    adversarial_weight: Annotated[float, AXIS, Field(ge=0)] = 0.5
    adversarial_start: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="share of the budget after which the discriminator joins"
    )
    budget: Budget = Budget(steps=2000)
    batch: Annotated[int, Positive] = 16
    learning_rate: Annotated[float, AXIS, Positive] = 4e-4
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="share of the budget, at its end, over which the rate falls to 0"
    )
    warmup: Annotated[int, Field(ge=0)] = Field(default=0, description="steps of linear warm-up")
    train_seed: Annotated[int, AXIS, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_fall(self) -> Self:
        if self.decay and self.schedule in ("cosine", "linear"):
            raise ValueError(
                f"found decay: {self.decay} beside schedule: {self.schedule}, and each lets the"
                " learning rate fall to 0; write one of them"
            )
        return self

    @property
    def trained(self) -> AutoencoderParams:
        """Return what is trained, without where it comes from."""
        return AutoencoderParams(**{n: getattr(self, n) for n in AutoencoderParams.model_fields})


class FirstStageSection(AutoencoderParams):
    """Where the first stage of a model comes from: it is trained here, ships, or lies on disk."""

    path: Annotated[str | None, AXIS] = Field(
        default=None,
        description="a trained one, in place of training: what `kind: load` takes, with or without"
        " a denoiser",
    )
    of: str | None = Field(
        default=None, description="name of a model of the suite, whose first stage it takes"
    )
    config: str | None = Field(
        default=None, description="of a checkpoint at `path`; looked for beside it when unset"
    )
    ema: Annotated[bool, AXIS] = Field(
        default=True, description="averaged weights where what lies at `path` has them"
    )
    ignore: tuple[str, ...] = Field(
        default=(), description="tensors of a checkpoint at `path` to leave out; * stands for all"
    )
    scale: Annotated[float, Positive] | None = Field(
        default=None,
        description="what latents of `path` are multiplied by, where its files do not say it;"
        " unset: 1 / their standard deviation (KL), 1 (others)",
    )
    latents: Annotated[Literal["sample", "mode"], AXIS] = Field(
        default="sample", description="what of a KL's posterior the denoiser is trained on"
    )
    flip: Annotated[bool, AXIS] = Field(
        default=False, description="train the denoiser on mirror images too, encoded once"
    )


class AloneSection(AutoencoderParams):
    """A first stage that no denoiser stands on: it is trained here, or ships."""

    latents: Annotated[Latents | None, AXIS] = Field(
        default=None,
        description="what of a KL's posterior is decoded; unset: as the protocol says, else its"
        " mode",
    )


class DenoiserParams(Optimised):
    """A diffusion network on latents or pixels (arXiv:2112.10752, sections 3.2 and 3.3)."""

    former = {"prediction": "objective"}
    FIRST: ClassVar[str] = (
        "channels multipliers blocks attention_sizes conditioning context_channels "
        "drop_condition objective timesteps beta_schedule beta_start beta_end ema_decay "
        "batch learning_rate warmup checkpoints train_seed"
    )

    preset: Annotated[PresetName | None, AXIS] = Field(
        default=None,
        exclude=True,  # what it stands for is in the other fields, which keys are made of
        description="a denoiser of a paper, whose fields hold where none is written; `ldmbench list"
        " presets`",
    )
    network: Annotated[Network, AXIS] = Field(
        default="unet", description="a UNet, or a diffusion transformer (arXiv:2212.09748)"
    )
    patch: Annotated[Literal[1, 2, 4, 8], AXIS] = Field(
        default=2, description="of a dit: side of what becomes one token"
    )
    depth: Annotated[int, AXIS, Positive] = Field(default=12, description="of a dit: its blocks")
    width: Annotated[int, AXIS, Field(ge=8, multiple_of=8)] = Field(
        default=384, description="of a dit: channels of a token"
    )
    heads: Annotated[int | None, AXIS, Positive] = Field(
        default=None,
        description="of attention; unset: of about 64 channels each in a dit, in a unet of"
        " head_channels",
    )
    head_channels: Annotated[int | None, AXIS, Positive] = Field(
        default=None,
        description="of a unet: channels of a head of attention; unset: 32, or the largest divisor"
        " of 32 and channels",
    )
    transformer_depth: Annotated[int, AXIS, Positive] = Field(
        default=1, description="of a unet with cross-attention: blocks of each transformer"
    )
    scale_shift: Annotated[bool, AXIS] = Field(
        default=False, description="of a unet: times scale and shift what norms return"
    )
    resblock_updown: Annotated[bool, AXIS] = Field(
        default=False, description="of a unet: residual blocks halve and double maps"
    )
    dropout: Annotated[float, AXIS, Field(ge=0, lt=1)] = Field(
        default=0.0, description="share of values dropped in residual blocks (unet) or layers (dit)"
    )
    channels: Annotated[int, AXIS, Field(ge=8, multiple_of=8)] = 64
    multipliers: tuple[Annotated[int, Positive], ...] | None = Field(
        default=None, description="width per level; chosen by latent size when unset"
    )
    blocks: Annotated[int, Field(ge=1, le=4)] = 1
    attention_sizes: tuple[Annotated[int, Positive], ...] = Field(
        default=(8, 4), description="feature map sides that get (cross-)attention"
    )
    conditioning: Annotated[Conditioning, AXIS] = "caption"
    inject: Annotated[Literal["cross", "add"], AXIS] = Field(
        default="cross",
        description="a class as a token of cross-attention, or added to the time embedding",
    )
    vocabulary: Annotated[str | None, AXIS] = Field(
        default=None,
        description="caption: open_clip, or the path of a WordPiece vocab.txt, whose tokens a"
        " transformer reads that is trained with the model; unset: hashed words",
    )
    text_encoder: Annotated[str | None, AXIS] = Field(
        default=None,
        description="caption: a text encoder of transformers (CLIP's, T5, BERT), by path or hub id;"
        " it stays frozen",
    )
    caption_tokens: Annotated[int, Field(ge=2, le=1024)] = Field(
        default=77,
        description="caption: tokens that a transformer or text encoder reads at most",
    )
    scale: Annotated[Literal[2, 4, 8], AXIS] = Field(
        default=4, description="superresolution: side of the image / side of its input"
    )
    downscale: Annotated[Resize, AXIS] = Field(
        default="pil-bicubic", description="superresolution: how the input is made small"
    )
    mask: Annotated[Mask, AXIS] = Field(
        default="boxes", description="inpainting: where to paint (docs/tasks.md)"
    )
    blur: Annotated[float, AXIS, Field(gt=0, le=100)] = Field(
        default=2.0, description="image: standard deviation of the blur, pixels"
    )
    context_channels: Annotated[int, Positive] = Field(
        default=64, description="width of the conditioning sequence"
    )
    context_depth: Annotated[int, Positive] = Field(
        default=2,
        description="layout, or caption with a vocabulary: blocks of the transformer",
    )
    corners: Annotated[Literal["random", "sines"], AXIS] = Field(
        default="random",
        description="layout: what the vectors of a box's corners start from: random numbers, as in"
        " LDM, or sines of row and column, with which a short training learns places",
    )
    drop_condition: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.1, description="share of training images shown without their condition"
    )
    objective: Annotated[Objective, AXIS] = Field(
        default="eps",
        description="what the network learns to return: noise, v, the clean latent, the velocity of"
        " a straight path (flow matching); or the clean latent from the condition alone"
        " (regression)",
    )
    timesteps: Annotated[int, Field(ge=10, le=100_000)] = 1000
    beta_schedule: Annotated[Literal["scaled_linear", "linear", "cosine"], AXIS] = Field(
        default="scaled_linear",
        description="of betas; scaled_linear is linear in sqrt(beta), which CompVis calls linear",
    )
    beta_start: Annotated[float, Positive] = 0.0015
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.0195
    rescale_betas_zero_snr: Annotated[bool, AXIS] = Field(
        default=False, description="leave no signal at the last timestep (arXiv:2305.08891)"
    )
    min_snr: Annotated[float | None, AXIS, Positive] = Field(
        default=None, description="gamma of min-SNR weights (arXiv:2303.09556); unset: no weights"
    )
    times: Annotated[Literal["uniform", "logit_normal"], AXIS] = Field(
        default="uniform", description="of flow: how times of training are drawn"
    )
    logit_mean: Annotated[float, AXIS] = Field(
        default=0.0, description="of logit_normal times; above 0 is nearer to noise"
    )
    logit_std: Annotated[float, AXIS, Positive] = 1.0
    shift: Annotated[float, AXIS, Positive] = Field(
        default=1.0,
        description="of flow: s of t' = s t / (1 + (s - 1) t) in training and sampling; above 1 is"
        " nearer to noise",
    )
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    ema_warmup: bool = Field(
        default=True, description="step n (from 0) keeps at most (1 + n) / (10 + n) of the average"
    )
    batch: Annotated[int, AXIS, Positive] = 64
    learning_rate: Annotated[float, AXIS, Positive] = 2e-4
    warmup: Annotated[int, Field(ge=0)] = Field(default=100, description="steps of linear warm-up")
    checkpoints: tuple[Annotated[float, Fraction], ...] = Field(
        default=(), description="shares of the budget at which weights are kept (sample.checkpoint)"
    )
    compile: bool | None = Field(
        default=None,
        description="torch.compile the network for training; unset: where that takes 1e16 FLOPs or"
        " more in the plan",
    )
    keep_state: bool = Field(
        default=False,
        description="keep the state at the end, from which a longer budget goes on; in no key",
    )
    train_seed: Annotated[int, AXIS, Field(ge=0)] = 0

    @property
    def dropped(self) -> float:
        """Share of training images without their condition, which is all that a regression has."""
        return 0.0 if self.objective == "regression" else self.drop_condition

    @property
    def reads_labels(self) -> bool:
        """Whether classes are labels of the network itself, not tokens that it attends to."""
        return self.conditioning == "class" and (self.network == "dit" or self.inject == "add")

    @property
    def attends(self) -> bool:
        """Whether the network attends to its condition."""
        task = TASKS[self.conditioning]
        return task.input != "none" and not task.joins and not self.reads_labels

    @model_validator(mode="before")
    @classmethod
    def _fields_of_presets(cls, found: object) -> object:
        """Take what is not written from the preset; of several, that in which they agree."""
        return {**preset_fields(found), **found} if isinstance(found, dict) else found


class LdmModel(Noun):
    """A latent diffusion model that is trained here; with f = 1 a pixel-space model."""

    kind: Literal["ldm"] = "ldm"
    init: str | None = Field(
        default=None,
        description="a model or cell of this suite, a folder, checkpoint or hub id, whose weights"
        " the denoiser starts from; what is not written of it is that model's",
    )
    autoencoder: FirstStageSection = FirstStageSection()
    denoiser: DenoiserParams = DenoiserParams()
    budget: Budget
    guidance_interval: tuple[float, float] | None = Field(
        default=None, description="default of sample.guidance_interval with this model"
    )
    guidance_model: Annotated[str | None, AXIS] = Field(
        default=None,
        description="a weaker model of the same latents and conditions that guides this one"
        " (arXiv:2406.02507): a model of the suite, NAME@SHARE of one with kept checkpoints, or a"
        " path; unset: guidance is by this model without its condition",
    )
    data: str | None = Field(default=None, description="its dataset; crossed with all when unset")


class FirstStageModel(Noun):
    """A first stage alone, trained here or shipped: `kind: ldm` with `denoiser: null`."""

    kind: AloneKind = "first_stage"
    autoencoder: AloneSection = AloneSection()
    denoiser: None = Field(default=None, description="null: no denoiser stands on it")
    data: str | None = Field(default=None, description="its dataset; crossed with all when unset")


class LoadModel(Noun):
    """A trained model from disk: a diffusers folder, a checkpoint; or a first stage alone."""

    kind: Literal["load"]
    path: Annotated[str, AXIS] = Field(
        description="folder or checkpoint file, relative to the suite file, or a hub id"
    )
    latents: Annotated[Latents | None, AXIS] = Field(
        default=None,
        description="of a first stage alone: what of a KL's posterior is decoded; unset: as the"
        " protocol says, else its mode",
    )
    config: str | None = Field(
        default=None, description="the checkpoint's config; looked for beside it when unset"
    )
    ema: Annotated[bool, AXIS] = Field(
        default=True, description="averaged weights where the checkpoint has them"
    )
    ignore: tuple[str, ...] = Field(
        default=(), description="names of a checkpoint's tensors to leave out; * stands for all"
    )
    tokenizer: str | None = Field(
        default=None, description="of a prompted checkpoint that does not hold its own"
    )
    null_class: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="the label that stands for no class, where no file says it"
    )
    guided_channels: Annotated[int, Positive] | None = Field(
        default=None, description="latent channels that guidance moves, from the first; unset: all"
    )
    guidance_interval: tuple[float, float] | None = Field(
        default=None, description="default of sample.guidance_interval with this model"
    )
    guidance_model: Annotated[str | None, AXIS] = Field(
        default=None,
        description="a weaker model of the same latents and conditions that guides this one"
        " (arXiv:2406.02507): a model of the suite, NAME@SHARE of one with kept checkpoints, or a"
        " path; unset: guidance is by this model without its condition",
    )
    call: dict[str, Any] = Field(
        default={}, description="further arguments of the call of a pipeline that samples by itself"
    )
    downscale: Annotated[Resize | None, AXIS] = Field(
        default=None,
        description="how a super-resolution model's input is made small; unset: as its files say,"
        " else pil-bicubic",
    )
    mask: Annotated[Mask | None, AXIS] = Field(
        default=None,
        description="where an inpainting model is to paint; unset: as its files say, else boxes",
    )
    blur: Annotated[float | None, AXIS, Field(gt=0, le=100)] = Field(
        default=None,
        description="standard deviation, in pixels, of the blur of an image-to-image model's input;"
        " unset: as its files say, else 2",
    )
    data: str | None = Field(default=None, description="its dataset; crossed with all when unset")


class CallModel(Noun):
    """Your own sampler: a Python function or class; see docs/extending.md."""

    kind: Literal["call"]
    target: str = Field(
        description="module:name, the module beside the suite file or installed; or the name of an"
        " entry point of group ldmbench.models"
    )
    options: dict[str, Any] = Field(default={}, description="arguments of a class")
    conditioning: ConditionInput = "none"
    task: Conditioning | None = Field(
        default=None, description="the task that a report shows its samples under"
    )
    quantize: Literal["round", "truncate"] | None = Field(
        default=None,
        description="how its code makes 0..255 of what its network computes; unset: not known, and"
        " its scores are compared with none of another rule",
    )
    files: tuple[str, ...] = Field(
        default=(), description="weights and helpers whose contents belong to the key"
    )
    data: str | None = Field(default=None, description="its dataset; crossed with all when unset")


Model = LdmModel | LoadModel | CallModel | FirstStageModel


class LatentRule(Noun):
    """How latents of a first stage become those that a denoiser sees: (z - mean) / std * scale."""

    channels: int = Field(description="of what the denoiser sees")
    f: int = Field(description="of what the denoiser sees")
    scale: float | None = Field(description="None: see `scaled_by`")
    scaled_by: Literal["files", "weights", "images"] = Field(
        default="files", description="what says the scale; images: 1 / std of their latents"
    )
    mean: tuple[float, ...] = Field(default=(), description="one number, or one per channel")
    std: tuple[float, ...] = Field(default=(), description="likewise")
    patch: int = Field(default=1, description="positions, by side, that become channels first")
    side: int | None = Field(default=None, description="of the only images that it makes")
    assumed: tuple[str, ...] = Field(default=(), description="what no file says; a sentence each")


class ModelFacts(Noun):
    """What the config files of a model on disk say, before anything is loaded."""

    source: str
    f: int
    sides: tuple[int, int] = Field(description="height and width of its images")
    conditioning: str
    regularization: Literal["kl", "vq", "tiny", "ae", "pixel"]
    quantize: Literal["round", "truncate"]
    timesteps: str | None = None
    scale: float | None = Field(default=None, description="of its latents; None: the weights say")
    image_channels: tuple[int, int] = Field(
        default=(3, 3), description="of images that go in, and of those that come out"
    )
    joined: int = Field(default=0, description="channels that join the latent")
    assumed: tuple[str, ...] = Field(
        default=(), description="what no file states, and what was taken for it; a sentence each"
    )
    taken: dict[str, Any] = Field(
        default={},
        description="of these, what a class of today would have taken otherwise",
    )
    scheduler: dict[str, Any] = Field(
        default={}, description="what samplers must know of a diffusers scheduler's config"
    )
    process: dict[str, Any] = Field(
        default={}, description="its betas, as a diffusers scheduler's config; empty of others"
    )
    flow: dict[str, Any] = Field(
        default={}, description="fields of sample.flow.Flow of a flow; empty of other models"
    )
    guidance_interval: tuple[float, float] | None = Field(
        default=None, description="times at which its source guides; None: all"
    )
    guided_channels: int | None = Field(
        default=None, description="latent channels that its source's guidance moves; None: all"
    )
    weights: Literal["ema", "raw"] = "raw"
    stage_weights: Literal["ema", "raw"] = "raw"
    weights_from: str = Field(
        default="", description="their file, and in brackets the entry of it that is taken"
    )
    left_out: tuple[str, ...] = Field(
        default=(), description="patterns of tensors that are left out, each with their number"
    )
    null_class: int | None = None
    codebook: int | None = None
    classes: int | None = Field(
        default=None, description="that labels, maps or layouts may have; None: not known"
    )
    samples: bool = Field(description="false for a first stage alone")
    own: bool = Field(default=False, description="it is sampled by its own call")
    step: int = Field(
        default=0, description="it makes images of any sides that are multiples of it; 0: of none"
    )
    bytes: int = Field(default=0, description="of its weights")
    tokenizer: str | None = Field(default=None, description="where its prompts' tokenizer lies")
    missing: str | None = Field(default=None, description="what it lacks to be run")
    given: dict[str, str] = Field(
        default={}, description="how its condition was made of real images in training"
    )
    encodes: bool = Field(default=True, description="false for a decoder without its encoder")
    latents: LatentRule | None = Field(
        default=None, description="of its first stage under a denoiser; None where it has none"
    )
