"""Word-level tokenizers and small text encoders over the caption vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from lesa_reference.captions import VOCABULARY

#: Number of tokens to which prompts are padded; the longest caption has 11 words.
TEXT_TOKENS = 16
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
#: Stands for each token of a chat template.
_TURN = "turn"


@dataclass(frozen=True)
class Tokens:
    """Captions as the text encoders read them.

    Attributes:
        sequence: Ids for the encoder of the sequence, shape (captions, tokens).
        mask: True where `sequence` is not padding.
        pooled: Ids for the pooled encoder, shape (captions, tokens); no columns where the model has none.
    """

    sequence: Tensor
    mask: Tensor
    pooled: Tensor

    def rows(self, index: Tensor) -> Tokens:
        """Those of some captions; an index may come more than once."""
        return Tokens(self.sequence[index], self.mask[index], self.pooled[index])

    def to(self, device: torch.device) -> Tokens:
        """The same on a device."""
        return Tokens(self.sequence.to(device), self.mask.to(device), self.pooled.to(device))


@dataclass(frozen=True)
class Chat:
    """The chat template that a pipeline wraps prompts in.

    Attributes:
        before: The text before the prompt.
        after: The text after the prompt.
        crop: How many tokens the pipeline cuts off at the front, so how many `before` must have.
    """

    before: str
    after: str
    crop: int


def new_tokenizer(
    template: str, vocabulary: Sequence[str] = VOCABULARY, tokens: int = TEXT_TOKENS, chat: Chat | None = None
) -> PreTrainedTokenizerFast:
    """A word-level tokenizer.

    Args:
        template: Where the special tokens go; `$A` is the text.
        vocabulary: The words it knows.
        tokens: Length to which texts are padded and cut.
        chat: What the pipeline wraps every prompt in.
    """
    extra = () if chat is None else (_TURN,)
    words = {word: index for index, word in enumerate((*_SPECIAL, *vocabulary, *extra))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    steps: list[normalizers.Normalizer] = [] if chat is None else [
        normalizers.Replace(chat.before, f"{_TURN} " * chat.crop),
        normalizers.Replace(chat.after, f" {_TURN}"),
    ]  # fmt: skip
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, words[token]) for token in ("<s>", "</s>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=tokens + (chat.crop if chat else 0),
    )


def padded(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, trim: bool) -> tuple[Tensor, Tensor]:
    """Token ids and their mask, both of shape (texts, tokens).

    Args:
        tokenizer: Pads to its full length.
        texts: At least one.
        trim: Cut the columns that are padding in every text. This changes nothing for encoders that look only back.
    """
    read = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
    mask = read.attention_mask.bool()
    length = int(mask.sum(dim=1).max()) if trim else mask.shape[1]
    return read.input_ids[:, :length].contiguous(), mask[:, :length].contiguous()


def clip_tokenizer(vocabulary: Sequence[str] = VOCABULARY, tokens: int = TEXT_TOKENS) -> PreTrainedTokenizerFast:
    """Tokenizer of the pooled encoder: `<s> ... </s>`."""
    return new_tokenizer("<s> $A </s>", vocabulary, tokens)


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer of the sequence encoder: `... </s>`."""
    return new_tokenizer("$A </s>")


def new_clip(width: int = 64, words: int = len(VOCABULARY), tokens: int = TEXT_TOKENS) -> CLIPTextModel:
    """An untrained two-layer CLIP text encoder; its pooled output has `width` numbers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(_SPECIAL) + words,
            hidden_size=width,
            projection_dim=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokens,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        )
    )


def new_t5() -> T5EncoderModel:
    """An untrained two-layer T5 encoder; 96 numbers for each token."""
    width = 96
    return T5EncoderModel(
        T5Config(
            vocab_size=len(_SPECIAL) + len(VOCABULARY),
            d_model=width,
            d_kv=width // 4,
            d_ff=2 * width,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=3,
            tie_word_embeddings=False,
        )
    )


def new_llama(words: int) -> LlamaModel:
    """An untrained LLaMA of three layers; HunyuanVideo skips the last two, so one layer does the work."""
    return LlamaModel(
        LlamaConfig(
            vocab_size=len(_SPECIAL) + words + 1,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        )
    )


def new_qwen_vl(words: int) -> Qwen2_5_VLForConditionalGeneration:
    """An untrained two-layer Qwen2.5-VL; its vision tower is never used, so it is as small as can be."""
    size, width = len(_SPECIAL) + words + 1, 96
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": size,
                "hidden_size": width,
                "intermediate_size": 2 * width,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "max_position_embeddings": 256,
                "rope_scaling": {"type": "mrope", "mrope_section": [4, 4, 4]},
                "tie_word_embeddings": True,
                "pad_token_id": 0,
                "bos_token_id": 2,
                "eos_token_id": 3,
            },
            vision_config={
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": width,
                "fullatt_block_indexes": [0],
            },
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
            image_token_id=1,
            video_token_id=1,
            vision_start_token_id=1,
            vision_end_token_id=1,
        )
    )
