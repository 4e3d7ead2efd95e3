/*
 * prefix.c - SipHash-2-4-128 and the chain of block keys; see prefix.h.
 */
#include "prefix.h"

#include <string.h>
#include <sys/random.h>

#include <glib.h>

struct sip {
	uint64_t v0, v1, v2, v3;
	uint64_t rest; /* bytes that do not fill a word yet */
	size_t len;
};

static inline uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static inline void rounds(struct sip *s, int n)
{
	while (n-- > 0) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 = rotate(s->v2, 32);
	}
}

static inline void word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	rounds(s, 2);
	s->v0 ^= m;
}

static void start(struct sip *s, const struct weir_prefix_secret *k)
{
	s->v0 = k->k0 ^ 0x736f6d6570736575u;
	s->v1 = k->k1 ^ 0x646f72616e646f6du ^ 0xee;
	s->v2 = k->k0 ^ 0x6c7967656e657261u;
	s->v3 = k->k1 ^ 0x7465646279746573u;
	s->rest = 0;
	s->len = 0;
}

static void feed(struct sip *s, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len > 0 && s->len % 8 != 0) {
		s->rest |= (uint64_t)*p++ << s->len % 8 * 8;
		len--;
		if (++s->len % 8 == 0) {
			word(s, s->rest);
			s->rest = 0;
		}
	}
	for (; len >= 8; len -= 8, p += 8, s->len += 8) {
		uint64_t m;

		memcpy(&m, p, 8);
		word(s, GUINT64_FROM_LE(m));
	}
	for (; len > 0; len--, s->len++)
		s->rest |= (uint64_t)*p++ << s->len % 8 * 8;
}

static struct weir_prefix_key finish(struct sip *s)
{
	struct weir_prefix_key key;

	word(s, s->rest | (uint64_t)s->len << 56);
	s->v2 ^= 0xee;
	rounds(s, 4);
	key.a = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
	s->v1 ^= 0xdd;
	rounds(s, 4);
	key.b = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
	return key;
}

void weir_prefix_secret_draw(struct weir_prefix_secret *ret)
{
	if (getrandom(ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret)) {
		/* No entropy at all: still different for each process and start. */
		ret->k0 = (uint64_t)g_get_real_time() * 0x9e3779b97f4a7c15u;
		ret->k1 = (uint64_t)g_get_monotonic_time() ^ (uint64_t)(uintptr_t)ret;
	}
}

struct weir_prefix_key weir_prefix_hash(const struct weir_prefix_secret *secret, const void *data,
					size_t len)
{
	struct sip s;

	start(&s, secret);
	feed(&s, data, len);
	return finish(&s);
}

struct weir_prefix_key weir_prefix_root(const struct weir_prefix_secret *secret,
					struct weir_str salt)
{
	return weir_prefix_hash(secret, salt.data, salt.len);
}

struct weir_prefix_key weir_prefix_next(const struct weir_prefix_secret *secret,
					struct weir_prefix_key parent, const int32_t *tokens,
					uint32_t n)
{
	struct sip s;

	start(&s, secret);
	feed(&s, &parent, sizeof(parent));
	feed(&s, tokens, (size_t)n * sizeof(*tokens));
	return finish(&s);
}
