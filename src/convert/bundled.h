/* The request files that are built into the library: data/calibration.jsonl and data/evaluation.jsonl, made by
 * tools/make_calibration.py. */
#ifndef QW_CONVERT_BUNDLED_H
#define QW_CONVERT_BUNDLED_H

#include <stddef.h>

/* Lines of {"messages": [...], "tools": [...], ...} that end with the assistant's answer, or of {"text": ...}; UTF-8, *len bytes and a zero
 * behind them. What weights are calibrated with when nothing else is given. The order is mixed: a first part of it is a sample of the
 * whole. */
const char *qw_calibration_default(size_t *len);
/* The same kind of lines, none of them from the calibration: what models are compared on when nothing else is given. */
const char *qw_evaluation_default(size_t *len);

#endif
