/* Any bytes as each of the three configuration files: refused with a sentence, or sizes that fit each other. */
#include <stdint.h>
#include <stdlib.h>

#include "model/config_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(const qw_text_config *t)
{
    int sum = t->mrope_section[0] + t->mrope_section[1] + t->mrope_section[2];
    check(t->n_heads % t->n_kv_heads == 0 && t->linear_value_heads % t->linear_key_heads == 0);
    check(t->rotary_dim >= 2 && t->rotary_dim % 2 == 0 && t->rotary_dim <= t->head_dim && sum == t->rotary_dim / 2);
    check(t->n_layers >= 1 && t->n_layers <= QW_MAX_LAYERS && t->n_attention_layers + t->n_delta_layers == t->n_layers);
    check(t->rms_eps > 0 && t->rope_theta >= 1 && t->hidden_size > 0 && t->vocab_size > 0 && t->conv_kernel > 1);
}

static void check_vision(const qw_vision_config *v, const qw_text_config *t)
{
    check(v->hidden_size % v->n_heads == 0 && v->hidden_size / v->n_heads % 4 == 0);
    check(v->out_hidden_size == t->hidden_size && v->patch_size > 0 && v->n_positions > 0);
}

static void read_all(const qw_json *root)
{
    static qw_config c;
    qwren_error err = { QWREN_OK, "" };
    qw_fields f = { root, "fuzz.json", "", &err };
    c = (qw_config){ 0 };
    if (qw_model_config_read(&c, &f) == QWREN_OK) {
        check_text(&c.text);
        if (c.vision.present)
            check_vision(&c.vision, &c.text);
        check(c.n_eos >= 0 && c.n_eos <= QW_MAX_EOS);
        for (int i = 0; i < c.n_eos; i++)
            check(c.eos[i] >= 0 && c.eos[i] < c.text.vocab_size);
    } else {
        check(err.text[0] != '\0');
    }
    qw_vision_config published = { .present = true, .patch_size = 16, .temporal_patch_size = 2, .merge_size = 2 };
    if (qw_processor_config_read(&c.processor, &f, &published) == QWREN_OK)
        check(c.processor.min_pixels > 0 && c.processor.min_pixels <= c.processor.max_pixels && c.processor.std[0] > 0);
    if (qw_generation_config_read(&c.generation, &f) == QWREN_OK)
        check(!(c.generation.temperature < 0) && c.generation.top_k >= -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qw_json *root;
    qwren_error err;
    if (qw_json_parse(&root, (const char *)data, size, "fuzz.json", &err) != QWREN_OK)
        return 0;
    if (qw_json_is(root, QW_JSON_OBJECT))
        read_all(root);
    qw_json_free(root);
    return 0;
}
