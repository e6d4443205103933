/* GGUF files made in memory, right or wrong on purpose: settings and tensors are appended, then joined. Header only: each test program is one file. */
#ifndef QW_TESTS_GGUF_MAKE_H
#define QW_TESTS_GGUF_MAKE_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "weights/gguf.h"

typedef struct gguf_maker {
    qw_buf values, tensors, data;
    uint64_t n_values, n_tensors;
    uint32_t version;
    size_t alignment;
    float decay;      /* what ssm_a holds */
    const char *skip; /* the setting with this key is left out */
} gguf_maker;

static inline gguf_maker gguf_new(void) { return (gguf_maker){ .version = 3, .alignment = 32, .decay = -1 }; }

static inline void gguf_free(gguf_maker *m)
{
    qw_buf_free(&m->values);
    qw_buf_free(&m->tensors);
    qw_buf_free(&m->data);
}

static inline void put_32(qw_buf *b, uint32_t x) { qw_buf_append(b, &x, sizeof x); }
static inline void put_64(qw_buf *b, uint64_t x) { qw_buf_append(b, &x, sizeof x); }

static inline void put_text(qw_buf *b, const char *s)
{
    put_64(b, strlen(s));
    qw_buf_puts(b, s);
}

/* ---- settings */

static inline bool put_key(gguf_maker *m, const char *key, uint32_t type)
{
    if (m->skip && strcmp(m->skip, key) == 0)
        return false;
    m->n_values++;
    put_text(&m->values, key);
    put_32(&m->values, type);
    return true;
}

static inline void set_bytes(gguf_maker *m, const char *key, uint32_t type, const void *p, size_t n)
{
    if (put_key(m, key, type))
        qw_buf_append(&m->values, p, n);
}

static inline void set_u32(gguf_maker *m, const char *key, uint32_t x) { set_bytes(m, key, QW_GGUF_U32, &x, sizeof x); }
static inline void set_f32(gguf_maker *m, const char *key, float x) { set_bytes(m, key, QW_GGUF_F32, &x, sizeof x); }
static inline void set_bool(gguf_maker *m, const char *key, bool x) { set_bytes(m, key, QW_GGUF_BOOL, &x, 1); }

static inline void set_text(gguf_maker *m, const char *key, const char *s)
{
    if (put_key(m, key, QW_GGUF_STRING))
        put_text(&m->values, s);
}

static inline void set_list(gguf_maker *m, const char *key, uint32_t type, uint64_t n, const void *p, size_t bytes)
{
    if (!put_key(m, key, QW_GGUF_LIST))
        return;
    put_32(&m->values, type);
    put_64(&m->values, n);
    qw_buf_append(&m->values, p, bytes);
}

static inline void set_texts(gguf_maker *m, const char *key, const char *const *texts, size_t n)
{
    qw_buf all = QW_BUF_INIT;
    for (size_t i = 0; i < n; i++)
        put_text(&all, texts[i]);
    set_list(m, key, QW_GGUF_STRING, n, qw_buf_text(&all), all.len);
    qw_buf_free(&all);
}

/* ---- tensors; dims as the file has them, innermost first */

static inline void add_entry(gguf_maker *m, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type, uint64_t offset)
{
    m->n_tensors++;
    put_text(&m->tensors, name);
    put_32(&m->tensors, n_dims);
    for (uint32_t i = 0; i < n_dims && i < 5; i++) /* a claim of more stays a claim */
        put_64(&m->tensors, dims[i]);
    put_32(&m->tensors, type);
    put_64(&m->tensors, offset);
}

static inline void add_data(gguf_maker *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        qw_buf_putc(&m->data, '\0');
    while (m->data.len % m->alignment)
        qw_buf_putc(&m->data, '\0');
}

/* F32 zeros, [rows, cols] or [cols] when rows is 0. */
static inline void add_floats(gguf_maker *m, const char *name, uint64_t rows, uint64_t cols)
{
    add_entry(m, name, rows ? 2 : 1, (uint64_t[]){ cols, rows }, 0, m->data.len);
    add_data(m, (size_t)((rows ? rows : 1) * cols * 4));
}

/* The n values of the tensor that was added last. */
static inline void set_last(gguf_maker *m, size_t n, float x)
{
    const size_t padded = (n * sizeof x + m->alignment - 1) / m->alignment * m->alignment;
    for (size_t i = 0; i < n; i++)
        memcpy(m->data.data + m->data.len - padded + i * sizeof x, &x, sizeof x);
}

/* ---- the file */

static inline qw_buf gguf_bytes(const gguf_maker *m)
{
    qw_buf out = QW_BUF_INIT;
    qw_buf_puts(&out, "GGUF");
    put_32(&out, m->version);
    put_64(&out, m->n_tensors);
    put_64(&out, m->n_values);
    qw_buf_append(&out, qw_buf_text(&m->values), m->values.len);
    qw_buf_append(&out, qw_buf_text(&m->tensors), m->tensors.len);
    while (out.len % m->alignment)
        qw_buf_putc(&out, '\0');
    qw_buf_append(&out, qw_buf_text(&m->data), m->data.len);
    return out;
}

/* ---- a whole model: two layers and an MTP head, every size small, all weights 0 */

enum { MADE_H = 32, MADE_I = 64, MADE_V = 24, MADE_HEADS = 2, MADE_HD = 16, MADE_HK = 1, MADE_HV = 2, MADE_DK = 16, MADE_D = 8 };

static inline void made_settings(gguf_maker *m)
{
    static const int32_t sections[4] = { 2, 1, 1, 0 };
    static const uint8_t recurrent[3] = { 1, 0, 0 };
    static const char *const tokens[] = {
        "a", "b", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
    };
    set_text(m, "general.architecture", "qwen35");
    set_u32(m, "qwen35.block_count", 3);
    set_u32(m, "qwen35.nextn_predict_layers", 1);
    set_u32(m, "qwen35.context_length", 512);
    set_u32(m, "qwen35.embedding_length", MADE_H);
    set_u32(m, "qwen35.feed_forward_length", MADE_I);
    set_u32(m, "qwen35.attention.head_count", MADE_HEADS);
    set_u32(m, "qwen35.attention.head_count_kv", 1);
    set_u32(m, "qwen35.attention.key_length", MADE_HD);
    set_u32(m, "qwen35.attention.value_length", MADE_HD);
    set_f32(m, "qwen35.attention.layer_norm_rms_epsilon", 1e-6F);
    set_f32(m, "qwen35.rope.freq_base", 1e7F);
    set_u32(m, "qwen35.rope.dimension_count", 8);
    set_list(m, "qwen35.rope.dimension_sections", QW_GGUF_I32, 4, sections, sizeof sections);
    set_u32(m, "qwen35.ssm.conv_kernel", 4);
    set_u32(m, "qwen35.ssm.state_size", MADE_DK);
    set_u32(m, "qwen35.ssm.group_count", MADE_HK);
    set_u32(m, "qwen35.ssm.time_step_rank", MADE_HV);
    set_u32(m, "qwen35.ssm.inner_size", MADE_HV * MADE_DK);
    set_u32(m, "qwen35.full_attention_interval", 2);
    set_list(m, "qwen35.attention.recurrent_layers", QW_GGUF_BOOL, 3, recurrent, sizeof recurrent);
    set_texts(m, "tokenizer.ggml.tokens", tokens, sizeof tokens / sizeof tokens[0]);
    set_u32(m, "tokenizer.ggml.eos_token_id", 3);
    set_f32(m, "general.sampling.temp", 0.5F);
    set_u32(m, "general.sampling.top_k", 7);
}

static inline void made_tensor(gguf_maker *m, int block, const char *name, uint64_t rows, uint64_t cols)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s", block, name);
    add_floats(m, full, rows, cols);
}

static inline void made_attention(gguf_maker *m, int i)
{
    made_tensor(m, i, "attn_q.weight", 2 * MADE_HEADS * MADE_HD, MADE_H);
    made_tensor(m, i, "attn_k.weight", MADE_HD, MADE_H);
    made_tensor(m, i, "attn_v.weight", MADE_HD, MADE_H);
    made_tensor(m, i, "attn_output.weight", MADE_H, MADE_HEADS * MADE_HD);
    made_tensor(m, i, "attn_q_norm.weight", 0, MADE_HD);
    made_tensor(m, i, "attn_k_norm.weight", 0, MADE_HD);
}

static inline void made_delta(gguf_maker *m, int i)
{
    const uint64_t channels = 2 * MADE_HK * MADE_DK + MADE_HV * MADE_DK;
    made_tensor(m, i, "attn_qkv.weight", channels, MADE_H);
    made_tensor(m, i, "attn_gate.weight", MADE_HV * MADE_DK, MADE_H);
    made_tensor(m, i, "ssm_alpha.weight", MADE_HV, MADE_H);
    made_tensor(m, i, "ssm_beta.weight", MADE_HV, MADE_H);
    made_tensor(m, i, "ssm_conv1d.weight", channels, 4);
    made_tensor(m, i, "ssm_a", 0, MADE_HV);
    set_last(m, MADE_HV, m->decay);
    made_tensor(m, i, "ssm_dt.bias", 0, MADE_HV);
    made_tensor(m, i, "ssm_norm.weight", 0, MADE_DK);
    made_tensor(m, i, "ssm_out.weight", MADE_H, MADE_HV * MADE_DK);
}

static inline void made_block(gguf_maker *m, int i, bool delta)
{
    made_tensor(m, i, "attn_norm.weight", 0, MADE_H);
    delta ? made_delta(m, i) : made_attention(m, i);
    made_tensor(m, i, "post_attention_norm.weight", 0, MADE_H);
    made_tensor(m, i, "ffn_gate.weight", MADE_I, MADE_H);
    made_tensor(m, i, "ffn_up.weight", MADE_I, MADE_H);
    made_tensor(m, i, "ffn_down.weight", MADE_H, MADE_I);
}

static inline void made_tensors(gguf_maker *m)
{
    add_floats(m, "token_embd.weight", MADE_V, MADE_H);
    add_floats(m, "output_norm.weight", 0, MADE_H);
    for (int i = 0; i < 3; i++)
        made_block(m, i, i == 0);
    made_tensor(m, 2, "nextn.eh_proj.weight", MADE_H, 2 * MADE_H);
    made_tensor(m, 2, "nextn.enorm.weight", 0, MADE_H);
    made_tensor(m, 2, "nextn.hnorm.weight", 0, MADE_H);
    made_tensor(m, 2, "nextn.shared_head_norm.weight", 0, MADE_H);
}

/* Its image tower: one block of width MADE_D, patches of 2 x 2, 16 positions. */
static inline void made_tower_settings(gguf_maker *m)
{
    static const float half[3] = { 0.5F, 0.5F, 0.5F };
    set_text(m, "general.architecture", "clip");
    set_text(m, "clip.projector_type", "qwen3vl_merger");
    set_bool(m, "clip.has_vision_encoder", true);
    set_bool(m, "clip.use_gelu", true);
    set_u32(m, "clip.vision.block_count", 1);
    set_u32(m, "clip.vision.embedding_length", MADE_D);
    set_u32(m, "clip.vision.attention.head_count", 1);
    set_u32(m, "clip.vision.feed_forward_length", 16);
    set_u32(m, "clip.vision.projection_dim", MADE_H);
    set_u32(m, "clip.vision.patch_size", 2);
    set_u32(m, "clip.vision.image_size", 8);
    set_u32(m, "clip.vision.spatial_merge_size", 2);
    set_list(m, "clip.vision.image_mean", QW_GGUF_F32, 3, half, sizeof half);
    set_list(m, "clip.vision.image_std", QW_GGUF_F32, 3, half, sizeof half);
    set_list(m, "clip.vision.is_deepstack_layers", QW_GGUF_BOOL, 1, "", 1);
}

/* PART.weight [rows, cols] and PART.bias [rows]; cols 0: a norm. */
static inline void made_pair(gguf_maker *m, const char *part, uint64_t rows, uint64_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "%s.weight", part);
    cols ? add_floats(m, name, rows, cols) : add_floats(m, name, 0, rows);
    snprintf(name, sizeof name, "%s.bias", part);
    add_floats(m, name, 0, rows);
}

static inline void made_tower_tensors(gguf_maker *m)
{
    static const char *const taps[] = { "v.patch_embd.weight", "v.patch_embd.weight.1" };
    for (int i = 0; i < 2; i++) {
        add_entry(m, taps[i], 4, (uint64_t[]){ 2, 2, 3, MADE_D }, 0, m->data.len);
        add_data(m, 2 * 2 * 3 * MADE_D * 4);
    }
    add_floats(m, "v.patch_embd.bias", 0, MADE_D);
    add_floats(m, "v.position_embd.weight", 16, MADE_D);
    made_pair(m, "v.blk.0.ln1", MADE_D, 0);
    made_pair(m, "v.blk.0.ln2", MADE_D, 0);
    made_pair(m, "v.blk.0.attn_qkv", 3 * MADE_D, MADE_D);
    made_pair(m, "v.blk.0.attn_out", MADE_D, MADE_D);
    made_pair(m, "v.blk.0.ffn_up", 16, MADE_D);
    made_pair(m, "v.blk.0.ffn_down", MADE_D, 16);
    made_pair(m, "v.post_ln", MADE_D, 0);
    made_pair(m, "mm.0", 4 * MADE_D, 4 * MADE_D);
    made_pair(m, "mm.2", MADE_H, 4 * MADE_D);
}

/* ---- folders of such files */

static inline void gguf_write(const char *dir, const char *name, const qw_buf *bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(qw_buf_text(bytes), 1, bytes->len, f) != bytes->len || fclose(f) != 0)
        fail_msg("%s cannot be written", path);
}

/* A fresh empty folder; its files and itself go with gguf_folder_remove(). */
static inline void gguf_folder(char dir[64])
{
    snprintf(dir, 64, "/tmp/qwren-gguf-XXXXXX");
    if (!mkdtemp(dir))
        fail_msg("no folder in /tmp");
}

static inline void gguf_folder_remove(const char *dir)
{
    char path[512];
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        unlink(path);
    }
    closedir(d);
    rmdir(dir);
}

#endif
