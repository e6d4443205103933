/* What goes along with a checkpoint's weights: tokenizer, chat template, processor and generation settings. Private to convert/. */
#ifndef QW_CONVERT_SIDE_FILES_H
#define QW_CONVERT_SIDE_FILES_H

#include "base/dir.h"

qwren_status qw_side_files_copy(const char *from, const char *to, qwren_error *err);
/* What stays behind in a folder: all but those, weights, their index, config.json and names with a point before them. Free it with
 * qw_names_deinit(). */
qwren_status qw_side_files_left(const char *from, qw_names *out, qwren_error *err);

/* A number that changes when the weights or the settings in `dir` do: names, sizes and times of the files. */
qwren_status qw_side_files_stamp(const char *dir, uint64_t *out, qwren_error *err);

#endif
