/* Option structs of the public API carry their size, so that a program built against an older header still works. Private to
 * src/api. */
#ifndef QW_API_OPTIONS_H
#define QW_API_OPTIONS_H

#include "base/status.h"

#include <string.h>

/* Lays the caller's struct over the defaults in *out [size]: the fields that its version has. `given` begins with its size_t
 * struct_size; NULL leaves the defaults. */
static inline qwren_status qw_options_read(void *out, size_t size, const void *given, const char *name, qwren_error *err)
{
    size_t given_size = 0;
    if (!given)
        return QWREN_OK;
    memcpy(&given_size, given, sizeof given_size);
    if (given_size <= sizeof given_size)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s: struct_size is not set; begin with %s_default()", name, name);
    memcpy(out, given, given_size < size ? given_size : size);
    return QWREN_OK;
}

#endif
