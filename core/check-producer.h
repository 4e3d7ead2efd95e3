/*
 * core/check-producer.h - a level-A backend inside `weir check`, for middleware to stand before.
 */
#ifndef WEIR_CORE_CHECK_PRODUCER_H
#define WEIR_CORE_CHECK_PRODUCER_H

#include <weir/backend.h>

/* Answers every request with the same words, one event each, as credit allows. Not started. Freed
 * by its destroy(). host must offer streams and requests. */
struct weir_instance *weir_check_producer_new(const struct weir_host *host);

#endif
