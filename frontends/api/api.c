/*
 * frontends/api/api.c - see api.h.
 */
#include "api.h"

#include <stdarg.h>
#include <string.h>

#include <sys/random.h>

weir_status api_init(struct api *a, const struct weir_host *host, const char *topic,
		     struct weir_error *err)
{
	a->host = host;
	a->topic = topic;
	a->gateway = host->get_ext(host, WEIR_HOST_GATEWAY);
	a->stream = host->get_ext(host, WEIR_HOST_STREAM);
	a->log = host->get_ext(host, WEIR_HOST_LOG);
	if (a->gateway && a->stream)
		return WEIR_OK;
	err->code = WEIR_E_UNSUPPORTED;
	g_snprintf(err->text, sizeof(err->text), "%s: this host offers no gateway to frontends",
		   topic);
	return WEIR_E_UNSUPPORTED;
}

void api_loop_init(struct api_loop *l, const struct api *a)
{
	*l = (struct api_loop){ .api = a };
	g_queue_init(&l->batching);
	if (getrandom(l->random, sizeof(l->random), 0) != sizeof(l->random))
		l->random[0] = (uint64_t)g_get_real_time() ^ (uintptr_t)l;
}

/* xoshiro256**, Blackman and Vigna 2018: ids must not collide; they are no secrets. */
uint64_t api_random(struct api_loop *l)
{
	uint64_t *s = l->random;
	uint64_t t = s[1] * 5, result = (t << 7 | t >> 57) * 9;
	t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = s[3] << 45 | s[3] >> 19;
	return result;
}

void api_random_id(struct api_loop *l, char id[25])
{
	g_snprintf(id, 25, "%016" G_GINT64_MODIFIER "x%08x", api_random(l),
		   (unsigned)(api_random(l) >> 32));
}

void api_logf(const struct api *a, uint32_t level, const char *format, ...)
{
	if (!a->log || !a->log->enabled(a->host, level, a->topic))
		return;
	va_list ap;
	va_start(ap, format);
	g_autofree char *text = g_strdup_vprintf(format, ap);
	va_end(ap);
	a->log->write(a->host, level, a->topic, text);
}
