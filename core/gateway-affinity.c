/*
 * gateway-affinity.c - see gateway-affinity.h. The table is cut into sets of four places: a key has
 * its set, and takes the place in it that was not used for longest.
 */
#include "gateway-affinity.h"

#include <string.h>

#include <glib.h>

#include "prefix.h"
#include "request.h"

#define FIRST  256u
#define N_SETS 1024u /* a power of two */
#define N_WAYS 4u

struct place {
	uint64_t key;     /* 0: empty */
	const char *name; /* interned */
	uint64_t used;
};

struct weir_affinity {
	struct weir_prefix_secret secret;
	uint64_t clock;
	struct place places[N_SETS][N_WAYS];
};

struct weir_affinity *weir_affinity_new(void)
{
	struct weir_affinity *a = g_new0(struct weir_affinity, 1);

	weir_prefix_secret_draw(&a->secret);
	return a;
}

void weir_affinity_free(struct weir_affinity *a)
{
	g_free(a);
}

/* --- keys ---------------------------------------------------------------------------------- */

static struct weir_prefix_key chain(const struct weir_affinity *a, struct weir_prefix_key parent,
				    const char *data, size_t len)
{
	struct weir_prefix_key pair[2] = { parent, weir_prefix_hash(&a->secret, data, len) };

	return weir_prefix_hash(&a->secret, pair, sizeof(pair));
}

static void add_key(struct weir_affinity_keys *keys, struct weir_prefix_key key)
{
	if (keys->n < WEIR_AFFINITY_KEYS)
		keys->keys[keys->n++] = MAX(key.a, 1u);
}

void weir_affinity_hash(const struct weir_affinity *a, const weir_request *request,
			struct weir_affinity_keys *ret)
{
	static const char *const before[] = { "tenant", "adapter", "tools" };
	static const char *const prompts[] = { "messages", "prompt", "tokens" };
	struct weir_prefix_key key = { 0, 0 };
	struct weir_str text = { NULL, 0 };
	size_t at = 0;

	memset(ret, 0, sizeof(*ret));
	ret->made = true;
	if (!weir_request_is(request, "kind", "chat") &&
	    !weir_request_is(request, "kind", "completion"))
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(before); i++) {
		text = weir_request_field(request, before[i]);
		key = chain(a, key, text.data, text.len);
	}
	/* Tools stand in the prompt before all else. */
	if (text.len >= FIRST)
		add_key(ret, key);
	text.len = 0;
	for (size_t i = 0; i < G_N_ELEMENTS(prompts) && text.len == 0; i++)
		text = weir_request_field(request, prompts[i]);
	for (size_t len = FIRST; len <= text.len && ret->n < WEIR_AFFINITY_KEYS;) {
		key = chain(a, key, text.data + at, len - at);
		add_key(ret, key);
		at = len;
		/* Two steps for each doubling: 256, 384, 512, 768 ... */
		len += (len & (len - 1)) ? len / 3 : len / 2;
	}
}

/* --- the table ----------------------------------------------------------------------------- */

static const struct place *look_up(const struct weir_affinity *a, uint64_t key)
{
	const struct place *set = a->places[key & (N_SETS - 1)];

	for (uint32_t i = 0; i < N_WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

uint32_t weir_affinity_find(const struct weir_affinity *a, const struct weir_affinity_keys *keys,
			    const char *name)
{
	for (uint32_t n = keys->n; n > 0; n--) {
		const struct place *p = look_up(a, keys->keys[n - 1]);

		if (p && p->name == name)
			return n;
	}
	return 0;
}

void weir_affinity_note(struct weir_affinity *a, const struct weir_affinity_keys *keys,
			const char *name)
{
	for (uint32_t n = 0; n < keys->n; n++) {
		uint64_t key = keys->keys[n];
		struct place *set = a->places[key & (N_SETS - 1)];
		struct place *p = (struct place *)look_up(a, key);

		if (!p)
			p = set;
		for (uint32_t i = 0; i < N_WAYS && p->key != key; i++)
			if (set[i].used < p->used)
				p = &set[i];
		*p = (struct place){ key, name, ++a->clock };
	}
}
