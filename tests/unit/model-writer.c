/*
 * model-writer.c - small random models as GGUF files; see model-writer.h. For tests.
 */
#include "model-writer.h"
#include "gguf-writer.h"

#include <glib/gstdio.h>
#include <unistd.h>

const struct model_spec model_small = { .n_layers = 2,
					.n_embd = 32,
					.n_heads = 4,
					.n_kv_heads = 2,
					.n_ff = 48,
					.n_vocab = 50,
					.n_ctx = 128,
					.seed = 1 };

struct key {
	char *name;
	guint32 type;
	GByteArray *value;
};

struct tensor {
	char *name;
	guint64 ne[3];
	guint32 n_dims, type;
	GByteArray *data;
};

struct model {
	GPtrArray *keys, *tensors;
	GRand *rand;
};

static void key_free(gpointer data)
{
	struct key *k = data;

	g_free(k->name);
	g_byte_array_unref(k->value);
	g_free(k);
}

static void tensor_free(gpointer data)
{
	struct tensor *t = data;

	g_free(t->name);
	g_byte_array_unref(t->data);
	g_free(t);
}

static struct key *find_key(struct model *m, const char *name)
{
	for (guint i = 0; i < m->keys->len; i++) {
		struct key *k = m->keys->pdata[i];

		if (strcmp(k->name, name) == 0)
			return k;
	}
	return NULL;
}

static struct tensor *find_tensor(struct model *m, const char *name)
{
	for (guint i = 0; i < m->tensors->len; i++) {
		struct tensor *t = m->tensors->pdata[i];

		if (strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

static GByteArray *set_key(struct model *m, const char *name, guint32 type)
{
	struct key *k = find_key(m, name);

	if (!k) {
		k = g_new0(struct key, 1);
		k->name = g_strdup(name);
		k->value = g_byte_array_new();
		g_ptr_array_add(m->keys, k);
	}
	k->type = type;
	g_byte_array_set_size(k->value, 0);
	return k->value;
}

void model_set_u32(struct model *m, const char *key, guint32 x)
{
	put_u32(set_key(m, key, 4), x);
}

void model_set_f32(struct model *m, const char *key, float x)
{
	guint32 bits;

	memcpy(&bits, &x, sizeof(bits));
	put_u32(set_key(m, key, 6), bits);
}

void model_set_string(struct model *m, const char *key, const char *x)
{
	put_string(set_key(m, key, 8), x);
}

void model_set_bool(struct model *m, const char *key, gboolean x)
{
	put_int(set_key(m, key, 7), x ? 1 : 0, 1);
}

void model_set_u32s(struct model *m, const char *key, const guint32 *x, guint n)
{
	GByteArray *v = set_key(m, key, 9);

	put_u32(v, 4);
	put_u64(v, n);
	for (guint i = 0; i < n; i++)
		put_u32(v, x[i]);
}

void model_set_f32s(struct model *m, const char *key, guint n)
{
	GByteArray *v = set_key(m, key, 9);

	put_u32(v, 6);
	put_u64(v, n);
	for (guint i = 0; i < n; i++) {
		float x = -(float)i;
		guint32 bits;

		memcpy(&bits, &x, sizeof(bits));
		put_u32(v, bits);
	}
}

void model_set_strings(struct model *m, const char *key, const char *const *x, guint n)
{
	GByteArray *v = set_key(m, key, 9);

	put_u32(v, 8);
	put_u64(v, n);
	for (guint i = 0; i < n; i++)
		put_string(v, x[i]);
}

void model_drop_key(struct model *m, const char *key)
{
	g_ptr_array_remove(m->keys, find_key(m, key));
}

void model_set_stack(struct model *m, const char *name, guint64 ne0, guint64 ne1, guint64 ne2)
{
	struct tensor *t = find_tensor(m, name);
	gboolean is_norm = (strstr(name, "norm") && !strstr(name, ".bias")) ||
			   strstr(name, "rope_f") || strstr(name, ".scale");

	if (!t) {
		t = g_new0(struct tensor, 1);
		t->name = g_strdup(name);
		t->data = g_byte_array_new();
		g_ptr_array_add(m->tensors, t);
	}
	t->n_dims = ne2 ? 3 : ne1 ? 2 : 1;
	t->ne[0] = ne0;
	t->ne[1] = ne1 ? ne1 : 1;
	t->ne[2] = ne2 ? ne2 : 1;
	t->type = 0;
	g_byte_array_set_size(t->data, 0);
	for (guint64 i = 0; i < ne0 * t->ne[1] * t->ne[2]; i++) {
		float x = (float)g_rand_double_range(m->rand, -0.3, 0.3) + (is_norm ? 1 : 0);

		g_byte_array_append(t->data, (const guint8 *)&x, sizeof(x));
	}
}

void model_set_tensor(struct model *m, const char *name, guint64 ne0, guint64 ne1)
{
	model_set_stack(m, name, ne0, ne1, 0);
}

void model_set_type(struct model *m, const char *name, guint32 type)
{
	find_tensor(m, name)->type = type;
}

float *model_tensor_data(struct model *m, const char *name)
{
	return (float *)(void *)find_tensor(m, name)->data->data;
}

void model_fill_matrices(struct model *m, guint32 type, guint32 block,
			 guint8 *(*make)(GRand *rand, guint32 type, gsize n_in, gsize n_out),
			 gsize (*row_bytes)(guint32 type, gsize n_in))
{
	for (guint i = 0; i < m->tensors->len; i++) {
		struct tensor *t = m->tensors->pdata[i];
		gsize n_out = t->ne[1] * MAX(t->ne[2], 1);
		guint8 *bytes;

		if (t->n_dims < 2 || t->ne[0] % block != 0)
			continue;
		bytes = make(m->rand, type, t->ne[0], n_out);
		g_byte_array_set_size(t->data, 0);
		g_byte_array_append(t->data, bytes, (guint)(n_out * row_bytes(type, t->ne[0])));
		t->type = type;
		g_free(bytes);
	}
}

void model_drop_tensor(struct model *m, const char *name)
{
	g_ptr_array_remove(m->tensors, find_tensor(m, name));
}

static gboolean is_arch(const struct model_spec *s, const char *name)
{
	return strcmp(s->arch ? s->arch : "llama", name) == 0;
}

static const char *arch_key(const struct model_spec *s, const char *key, char *buffer)
{
	g_snprintf(buffer, 96, "%s.%s", s->arch ? s->arch : "llama", key);
	return buffer;
}

static void layer_tensor(struct model *m, guint32 layer, const char *what, guint64 ne0, guint64 ne1)
{
	g_autofree char *name = g_strdup_printf("blk.%u.%s", layer, what);

	model_set_tensor(m, name, ne0, ne1);
}

static void layer_stack(struct model *m, guint32 layer, const char *what, guint64 ne0, guint64 ne1,
			guint64 ne2)
{
	g_autofree char *name = g_strdup_printf("blk.%u.%s", layer, what);

	model_set_stack(m, name, ne0, ne1, ne2);
}

/* What a family's layers have that llama's lack, or lack. */
static const struct family {
	const char *arch;
	gboolean qkv, gate_up;   /* fused */
	gboolean qkv_bias, bias; /* of q, k, v; of all */
	gboolean qk_norm, post_norm, sub_norm, norm_bias;
	gboolean plain, one_norm, positions, output_bias;
	gboolean experts, shared, factors;
} families[] = {
	{ .arch = "llama" },
	{ .arch = "qwen2", .qkv_bias = TRUE },
	{ .arch = "qwen3", .qk_norm = TRUE },
	{ .arch = "phi3", .qkv = TRUE, .gate_up = TRUE },
	{ .arch = "gemma2", .post_norm = TRUE },
	{ .arch = "gemma3", .post_norm = TRUE, .qk_norm = TRUE },
	{ .arch = "granite", .factors = TRUE },
	{ .arch = "granitemoe", .factors = TRUE, .experts = TRUE },
	{ .arch = "smollm3" },
	{ .arch = "qwen2moe", .qkv_bias = TRUE, .experts = TRUE, .shared = TRUE },
	{ .arch = "qwen3moe", .qk_norm = TRUE, .experts = TRUE },
	{ .arch = "bitnet", .sub_norm = TRUE },
	{ .arch = "bitnet-b1.58", .sub_norm = TRUE },
	{ .arch = "starcoder2", .bias = TRUE, .norm_bias = TRUE, .plain = TRUE },
	{ .arch = "gptneox", .bias = TRUE, .norm_bias = TRUE, .plain = TRUE, .qkv = TRUE },
	{ .arch = "falcon", .norm_bias = TRUE, .plain = TRUE, .qkv = TRUE, .one_norm = TRUE },
	{ .arch = "phi2",
	  .bias = TRUE,
	  .norm_bias = TRUE,
	  .plain = TRUE,
	  .one_norm = TRUE,
	  .output_bias = TRUE },
	{ .arch = "gpt2",
	  .bias = TRUE,
	  .norm_bias = TRUE,
	  .plain = TRUE,
	  .qkv = TRUE,
	  .positions = TRUE },
	{ .arch = "starcoder",
	  .bias = TRUE,
	  .norm_bias = TRUE,
	  .plain = TRUE,
	  .qkv = TRUE,
	  .positions = TRUE },
};

static const struct family *family_of(const struct model_spec *s)
{
	for (gsize i = 0; i < G_N_ELEMENTS(families); i++)
		if (is_arch(s, families[i].arch))
			return &families[i];
	g_error("no family %s", s->arch);
}

/* Tensors of a bias, and of a norm. */
static void layer_bias(struct model *m, guint32 layer, const char *what, guint64 n, gboolean has)
{
	if (has)
		layer_tensor(m, layer, what, n, 0);
}

static void layer_attention(struct model *m, const struct model_spec *s, guint32 i)
{
	const struct family *f = family_of(s);
	guint64 head = s->n_embd / s->n_heads, kv = head * s->n_kv_heads;
	gboolean split = s->biases || f->qkv_bias || f->bias;

	layer_tensor(m, i, "attn_norm.weight", s->n_embd, 0);
	layer_bias(m, i, "attn_norm.bias", s->n_embd, f->norm_bias);
	if (f->qkv) {
		layer_tensor(m, i, "attn_qkv.weight", s->n_embd, s->n_embd + 2 * kv);
		layer_bias(m, i, "attn_qkv.bias", s->n_embd + 2 * kv, f->bias);
	} else {
		layer_tensor(m, i, "attn_q.weight", s->n_embd, s->n_embd);
		layer_tensor(m, i, "attn_k.weight", s->n_embd, kv);
		layer_tensor(m, i, "attn_v.weight", s->n_embd, kv);
		layer_bias(m, i, "attn_q.bias", s->n_embd, split);
		layer_bias(m, i, "attn_k.bias", kv, split);
		layer_bias(m, i, "attn_v.bias", kv, split);
	}
	layer_bias(m, i, "attn_q_norm.weight", head, f->qk_norm);
	layer_bias(m, i, "attn_k_norm.weight", head, f->qk_norm);
	layer_bias(m, i, "attn_sub_norm.weight", s->n_embd, f->sub_norm);
	layer_tensor(m, i, "attn_output.weight", s->n_embd, s->n_embd);
	layer_bias(m, i, "attn_output.bias", s->n_embd, s->biases || f->bias);
	layer_bias(m, i, "post_attention_norm.weight", s->n_embd, f->post_norm);
}

static void layer_experts(struct model *m, const struct model_spec *s, guint32 i)
{
	guint64 ff = 32, n = MODEL_EXPERTS;

	layer_tensor(m, i, "ffn_gate_inp.weight", s->n_embd, n);
	layer_stack(m, i, "ffn_gate_exps.weight", s->n_embd, ff, n);
	layer_stack(m, i, "ffn_up_exps.weight", s->n_embd, ff, n);
	layer_stack(m, i, "ffn_down_exps.weight", ff, s->n_embd, n);
	if (!family_of(s)->shared)
		return;
	layer_tensor(m, i, "ffn_gate_inp_shexp.weight", s->n_embd, 0);
	layer_tensor(m, i, "ffn_gate_shexp.weight", s->n_embd, s->n_ff);
	layer_tensor(m, i, "ffn_up_shexp.weight", s->n_embd, s->n_ff);
	layer_tensor(m, i, "ffn_down_shexp.weight", s->n_ff, s->n_embd);
}

static void layer_tensors(struct model *m, const struct model_spec *s, guint32 i)
{
	const struct family *f = family_of(s);
	gboolean bias = s->biases || f->bias;

	layer_attention(m, s, i);
	layer_bias(m, i, "ffn_norm.weight", s->n_embd, !f->one_norm);
	layer_bias(m, i, "ffn_norm.bias", s->n_embd, f->norm_bias && !f->one_norm);
	if (f->experts) {
		layer_experts(m, s, i);
		return;
	}
	if (!f->gate_up && !f->plain) {
		layer_tensor(m, i, "ffn_gate.weight", s->n_embd, s->n_ff);
		layer_bias(m, i, "ffn_gate.bias", s->n_ff, bias);
	}
	layer_tensor(m, i, "ffn_up.weight", s->n_embd, f->gate_up ? 2 * s->n_ff : s->n_ff);
	layer_bias(m, i, "ffn_up.bias", s->n_ff, bias);
	layer_bias(m, i, "ffn_sub_norm.weight", s->n_ff, f->sub_norm);
	layer_tensor(m, i, "ffn_down.weight", s->n_ff, s->n_embd);
	layer_bias(m, i, "ffn_down.bias", s->n_embd, bias);
	layer_bias(m, i, "post_ffw_norm.weight", s->n_embd, f->post_norm);
}

static gboolean is_encoder(const struct model_spec *s)
{
	return is_arch(s, "bert") || is_arch(s, "nomic-bert");
}

static void encoder_layer(struct model *m, const struct model_spec *s, guint32 i, gboolean bert)
{
	static const char *const attn[] = { "attn_q", "attn_k", "attn_v", "attn_output" };
	static const char *const norms[] = { "attn_output_norm", "layer_output_norm" };
	char name[64];

	for (guint k = 0; k < G_N_ELEMENTS(attn); k++) {
		g_snprintf(name, sizeof(name), "%s.weight", attn[k]);
		layer_tensor(m, i, name, s->n_embd, s->n_embd);
		g_snprintf(name, sizeof(name), "%s.bias", attn[k]);
		layer_bias(m, i, name, s->n_embd, bert);
	}
	for (guint k = 0; k < G_N_ELEMENTS(norms); k++) {
		g_snprintf(name, sizeof(name), "%s.weight", norms[k]);
		layer_tensor(m, i, name, s->n_embd, 0);
		g_snprintf(name, sizeof(name), "%s.bias", norms[k]);
		layer_tensor(m, i, name, s->n_embd, 0);
	}
	if (!bert)
		layer_tensor(m, i, "ffn_gate.weight", s->n_embd, s->n_ff);
	layer_tensor(m, i, "ffn_up.weight", s->n_embd, s->n_ff);
	layer_bias(m, i, "ffn_up.bias", s->n_ff, bert);
	layer_tensor(m, i, "ffn_down.weight", s->n_ff, s->n_embd);
	layer_bias(m, i, "ffn_down.bias", s->n_embd, bert);
}

/* With the head of a cross-encoder, which other poolings leave alone. */
static void encoder(struct model *m, const struct model_spec *s)
{
	gboolean bert = is_arch(s, "bert");
	char key[96];

	model_set_u32(m, arch_key(s, "attention.head_count_kv", key), s->n_heads);
	model_set_f32(m, arch_key(s, "attention.layer_norm_epsilon", key), 1e-5f);
	model_set_bool(m, arch_key(s, "attention.causal", key), FALSE);
	model_set_u32(m, arch_key(s, "pooling_type", key), 1);
	model_set_tensor(m, "token_embd.weight", s->n_embd, s->n_vocab);
	model_set_tensor(m, "token_types.weight", s->n_embd, 2);
	if (bert)
		model_set_tensor(m, "position_embd.weight", s->n_embd, s->n_ctx);
	model_set_tensor(m, "token_embd_norm.weight", s->n_embd, 0);
	model_set_tensor(m, "token_embd_norm.bias", s->n_embd, 0);
	for (guint32 i = 0; i < s->n_layers; i++)
		encoder_layer(m, s, i, bert);
	model_set_tensor(m, "cls.weight", s->n_embd, s->n_embd);
	model_set_tensor(m, "cls.bias", s->n_embd, 0);
	model_set_tensor(m, "cls.output.weight", s->n_embd, 1);
	model_set_tensor(m, "cls.output.bias", 1, 0);
}

static void family_keys(struct model *m, const struct model_spec *s)
{
	const struct family *f = family_of(s);
	char key[96];

	model_set_f32(m, arch_key(s, "attention.layer_norm_rms_epsilon", key), 1e-5f);
	if (f->norm_bias)
		model_set_f32(m, arch_key(s, "attention.layer_norm_epsilon", key), 1e-5f);
	if (f->experts) {
		model_set_u32(m, arch_key(s, "expert_count", key), MODEL_EXPERTS);
		model_set_u32(m, arch_key(s, "expert_used_count", key), 2);
		model_set_u32(m, arch_key(s, "expert_feed_forward_length", key), 32);
	}
	if (f->factors) {
		model_set_f32(m, arch_key(s, "embedding_scale", key), 6);
		model_set_f32(m, arch_key(s, "residual_scale", key), 0.5f);
		model_set_f32(m, arch_key(s, "logit_scale", key), 2);
	}
}

/* Tensors of the whole model besides the embedding and llama's. */
static void family_tensors(struct model *m, const struct model_spec *s)
{
	const struct family *f = family_of(s);

	if (f->norm_bias)
		model_set_tensor(m, "output_norm.bias", s->n_embd, 0);
	if (f->output_bias)
		model_set_tensor(m, "output.bias", s->n_vocab, 0);
	if (f->positions)
		model_set_tensor(m, "position_embd.weight", s->n_embd, s->n_ctx);
}

struct model *model_new(const struct model_spec *s)
{
	struct model *m = g_new0(struct model, 1);
	char key[96];

	m->keys = g_ptr_array_new_with_free_func(key_free);
	m->tensors = g_ptr_array_new_with_free_func(tensor_free);
	m->rand = g_rand_new_with_seed(s->seed);
	model_set_string(m, "general.architecture", s->arch ? s->arch : "llama");
	model_set_u32(m, arch_key(s, "block_count", key), s->n_layers);
	model_set_u32(m, arch_key(s, "context_length", key), s->n_ctx);
	model_set_u32(m, arch_key(s, "embedding_length", key), s->n_embd);
	model_set_u32(m, arch_key(s, "feed_forward_length", key), s->n_ff);
	model_set_u32(m, arch_key(s, "attention.head_count", key), s->n_heads);
	model_set_u32(m, arch_key(s, "attention.head_count_kv", key), s->n_kv_heads);
	model_set_u32(m, arch_key(s, "vocab_size", key), s->n_vocab);
	if (is_encoder(s)) {
		encoder(m, s);
		return m;
	}
	family_keys(m, s);
	model_set_tensor(m, "token_embd.weight", s->n_embd, s->n_vocab);
	for (guint32 i = 0; i < s->n_layers; i++)
		layer_tensors(m, s, i);
	model_set_tensor(m, "output_norm.weight", s->n_embd, 0);
	family_tensors(m, s);
	if (!s->tied)
		model_set_tensor(m, "output.weight", s->n_embd, s->n_vocab);
	if (s->factors && is_arch(s, "phi3")) {
		model_set_tensor(m, "rope_factors_long.weight", s->n_embd / s->n_heads / 2, 0);
		model_set_tensor(m, "rope_factors_short.weight", s->n_embd / s->n_heads / 2, 0);
	} else if (s->factors) {
		model_set_tensor(m, "rope_freqs.weight", s->n_embd / s->n_heads / 2, 0);
	}
	return m;
}

void model_free(struct model *m)
{
	g_ptr_array_unref(m->keys);
	g_ptr_array_unref(m->tensors);
	g_rand_free(m->rand);
	g_free(m);
}

GByteArray *model_bytes(struct model *m, guint *ret_header)
{
	GByteArray *f = g_byte_array_new();
	guint64 offset = 0;

	put_head(f, 3, m->tensors->len, m->keys->len);
	for (guint i = 0; i < m->keys->len; i++) {
		struct key *k = m->keys->pdata[i];

		put_key(f, k->name, k->type);
		g_byte_array_append(f, k->value->data, k->value->len);
	}
	for (guint i = 0; i < m->tensors->len; i++) {
		struct tensor *t = m->tensors->pdata[i];

		put_tensor(f, t->name, t->n_dims, t->ne, t->type, offset);
		offset += (t->data->len + 31) / 32 * 32;
	}
	put_padding(f, 32);
	if (ret_header)
		*ret_header = f->len;
	for (guint i = 0; i < m->tensors->len; i++) {
		struct tensor *t = m->tensors->pdata[i];

		g_byte_array_append(f, t->data->data, t->data->len);
		put_padding(f, 32);
	}
	return f;
}

char *model_write(struct model *m)
{
	GByteArray *f = model_bytes(m, NULL);
	g_autoptr(GError) error = NULL;
	char *path = NULL;
	int fd = g_file_open_tmp("weir-XXXXXX.gguf", &path, &error);

	g_assert_no_error(error);
	close(fd);
	g_file_set_contents(path, (const char *)f->data, (gssize)f->len, &error);
	g_assert_no_error(error);
	g_byte_array_unref(f);
	return path;
}
