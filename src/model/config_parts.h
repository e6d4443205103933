/* The parts of config.h's reading. Private to config*.c. */
#ifndef QW_MODEL_CONFIG_PARTS_H
#define QW_MODEL_CONFIG_PARTS_H

#include "model/config.h"
#include "model/config_fields.h"

/* The most that a config may say, in whatever file it stands. Heads times head size stay within an int; larger products are made as
 * size_t. */
enum {
    QW_MOST_HIDDEN = 65536,
    QW_MOST_INTERMEDIATE = 1 << 20,
    QW_MOST_VOCABULARY = 1 << 24,
    QW_MOST_POSITIONS = 1 << 24,
    QW_MOST_HEADS = 1024,
    QW_MOST_HEAD_DIM = 1024,
    QW_MOST_TAPS = 16,
    QW_MOST_YARN = 64, /* times the positions of the training */
    QW_MOST_TOWER_DEPTH = 256,
    QW_MOST_TOWER_HIDDEN = 16384,
    QW_MOST_TOWER_INTERMEDIATE = 1 << 18,
    QW_MOST_TOWER_SIDE = 1024, /* of the square grid of positions */
    QW_MOST_TOWER_POSITIONS = QW_MOST_TOWER_SIDE * QW_MOST_TOWER_SIDE,
    QW_MOST_PATCH = 64,
    QW_MOST_PIXELS = 1 << 30,
};

/* Everything in config.json, an object. */
qwren_status qw_model_config_read(qw_config *out, const qw_fields *top);
/* `top` is config.json, `text` its text_config or again `top`, `vision` its vision_config. */
qwren_status qw_text_config_read(qw_text_config *out, const qw_fields *top, const qw_fields *text);
/* How positions become angles; the sizes are read. */
qwren_status qw_rope_config_read(qw_text_config *out, const qw_fields *text);
/* What beta_fast and beta_slow are when a file does not say. */
#define QW_YARN_FAST 32.0
#define QW_YARN_SLOW 1.0
/* max_positions becomes what `yarn` makes of them, if that is more; false when it is more than QW_MOST_POSITIONS. */
bool qw_yarn_positions(qw_text_config *t);
qwren_status qw_vision_config_read(qw_vision_config *out, const qw_fields *vision, const qw_text_config *text);

/* preprocessor_config.json (`f`), or an object of NULL for the published values. */
qwren_status qw_processor_config_read(qw_processor_config *out, const qw_fields *f, const qw_vision_config *vision);
/* generation_config.json, or an object of NULL. */
qwren_status qw_generation_config_read(qw_generation_config *out, const qw_fields *f);

#endif
