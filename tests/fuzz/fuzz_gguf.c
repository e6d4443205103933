/* Any bytes as a GGUF file: refused with a sentence, or settings that can be read and tensors that lie inside it, apart from each other. A model's
 * settings are then read as a configuration, and its tensors bound by them; the file of an image tower may follow in the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/config_gguf.h"
#include "model/text.h"
#include "model/vision.h"
#include "model/mtp.h"
#include "weights/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_settings(const qw_gguf *g)
{
    char shown[QW_GGUF_SHOWN_BYTES];
    for (size_t i = 0; i < qw_gguf_count(g); i++) {
        const qw_gguf_value *v = qw_gguf_at(g, i);
        qw_gguf_texts it = { 0 };
        size_t sum = 0;
        double x = 0;
        if (strlen(qw_gguf_show(shown, sizeof shown, v)) >= sizeof shown)
            abort();
        while (qw_gguf_next_text(v, &it))
            for (size_t k = 0; k < it.text.len; k++)
                sum += (unsigned char)it.text.data[k];
        for (size_t k = 0; qw_gguf_number_at(v, k, &x); k++)
            sum += x > 0;
        if (sum == SIZE_MAX)
            abort();
    }
}

static void read_tensors(const qw_gguf *g, const uint8_t *data, size_t size)
{
    size_t n, sum = 0;
    const qw_tensor *tensors = qw_gguf_tensors(g, &n);
    for (size_t i = 0; i < n; i++) {
        const qw_tensor *t = &tensors[i];
        const uint8_t *begin = t->data;
        if (begin < data || begin > data + size || t->n_bytes > (size_t)(data + size - begin))
            abort();
        if (t->type != QW_TYPE_OTHER && t->n_bytes != qw_tensor_elements(t) / qw_type_block(t->type) * qw_type_block_bytes(t->type))
            abort();
        sum += t->n_bytes;
    }
    if (sum > size)
        abort();
}

static void bind(const qw_config *c, const qw_weights *w)
{
    qw_arena arena;
    qw_text_model text = { 0 };
    qw_vision_model vision;
    qw_mtp_model mtp;
    qwren_error err = { QWREN_OK, "" };
    qw_arena_init(&arena, 4096);
    const qw_binder b = { .weights = w, .arena = &arena };
    if (qw_text_bind(&text, &c->text, &b, &err) != QWREN_OK && !err.text[0])
        abort();
    if (c->vision.present)
        (void)qw_vision_bind(&vision, &c->vision, &b, &err);
    if (c->text.mtp_layers && qw_bind_has_part(&b, QW_PART_MTP))
        (void)qw_mtp_bind(&mtp, &c->text, &b, &err);
    qw_arena_deinit(&arena);
}

/* The second file of the input: it begins with its magic. */
static const uint8_t *find_second(const uint8_t *data, size_t size)
{
    for (size_t i = 4; i + 4 <= size; i++)
        if (memcmp(data + i, "GGUF", 4) == 0)
            return data + i;
    return NULL;
}

static void read_model(const uint8_t *data, size_t size)
{
    const uint8_t *second = find_second(data, size);
    const qw_map model = { data, second ? (size_t)(second - data) : size, false },
                 tower = { second, second ? (size_t)(data + size - second) : 0, false };
    qw_weights *w;
    qw_config config;
    qwren_error err = { QWREN_OK, "" };
    if (qw_weights_read_gguf(&w, &model, second ? &tower : NULL, &err) != QWREN_OK) {
        if (w || !err.text[0])
            abort();
        return;
    }
    if (qw_config_read_gguf(&config, w, &err) == QWREN_OK)
        bind(&config, w);
    else if (!err.text[0])
        abort();
    qw_weights_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const qw_map map = { size ? data : NULL, size, false };
    qw_gguf *g;
    qwren_error err = { QWREN_OK, "" };
    qwren_status st = qw_gguf_read(&g, &map, "fuzz.gguf", &err);
    if (st != QWREN_OK) {
        if (g || !err.text[0])
            abort();
        return 0;
    }
    read_settings(g);
    read_tensors(g, data, size);
    qw_gguf_close(g);
    read_model(data, size);
    return 0;
}
