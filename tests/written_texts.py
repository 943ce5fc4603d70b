"""Frozen text encoders of random weights, written as their authors' folders have them."""

import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    CLIPTextConfig,
    CLIPTextModel,
    T5Config,
    T5EncoderModel,
)

from ldmbench.models.tokenizer_files import vocabulary_tokenizer

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "red",
    "circle",
    "large",
    "blue",
    "star",
]


def write_encoder(kind, folder):
    """Write a text encoder of random weights and its tokenizer, as its authors' folders have it."""
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "clip":
            sizes = {"intermediate_size": 16, "vocab_size": 49408, "max_position_embeddings": 16}
            CLIPTextModel(CLIPTextConfig(**small, **sizes)).save_pretrained(folder)
            vocabulary_tokenizer("open_clip").save_pretrained(folder)
            return folder
        if kind == "t5":
            sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
            T5EncoderModel(T5Config(**sizes, vocab_size=len(WORDS))).save_pretrained(folder)
        else:
            sizes = {"intermediate_size": 16, "vocab_size": len(WORDS)}
            BertModel(BertConfig(**small, **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    BertTokenizerFast.from_pretrained(folder, local_files_only=True).save_pretrained(folder)
    return folder
