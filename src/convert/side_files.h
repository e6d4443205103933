/* What goes along with a checkpoint's weights: tokenizer, chat template, processor and generation settings. Private to convert/. */
#ifndef QW_CONVERT_SIDE_FILES_H
#define QW_CONVERT_SIDE_FILES_H

#include "base/buf.h"

/* Copies from folder to folder. `left` gets the names of what stays behind, "a, b": all but weights, their index and config.json. */
qwren_status qw_side_files_copy(const char *from, const char *to, qw_buf *left, qwren_error *err);

/* A number that changes when the weights or the settings in `dir` do: names, sizes and times of the files. */
qwren_status qw_side_files_stamp(const char *dir, uint64_t *out, qwren_error *err);

#endif
