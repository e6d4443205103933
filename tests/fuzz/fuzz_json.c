/* base/json*.c on any bytes: no crash; what is accepted prints as text that is accepted again and prints the same. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qw_json *v, *again;
    if (qw_json_parse(&v, (const char *)data, size, "input", NULL) != QWREN_OK)
        return 0;
    qw_buf first = QW_BUF_INIT, second = QW_BUF_INIT;
    qw_json_dump(&first, v);
    if (qw_json_parse(&again, first.data, first.len, "printed", NULL) != QWREN_OK)
        abort();
    qw_json_dump(&second, again);
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
        abort();
    qw_buf_free(&first);
    qw_buf_free(&second);
    qw_json_free(v);
    qw_json_free(again);
    return 0;
}
