/*
 * arch.c - the table of architectures; see arch.h. Constant; any thread.
 */
#include "arch.h"

#include <string.h>

static const struct weir_arch archs[] = {
	/* Touvron et al. 2023 (Llama 2); Grattafiori et al. 2024 (Llama 3); Mistral 7B and other
	 * models of the same shape are written under this name too. */
	{
		.name = "llama",
		.rope = WEIR_ROPE_NORM,
		.norm = WEIR_NORM_RMS,
		.act = WEIR_ACT_SILU,
		.flags = WEIR_ARCH_ROPE_FACTORS | WEIR_ARCH_OPTIONAL_BIAS,
		.norm_eps_key = "attention.layer_norm_rms_epsilon",
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
	return "llama";
}
