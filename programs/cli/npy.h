/* Arrays for NumPy. */
#ifndef CLI_NPY_H
#define CLI_NPY_H

#include "base/status.h"

/* float32 [rows, columns] -> a .npy file (version 1.0) that appears when it is complete. Ctrl-C leaves nothing behind. "-" is standard
 * output. */
qwren_status cli_npy_write(const char *path, const float *data, size_t rows, size_t columns, qwren_error *err);

#endif
