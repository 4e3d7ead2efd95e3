/*
 * arch.c - the table of architectures; see arch.h. Constant; any thread.
 */
#include "arch.h"

#include <string.h>

#define RMS_EPS "attention.layer_norm_rms_epsilon"

static const struct weir_arch archs[] = {
	/* Touvron et al. 2023 (Llama 2); Grattafiori et al. 2024 (Llama 3); Mistral 7B and other
	 * models of the same shape are written under this name too. */
	{
		.name = "llama",
		.rope = WEIR_ROPE_NORM,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_ROPE_FACTORS | WEIR_ARCH_OPTIONAL_BIAS,
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
		.flags = WEIR_ARCH_FUSED | WEIR_ARCH_LONGROPE,
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
	return "llama, qwen2, qwen3, phi3, gemma2, gemma3";
}
