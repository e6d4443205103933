/* The parts of config.h's reading. Private to config*.c. */
#ifndef QW_MODEL_CONFIG_PARTS_H
#define QW_MODEL_CONFIG_PARTS_H

#include "model/config.h"
#include "model/config_fields.h"

/* Everything in config.json, an object. */
qwren_status qw_model_config_read(qw_config *out, const qw_fields *top);
/* `top` is config.json, `text` its text_config or again `top`, `vision` its vision_config. */
qwren_status qw_text_config_read(qw_text_config *out, const qw_fields *top, const qw_fields *text);
qwren_status qw_vision_config_read(qw_vision_config *out, const qw_fields *vision, const qw_text_config *text);

/* preprocessor_config.json (`f`), or an object of NULL for the published values. */
qwren_status qw_processor_config_read(qw_processor_config *out, const qw_fields *f, const qw_vision_config *vision);
/* generation_config.json, or an object of NULL. */
qwren_status qw_generation_config_read(qw_generation_config *out, const qw_fields *f);

#endif
