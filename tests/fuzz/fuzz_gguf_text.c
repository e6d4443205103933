/* Any bytes as a GGUF file whose settings hold a tokenizer: refused with a sentence, or a tokenizer that can be used. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void use(const qwren_tokenizer *t)
{
    static const char text[] = "The aabb answer is<|im_end|><think> \xC3\xBC\xFF";
    for (int mode = QWREN_SPECIAL_ALL; mode <= QWREN_SPECIAL_NONE; mode++) {
        int32_t *ids;
        size_t n, len;
        char *back;
        check(qwren_tokenize(t, text, sizeof text - 1, (qwren_special)mode, &ids, &n, NULL) == QWREN_OK);
        check(qwren_detokenize(t, ids, n, true, &back, &len, NULL) == QWREN_OK);
        qwren_free(ids);
        qwren_free(back);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const qw_map bytes = { size ? data : NULL, size, false };
    qwren_tokenizer *t;
    qw_gguf *g;
    qwren_error err = { QWREN_OK, "" };
    if (qw_gguf_read(&g, &bytes, "fuzz.gguf", &err) != QWREN_OK)
        return 0;
    qwren_status st = qw_api_tokenizer_create(&t, "fuzz.gguf", g, &err);
    check(st == QWREN_OK ? t != NULL : t == NULL && err.text[0] && (st == QWREN_E_FORMAT || st == QWREN_E_UNSUPPORTED));
    if (t)
        use(t);
    qwren_tokenizer_close(t);
    qw_gguf_close(g);
    return 0;
}
