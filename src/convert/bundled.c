/* The bundled request files (bundled.h). cmake/embed.cmake makes the arrays when the library is built. Tested by
 * tests/unit/test_bundled.c. */
#include "convert/bundled.h"

extern const unsigned char qw_calibration_bytes[], qw_evaluation_bytes[];
extern const size_t qw_calibration_bytes_len, qw_evaluation_bytes_len;

const char *qw_calibration_default(size_t *len)
{
    *len = qw_calibration_bytes_len;
    return (const char *)qw_calibration_bytes;
}

const char *qw_evaluation_default(size_t *len)
{
    *len = qw_evaluation_bytes_len;
    return (const char *)qw_evaluation_bytes;
}
