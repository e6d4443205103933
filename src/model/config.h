/* config.json, preprocessor_config.json and generation_config.json of a Qwen 3.5 checkpoint, checked. Sizes are read, never assumed. */
#ifndef QW_MODEL_CONFIG_H
#define QW_MODEL_CONFIG_H

#include "base/json.h"

#define QW_MAX_LAYERS 256
#define QW_MAX_EOS 8

typedef enum qw_layer_kind { QW_LAYER_DELTA, QW_LAYER_ATTENTION } qw_layer_kind;

/* YaRN: positions beyond those of the training (rope.c has the formula). */
typedef struct qw_yarn {
    double factor;                 /* times the positions of the training; 0: without */
    double original;               /* those positions */
    double beta_fast;              /* pairs that turn more often than so within them keep their frequency, */
    double beta_slow;              /* those that turn less often than so are stretched by all of the factor */
    double attention;              /* of cos and sin; 0: as factor and the next two say */
    double mscale, mscale_all_dim; /* both or neither */
    bool fractions;                /* where that begins and ends is not rounded to whole pairs */
} qw_yarn;

typedef struct qw_text_config {
    int hidden_size, intermediate_size, n_layers, vocab_size, max_positions;
    int n_heads, n_kv_heads, head_dim;
    int rotary_dim;       /* head_dim * partial_rotary_factor, even */
    int mrope_section[3]; /* pairs for t, h, w; sum = rotary_dim / 2 */
    double rope_theta;
    qw_yarn yarn;
    int linear_key_heads, linear_value_heads, linear_key_dim, linear_value_dim, conv_kernel;
    double rms_eps;
    bool tied_embeddings;
    bool tiled_value_heads; /* GGUF: value head j belongs to key head j % Hk, otherwise to j / (Hv / Hk) */
    int mtp_layers;         /* 0 or 1 by config; whether tensors exist is the binder's business */
    qw_layer_kind layer_kinds[QW_MAX_LAYERS];
    int n_attention_layers, n_delta_layers;
} qw_text_config;

typedef struct qw_vision_config {
    bool present;
    int depth, hidden_size, n_heads, intermediate_size, out_hidden_size;
    int patch_size, temporal_patch_size, merge_size, in_channels;
    int n_positions;       /* num_position_embeddings, a square */
    double rope_theta;     /* 10000 */
    double layer_norm_eps; /* 1e-6 */
} qw_vision_config;

typedef struct qw_processor_config { /* preprocessor_config.json; published values when the file is absent */
    int64_t min_pixels, max_pixels;  /* size.shortest_edge / longest_edge: pixel counts */
    double mean[3], std[3];
    bool sizes_assumed; /* the files do not state both */
} qw_processor_config;

typedef struct qw_generation_config { /* NAN / -1 where the file says nothing */
    double temperature, top_p, min_p, presence_penalty, repetition_penalty;
    int top_k;
    bool do_sample; /* true when absent */
} qw_generation_config;

typedef struct qw_config {
    char architecture[64];
    qw_text_config text;
    qw_vision_config vision;
    qw_processor_config processor;
    qw_generation_config generation;
    int32_t image_token, video_token, vision_start_token, vision_end_token; /* -1 when absent */
    int32_t eos[QW_MAX_EOS]; /* union of config.json and generation_config.json, without duplicates */
    int n_eos;
} qw_config;

/* Reads and checks the files of the directory. Refuses what the engine does not compute (other architectures, attention_bias, rope types,
 * experts), naming file, key, value and what is supported. Unknown keys are ignored. */
qwren_status qw_config_read(qw_config *out, const char *dir, qwren_error *err);
/* Stretches the positions of the training by YaRN, by a factor from 1 (as trained) on, whatever the files say; max_positions follows. */
qwren_status qw_text_config_stretch(qw_text_config *c, double factor, qwren_error *err);
/* "0.8B", "2B", "4B", "9B" by shape, or "custom". */
const char *qw_config_size_name(const qw_config *c);

#endif
