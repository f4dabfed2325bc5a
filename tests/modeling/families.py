"""Tiny random models, one a family of transformers, with whatever is peculiar about it switched on.

Sliding windows are shorter than the chunks, soft caps low enough to bend, multipliers away from 1,
several query heads share a key head, and dropout is on wherever a config has it, since `load_lm`
must switch it off.
"""

from __future__ import annotations

import transformers as hf

LAYERS = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 64, "initializer_range": 0.25,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "attention_dropout": 0.1,
}  # fmt: skip
GROUPED = {**LAYERS, "num_key_value_heads": 2}
SIZED = {**GROUPED, "head_dim": 10}
OLD_STYLE = {
    "vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.25,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
WINDOW = {"sliding_window": 4}
MIXED = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
ROUTED_EXPERTS = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 24,
    "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
}  # fmt: skip
NARROW_VALUES = {
    **LAYERS, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 12,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
}  # fmt: skip
GRANITE = {
    "attention_multiplier": 0.7, "logits_scaling": 3.0, "residual_multiplier": 0.6,
    "embedding_multiplier": 2.0,
}  # fmt: skip
CAPPED = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 5.0, "query_pre_attn_scalar": 5}

SUPPORTED = {
    config.model_type: config
    for config in (
        hf.AfmoeConfig(**SIZED, **MIXED, **EXPERTS, num_dense_layers=1, moe_intermediate_size=24),
        hf.ApertusConfig(**GROUPED),
        hf.ArceeConfig(**GROUPED),
        hf.BioGptConfig(**LAYERS, layerdrop=0.1),
        hf.BitNetConfig(**GROUPED),
        hf.CohereConfig(**GROUPED, logit_scale=0.5, use_qk_norm=True),
        hf.Cohere2Config(**GROUPED, **MIXED),
        hf.DeepseekV2Config(**NARROW_VALUES, **ROUTED_EXPERTS),
        hf.DeepseekV3Config(**NARROW_VALUES, **ROUTED_EXPERTS),
        hf.Dots1Config(**SIZED, **ROUTED_EXPERTS),
        hf.Ernie4_5Config(**SIZED),
        hf.Ernie4_5_MoeConfig(
            **GROUPED, moe_num_experts=4, moe_k=2, moe_intermediate_size=24, moe_layer_start_index=1
        ),
        hf.Exaone4Config(**GROUPED, **MIXED),
        hf.ExaoneMoeConfig(
            **GROUPED, **MIXED, **EXPERTS, moe_intermediate_size=24, first_k_dense_replace=1, n_group=1,
            topk_group=1,
        ),
        hf.FalconH1Config(
            **GROUPED, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8, mamba_chunk_size=4,
            lm_head_multiplier=0.5,
        ),
        hf.FlexOlmoConfig(**GROUPED, **EXPERTS),
        hf.GemmaConfig(**SIZED),
        hf.Gemma2Config(**SIZED, **MIXED, **CAPPED),
        hf.Gemma3TextConfig(**SIZED, **MIXED, query_pre_attn_scalar=5, final_logit_softcapping=5.0),
        hf.Gemma3nTextConfig(
            **{**SIZED, "num_hidden_layers": 4}, **WINDOW, layer_types=MIXED["layer_types"] * 2,
            num_kv_shared_layers=2, vocab_size_per_layer_input=61, hidden_size_per_layer_input=8,
            laurel_rank=4, altup_num_inputs=2,
        ),
        hf.Gemma4TextConfig(
            **SIZED, **MIXED, global_head_dim=16, num_kv_shared_layers=0, vocab_size_per_layer_input=61,
            hidden_size_per_layer_input=8,
        ),
        hf.GlmConfig(**SIZED),
        hf.Glm4Config(**SIZED),
        hf.Glm4MoeConfig(**SIZED, **ROUTED_EXPERTS),
        hf.Glm4MoeLiteConfig(**NARROW_VALUES, **ROUTED_EXPERTS),
        hf.GPT2Config(**OLD_STYLE, scale_attn_by_inverse_layer_idx=True),
        hf.GPTBigCodeConfig(**OLD_STYLE, multi_query=True),
        hf.GPTNeoXConfig(**LAYERS, hidden_dropout=0.1),
        hf.GraniteConfig(**GROUPED, **GRANITE),
        hf.GraniteMoeConfig(**GROUPED, **GRANITE, **LOCAL_EXPERTS),
        hf.HeliumConfig(**GROUPED, head_dim=8),
        hf.HunYuanDenseV1Config(**SIZED),
        hf.HunYuanMoEV1Config(**SIZED, num_experts=4, moe_topk=2),
        hf.LlamaConfig(**GROUPED),
        hf.Llama4TextConfig(
            **SIZED, num_experts_per_tok=1, num_local_experts=4, intermediate_size_mlp=48,
            attention_chunk_size=4,
        ),
        hf.MiniCPM3Config(**NARROW_VALUES),
        hf.MiniMaxM2Config(**SIZED, **LOCAL_EXPERTS),
        hf.MinistralConfig(**SIZED, **MIXED),
        hf.MistralConfig(**GROUPED, **WINDOW),
        hf.MixtralConfig(**GROUPED, **WINDOW, **LOCAL_EXPERTS),
        hf.ModernBertDecoderConfig(**LAYERS, local_attention=4, cls_token_id=1, sep_token_id=2),
        hf.NanoChatConfig(**GROUPED),
        hf.OlmoConfig(**GROUPED, clip_qkv=2.0),
        hf.Olmo2Config(**GROUPED),
        hf.Olmo3Config(**GROUPED, **MIXED),
        hf.OlmoeConfig(**GROUPED, **EXPERTS),
        hf.OPTConfig(**LAYERS, ffn_dim=48, word_embed_proj_dim=24, init_std=0.25, dropout=0.1, layerdrop=0.1),
        hf.PersimmonConfig(**LAYERS, hidden_dropout=0.1),
        hf.PhiConfig(**GROUPED, resid_pdrop=0.1, embd_pdrop=0.1, qk_layernorm=True),
        hf.Phi3Config(**GROUPED, **WINDOW, resid_pdrop=0.1),
        hf.Qwen2Config(**GROUPED),
        hf.Qwen2MoeConfig(**GROUPED, **EXPERTS, moe_intermediate_size=24, shared_expert_intermediate_size=24),
        hf.Qwen3Config(**SIZED),
        hf.Qwen3MoeConfig(**SIZED, **EXPERTS, moe_intermediate_size=24),
        hf.SeedOssConfig(**SIZED, residual_dropout=0.1),
        hf.SmolLM3Config(**GROUPED, no_rope_layers=[1, 0]),
        hf.Starcoder2Config(**GROUPED, **WINDOW, residual_dropout=0.1, embedding_dropout=0.1),
        hf.VaultGemmaConfig(**SIZED, **MIXED, **CAPPED),
        hf.YoutuConfig(**NARROW_VALUES),
    )
}  # fmt: skip
"""Config of every family that must equal the written-out method, by model type."""

REFUSED = {
    config.model_type: (config, reason)
    for config, reason in (
        # No attention by name, or a decoder layer that keeps the keyword arguments to itself.
        (hf.BloomConfig(vocab_size=61, hidden_size=32, n_layer=2, n_head=4), "0 of its 2 layers"),
        (hf.CodeGenConfig(**OLD_STYLE, rotary_dim=4), "0 of its 2 layers"),
        (hf.FalconConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, num_attention_heads=4), ""),
        (hf.GPTJConfig(**OLD_STYLE, rotary_dim=4), ""),
        (
            hf.GPTNeoConfig(
                vocab_size=61, hidden_size=32, num_layers=2, num_heads=4,
                attention_types=[[["global", "local"], 1]],
            ),
            "",
        ),
        (hf.MptConfig(vocab_size=61, d_model=32, n_layers=2, n_heads=4), ""),
        (hf.NemotronConfig(**GROUPED), "0 of its 2 layers"),
        (hf.StableLmConfig(**GROUPED), "0 of its 2 layers"),
        (hf.XGLMConfig(vocab_size=61, d_model=32, ffn_dim=48, num_layers=2, attention_heads=4), "0 of its 2"),
        # Layers without keys and values to read.
        (hf.Lfm2Config(**GROUPED, layer_types=["conv", "full_attention"]), "1 of its 2 layers"),
        (hf.MambaConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, state_size=4), "0 of its 2"),
        (
            hf.MiniMaxConfig(**SIZED, **LOCAL_EXPERTS, layer_types=["linear_attention", "full_attention"]),
            "1 of its 2 layers",
        ),
        (hf.RecurrentGemmaConfig(**{**GROUPED, "num_hidden_layers": 3}), "1 of its 3 layers"),
        # Attention that in-batch attention does not compute.
        (hf.DiffLlamaConfig(**{**GROUPED, "attention_dropout": 0.0}), "4 .*2 layers"),
        (
            hf.DeepseekV32Config(
                **NARROW_VALUES, **ROUTED_EXPERTS, index_n_heads=2, index_head_dim=8, index_topk=4
            ),
            "indices",
        ),
        (hf.DogeConfig(**SIZED), "mask"),
        (hf.GptOssConfig(**SIZED, **LOCAL_EXPERTS, **WINDOW), "attention sinks"),
    )
}  # fmt: skip
"""Config and reason (a regular expression; empty where transformers itself raises), by model type."""
