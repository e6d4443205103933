/* Token ids with one pad for each picture -> the timeline that the decoder computes: every pad repeated as often as its picture has rows,
 * and a rotary position (t, h, w) for every token. */
#ifndef QW_MODEL_MERGE_H
#define QW_MODEL_MERGE_H

#include "image/image.h"
#include "model/config.h"

/* A bit that all keys of picture tokens have, and no text id. */
#define QW_PICTURE_KEY ((uint64_t)1 << 63)
/* In the key of a token that stands for no id, nor for a picture: no other timeline has it. */
#define QW_NO_ID ((uint64_t)1 << 62)
/* A timeline that nobody will have again, and no request can ask for: it was moved in a window, or stretched. */
bool qw_keys_are_singular(const uint64_t *keys, size_t n);

/* One picture among the tokens. */
typedef struct qw_image_span {
    size_t begin, n;   /* its tokens */
    size_t image;      /* number of the picture, from 0 */
    const float *rows; /* [n, H] what the tower made of it; set later by the caller, who owns it; NULL until then */
} qw_image_span;

typedef struct qw_timeline {
    size_t n;
    int32_t *ids;      /* [n] */
    int32_t (*pos)[3]; /* [n] */
    uint64_t *keys;    /* [n] equal keys, equal content: the id of a text token, a hash of picture and place for an image token */
    qw_image_span *spans;
    size_t n_spans;
    int32_t next_pos; /* rotary position of the token that follows */
} qw_timeline;

/* grids and hashes [n_images]: of the pictures in order of appearance; the hash says what the picture shows. A video's pads count as
 * pictures, one for each pair of frames. first_pos: rotary position of the first token (0 for a new timeline). A number of pads other than
 * n_images is E_ARGUMENT, an id outside the vocabulary too. On failure *out is empty. Free with qw_timeline_deinit(). */
qwren_status qw_timeline_build(qw_timeline *out, const qw_config *c, const int32_t *ids, size_t n_ids, const qw_grid *grids,
                               const uint64_t *hashes, size_t n_images, int32_t first_pos, qwren_error *err);
void qw_timeline_deinit(qw_timeline *t);

#endif
