"""The CompVis architectures, written anew as functions over a dict of weights.

Independent of diffusers and of the loader: they define what a checkpoint means. Weights that a
forward pass asks for and that are not there yet are drawn at random, so that running a network
once also makes its checkpoint, under the original's key names.
"""

import math

import torch
from torch.nn import functional as F  # noqa: N812


class Weights(dict):
    """Key -> tensor; missing ones are drawn when asked for."""

    def __init__(self, seed=0):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def get(self, name, shape, *, around=0.0, spread=None):
        if name not in self:
            fan = math.prod(shape[1:]) or 1
            spread = spread if spread is not None else 1.0 / math.sqrt(fan)
            self[name] = around + spread * torch.randn(shape, generator=self.generator)
        assert self[name].shape == tuple(shape), name
        return self[name]

    def under(self, prefix):
        return {k[len(prefix) :]: v for k, v in self.items() if k.startswith(prefix)}


def conv(w, name, x, out, k=3, stride=1, pad=None, bias=True):
    weight = w.get(f"{name}.weight", (out, x.shape[1], k, k))
    b = w.get(f"{name}.bias", (out,), spread=0.1) if bias else None
    return F.conv2d(x, weight, b, stride=stride, padding=k // 2 if pad is None else pad)


def linear(w, name, x, out, bias=True):
    weight = w.get(f"{name}.weight", (out, x.shape[-1]))
    return F.linear(x, weight, w.get(f"{name}.bias", (out,), spread=0.1) if bias else None)


def group_norm(w, name, x, eps):
    c = x.shape[1]
    scale = w.get(f"{name}.weight", (c,), around=1.0, spread=0.2)
    return F.group_norm(x, 32, scale, w.get(f"{name}.bias", (c,), spread=0.2), eps)


def layer_norm(w, name, x):
    c = x.shape[-1]
    scale = w.get(f"{name}.weight", (c,), around=1.0, spread=0.2)
    return F.layer_norm(x, (c,), scale, w.get(f"{name}.bias", (c,), spread=0.2))


def attend(q, k, v, heads):
    """(B, n, heads * d) each."""
    b, n, c = q.shape
    split = [t.reshape(b, t.shape[1], heads, -1).transpose(1, 2) for t in (q, k, v)]
    weight = split[0] @ split[1].transpose(2, 3) / math.sqrt(c // heads)
    return (weight.softmax(-1) @ split[2]).transpose(1, 2).reshape(b, n, c)


# --- first stages -------------------------------------------------------------------------------


def ae_resnet(w, name, x, out):
    h = conv(w, f"{name}.conv1", F.silu(group_norm(w, f"{name}.norm1", x, 1e-6)), out)
    h = conv(w, f"{name}.conv2", F.silu(group_norm(w, f"{name}.norm2", h, 1e-6)), out)
    return h + (x if x.shape[1] == out else conv(w, f"{name}.nin_shortcut", x, out, 1))


def ae_attention(w, name, x):
    b, c, height, width = x.shape
    h = group_norm(w, f"{name}.norm", x, 1e-6)
    q, k, v = (conv(w, f"{name}.{n}", h, c, 1).flatten(2).transpose(1, 2) for n in "qkv")
    h = attend(q, k, v, 1).transpose(1, 2).reshape(b, c, height, width)
    return x + conv(w, f"{name}.proj_out", h, c, 1)


def ae_linear_attention(w, name, x):
    """One head over channels, keys normalised over places; no norm, no residual connection."""
    q, k, v = conv(w, f"{name}.to_qkv", x, 3 * x.shape[1], 1, bias=False).flatten(2).chunk(3, 1)
    mixed = k.softmax(-1) @ v.transpose(1, 2)  # (b, d, e)
    return conv(w, f"{name}.to_out", (mixed.transpose(1, 2) @ q).reshape(x.shape), x.shape[1], 1)


def ae_mix(w, name, h, dd):
    kind = "linear" if dd.get("use_linear_attn") else dd.get("attn_type", "vanilla")
    if kind == "none":
        return h
    return (ae_linear_attention if kind == "linear" else ae_attention)(w, name, h)


def ae_middle(w, name, h, dd):
    h = ae_resnet(w, f"{name}.block_1", h, h.shape[1])
    h = ae_mix(w, f"{name}.attn_1", h, dd)
    return ae_resnet(w, f"{name}.block_2", h, h.shape[1])


def encode(w, prefix, x, dd):
    size = dd["resolution"]
    h = conv(w, f"{prefix}encoder.conv_in", x, dd["ch"])
    for i, mult in enumerate(dd["ch_mult"]):
        for j in range(dd["num_res_blocks"]):
            h = ae_resnet(w, f"{prefix}encoder.down.{i}.block.{j}", h, dd["ch"] * mult)
            if size in dd["attn_resolutions"]:
                h = ae_mix(w, f"{prefix}encoder.down.{i}.attn.{j}", h, dd)
        if i + 1 < len(dd["ch_mult"]):
            size //= 2
            name = f"{prefix}encoder.down.{i}.downsample.conv"
            if dd.get("resamp_with_conv", True):
                h = conv(w, name, F.pad(h, (0, 1, 0, 1)), h.shape[1], stride=2, pad=0)
            else:
                h = F.avg_pool2d(h, 2)
    h = ae_middle(w, f"{prefix}encoder.mid", h, dd)
    h = F.silu(group_norm(w, f"{prefix}encoder.norm_out", h, 1e-6))
    return conv(w, f"{prefix}encoder.conv_out", h, dd["z_channels"] * (2 if dd["double_z"] else 1))


def decode(w, prefix, z, dd):
    last = len(dd["ch_mult"]) - 1
    size = dd["resolution"] // 2**last
    h = conv(w, f"{prefix}decoder.conv_in", z, dd["ch"] * dd["ch_mult"][-1])
    h = ae_middle(w, f"{prefix}decoder.mid", h, dd)
    for i in range(last, -1, -1):
        for j in range(dd["num_res_blocks"] + 1):
            h = ae_resnet(w, f"{prefix}decoder.up.{i}.block.{j}", h, dd["ch"] * dd["ch_mult"][i])
            if size in dd["attn_resolutions"]:
                h = ae_mix(w, f"{prefix}decoder.up.{i}.attn.{j}", h, dd)
        if i:
            h, size = F.interpolate(h, scale_factor=2.0, mode="nearest"), size * 2
            if dd.get("resamp_with_conv", True):
                h = conv(w, f"{prefix}decoder.up.{i}.upsample.conv", h, h.shape[1])
    h = F.silu(group_norm(w, f"{prefix}decoder.norm_out", h, 1e-6))
    h = conv(w, f"{prefix}decoder.conv_out", h, dd["out_ch"])
    return torch.tanh(h) if dd.get("tanh_out") else h


def stage_encode(w, prefix, x, params):
    """Return what the denoiser's space is before scaling: VQ not quantised, KL's mean."""
    dd, embed = params["ddconfig"], params["embed_dim"]
    h = encode(w, prefix, x, dd)
    h = conv(w, f"{prefix}quant_conv", h, embed * (2 if dd["double_z"] else 1), 1)
    return h[:, :embed]


def stage_decode(w, prefix, z, params):
    dd = params["ddconfig"]
    if "n_embed" in params:
        codes = w.get(
            f"{prefix}quantize.embedding.weight", (params["n_embed"], z.shape[1]), spread=1.0
        )
        flat = z.permute(0, 2, 3, 1).flatten(0, 2)
        nearest = ((flat[:, None] - codes[None]) ** 2).sum(-1).argmin(1)
        z = codes[nearest].reshape(z.shape[0], *z.shape[2:], -1).permute(0, 3, 1, 2)
    return decode(w, prefix, conv(w, f"{prefix}post_quant_conv", z, dd["z_channels"], 1), dd)


# --- UNets --------------------------------------------------------------------------------------


def resblock(w, name, x, emb, out, *, shift, way=None):
    def resize(h):
        if way == "down":
            return F.avg_pool2d(h, 2)
        return F.interpolate(h, scale_factor=2, mode="nearest") if way == "up" else h

    h = F.silu(group_norm(w, f"{name}.in_layers.0", x, 1e-5))
    h, x = conv(w, f"{name}.in_layers.2", resize(h), out), resize(x)
    told = linear(w, f"{name}.emb_layers.1", F.silu(emb), 2 * out if shift else out)[
        ..., None, None
    ]
    if shift:
        scale, move = told.chunk(2, dim=1)
        h = group_norm(w, f"{name}.out_layers.0", h, 1e-5) * (1 + scale) + move
    else:
        h = group_norm(w, f"{name}.out_layers.0", h + told, 1e-5)
    h = conv(w, f"{name}.out_layers.3", F.silu(h), out)
    return h + (x if x.shape[1] == out else conv(w, f"{name}.skip_connection", x, out, 1))


def attention_block(w, name, x, heads, joint):
    b, c, height, width = x.shape
    h = group_norm(w, f"{name}.norm", x, 1e-5).flatten(2)
    weight = w.get(f"{name}.qkv.weight", (3 * c, c, 1))
    qkv = F.conv1d(h, weight, w.get(f"{name}.qkv.bias", (3 * c,), spread=0.1))
    if joint:
        q, k, v = qkv.chunk(3, dim=1)
    else:  # head by head: its query, its key, its value
        parts = qkv.reshape(b, heads, 3, c // heads, -1)
        q, k, v = (parts[:, :, i].reshape(b, c, -1) for i in range(3))
    h = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), heads).transpose(1, 2)
    out = w.get(f"{name}.proj_out.weight", (c, c, 1))
    h = F.conv1d(h, out, w.get(f"{name}.proj_out.bias", (c,), spread=0.1))
    return x + h.reshape(b, c, height, width)


def cross_attention(w, name, x, context, heads):
    c = x.shape[-1]
    q = linear(w, f"{name}.to_q", x, c, bias=False)
    k = linear(w, f"{name}.to_k", context, c, bias=False)
    v = linear(w, f"{name}.to_v", context, c, bias=False)
    return linear(w, f"{name}.to_out.0", attend(q, k, v, heads), c)


def spatial_transformer(w, name, x, context, heads, depth, flat=False):
    b, c, height, width = x.shape
    h = group_norm(w, f"{name}.norm", x, 1e-6)
    if flat:
        h = linear(w, f"{name}.proj_in", h.flatten(2).transpose(1, 2), c)
    else:
        h = conv(w, f"{name}.proj_in", h, c, 1).flatten(2).transpose(1, 2)
    for i in range(depth):
        block = f"{name}.transformer_blocks.{i}"
        own = layer_norm(w, f"{block}.norm1", h)
        h = h + cross_attention(w, f"{block}.attn1", own, own, heads)
        own = layer_norm(w, f"{block}.norm2", h)
        h = h + cross_attention(w, f"{block}.attn2", own, context, heads)
        wide = linear(w, f"{block}.ff.net.0.proj", layer_norm(w, f"{block}.norm3", h), 8 * c)
        value, gate = wide.chunk(2, dim=-1)
        h = h + linear(w, f"{block}.ff.net.2", value * F.gelu(gate), c)
    if flat:
        return x + linear(w, f"{name}.proj_out", h, c).transpose(1, 2).reshape(x.shape)
    h = h.transpose(1, 2).reshape(b, c, height, width)
    return x + conv(w, f"{name}.proj_out", h, c, 1)


def timestep_embedding(t, width):
    rate = torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2))
    angle = t.float()[:, None] * rate[None]
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def unet(w, prefix, x, t, params, context=None, labels=None):
    p, base = params, params["model_channels"]
    shift, depth = bool(p.get("use_scale_shift_norm")), p.get("transformer_depth", 1)

    def heads_of(c):
        per_head = p.get("num_head_channels", -1)
        return p["num_heads"] if per_head == -1 else c // per_head

    def attention(name, h):
        heads = heads_of(h.shape[1])
        if p.get("use_spatial_transformer"):
            flat = bool(p.get("use_linear_in_transformer"))
            return spatial_transformer(w, name, h, context, heads, depth, flat)
        if "output_blocks" in name and p.get("num_head_channels", -1) == -1:
            heads = p.get("num_heads_upsample", heads)
        return attention_block(w, name, h, heads, bool(p.get("use_new_attention_order")))

    def res(name, h, out, way=None):
        return resblock(w, name, h, emb, out, shift=shift, way=way)

    emb = linear(w, f"{prefix}time_embed.0", timestep_embedding(t, base), 4 * base)
    emb = linear(w, f"{prefix}time_embed.2", F.silu(emb), 4 * base)
    if p.get("num_classes"):
        emb = (
            emb
            + w.get(f"{prefix}label_emb.weight", (p["num_classes"], 4 * base), spread=0.5)[labels]
        )
    h = conv(w, f"{prefix}input_blocks.0.0", x, int(p.get("first", 1) * base))
    kept, at, rate = [h], 0, 1
    levels = len(p["channel_mult"])
    for level, mult in enumerate(p["channel_mult"]):
        for _ in range(p["num_res_blocks"]):
            at += 1
            h = res(f"{prefix}input_blocks.{at}.0", h, int(mult * base))
            if rate in p["attention_resolutions"]:
                h = attention(f"{prefix}input_blocks.{at}.1", h)
            kept.append(h)
        if level + 1 < levels:
            at, rate = at + 1, rate * 2
            name = f"{prefix}input_blocks.{at}.0"
            if p.get("resblock_updown"):
                h = res(name, h, h.shape[1], "down")
            elif p.get("conv_resample", True):
                h = conv(w, f"{name}.op", h, h.shape[1], stride=2)
            else:
                h = F.avg_pool2d(h, 2)
            kept.append(h)
    h = res(f"{prefix}middle_block.0", h, h.shape[1])
    h = attention(f"{prefix}middle_block.1", h)
    h = res(f"{prefix}middle_block.2", h, h.shape[1])
    at = 0
    for level in range(levels - 1, -1, -1):
        for j in range(p["num_res_blocks"] + 1):
            name, place = f"{prefix}output_blocks.{at}", 1
            out = int(p["channel_mult"][level] * base)
            h = res(f"{name}.0", torch.cat([h, kept.pop()], dim=1), out)
            if rate in p["attention_resolutions"]:
                h, place = attention(f"{name}.1", h), 2
            if level and j == p["num_res_blocks"]:
                rate //= 2
                if p.get("resblock_updown"):
                    h = res(f"{name}.{place}", h, out, "up")
                else:
                    h = F.interpolate(h, scale_factor=2, mode="nearest")
                    if p.get("conv_resample", True):
                        h = conv(w, f"{name}.{place}.conv", h, out)
            at += 1
    h = F.silu(group_norm(w, f"{prefix}out.0", h, 1e-5))
    return conv(w, f"{prefix}out.2", h, p["out_channels"])


# --- text ---------------------------------------------------------------------------------------


def bert(w, prefix, ids, params):
    """x-transformers' encoder as LDM uses it: pre-norm, 8 heads of 64, no mask."""
    width, words = params["n_embed"], params.get("vocab_size", 30522)
    root = f"{prefix}transformer"
    table = w.get(f"{root}.token_emb.weight", (words, width), spread=1.0)
    places = w.get(f"{root}.pos_emb.emb.weight", (params.get("max_seq_len", 77), width), spread=1.0)
    h = table[ids] + places[: ids.shape[1]]
    for i in range(params["n_layer"]):
        name = f"{root}.attn_layers.layers.{2 * i}"
        own = layer_norm(w, f"{name}.0", h)
        q, k, v = (linear(w, f"{name}.1.to_{n}", own, 512, bias=False) for n in "qkv")
        h = h + linear(w, f"{name}.1.to_out", attend(q, k, v, 8), width)
        name = f"{root}.attn_layers.layers.{2 * i + 1}"
        own = linear(w, f"{name}.1.net.0.0", layer_norm(w, f"{name}.0", h), 4 * width)
        h = h + linear(w, f"{name}.1.net.2", F.gelu(own), width)
    w.get(f"{root}.to_logits.weight", (words, width))
    w.get(f"{root}.to_logits.bias", (words,))
    return layer_norm(w, f"{root}.norm", h)


# --- sampling -----------------------------------------------------------------------------------


def ddim(eps, z, *, steps, start, end, T=1000):
    """DDIM at eta 0 in float64 coefficients, on the CompVis grid (arXiv:2010.02502, eq. 12)."""
    betas = torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64) ** 2
    bars = torch.cumprod(1 - betas, 0)
    grid = [1 + t for t in range(0, T, T // steps)]
    for i in range(len(grid) - 1, -1, -1):
        now, before = float(bars[grid[i]]), float(bars[grid[i - 1]] if i else bars[0])
        e = eps(z, torch.full((len(z),), grid[i]))
        clean = (z - math.sqrt(1 - now) * e) / math.sqrt(now)
        z = math.sqrt(before) * clean + math.sqrt(1 - before) * e
    return z
