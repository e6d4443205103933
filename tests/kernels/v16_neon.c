/* v16_body.h on level neon. */
#define V16_TEST v16_test_neon
#include "v16_body.h"
