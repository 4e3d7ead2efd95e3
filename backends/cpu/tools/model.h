/* SPDX-License-Identifier: MIT */
/*
 * model.h - the verbs of `weir model` and `weir bench`, one a file. Each takes argv with its verb
 * first, writes to standard output and error, and returns the exit status. [main]
 */
#ifndef WEIR_CPU_MODEL_H
#define WEIR_CPU_MODEL_H

#include <weir/plugin.h>

int model_info(const struct weir_host *host, int argc, char **argv);
int model_plan(const struct weir_host *host, int argc, char **argv);
int model_tokenize(const struct weir_host *host, int argc, char **argv);
int model_quantize(const struct weir_host *host, int argc, char **argv);
int model_perplexity(const struct weir_host *host, int argc, char **argv);
int bench_model(const struct weir_host *host, int argc, char **argv);

/* The context that a file's model was made for; 0 when the file does not say. */
uint32_t model_trained_context(const char *path);

#endif
