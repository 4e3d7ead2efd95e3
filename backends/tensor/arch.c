/*
 * arch.c - the table of architectures; see arch.h. Constant; any thread.
 */
#include "arch.h"

#include <string.h>

#define RMS_EPS   "attention.layer_norm_rms_epsilon"
#define LAYER_EPS "attention.layer_norm_epsilon"

static const struct weir_arch archs[] = {
	/* Touvron et al. 2023 (Llama 2); Grattafiori et al. 2024 (Llama 3); Mistral 7B, SmolLM 1
	 * and 2 and other models of the same shape are written under this name too, and with
	 * experts Mixtral (Jiang et al. 2024). */
	{
		.name = "llama",
		.rope = WEIR_ROPE_NORM,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_ROPE_FACTORS | WEIR_ARCH_OPTIONAL_BIAS | WEIR_ARCH_EXPERTS |
			 WEIR_ARCH_EXPERTS_NORM,
		.norm_eps_key = RMS_EPS,
	},
	/* Qwen2 and 2.5: Yang et al. 2024 */
	{
		.name = "qwen2",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_QKV_BIAS,
		.norm_eps_key = RMS_EPS,
	},
	/* Yang et al. 2025 */
	{
		.name = "qwen3",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_QK_NORM,
		.norm_eps_key = RMS_EPS,
	},
	/* Phi 3, 3.5 and 4: Abdin et al. 2024; LongRoPE: Ding et al. 2024 */
	{
		.name = "phi3",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_FUSED_QKV | WEIR_ARCH_FUSED_GATE | WEIR_ARCH_LONGROPE,
		.norm_eps_key = RMS_EPS,
	},
	/* Gemma Team 2024 (arXiv 2408.00118); the norms' weights hold their 1 in the file. Of the
	 * 27B models the report's table 1 gives the scale. */
	{
		.name = "gemma2",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_GELU_TANH,
		.flags = WEIR_ARCH_EMBED_SQRT | WEIR_ARCH_POST_NORM,
		.norm_eps_key = RMS_EPS,
		.local_period = 2,
		.window = 4096,
		.attn_softcap = 50,
		.output_softcap = 30,
		.embd_scaled_layers = 46,
	},
	/* Gemma Team 2025 (arXiv 2503.19786), text */
	{
		.name = "gemma3",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_GELU_TANH,
		.flags = WEIR_ARCH_EMBED_SQRT | WEIR_ARCH_POST_NORM | WEIR_ARCH_QK_NORM,
		.norm_eps_key = RMS_EPS,
		.local_period = 6,
		.local_rope_base = 10000,
		.embd_scaled_layers = 62,
	},
	/* Granite 3: IBM 2024; factors as in muP (Yang et al. 2022) */
	{
		.name = "granite",
		.rope = WEIR_ROPE_NORM,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_ROPE_FACTORS | WEIR_ARCH_OPTIONAL_BIAS | WEIR_ARCH_FACTORS,
		.norm_eps_key = RMS_EPS,
	},
	{
		.name = "granitemoe",
		.rope = WEIR_ROPE_NORM,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_ROPE_FACTORS | WEIR_ARCH_FACTORS | WEIR_ARCH_EXPERTS |
			 WEIR_ARCH_EXPERTS_NORM,
		.norm_eps_key = RMS_EPS,
	},
	/* Bakouch et al. 2025: rope in three layers of four (Yang et al. 2025, RNoPE) */
	{
		.name = "smollm3",
		.rope = WEIR_ROPE_NORM,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_ROPE_FACTORS | WEIR_ARCH_OPTIONAL_BIAS,
		.norm_eps_key = RMS_EPS,
		.no_rope_period = 4,
	},
	/* Qwen 1.5 MoE and Qwen2 57B: Yang et al. 2024 */
	{
		.name = "qwen2moe",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_QKV_BIAS | WEIR_ARCH_EXPERTS | WEIR_ARCH_SHARED_GATE,
		.norm_eps_key = RMS_EPS,
	},
	/* Yang et al. 2025 */
	{
		.name = "qwen3moe",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_QK_NORM | WEIR_ARCH_EXPERTS | WEIR_ARCH_EXPERTS_NORM,
		.norm_eps_key = RMS_EPS,
	},
	/* Ma et al. 2024 (The Era of 1-bit LLMs), the reproductions of 0.7B to 3B */
	{
		.name = "bitnet",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_SUB_NORM,
		.norm_eps_key = RMS_EPS,
	},
	/* BitNet b1.58 2B4T: Ma et al. 2025 */
	{
		.name = "bitnet-b1.58",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_RELU2,
		.flags = WEIR_ARCH_SUB_NORM,
		.norm_eps_key = RMS_EPS,
	},
	/* Lozhkov et al. 2024 */
	{
		.name = "starcoder2",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_GELU_TANH,
		.flags = WEIR_ARCH_BIAS | WEIR_ARCH_NORM_BIAS | WEIR_ARCH_PLAIN_FF,
		.norm_eps_key = LAYER_EPS,
	},
	/* Black et al. 2022; Pythia: Biderman et al. 2023. A key may turn PARALLEL off. */
	{
		.name = "gptneox",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_GELU_ERF,
		.flags = WEIR_ARCH_BIAS | WEIR_ARCH_NORM_BIAS | WEIR_ARCH_PLAIN_FF |
			 WEIR_ARCH_FUSED_QKV | WEIR_ARCH_PARALLEL,
		.norm_eps_key = LAYER_EPS,
	},
	/* Almazrouei et al. 2023 */
	{
		.name = "falcon",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_GELU_ERF,
		.flags = WEIR_ARCH_NORM_BIAS | WEIR_ARCH_PLAIN_FF | WEIR_ARCH_FUSED_QKV |
			 WEIR_ARCH_PARALLEL | WEIR_ARCH_ONE_NORM,
		.norm_eps_key = LAYER_EPS,
	},
	/* Phi 1, 1.5 and 2: Gunasekar et al. 2023, Li et al. 2023 */
	{
		.name = "phi2",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_GELU_TANH,
		.flags = WEIR_ARCH_BIAS | WEIR_ARCH_NORM_BIAS | WEIR_ARCH_PLAIN_FF |
			 WEIR_ARCH_FUSED_QKV | WEIR_ARCH_PARALLEL | WEIR_ARCH_ONE_NORM |
			 WEIR_ARCH_OUTPUT_BIAS,
		.norm_eps_key = LAYER_EPS,
	},
	/* Radford et al. 2019 */
	{
		.name = "gpt2",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_GELU_TANH,
		.flags = WEIR_ARCH_BIAS | WEIR_ARCH_NORM_BIAS | WEIR_ARCH_PLAIN_FF |
			 WEIR_ARCH_FUSED_QKV | WEIR_ARCH_POSITIONS,
		.norm_eps_key = LAYER_EPS,
	},
	/* Li et al. 2023 */
	{
		.name = "starcoder",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_GELU_TANH,
		.flags = WEIR_ARCH_BIAS | WEIR_ARCH_NORM_BIAS | WEIR_ARCH_PLAIN_FF |
			 WEIR_ARCH_FUSED_QKV | WEIR_ARCH_POSITIONS,
		.norm_eps_key = LAYER_EPS,
	},
	/* Encoders. Devlin et al. 2018; XLM-R (Conneau et al. 2020) and others of this shape */
	{
		.name = "bert",
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_GELU_ERF,
		.flags = WEIR_ARCH_ENCODER,
		.norm_eps_key = "attention.layer_norm_epsilon",
	},
	/* Nussbaum et al. 2024 */
	{
		.name = "nomic-bert",
		.rope = WEIR_ROPE_NEOX,
		.norm = WEIR_NORM_LAYER,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_ENCODER | WEIR_ARCH_ENCODER_ROPE | WEIR_ARCH_ENCODER_GATE,
		.norm_eps_key = "attention.layer_norm_epsilon",
	},
};

const struct weir_arch *weir_arch_find(struct weir_str name)
{
	for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
		size_t len = strlen(archs[i].name);

		if (len == name.len && memcmp(archs[i].name, name.data, len) == 0)
			return &archs[i];
	}
	return NULL;
}

const char *weir_arch_names(void)
{
	return "llama, qwen2, qwen3, phi3, gemma2, gemma3, granite, granitemoe, smollm3, "
	       "qwen2moe, qwen3moe, bitnet, bitnet-b1.58, starcoder2, gptneox, falcon, phi2, "
	       "gpt2, starcoder, bert, nomic-bert";
}
