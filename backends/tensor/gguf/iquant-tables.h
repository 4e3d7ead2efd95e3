/* SPDX-License-Identifier: MIT */
/*
 * iquant-tables.h - the code books of IQ1, IQ2 and IQ3 for iquant.c; see iquant-tables.py.
 */
#ifndef WEIR_IQUANT_TABLES_H
#define WEIR_IQUANT_TABLES_H

#include <stdint.h>

extern const uint16_t weir_iquant_iq2_xxs[256], weir_iquant_iq2_xs[512], weir_iquant_iq2_s[1024];
extern const uint16_t weir_iquant_iq3_xxs[256], weir_iquant_iq3_s[512], weir_iquant_iq1[2048];

#endif
