/* SPDX-License-Identifier: MIT */
/*
 * rune-sets.h - sets of runes that published pre-tokenizers list by their numbers; for
 * pretokenize.c. Pure; any thread.
 */
#ifndef WEIR_TENSOR_RUNE_SETS_H
#define WEIR_TENSOR_RUNE_SETS_H

#include <stdbool.h>
#include <stdint.h>

/* \p{Han}, the script, in Unicode 15.0 */
bool weir_rune_is_han(uint32_t rune);
/* [가-힣ㄱ-ㆎ] */
bool weir_rune_is_youtu_hangul(uint32_t rune);
/* [！…“”‘’—：；，、-〿︰-﹏] */
bool weir_rune_is_youtu_punct(uint32_t rune);
/* [ㄅ-ㄯ] */
bool weir_rune_is_youtu_bopomofo(uint32_t rune);
bool weir_rune_is_afmoe_cjk(uint32_t rune);
bool weir_rune_is_deepseek_cjk(uint32_t rune);
/* [一-龥぀-ゟ゠-ヿ]+ */
bool weir_rune_is_deepseek3_cjk(uint32_t rune);
/* The cased letters of Unicode 11, as the pattern of deepseek-llm lists them. */
bool weir_rune_is_deepseek_letter(uint32_t rune);
/* [!-/:-~！-／：-～‘-‟　-。] */
bool weir_rune_is_deepseek_punct(uint32_t rune);
/* [^(\s|.,!?…。，、।۔،)] */
bool weir_rune_is_bloom_word(uint32_t rune);

#endif
