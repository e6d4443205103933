/* The parts of config_gguf.h's reading. Private to config_gguf*.c. */
#ifndef QW_MODEL_CONFIG_GGUF_PARTS_H
#define QW_MODEL_CONFIG_GGUF_PARTS_H

#include "model/config.h"
#include "model/gguf_fields.h"
#include "weights/weights.h"

/* The tower's sizes and how pictures are cut, from the settings "clip." of its file. */
qwren_status qw_gguf_vision_config_read(qw_vision_config *out, qw_processor_config *processor, const qw_gguf_fields *clip,
                                        const qw_weights *w, const qw_text_config *text);

#endif
