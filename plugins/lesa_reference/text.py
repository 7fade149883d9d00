"""Word-level tokenizers and small text encoders over the caption vocabulary."""

from __future__ import annotations

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from lesa_reference.captions import VOCABULARY

#: Tokens a prompt is padded to; the longest caption has 11 words.
TEXT_TOKENS = 16
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")


def new_tokenizer(template: str) -> PreTrainedTokenizerFast:
    """A word-level tokenizer; `template` says where the special tokens go, `$A` being the text."""
    words = {word: index for index, word in enumerate((*_SPECIAL, *VOCABULARY))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
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
        model_max_length=TEXT_TOKENS,
    )


def clip_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer of the pooled encoder: `<s> ... </s>`."""
    return new_tokenizer("<s> $A </s>")


def t5_tokenizer() -> PreTrainedTokenizerFast:
    """Tokenizer of the sequence encoder: `... </s>`."""
    return new_tokenizer("$A </s>")


def new_clip(width: int = 64) -> CLIPTextModel:
    """An untrained two-layer CLIP text encoder; its pooled output has `width` numbers."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(_SPECIAL) + len(VOCABULARY),
            hidden_size=width,
            projection_dim=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TEXT_TOKENS,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        )
    )


def new_t5(width: int = 96) -> T5EncoderModel:
    """An untrained two-layer T5 encoder; `width` numbers a token."""
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
