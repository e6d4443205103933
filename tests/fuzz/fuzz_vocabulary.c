/* Any bytes as the tables of a vocabulary: refused, or every use of them stays inside and ends. The checksum is left out, so that the checks behind it
 * are met. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tokenizer/vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void encode(const qw_tokenizer *t, const char *text, size_t len)
{
    qw_ids ids = QW_IDS_INIT;
    qw_buf back = QW_BUF_INIT;
    check(qw_tokenizer_encode(t, text, len, QWREN_SPECIAL_ALL, NULL, 0, &ids, NULL) == QWREN_OK);
    for (size_t i = 0; i < ids.n; i++)
        check(ids.data[i] >= 0 && ids.data[i] < qw_tokenizer_count(t));
    check(qw_tokenizer_decode(t, ids.data, ids.n, true, &back, NULL) == QWREN_OK);
    qw_ids_free(&ids);
    qw_buf_free(&back);
}

static void use(const qw_tokenizer *t)
{
    size_t sum = 0;
    for (int32_t id = 0; id < qw_tokenizer_count(t); id++) {
        size_t n;
        const char *bytes = qw_tokenizer_bytes(t, id, &n);
        check(n > 0 && bytes[n] == '\0');
        for (size_t i = 0; i < n; i++)
            sum += (unsigned char)bytes[i];
        if (qw_tokenizer_is_added(t, id) && qw_tokenizer_find_added(t, bytes, n) != id)
            check(false);
    }
    check(sum || !qw_tokenizer_count(t) || t->bytes);
    encode(t, "abcabc ab<x>aabbc<y>", 20);
    encode(t, "abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc", 72);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (qw_vocab_fault(data, size))
        return 0;
    qw_tokenizer t = { 0 };
    check(qw_vocab_attach(&t, data, NULL) == QWREN_OK);
    use(&t);
    qw_free(t.added);
    return 0;
}
